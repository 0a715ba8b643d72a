//! Networks for which no quantized model is worth having: they stay in float, and the report says why.

use crate::command::{json, quantize};
use crate::{Scratch, intact8};
use serde_json::Value;

/// The checks of every such result.
fn check(scratch: &Scratch, run: &crate::Run, why: &str) {
    let said = format!("every layer stays in float: {why}");
    assert!(run.code == 0 && run.stdout.contains(&said), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("layers: int8 0 · weights only 0 · float "), "{}", run.stdout);
    let report = json(scratch, "m_report.json");
    assert!(report["kept_float"].as_str().unwrap().starts_with(why), "{report}");
    assert_eq!((&report["target_met"], &report["final"]), (&Value::Bool(true), &report["original"]));
    assert_eq!((&report["one_minimal"], report["all_quantized"].is_number()), (&Value::Bool(true), true));
    let of_layers = report["layer_details"].as_array().unwrap();
    let is_explained = |layer: &Value| {
        layer["arithmetic"] == "float" && layer["why"].as_str().is_some_and(|reason| reason.starts_with(why))
    };
    assert!(of_layers.iter().all(is_explained), "{report}");
    let deployed = intact8::load_model(scratch.path("m_deploy_model.onnx").as_ref()).unwrap();
    let quantizes = |(_, graph): (_, &intact8::ir::Graph)| {
        graph
            .node_ids()
            .any(|id| graph.node(id).is("QuantizeLinear") || graph.node(id).is("DequantizeLinear"))
    };
    assert!(!deployed.graphs().any(quantizes));
    assert!(crate::Path::new(&scratch.path("m_report.html")).exists());
}

/// The command is slower with every file whose name is that of the result.
#[cfg(unix)]
#[test]
fn a_network_that_int8_makes_slower_stays_in_float() {
    let scratch = Scratch::new();
    let slower = ["--bench-cmd", "sh -c 'case $0 in *deploy*) echo 3;; *) echo 2;; esac'"];
    let run = quantize(&scratch, "digits", &[&slower[..], &["--prefer", "fastest"]].concat());
    check(
        &scratch,
        &run,
        "the quantized model is slower than the original (--bench-cmd: 2.00 ms float, 3.00 ms int8",
    );
    assert!(!run.stderr.contains("warning: the quantized model is slower"), "{}", run.stderr);
    // As many layers in int8 as possible are wanted at any cost.
    let run = quantize(&scratch, "digits", &slower);
    let expected = "warning: the quantized model is slower than the original";
    assert!(run.code == 0 && run.stderr.contains(expected), "{}", run.stderr);
    assert!(run.stdout.contains("1.5x slower"), "{}", run.stdout);
    assert_eq!(json(&scratch, "m_report.json")["kept_float"], Value::Null);
}

/// QuantizeLinear and DequantizeLinear take more bytes than four weights save.
#[test]
fn a_network_that_int8_makes_larger_stays_in_float() {
    let scratch = Scratch::new();
    let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]\n\
                %y = MatMul(%x, %w) @product\nreturn %y\n";
    let model = scratch.path("tiny.onnx");
    intact8::save_model(&text.parse().unwrap(), model.as_ref()).unwrap();
    let x = intact8::Tensor::new(&[4, 2], vec![0.5f32, -1.0, 2.0, 0.25, 1.0, 1.0, -2.0, 0.0]);
    let labels = intact8::Tensor::new(&[4], vec![0i64, 1, 1, 0]);
    let data = scratch.npz("data.npz", &[("x", x), ("labels", labels)]);
    let save = scratch.path("m");
    let args = ["quantize", &model, "--calib", &data, "--eval", &data, "-o", &save, "--max-drop", "0.9"];
    let run = intact8(&[&args[..], &["--prefer", "fastest", "--allow-chance"]].concat());
    check(&scratch, &run, "the quantized model is larger than the original (");
}

/// Without scores too the placement is chosen by measuring, and a slower result is said.
#[cfg(unix)]
#[test]
fn the_placement_is_measured_without_scores() {
    let scratch = Scratch::new();
    let [model, calib] = ["model.onnx", "calib.npz"].map(|file| crate::fixture("digits", file));
    let save = scratch.path("m");
    let args = [
        "quantize",
        &model,
        "--calib",
        &calib,
        "--no-eval",
        "-o",
        &save,
        "--prefer",
        "fastest",
        "--bench-cmd",
    ];
    let run = intact8(&[&args[..], &["sh -c 'case $0 in *deploy*) echo 3;; *) echo 2;; esac'"]].concat());
    let chosen = format!("{}{}", run.stdout, run.stderr);
    assert!(run.code == 0 && chosen.contains("fastest by --bench-cmd: "), "{chosen}");
    assert!(run.stdout.contains("--bench-cmd: 2.00 ms float, 3.00 ms int8 (0.67x)"), "{}", run.stdout);
    assert!(run.stdout.contains("ship: ") && run.stdout.contains(", the original: "), "{}", run.stdout);
    assert!(
        run.stderr.contains("warning: the quantized model is slower than the original"),
        "{}",
        run.stderr
    );
}
