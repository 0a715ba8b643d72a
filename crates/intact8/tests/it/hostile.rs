//! Models that need more memory than there is: an error line before anything is allocated.

use crate::{Run, Scratch, intact8};
use intact8::Tensor;

/// The error line of `intact8 run` on a model, with an input `x` of two samples.
fn error(text: &str, more: &[&str]) -> String {
    let scratch = Scratch::new();
    let model = scratch.path("m.onnx");
    intact8::save_model(&text.parse().expect("a model"), model.as_ref())
        .expect("the folder can be written to");
    let data = scratch.npz("x.npz", &[("x", Tensor::new(&[2, 2], vec![1.0f32, 2.0, 3.0, 4.0]))]);
    let before = scratch.files();
    let run =
        intact8(&[&["run", &model, "--input", &data, "--output", &scratch.path("y.npz")], more].concat());
    assert_eq!((run.code, run.stderr.lines().count()), (1, 1), "{}{}", run.stdout, run.stderr);
    assert_eq!(scratch.files(), before);
    run.stderr.replace(&scratch.path(""), "")
}

#[test]
fn a_fixed_batch_of_any_size_is_checked() {
    for batch in [1u64 << 38, 1 << 62] {
        let text = format!("model m opset 17\n%x = input : f32[{batch},2]\n%y = Relu(%x)\nreturn %y\n");
        let found = error(&text, &[]);
        assert!(found.contains(&format!("a batch of {batch} samples needs")), "{found}");
        assert!(found.contains("but the limit is"), "{found}");
    }
}

#[test]
fn operators_that_make_large_tensors_are_checked() {
    let shape = "%n = const [1048576, 1048576, 64] : i64[3]\n";
    let nodes = [
        format!("{shape}%y = Expand(%x1, %n)\n"),
        format!("{shape}%s = Shape(%x)\n%z = Sub(%s, %s)\n%m = Concat(%z, %n) {{axis = 0}}\n%k = Slice(%m, %two, %five)\n%y = ConstantOfShape(%k)\n"),
        format!("{shape}%y = Tile(%x3, %n)\n"),
        "%zero = const [0.0] : f32[]\n%most = const [1.0e15] : f32[]\n%one = const [1.0] : f32[]\n%r = ReduceMax(%x) {keepdims = 0}\n%d = Div(%one, %r)\n%y = Range(%zero, %most, %d)\n"
            .to_owned(),
    ];
    for nodes in nodes {
        let text = format!(
            "model m opset 17\n%x = input : f32[N,2]\n%two = const [2] : i64[1]\n%five = const [5] : i64[1]\n\
             %x1 = ReduceMax(%x) {{keepdims = 0}}\n%axes = const [0, 1, 2] : i64[3]\n%x3 = Unsqueeze(%x1, %axes)\n\
             {nodes}return %y\n"
        );
        let found = error(&text, &[]);
        assert!(found.contains("bytes in addition to") && found.contains("but the limit is"), "{found}");
    }
}

#[test]
fn the_limit_can_be_set() {
    let text = "model m opset 17\n%x = input : f32[N,2]\n%n = const [1000, 1000, 2, 2] : i64[4]\n%y = Expand(%x, %n)\nreturn %y\n";
    let found = error(text, &["--max-memory", "1M"]);
    assert!(
        found.ends_with("needs 16000000 bytes in addition to 16 in use, but the limit is 1048576\n"),
        "{found}"
    );
    let found = intact8(&["run", "m.onnx", "--input", "x", "--output", "y", "--max-memory", "8 bytes"]);
    assert_eq!(
        (found.code, &*found.stderr),
        (2, "error: --max-memory: \"8 bytes\" is not a size; write 256M, 2G, or 0\n")
    );
}

/// A range whose ends are farther apart than the largest float.
#[test]
fn calibration_data_over_the_whole_range_of_floats_are_quantized() {
    for more in [&["--no-equalize", "--no-balance", "--no-correct-bias", "--no-fit-rounding"][..], &[]] {
        let run =
            quantize_spread(3.0e38, "0.01, 0.02, -0.01, 0.03", &[&["--metric", "sqnr>=20"], more].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stdout.contains("every layer is in int8"), "{}", run.stdout);
    }
}

/// Some integers of such a range stand for numbers beyond the largest float, and have no mean.
#[test]
fn a_bias_without_a_finite_correction_is_not_corrected() {
    let run = quantize_spread(3.4e38, "1.0, 0.0, 0.0, 1.0", &["--metric", "sqnr>=60", "--ladder"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("fc: a quantized value exceeds the largest float: its bias is not corrected")
    );
}

/// Quantizes a product of a 2×2 matrix, with data from `-greatest` to `greatest`.
fn quantize_spread(greatest: f64, weight: &str, more: &[&str]) -> Run {
    let scratch = Scratch::new();
    let text = format!(
        "model m opset 17\n%x = input : f32[N,2]\n%w = const [{weight}] : f32[2,2]\n%y = MatMul(%x, %w) @fc\nreturn %y\n"
    );
    let model = scratch.path("m.onnx");
    intact8::save_model(&text.parse().expect("a model"), model.as_ref())
        .expect("the folder can be written to");
    let values = (0..64).map(|idx| greatest * (f64::from(idx) / 31.5 - 1.0)).map(|value| value as f32);
    let data = scratch.npz("x.npz", &[("x", Tensor::new(&[32, 2], values.collect()))]);
    let save = scratch.path("out");
    let args =
        ["quantize", &model, "--calib", &data, "--eval", &data, "--target", "generic", "--save", &save];
    intact8(&[&args[..], more].concat())
}
