//! A run prepares a model once, computes each deploy model once, and compiles no model twice.

use crate::command::{json, quantize};
use crate::{Scratch, fixture};
use intact8::data::{DataSet, Feed};
use intact8::ir::ValueRef;
use intact8::search::{Roles, SearchOptions};
use intact8::{
    DataScorer, FloatModel, Goal, Goals, Interpreter, MaxDrop, Minimal, OriginalModel, OutputFiles,
    Preparation, QuantConfig, Stop, Watcher, load_model, prepare, quantize_and_save,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// The number of times that each model was compiled, by its text, the addresses of its constants, and the values that taps need.
type Compiled = BTreeMap<(String, Vec<usize>, BTreeSet<ValueRef>), usize>;

#[test]
fn the_command_prepares_once_and_deploys_each_format_once() {
    let scratch = Scratch::new();
    let summary = scratch.path("summary.json");
    let options = ["--json", &summary, "--deploy", "qdq,qoperator", "--target", "generic"];
    assert_eq!(quantize(&scratch, "digits", &options).code, 0);
    let expected = serde_json::json!({
        "prepare": 1, "quantize": 1, "deploy qdq": 1, "deploy qoperator": 1,
    });
    assert_eq!(json(&scratch, "summary.json")["work"], expected);
}

#[test]
fn no_model_is_compiled_twice() {
    let scratch = Scratch::new();
    let model = load_model(fixture("digits", "model.onnx").as_ref()).expect("the model can be read");
    let feed = |file: &str| -> (DataSet, Feed) {
        let data = DataSet::read(fixture("digits", file).as_ref()).expect("the data can be read");
        let feed = data.feed(&model, &Default::default()).expect("the data fit");
        (data, feed)
    };
    // A model is identified by its text and the addresses of its constants, whose elements the text omits.
    let compiled: Arc<Mutex<Compiled>> = Arc::default();
    let counts = compiled.clone();
    let interpreter = Interpreter::default().observed(move |model, watched| {
        let nodes = model.graphs().flat_map(|(_, graph)| graph.dag().node_weights());
        let constants = nodes.filter_map(|node| node.as_constant()).map(|tensor| tensor.address()).collect();
        let mut counts = counts.lock().expect("no thread panics");
        *counts.entry((model.to_string(), constants, watched.clone())).or_default() += 1;
    });
    let interpreter = Arc::new(interpreter);
    let ((_, mut calibration), (data, evaluation)) = (feed("calib.npz"), feed("eval.npz"));
    let (metric, goal) = Goal::parse("top1", MaxDrop::Absolute(0.002)).expect("there is top1");
    let original = OriginalModel::new(interpreter.clone(), &model).expect("the model can be run");
    let scorer = DataScorer::new(original, evaluation, &data, vec![metric]);
    let (mut scorer, mut goals) = (scorer.expect("there are labels"), Goals::new(vec![goal]));
    let mut watcher = Watcher::new(Stop::default());
    let prepared = prepare(&model, &Preparation::default(), &mut watcher).expect("the model can be prepared");
    let float = FloatModel::new(&prepared, &*interpreter).expect("the model can be run");
    let config = QuantConfig::for_model(prepared.model());
    let save = scratch.path("m");
    let files = OutputFiles::new(save.as_ref());
    let mut strategy = Minimal;
    let options = SearchOptions {
        deploy: Some((files.deploy[0].0, files.emission)),
        ..SearchOptions::new(&mut strategy)
    };
    let roles =
        Roles { data: &mut calibration, scorer: &mut scorer, judge: &mut goals, observer: &mut watcher };
    let report =
        quantize_and_save(&float, &model, &config, roles, options, &files).expect("the data are good");
    assert!(report.is_met());
    let compiled = compiled.lock().expect("no thread panics");
    let twice: Vec<&str> =
        compiled.iter().filter(|(_, n)| **n > 1).map(|((text, ..), _)| text.as_str()).collect();
    assert!(twice.is_empty(), "{} of {} models: {}", twice.len(), compiled.len(), twice.join("\n"));
    // At least the original, the float model, the deploy model and the fake-quant model.
    assert!(compiled.len() >= 4, "{}", compiled.len());
}
