//! A session, a calibration and a whole search, on a bundled model.

use criterion::{Criterion, criterion_group, criterion_main};
use intact8::calibrate::calibrate;
use intact8::data::{DataSet, Feed, Feeding};
use intact8::search::search;
use intact8::{
    BinarySearch, DataScorer, DeployFormat, Emission, FloatModel, Goal, Goals, Interpreter, MaxDrop, Model,
    OriginalModel, Preparation, QuantConfig, Roles, SearchOptions, Session, load_model, prepare,
};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

fn fixture(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/models/digits-hard").join(file)
}

fn data(model: &Model, file: &str) -> (DataSet, Feed) {
    let data = DataSet::read(&fixture(file)).expect("the data are bundled");
    let feed = data.feed(model, &Feeding::default()).expect("the data fit");
    (data, feed)
}

fn benches(c: &mut Criterion) {
    let model = load_model(&fixture("model.onnx")).expect("the model is bundled");
    let ((_, mut calibration), (data, samples)) = (data(&model, "calib.npz"), data(&model, "eval.npz"));
    let (metric, goal) = Goal::parse("top1", MaxDrop::Absolute(0.002)).expect("there is top1");
    let interpreter = Arc::new(Interpreter::default());
    let original = OriginalModel::new(interpreter.clone(), &model).expect("the model can be run");
    let scorer = DataScorer::new(original, samples, &data, vec![metric]);
    let (mut scorer, mut goals) = (scorer.expect("there are labels"), Goals::new(vec![goal]));
    let prepared = prepare(&model, &Preparation::default(), &mut ()).expect("the model can be prepared");
    let mut config = QuantConfig::for_model(prepared.model());
    config.batch_num = Some(calibration.n_batches());
    let float = FloatModel::new(&prepared, &*interpreter).expect("the model can be run");
    let calibrated = calibrate(&float, &config, &mut calibration, &mut ()).expect("the data are good");
    let quantized =
        prepared.quantize(&config, &calibrated.into_record(), &mut ()).expect("the model can be quantized");
    let deployed = quantized
        .deploy(DeployFormat::Qdq, &Emission::default(), &mut ())
        .expect("the model can be deployed");

    let batch = calibration.inputs(0..32).expect("there are that many samples");
    for (name, model) in [("float", prepared.model()), ("int8", deployed.model())] {
        let session = Session::new(model).expect("the model can be run");
        c.bench_function(&format!("session/{name}"), |b| b.iter(|| session.run(black_box(&batch))));
        c.bench_function(&format!("compile/{name}"), |b| b.iter(|| Session::new(black_box(model)).map(drop)));
    }
    c.bench_function("calibration", |b| b.iter(|| calibrate(&float, &config, &mut calibration, &mut ())));
    c.bench_function("search", |b| {
        b.iter(|| {
            let roles =
                Roles { data: &mut calibration, scorer: &mut scorer, judge: &mut goals, observer: &mut () };
            let mut strategy = BinarySearch;
            let options = SearchOptions {
                deploy: Some((DeployFormat::Qdq, Emission::default())),
                ..SearchOptions::new(&mut strategy)
            };
            search(&float, &model, &config, roles, options).map(drop)
        })
    });
}

criterion_group!(all, benches);
criterion_main!(all);
