//! The counts of layers: what the target runs in float is not called int8.

use crate::command::{json, prepared};
use crate::{Run, Scratch, intact8};
use intact8::Tensor;
use serde_json::json;

/// Two convolutions, and the operator between them.
fn convolutions(between: &str) -> String {
    format!(
        "model m opset 18\n%x = input : f32[N,8,H,W]\n%w = const splat(0.5) : f32[8,8,3,3]\n\
         %a = Conv(%x, %w) @first\n%b = {between}(%a) @between\n%v = const splat(-0.25) : f32[8,8,3,3]\n\
         %y = Conv(%b, %v) @second\nreturn %y\n"
    )
}

/// Quantizes such a model for an SQNR that every quantization reaches.
fn quantized(scratch: &Scratch, between: &str, more: &[&str]) -> Run {
    let model = scratch.path("model.onnx");
    intact8::save_model(&convolutions(between).parse().unwrap(), model.as_ref()).unwrap();
    let values = (0..2 * 8 * 36).map(|idx| (idx * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let data = scratch.npz("data.npz", &[("x", Tensor::new(&[2, 8, 6, 6], values))]);
    let save = scratch.path("m");
    let args =
        ["quantize", &model, "--calib", &data, "--eval", &data, "--save", &save, "--metric", "sqnr>=1"];
    let run = intact8(&[&args[..], more].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    run
}

#[test]
fn a_layer_whose_result_is_float_has_only_its_weights_in_int8_in_onnx_runtime() {
    let scratch = Scratch::new();
    quantized(&scratch, "Relu", &[]);
    let report = json(&scratch, "m_report.json");
    assert_eq!(report["arithmetic"], json!({ "first": "int8", "second": "weights only" }));
    let counts = json!({ "int8": 1, "int16": 0, "weights_only": 1, "float": 0 });
    assert_eq!((&report["counts"]["all_quantized"], &report["counts"]["final"]), (&counts, &counts));
    // OpenVINO runs both in int8.
    quantized(&scratch, "Relu", &["--target", "openvino"]);
    assert_eq!(json(&scratch, "m_report.json")["counts"]["final"]["int8"], 2);
}

#[test]
fn convolutions_between_float_functions_are_not_called_int8() {
    let scratch = Scratch::new();
    let run = quantized(&scratch, "Softplus", &[]);
    let counts = json!({ "int8": 0, "int16": 0, "weights_only": 2, "float": 0 });
    assert_eq!(json(&scratch, "m_report.json")["counts"]["final"], counts);
    let header = run.stdout.lines().find(|line| line.contains("layers in int8")).unwrap();
    let words: Vec<&str> = header.split_whitespace().collect();
    assert_eq!(words.join(" "), "sqnr layers in int8 weights only in float size");
    let row = run.stdout.lines().find(|line| line.contains("deploy file")).unwrap();
    let numbers: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(numbers[3..6], ["0", "2", "0"], "{row}");
    assert!(
        run.stdout.contains("every layer is quantized") && !run.stdout.contains("is in int8"),
        "{}",
        run.stdout
    );
}

#[test]
fn layers_with_16_bit_activations_are_counted_as_such() {
    let scratch = Scratch::new();
    let sixteen = r#"{"activation_quant_params": {"num_bits": 16}}"#;
    let config =
        scratch.text("c.json", &format!(r#"{{"first": {sixteen}, "second": {{"quant_enable": false}}}}"#));
    let run = quantized(&scratch, "Relu", &["--config", &config.display().to_string()]);
    let counts = json!({ "int8": 0, "int16": 1, "weights_only": 0, "float": 1 });
    assert_eq!(json(&scratch, "m_report.json")["counts"]["final"], counts);
    assert!(run.stdout.contains("layers in int8  in int16  weights only  in float"), "{}", run.stdout);
}

#[test]
fn every_deploy_format_has_the_layers_of_a_classifier_in_int8() {
    for (format, target) in
        [("qdq", "onnxruntime-x86"), ("qoperator", "onnxruntime-x86"), ("ascend", "ascend")]
    {
        let scratch = Scratch::new();
        let run =
            prepared(&scratch, "digits", &["--deploy", format, "--target", target, "--no-fit-rounding"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let report = json(&scratch, "m_report.json");
        let int8 = report["counts"]["final"]["int8"].as_u64();
        // Ascend has no quantized Add.
        let expected = if format == "ascend" { 12 } else { 13 };
        assert_eq!(int8, Some(expected), "{format}: {}", report["arithmetic"]);
    }
}
