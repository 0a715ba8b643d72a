//! Tests: metrics of small outputs, against results computed by hand.

use super::*;

/// The metric of `n` samples in one batch.
fn value(name: &str, n: usize, shape: &[usize], output: &[f32], labels: &[i64], targets: &[f32]) -> f64 {
    let outputs = [Tensor::new(shape, output.to_vec())];
    let mut tally = metric_named(name).unwrap().tally();
    tally
        .add(&Batch {
            labels: labels.into(),
            targets: targets.into(),
            ..Batch::of(&outputs, n, Some(0)).unwrap()
        })
        .unwrap();
    tally.value()
}

#[test]
fn of_equal_outputs_the_first_ranks_first() {
    let output = [1.0, 1.0, 0.0, 2.0, 5.0, f32::NAN];
    assert_eq!(value("top1", 3, &[3, 2], &output, &[0, 0, 0], &[]), 1.0 / 3.0);
    assert_eq!(value("top2", 1, &[1, 3], &[3.0, 1.0, 2.0], &[2], &[]), 1.0);
    assert_eq!(value("top2", 1, &[1, 3], &[3.0, 1.0, 2.0], &[1], &[]), 0.0);
}

#[test]
fn an_output_that_is_nan_counts_as_the_worst() {
    let nan = f32::NAN;
    assert_eq!(value("top1", 1, &[1, 3], &[3.0, nan, 2.0], &[0], &[]), 0.0);
    assert_eq!(value("auc", 2, &[2], &[nan, 0.5], &[1, 0], &[]), 0.0);
    assert_eq!(value("auc", 2, &[2], &[0.5, nan], &[1, 0], &[]), 0.0);
    assert_eq!(value("spearman", 3, &[3, 1], &[0.0, 1.0, nan], &[], &[0.0, 1.0, 2.0]), -1.0);
    assert_eq!(value("cosine", 1, &[1, 2], &[1.0, nan], &[], &[1.0, 1.0]), -1.0);
    assert_eq!(value("mse", 1, &[1, 2], &[1.0, nan], &[], &[1.0, 1.0]), f64::INFINITY);
    // Two classes at two positions, both labelled 0, and a class for each label.
    assert_eq!(value("miou", 1, &[1, 2, 2], &[0.9, nan, 0.1, 0.0], &[0, 0], &[]), 0.5);
    assert_eq!(value("miou", 1, &[1, 2], &[0.0, nan], &[0, 0], &[]), 0.5);
}

#[test]
fn error_metrics_of_known_outputs() {
    let (output, targets) = ([1.0, 2.0, 3.0, 0.0], [1.0, 0.0, 3.0, 4.0]);
    assert_eq!(value("mse", 2, &[2, 2], &output, &[], &targets), 5.0);
    let cosine = value("cosine", 2, &[2, 2], &output, &[], &targets);
    assert!((cosine - (1.0 / 5f64.sqrt() + 9.0 / 15.0) / 2.0).abs() < 1e-12);
    let sqnr = value("sqnr", 2, &[2, 2], &output, &[], &targets);
    assert!((sqnr - 10.0 * (26.0f64 / 20.0).log10()).abs() < 1e-12);
    let psnr = value("psnr", 2, &[2, 2], &output, &[], &targets);
    assert!((psnr - 10.0 * (16.0f64 / 5.0).log10()).abs() < 1e-12);
    assert_eq!(value("sqnr", 1, &[1, 1], &[1.0], &[], &[1.0]), 200.0);
    assert_eq!(value("sqnr", 1, &[1, 1], &[f32::NAN], &[], &[1.0]), -200.0);
}

#[test]
fn rank_metrics_of_known_outputs() {
    // Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4.
    let spearman = value("spearman", 4, &[4, 1], &[0.0, 1.0, 1.0, 2.0], &[], &[1.0, 2.0, 3.0, 9.0]);
    assert!((spearman - 4.5 / (4.5f64 * 5.0).sqrt()).abs() < 1e-12);
    // Of four pairs three are in order, and one is a tie.
    assert_eq!(value("auc", 4, &[4], &[0.1, 0.5, 0.5, 0.9], &[0, 0, 1, 1], &[]), 0.875);
    assert_eq!(value("auc", 2, &[2, 2], &[0.0, 1.0, 3.0, 1.0], &[1, 0], &[]), 1.0);
}

#[test]
fn miou_of_known_classes() {
    // Two classes at four positions: predicted 0 1 1 0, labelled 0 0 1 and one that is ignored.
    let scores = [0.9, 0.2, 0.2, 0.9, 0.1, 0.8, 0.8, 0.1];
    assert_eq!(value("miou", 1, &[1, 2, 4], &scores, &[0, 0, 1, 255], &[]), 0.5);
    assert_eq!(value("miou", 1, &[1, 4], &[0.0, 1.0, 1.0, 0.0], &[0, 0, 1, 255], &[]), 0.5);
}

#[test]
fn ranges_contain_the_final_metric() {
    let outputs = [Tensor::new(&[4, 2], vec![0.3f32, 0.1, -0.2, 0.7, 1.1, 1.3, 0.4, 0.5])];
    let (labels, targets) = ([0i64, 0, 1, 1], [0.2f32, 0.1, 0.4, 0.4, -1.0, -1.3, 0.1, 0.9]);
    for name in ["top1", "mse", "cosine", "sqnr"] {
        let metric = metric_named(name).unwrap();
        let mut whole = metric.tally();
        whole
            .add(&Batch {
                labels: labels[..].into(),
                targets: targets[..].into(),
                ..Batch::of(&outputs, 4, Some(0)).unwrap()
            })
            .unwrap();
        for n in 1..4 {
            let mut part = metric.tally();
            let batch = Batch::of(&outputs, n, Some(0)).unwrap();
            part.add(&Batch { labels: labels[..n].into(), targets: targets[..2 * n].into(), ..batch })
                .unwrap();
            let (least, most) = part.range(4 - n);
            assert!(least <= whole.value() && whole.value() <= most, "{name} after {n}");
        }
    }
}

#[test]
fn names_with_a_number_are_parsed_and_others_are_errors() {
    assert!(matches!(metric_named("top5").unwrap().kind, Kind::Row(_, 5)));
    let message = |name: &str| metric_named(name).err().unwrap().to_string();
    for unknown in ["topK", "speed", ""] {
        let expected = format!("there is no metric {unknown:?}; use one of \"topK\", ");
        assert!(message(unknown).starts_with(&expected), "{}", message(unknown));
    }
    for misspelled in ["top", "top0", "top-5"] {
        let expected = format!("there is no metric {misspelled:?}; did you mean \"topK\"; use one of ");
        assert!(message(misspelled).starts_with(&expected), "{}", message(misspelled));
    }
    assert!(
        message("Accuracy").starts_with("there is no metric \"Accuracy\"; top1 is accuracy; use one of ")
    );
    assert!(message("AUROC").starts_with("there is no metric \"AUROC\"; did you mean \"auc\"; use one of "));
}

fn error(name: &str, n: usize, shape: &[usize], output: &[f32], labels: &[i64]) -> String {
    let outputs = [Tensor::new(shape, output.to_vec())];
    let batch = Batch { labels: labels.into(), ..Batch::of(&outputs, n, Some(0)).unwrap() };
    metric_named(name).unwrap().tally().add(&batch).unwrap_err().to_string()
}

#[test]
fn labels_that_are_no_classes_are_errors() {
    let beyond = "the label 3 is none of the classes 0 to 2";
    assert!(error("top1", 1, &[1, 3], &[3.0, 1.0, 2.0], &[3]).starts_with(beyond));
    assert!(error("top1", 1, &[1, 3], &[3.0, 1.0, 2.0], &[-1]).starts_with("the label -1 is none"));
    assert_eq!(error("miou", 1, &[1, 3, 1], &[3.0, 1.0, 2.0], &[3]), beyond);
    assert!(
        error("top1", 2, &[2, 1], &[1.0, 2.0], &[0, 0])
            .starts_with("is always 1, as the model has 1 output;")
    );
    assert!(
        error("top3", 1, &[1, 3], &[3.0, 1.0, 2.0], &[0])
            .starts_with("is always 1, as the model has 3 outputs;")
    );
    assert!(error("top1", 1, &[1, 2, 2], &[0.0; 4], &[0]).starts_with("requires one value for each class"));
    assert_eq!(value("top1", 1, &[1, 3, 1, 1], &[3.0, 1.0, 2.0], &[0], &[]), 1.0);
}

#[test]
fn guesses_have_a_level_and_an_error() {
    let chance = |name: &str, n: usize, shape: &[usize], labels: &[i64], targets: &[f32]| {
        let outputs = [Tensor::full(shape, 0.5f32)];
        let mut tally = metric_named(name).unwrap().tally();
        let batch = Batch {
            labels: labels.into(),
            targets: targets.into(),
            ..Batch::of(&outputs, n, Some(0)).unwrap()
        };
        tally.add(&batch).unwrap();
        tally.chance()
    };
    assert_eq!(
        chance("top1", 4, &[4, 4], &[0, 1, 2, 3], &[]),
        Chance { level: 0.25, error: 0.1875f64.sqrt() / 2.0 }
    );
    assert_eq!(chance("top2", 1, &[1, 4], &[0], &[]).level, 0.5);
    // U of two and two samples has the variance 2 · 2 · 5 / 12, and the area is U / 4.
    assert_eq!(
        chance("auc", 4, &[4], &[0, 0, 1, 1], &[]),
        Chance { level: 0.5, error: (5.0f64 / 48.0).sqrt() }
    );
    assert_eq!(chance("spearman", 5, &[5], &[], &[0.0; 5]), Chance { level: 0.0, error: 0.5 });
    assert_eq!(chance("cosine", 1, &[1, 2], &[], &[1.0, 0.0]), Chance::default());
}
