//! Tests of `intact8 compare`.

use crate::command::{json, quantize};
use crate::{Scratch, fixture, intact8};

#[test]
fn the_input_is_unchanged_and_the_output_is_close() {
    let scratch = Scratch::new();
    let run = quantize(&scratch, "digits", &["--max-drop", "0.9"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let [float, data] = ["model.onnx", "eval.npz"].map(|file| fixture("digits", file));
    let (quantized, out) = (scratch.path("m_fake_quant_model.onnx"), scratch.path("compared.json"));
    let run = intact8(&["compare", &float, &quantized, "--input", &data, "--json", &out]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let rows = json(&scratch, "compared.json");
    let (first, last) = (&rows[0], &rows[rows.as_array().unwrap().len() - 1]);
    // The input is unchanged, and its integers represent the whole range.
    assert_eq!((&first["operator"], first["max_error"].as_f64()), (&"".into(), Some(0.0)));
    assert_eq!(first["clipped"].as_f64(), Some(0.0));
    assert!(first["quantized_range"][1].as_f64() >= first["range"][1].as_f64());
    let similarity = last["cosine"].as_f64().unwrap();
    assert!(similarity > 0.99 && similarity < 1.0, "{similarity}");
    assert!(run.stdout.contains(&format!("{similarity:.6}")), "{}", run.stdout);
}

#[test]
fn a_missing_model_is_an_error() {
    let scratch = Scratch::new();
    let [float, data] = ["model.onnx", "eval.npz"].map(|file| fixture("digits", file));
    let other = scratch.path("none.onnx");
    let run = intact8(&["compare", &float, &other, "--input", &data]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("none.onnx"), "{}", run.stderr);
}
