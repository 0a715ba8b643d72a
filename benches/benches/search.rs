//! A session, a calibration and a whole search, on a bundled model.

use criterion::{Criterion, criterion_group, criterion_main};
use intact8::data::{DataSet, Feed, Feeding, read_npz};
use intact8::quant::{DeployFormat, Emission, emit, fake_quant, prepare};
use intact8::search::{SearchOptions, calibrate, search};
use intact8::{DataScorer, Evaluation, Goal, MaxDrop, Model, QuantConfig, Session, load_model};
use std::hint::black_box;
use std::path::Path;

fn fixture(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/models/digits-hard").join(file)
}

fn data(model: &Model, file: &str) -> (DataSet, Feed) {
    let arrays = read_npz(&fixture(file)).expect("the data are bundled");
    let data = DataSet { source: file.to_owned(), arrays };
    let session = Session::new(model).expect("the model can be run");
    let feed = data.feed(session.inputs(), &Feeding::default()).expect("the data fit");
    (data, feed)
}

fn evaluation(model: &Model) -> Evaluation {
    let ((_, calibration), (data, samples)) = (data(model, "calib.npz"), data(model, "eval.npz"));
    let (metric, goal) = Goal::parse("top1", MaxDrop::Absolute(0.002)).expect("there is top1");
    let scorer = DataScorer::new(samples, &data, vec![metric], model).expect("there are labels");
    Evaluation::new(calibration, Box::new(scorer), vec![goal])
}

fn benches(c: &mut Criterion) {
    let model = load_model(&fixture("model.onnx")).expect("the model is bundled");
    let mut evaluation = evaluation(&model);
    let mut config = QuantConfig::for_model(&model);
    config.batch_num = evaluation.calibration.n_batches();
    let mut prepared = model.clone();
    prepare(&config).run(&mut prepared).expect("the model can be prepared");
    let record = calibrate(&prepared, &config, &mut evaluation).expect("the data are good");
    let mut deployed = prepared.clone();
    fake_quant(&config, &record).run(&mut deployed).expect("the model can be quantized");
    emit(DeployFormat::Qdq, &Emission::default()).run(&mut deployed).expect("the model can be deployed");

    let batch = evaluation.calibration.inputs(0..32).expect("there are that many samples");
    for (name, model) in [("float", &prepared), ("int8", &deployed)] {
        let session = Session::new(model).expect("the model can be run");
        c.bench_function(&format!("session/{name}"), |b| b.iter(|| session.run(black_box(&batch))));
        c.bench_function(&format!("compile/{name}"), |b| b.iter(|| Session::new(black_box(model)).map(drop)));
    }
    c.bench_function("calibration", |b| b.iter(|| calibrate(&prepared, &config, &mut evaluation)));
    c.bench_function("search", |b| {
        b.iter(|| search(&model, &config, &mut evaluation, &SearchOptions::default()))
    });
}

criterion_group!(all, benches);
criterion_main!(all);
