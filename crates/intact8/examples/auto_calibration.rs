//! Accuracy-based automatic quantization, step by step, with a user-defined evaluator.
//!
//! `cargo run --release --example auto_calibration`

use intact8::data::{DataSet, Feed, Feeding};
use intact8::{
    BoxError, Evaluator, Model, PROFILES, Result, Session, Tensor, Verdict, accuracy_based_auto_calibration,
    create_quant_config, load_model,
};
use std::path::Path;

/// Step 1: an evaluator. It calibrates a model, scores one, and judges a score by that of the original.
struct DigitsEvaluator {
    calibration: Feed,
    evaluation: Feed,
    labels: Vec<i64>,
}

impl Evaluator for DigitsEvaluator {
    /// A score may have any type; here it is the share of right answers.
    type Metric = f64;

    /// Runs the model on at least `batch_num` batches.
    fn calibration(
        &mut self,
        batch_num: usize,
        forward: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError> {
        for samples in self.calibration.batches().take(batch_num) {
            forward(&self.calibration.inputs(samples)?)?;
        }
        Ok(())
    }

    /// Scores a model: the original first, then every trial.
    fn evaluate(&mut self, model: &Model) -> Result<f64, BoxError> {
        let session = Session::new(model)?;
        let mut n_right = 0;
        for samples in self.evaluation.batches() {
            let logits = &session.run(&self.evaluation.inputs(samples.clone())?)?[0];
            let rows = logits.values::<f32>()?.chunks_exact(logits.shape()[1]);
            for (row, &label) in rows.zip(&self.labels[samples]) {
                let answer = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
                n_right += usize::from(answer == usize::try_from(label).ok());
            }
        }
        Ok(n_right as f64 / self.labels.len() as f64)
    }

    /// The target is a loss of less than 0.2 percentage points.
    fn metric_eval(&mut self, original: &f64, quantized: &f64) -> Result<Verdict, BoxError> {
        let loss = original - quantized;
        Ok(Verdict { satisfied: loss < 0.002, loss })
    }
}

fn main() -> Result<()> {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/digits-hard");
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/examples/digits");
    let model = load_model(&fixture.join("model.onnx"))?;

    let calib = DataSet::read(&fixture.join("calib.npz"))?;
    let eval = DataSet::read(&fixture.join("eval.npz"))?;
    let evaluation = eval.feed(&model, &Feeding::default())?;
    let labels = eval.targets("labels", &evaluation)?[0].values::<i64>()?.to_vec();
    let calibration = calib.feed(&model, &Feeding::default())?;
    let batch_num = calibration.n_batches();
    let mut evaluator = DigitsEvaluator { calibration, evaluation, labels };

    // Step 2: a configuration that enables every layer. It is a file that the user can edit.
    let config_file = out.with_file_name("quant_config.json");
    create_quant_config(&config_file, &model, &[], batch_num, true, &PROFILES[0])?;

    // Step 3: the search. It scores the original, quantizes every layer, and rolls back the sensitive ones.
    let report = accuracy_based_auto_calibration(
        &model,
        &mut evaluator,
        &config_file,
        &out.with_file_name("scale_offset_record.txt"),
        &out,
        "BinarySearch",
        "CosineSimilarity",
    )?;

    // Step 4: the result. Models, configuration, record, ranking and history are written.
    assert!(
        report.original > 0.99 && report.scores[0] < 0.6,
        "the target is missed with every layer quantized"
    );
    let outcome = report.outcome.expect("rolling back two layers is enough");
    assert_eq!(report.table.names(&outcome.rolled_back), ["block1.conv2", "block4.conv2"]);
    assert!(report.original - outcome.score < 0.002);
    Ok(())
}
