//! The memory of calibration: it stays below the stated limit, and what does not fit is left out and said.

use crate::sharing::{quantize, save_random};
use crate::{Run, Scratch};
use intact8::Tensor;

const MIB: u64 = 1 << 20;

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|idx| ((idx * 7919 + 13) % 1009) as f32 / 500.0 - 1.0).collect()
}

/// A run with more options, and its peak memory in bytes when the first trial was scored, where the system reports it.
fn peak(model: &str, data: (&str, &[usize]), more: &[&str]) -> (Run, Option<u64>) {
    let scratch = Scratch::new();
    let path = save_random(&scratch, model);
    let tensor = Tensor::new(data.1, numbers(data.1.iter().product()));
    let run = quantize(&scratch, &path, (data.0, tensor), &[&["--batch", "4"], more].concat());
    let journal = std::fs::read_to_string(scratch.path("m_journal.jsonl")).unwrap_or_default();
    let lines = journal.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    (run, lines.filter_map(|line| line["peak_memory"].as_u64()).max())
}

const RANGES_ONLY: [&str; 4] = ["--no-equalize", "--no-balance", "--no-correct-bias", "--no-fit-rounding"];

/// Checks that the stages of calibration take less than the limit beside the model, its copies and its runs.
fn check(model: &str, data: (&str, &[usize]), n_weights: u64, limit_in_mib: u64) {
    let (plain, without) = peak(model, data, &RANGES_ONLY);
    let (run, with) = peak(model, data, &["--memory", &format!("{limit_in_mib}M")]);
    assert_eq!((plain.code, run.code), (0, 0), "{}{}", plain.stderr, run.stderr);
    assert!(!run.stderr.contains("memory limit"), "{}", run.stderr);
    let Some((without, with)) = without.zip(with) else { return };
    // The rounded weight in the model and in its copy, and how it is rounded: nine bytes for each.
    let copies = 9 * n_weights;
    assert!(with <= without + copies + limit_in_mib * MIB, "{} MiB and {} MiB", without / MIB, with / MIB);
}

#[test]
fn a_conv_of_depth_65536_keeps_the_limit() {
    let model = "model m opset 17\n%x = input : f32[N,1024,80]\n%w = const splat(1.0) : f32[24,1024,64]\n\
                 %y = Conv(%x, %w) @conv\nreturn %y\n";
    check(model, ("x", &[16, 1024, 80]), 24 << 16, 512);
}

#[test]
fn a_product_of_depth_30000_keeps_the_limit() {
    let model = "model m opset 17\n%x = input : f32[N,30000]\n%w = const splat(1.0) : f32[30000,1000]\n\
                 %y = MatMul(%x, %w) @fc\nreturn %y\n";
    check(model, ("x", &[16, 30000]), 30_000_000, 1024);
}

#[test]
fn a_layer_that_does_not_fit_is_left_out_and_said() {
    let model = "model m opset 17\n%x = input : f32[N,3000]\n%w = const splat(1.0) : f32[3000,2500]\n\
                 %y = MatMul(%x, %w) @fc\nreturn %y\n";
    let (run, _) = peak(model, ("x", &[16, 3000]), &["--memory", "64M"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines: Vec<&str> = run.stderr.lines().filter(|line| line.contains("memory limit")).collect();
    assert!(
        lines.iter().any(|line| line.starts_with("fc: it takes ") && line.contains("is rounded to nearest"))
    );
    let (run, _) = peak(model, ("x", &[16, 3000]), &["--memory", "63M"]);
    assert_eq!(run.stderr, "error: --memory: 63M is too little for calibration; give it at least 64M\n");
}
