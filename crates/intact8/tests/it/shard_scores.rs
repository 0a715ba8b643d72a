//! Scoring in shards: the table of one run to the last digit, whatever the number of shards and the order in which they are merged.

use crate::shards::succeeds;
use crate::sharing::save_random;
use crate::{Run, Scratch, fixture, intact8};
use ::intact8::Tensor;

/// The table and the report of `intact8 score` for these words and more.
fn table(scratch: &Scratch, of: &[&str], more: &[&str]) -> (String, String) {
    let path = scratch.path("report.json");
    let table = succeeds(&[of, &["--no-bench", "--json", &path], more].concat());
    (table, std::fs::read_to_string(path).unwrap())
}

/// Scores in 1, 2, 3 and 7 shards, merged in an order that is drawn, and compares with the table of one run.
fn check(scratch: &Scratch, of: &[&str]) {
    let expected = table(scratch, of, &[]);
    let mut state = 1u64;
    for n in [1, 2, 3, 7] {
        let part = |shard: usize| {
            let part = scratch.path(&format!("{n}-{shard}.score"));
            succeeds(&[of, &["--shard", &format!("{shard}/{n}"), "-o", &part]].concat());
            part
        };
        let mut parts: Vec<String> = (1..=n).map(part).collect();
        for last in (1..n).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            parts.swap(last, (state >> 33) as usize % (last + 1));
        }
        let all = scratch.path("all.score");
        let files: Vec<&str> = parts.iter().map(String::as_str).collect();
        succeeds(&[&["merge"], &files[..], &["-o", &all]].concat());
        assert_eq!(table(scratch, of, &["--scores", &all]), expected, "{n} shards of {of:?}");
        if n > 1 {
            let Run { code, stderr, .. } = intact8(&[&["merge"], &files[1..], &["-o", &all]].concat());
            assert_eq!(code, 1);
            assert!(stderr.ends_with(" is missing; make and add them\n"), "{stderr}");
        }
    }
}

#[test]
fn scores_of_shards_are_those_of_one_run() {
    let (scratch, model) = (Scratch::new(), fixture("digits", "model.onnx"));
    let (calib, eval) = (fixture("digits", "calib.npz"), fixture("digits", "eval.npz"));
    let save = scratch.path("q");
    succeeds(&["quantize", &model, "--calib", &calib, "--no-eval", "--save", &save]);
    let quantized = scratch.path("q_deploy_model.onnx");
    let metrics = [
        "--metric", "top1", "--metric", "top3", "--metric", "ap", "--metric", "sqnr", "--metric", "mse",
        "--metric", "spearman", "--metric", "cosine", "--metric", "psnr",
    ];
    check(&scratch, &[&["score", &model, &quantized, &model, "--eval", &eval], &metrics[..]].concat());
    // Other models are refused.
    let all = scratch.path("all.score");
    let of = ["score", &model, &quantized, &model, "--eval", &eval, "--shard", "1/1", "-o", &all];
    succeeds(&[&of[..], &metrics].concat());
    succeeds(&["merge", &all, "-o", &all]);
    let other = ["score", &quantized, &model, &model, "--eval", &eval, "--no-bench", "--scores", &all];
    let Run { code, stderr, .. } = intact8(&[&other[..], &metrics].concat());
    assert_eq!(code, 1);
    assert!(stderr.contains("is of other models, or of models in another order"), "{stderr}");
}

const N: usize = 45;

/// A kind of output and the labels that belong to it.
struct Kind {
    text: &'static str,
    /// The shape of the input, and of the labels, of one sample.
    shapes: [&'static [usize]; 2],
    /// The number of values of a label; the last one of 255 stands for 255.
    n_labels: i64,
    metrics: &'static [&'static str],
}

const KINDS: [Kind; 4] = [
    Kind {
        text: "model m opset 17\n%x = input : f32[N,8]\n%w = const splat(1.0) : f32[8,1]\n\
               %y = MatMul(%x, %w) @fc\nreturn %y\n",
        shapes: [&[8], &[]],
        n_labels: 2,
        metrics: &["auc", "ap"],
    },
    Kind {
        text: "model m opset 17\n%x = input : f32[N,8]\n%w = const splat(1.0) : f32[8,5]\n\
               %y = MatMul(%x, %w) @fc\nreturn %y\n",
        shapes: [&[8], &[]],
        n_labels: 5,
        metrics: &["ap", "top1"],
    },
    Kind {
        text: "model m opset 17\n%x = input : f32[N,8]\n%w = const splat(1.0) : f32[8,5]\n\
               %y = MatMul(%x, %w) @fc\nreturn %y\n",
        shapes: [&[8], &[5]],
        n_labels: 2,
        metrics: &["ap"],
    },
    Kind {
        text: "model m opset 17\n%x = input : f32[N,2,6,6]\n%w = const splat(1.0) : f32[3,2,3,3]\n\
               %y = Conv(%x, %w) {pads = [1, 1, 1, 1]} @conv\nreturn %y\n",
        shapes: [&[2, 6, 6], &[6, 6]],
        n_labels: 4,
        metrics: &["miou"],
    },
];

/// Samples of which none has all classes, and shards without any.
#[test]
fn scores_of_ranks_and_of_positions_add_up_from_shards() {
    for kind in &KINDS {
        let scratch = Scratch::new();
        let model = save_random(&scratch, kind.text);
        let [input, labels] = kind.shapes.map(|shape| [&[N], shape].concat());
        let value = |idx: usize| ((idx * 7919) % 1009) as f32 / 500.0 - 1.0;
        let label = |idx: usize| match ((idx * 7919) % 1013) as i64 % kind.n_labels {
            3 if kind.metrics == ["miou"] => 255,
            label => label,
        };
        let input = Tensor::new(&input, (0..input.iter().product()).map(value).collect());
        let labels = Tensor::new(&labels, (0..labels.iter().product()).map(label).collect());
        let eval = scratch.npz("eval.npz", &[("x", input), ("labels", labels)]);
        let save = scratch.path("q");
        succeeds(&["quantize", &model, "--calib", &eval, "--no-eval", "--save", &save]);
        let quantized = scratch.path("q_deploy_model.onnx");
        // Seven shards of six batches: one has none.
        let of = ["score", &model, &quantized, "--eval", &eval, "--batch", "8"];
        let metrics: Vec<&str> = kind.metrics.iter().flat_map(|metric| ["--metric", metric]).collect();
        check(&scratch, &[&of[..], &metrics].concat());
    }
}
