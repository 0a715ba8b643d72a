//! Runs that succeed, or miss the target.

use crate::{Scratch, fixture, intact8};
use serde_json::Value;

const MODELS: [&str; 11] = [
    "m_deploy_model.onnx",
    "m_fake_quant_model.onnx",
    "m_final_config.json",
    "m_history.json",
    "m_intact8.toml",
    "m_journal.jsonl",
    "m_quant.json",
    "m_ranking.json",
    "m_report.html",
    "m_report.json",
    "m_scale_offset_record.txt",
];

/// Quantizes a bundled model without cross-layer equalization, smoothing, bias correction and fitted rounding. With these, no
/// layer of `digits-hard` is sensitive.
pub(crate) fn quantize(scratch: &Scratch, model: &str, more: &[&str]) -> crate::Run {
    prepared(
        scratch,
        model,
        &[&["--no-equalize", "--no-balance", "--no-correct-bias", "--no-fit-rounding"], more].concat(),
    )
}

/// Quantizes a bundled model with the default settings.
pub(crate) fn prepared(scratch: &Scratch, model: &str, more: &[&str]) -> crate::Run {
    let [onnx, calib, eval] = ["model.onnx", "calib.npz", "eval.npz"].map(|file| fixture(model, file));
    let save = scratch.path("m");
    let mut args = vec!["quantize", &onnx, "--calib", &calib, "--eval", &eval, "--save", &save];
    args.extend(more);
    intact8(&args)
}

pub(crate) fn json(scratch: &Scratch, name: &str) -> Value {
    let text = std::fs::read_to_string(scratch.path(name)).expect("the file is written");
    serde_json::from_str(&text).expect("the file is JSON")
}

#[test]
fn two_sensitive_layers_stay_in_float() {
    let scratch = Scratch::new();
    let summary = scratch.path("summary.json");
    let run = quantize(&scratch, "digits-hard", &["--max-drop", "0.002", "--json", &summary]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("layers in float: block4.conv2, block1.conv2"), "{}", run.stdout);
    let mut files = MODELS.to_vec();
    files.push("summary.json");
    assert_eq!(scratch.files(), files);
    let summary = json(&scratch, "summary.json");
    assert_eq!(summary["final"], summary["original"]);
    assert_eq!(summary["rolled_back"], serde_json::json!(["block4.conv2", "block1.conv2"]));
    let config = json(&scratch, "m_final_config.json");
    assert_eq!(
        (&config["block1.conv2"]["quant_enable"], &config["fc"]["quant_enable"]),
        (&false.into(), &true.into())
    );
}

#[test]
fn only_the_weights_of_layers_that_no_data_reach_are_quantized() {
    let scratch = Scratch::new();
    let text = "model m opset 17
%x = input : f32[N,2]
%w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
%h = MatMul(%x, %w) @always
%zero = const [-1000.0] : f32[]
%least = ReduceMin(%x) {keepdims = 0}
%is.low = Less(%least, %zero)
%y = If(%is.low; %h, %h) {else_branch = graph {
  %h.1 = capture
  return %h.1
}, then_branch = graph {
  %h.2 = capture
  %twice = Add(%h.2, %h.2) @twice
  %v = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
  %never.y = MatMul(%twice, %v) @never
  return %never.y
}}
return %y
";
    let model = scratch.path("branches.onnx");
    intact8::save_model(&text.parse().unwrap(), model.as_ref()).unwrap();
    let x = intact8::Tensor::new(&[4, 2], vec![0.5f32, -1.0, 2.0, 0.25, 1.0, 1.0, -2.0, 0.0]);
    let labels = intact8::Tensor::new(&[4], vec![0i64, 1, 1, 0]);
    let data = scratch.npz("data.npz", &[("x", x), ("labels", labels)]);
    let (save, config) = (scratch.path("m"), scratch.path("c.json"));
    let args = [
        "quantize",
        &model,
        "--calib",
        &data,
        "--eval",
        &data,
        "--save",
        &save,
        "--max-drop",
        "0.9",
        "--target",
        "generic",
    ];
    let run = intact8(&args);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let line = "never has only its weights in int8: no calibration data but zeros reach it\n";
    assert!(run.stderr.contains(line), "{}", run.stderr);
    let found = json(&scratch, "m_final_config.json");
    assert_eq!(found["never"]["weights_only"], true);
    assert!(found["always"].get("weights_only").is_none(), "{found}");
    let deployed = std::fs::read_to_string(scratch.path("m_scale_offset_record.txt")).unwrap();
    let entry = deployed.split("record {").find(|entry| entry.contains("\"never\"")).unwrap();
    assert!(entry.contains("scale_w") && !entry.contains("scale_d"), "{entry}");
    assert_eq!(intact8::Record::from_text(&deployed).unwrap().layers["never"].activations, []);
    // A configuration that was written without the data leads to the same result.
    assert_eq!(
        intact8(&["config", &model, "-o", &config, "--batch-num", "1", "--target", "generic"]).code,
        0
    );
    let run = intact8(&[&args[..], &["--config", &config]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains(line), "{}", run.stderr);
}

#[test]
fn with_the_default_settings_no_layer_is_sensitive() {
    let scratch = Scratch::new();
    let summary = scratch.path("summary.json");
    let run = prepared(&scratch, "digits-hard", &["--max-drop", "0.002", "--json", &summary]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let summary = json(&scratch, "summary.json");
    assert_eq!(
        (&summary["rolled_back"], &summary["trials"].as_array().map(Vec::len)),
        (&serde_json::json!([]), &Some(1))
    );
}

#[test]
fn a_saved_model_has_the_reported_accuracy() {
    let scratch = Scratch::new();
    let summary = scratch.path("summary.json");
    assert_eq!(quantize(&scratch, "digits", &["--json", &summary]).code, 0);
    // Scored again as original models, the files must have the reported score.
    for file in ["m_fake_quant_model.onnx", "m_deploy_model.onnx"] {
        let model = intact8::load_model(scratch.path(file).as_ref()).expect("the file can be read");
        let data = intact8::data::DataSet::read(fixture("digits", "eval.npz").as_ref());
        let data = data.expect("the data can be read");
        let feed = data.feed(&model, &Default::default()).expect("the data fit");
        let metric = intact8::data::metric_named("top1").expect("there is top1");
        let original = intact8::OriginalModel::new(Default::default(), &model).expect("the model can be run");
        let mut scorer =
            intact8::DataScorer::new(original, feed, &data, vec![metric]).expect("there are labels");
        let mut scoring = intact8::Scoring {
            original: None,
            first: None,
            out_of_reach: None,
            misses: None,
            progress: &mut |_, _| Ok(()),
        };
        let subject = intact8::search::Subject::Original(&model);
        let score =
            intact8::Scorer::score(&mut scorer, subject, &mut scoring).expect("the model can be scored");
        assert_eq!(json(&scratch, "summary.json")["final"], score.values[0]);
    }
}

#[test]
fn a_target_that_can_not_be_met_writes_no_model() {
    let scratch = Scratch::new();
    // The models of an older run must be removed.
    assert_eq!(quantize(&scratch, "digits-hard", &["--max-drop", "0.9"]).code, 0);
    assert_eq!(scratch.files(), MODELS);
    let command = scratch.text("score.sh", "if grep -q QuantizeLinear $1; then echo 0; else echo 1; fi\n");
    let [onnx, calib] = ["model.onnx", "calib.npz"].map(|file| fixture("digits-hard", file));
    let score = format!("sh {}", command.display());
    let save = scratch.path("m");
    let run = intact8(&[
        "quantize",
        &onnx,
        "--calib",
        &calib,
        "--eval-cmd",
        &score,
        "--save",
        &save,
        "--no-equalize",
    ]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 2, "{}", run.stderr);
    assert!(run.stderr.starts_with("no quantization meets the target: with"), "{}", run.stderr);
    let closest = "m_closest_config.json";
    assert_eq!(
        scratch.files(),
        [
            closest,
            "m_history.json",
            "m_intact8.toml",
            "m_journal.jsonl",
            "m_ranking.json",
            "m_report.html",
            "m_report.json",
            "score.sh"
        ]
    );
    // 0, 1, 2, 4, 8, 10, 11 and 12 of thirteen layers in float, then a half, a quarter and an eighth in int8; all miss.
    let trials = json(&scratch, "m_history.json");
    let n_float = |trial: &Value| {
        let layers = trial["roll_back_config"].as_object().expect("a trial names the layers");
        layers.values().filter(|is_quantized| **is_quantized == Value::Bool(false)).count()
    };
    let n_float: Vec<usize> = trials.as_array().expect("there are trials").iter().map(n_float).collect();
    assert_eq!(n_float, [0, 1, 2, 4, 8, 10, 11, 12, 6, 7, 9, 9, 9, 12, 11, 11, 11, 11, 11]);
    assert_eq!(json(&scratch, "m_ranking.json").as_array().map(Vec::len), Some(13));
}

#[test]
fn a_written_configuration_is_used_and_not_changed() {
    let scratch = Scratch::new();
    let (onnx, config) = (fixture("digits-hard", "model.onnx"), scratch.path("c.json"));
    let skip = ["--skip-layer", "block1.conv2", "--skip-layer", "block4.conv2"];
    let args = [&["config", &onnx, "-o", &config, "--batch-num", "2"], &skip[..]].concat();
    assert_eq!(intact8(&args).code, 0);
    let before = std::fs::read(&config).expect("the configuration is written");
    let run = quantize(&scratch, "digits-hard", &["--config", &config, "--max-drop", "0.002"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(
        json(&scratch, "m_history.json").as_array().map(Vec::len),
        Some(1),
        "the first trial meets the target"
    );
    assert_eq!(
        std::fs::read(&config).expect("is still there"),
        before,
        "the user's configuration is not changed"
    );
}

#[test]
fn run_writes_outputs_and_taps() {
    let scratch = Scratch::new();
    let (onnx, eval, out) =
        (fixture("digits", "model.onnx"), fixture("digits", "eval.npz"), scratch.path("out.npz"));
    let run = intact8(&[
        "run",
        &onnx,
        "--input",
        &eval,
        "--output",
        &out,
        "--batch",
        "100",
        "--tap",
        "stem.relu.out",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let arrays = intact8::data::read_npz(out.as_ref()).expect("the outputs can be read");
    assert_eq!(arrays["logits"].layout().expect("numbers").1, [797, 10]);
    assert_eq!(arrays["stem.relu.out"].layout().expect("numbers").1, [797, 16, 8, 8]);
}

#[test]
fn inspect_and_print_show_the_model() {
    let run = intact8(&["inspect", &fixture("digits", "model.onnx")]);
    let conv = run.stdout.lines().find(|line| line.contains("block1.conv2")).expect("the layer is shown");
    let words: Vec<&str> = conv.split_whitespace().collect();
    assert_eq!(words, ["block1.conv2", "Conv", "1x16x8x8", "1x16x8x8", "2320", "147456", "5.4", "%", "yes"]);
    let run = intact8(&["print", &fixture("digits", "model.onnx")]);
    assert!(run.stdout.starts_with("model ") && run.stdout.ends_with("return %logits\n"));
}
