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
    let of_rows =
        |key: &'static str| rows.as_array().unwrap().iter().map(move |row| row[key].as_f64().unwrap());
    let worst = of_rows("sqnr").fold(f64::INFINITY, f64::min);
    assert!(
        run.stdout.contains("\nworst: ") && run.stdout.contains(&format!("), {worst:.1} dB\n")),
        "{}",
        run.stdout
    );
    assert_eq!(of_rows("step").any(|step| step >= 6.0), run.stdout.contains("\nfirst large step: "));
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

#[test]
fn files_are_scored_against_the_first() {
    let scratch = crate::Scratch::new();
    let run = crate::command::quantize(&scratch, "digits-hard", &["--max-drop", "30%"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let [onnx, eval] = ["model.onnx", "eval.npz"].map(|file| crate::fixture("digits-hard", file));
    let deployed = scratch.path("m_deploy_model.onnx");
    let found =
        crate::intact8(&["score", &onnx, &deployed, "--eval", &eval, "--no-bench", "--json", "-", "-q"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    let found: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    let [first, second] = &found["files"].as_array().unwrap()[..] else { panic!("{found}") };
    let report = crate::command::json(&scratch, "m_report.json");
    assert_eq!(first["metrics"][0]["value"], report["original"]);
    assert_eq!(second["metrics"][0]["value"], report["final"]);
    let of_samples = |key: &str| second["changed_answers"][key].as_f64().unwrap();
    let n_samples = report["original_effort"]["samples"].as_f64().unwrap();
    let difference = report["final"].as_f64().unwrap() - report["original"].as_f64().unwrap();
    assert!((of_samples("gained") - of_samples("lost") - difference * n_samples).abs() < 1e-6);
    assert!(of_samples("p_value") < 1e-6, "one answer in six changes");
    assert_eq!(second["layers"]["float"], 0);
}

#[test]
fn clipping_by_design_is_told_from_other_data() {
    let scratch = Scratch::new();
    let run = quantize(&scratch, "digits", &["--max-drop", "0.9"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let (float, quantized) = (fixture("digits", "model.onnx"), scratch.path("m_deploy_model.onnx"));
    let brighter = intact8::Tensor::full(&[4, 1, 8, 8], 9.0f32);
    let data = scratch.npz("bright.npz", &[("input", brighter)]);
    let compared = || intact8(&["compare", &float, &quantized, "--input", &data]).stdout;
    let found = compared();
    assert!(
        found.contains("clipped because these data go beyond those of calibration: input (100.000 %)"),
        "{found}"
    );
    std::fs::remove_file(scratch.path("m_report.json")).unwrap();
    let found = compared();
    assert!(found.contains("no report beside the model tells which: input (100.000 %)"), "{found}");
}
