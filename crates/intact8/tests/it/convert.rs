//! Tests of `convert` and `convert-qat`: results, errors, deploy formats and the map of nodes.

use crate::command::{json, prepared, quantize};
use crate::{Scratch, fixture, intact8, without_properties};
use serde_json::Value;

fn read(scratch: &Scratch, name: &str) -> Vec<u8> {
    std::fs::read(scratch.path(name)).expect("the file is written")
}

#[test]
fn convert_writes_the_models_of_the_run_that_wrote_the_record() {
    let scratch = Scratch::new();
    assert_eq!(prepared(&scratch, "digits", &[]).code, 0);
    let (record, save) = (scratch.path("m_scale_offset_record.txt"), scratch.path("c"));
    let model = fixture("digits", "model.onnx");
    let convert = ["convert", &model, "--record", &record, "--save", &save];
    // The record does not tell how the model was prepared.
    let run = intact8(&convert);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("pass the configuration that it was made with"), "{}", run.stderr);
    let config = scratch.path("m_final_config.json");
    let run = intact8(&[&convert[..], &["--config", &config]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_same_models(&scratch);
}

#[test]
fn a_record_of_unchanged_weights_needs_no_configuration() {
    let scratch = Scratch::new();
    assert_eq!(quantize(&scratch, "digits", &[]).code, 0);
    let (record, save) = (scratch.path("m_scale_offset_record.txt"), scratch.path("c"));
    let run = intact8(&["convert", &fixture("digits", "model.onnx"), "--record", &record, "--save", &save]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_same_models(&scratch);
}

#[test]
fn a_record_of_changed_weights_needs_its_configuration() {
    let scratch = Scratch::new();
    assert_eq!(prepared(&scratch, "digits-hard", &["--no-balance", "--no-correct-bias"]).code, 0);
    let (record, save) = (scratch.path("m_scale_offset_record.txt"), scratch.path("c"));
    let model = fixture("digits-hard", "model.onnx");
    let convert = ["convert", &model, "--record", &record, "--save", &save];
    let refused = |more: &[&str]| {
        let run = intact8(&[&convert[..], more].concat());
        assert_eq!(run.code, 1);
        assert!(run.stderr.ends_with("pass the configuration that it was made with\n"), "{}", run.stderr);
        assert!(!scratch.files().iter().any(|file| file.starts_with("c_")), "{:?}", scratch.files());
    };
    refused(&[]);
    let config = scratch.path("m_final_config.json");
    let text = std::fs::read_to_string(&config).expect("the file is written");
    let other = text.replace("\"equalize\": true", "\"equalize\": false");
    assert_ne!(text, other);
    refused(&["--config", &scratch.text("other.json", &other).display().to_string()]);
    let run = intact8(&[&convert[..], &["--config", &config]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_same_models(&scratch);
}

#[test]
fn an_unsupported_deploy_format_writes_no_files() {
    let scratch = Scratch::new();
    let text = "model m opset 21\n%x = input : f32[N,4]\n%w = const [1.0, 2.0, 3.0, 4.0] : f32[4,1]\n%y = MatMul(%x, %w) @fc\nreturn %y\n";
    let model = scratch.path("blocks.onnx");
    intact8::save_model(&text.parse().unwrap(), model.as_ref()).unwrap();
    let entry = "scale_d: 1 scale_w: 1 scale_w: 2 offset_w: 0 offset_w: 0 block_size: 2";
    let record = scratch.text("r.txt", &format!("record {{ key: \"fc\" value {{ {entry} }} }}"));
    let record = record.display().to_string();
    let args = ["convert", &model, "--record", &record, "--save", &scratch.path("c"), "--target", "ascend"];
    let run = intact8(&[&args[..], &["--deploy", "qdq,ascend"]].concat());
    assert_eq!((run.code, run.stderr.lines().count()), (1, 1), "{}", run.stderr);
    assert_eq!(scratch.files(), ["blocks.onnx", "r.txt"]);
}

/// Checks that `convert` and `quantize` have written the same models, but for the properties of their scores.
fn assert_same_models(scratch: &Scratch) {
    for kind in ["fake_quant_model.onnx", "deploy_model.onnx"] {
        let (scored, converted) = (read(scratch, &format!("m_{kind}")), read(scratch, &format!("c_{kind}")));
        assert!(without_properties(&scored) == converted && scored != converted, "{kind} differs");
    }
}

#[test]
fn a_fake_quant_model_is_converted_to_every_deploy_format() {
    let scratch = Scratch::new();
    assert_eq!(quantize(&scratch, "digits", &["--target", "generic"]).code, 0);
    let (model, save) = (scratch.path("m_fake_quant_model.onnx"), scratch.path("c"));
    let formats = ["--target", "generic", "--deploy", "qdq,qoperator,integer,ascend", "--save", &save];
    let run = intact8(&[&["convert-qat", &model][..], &formats].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let printed = |name: &str| intact8(&["print", &scratch.path(name)]).stdout;
    assert_eq!(printed("m_deploy_model.onnx"), printed("c_deploy_model.onnx"));
    assert!(read(&scratch, "m_scale_offset_record.txt") == read(&scratch, "c_scale_offset_record.txt"));
    let has = |format: &str, op: &str| {
        let run = intact8(&["print", &scratch.path(&format!("c_deploy_{format}_model.onnx"))]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stdout.contains(&format!(" = {op}(")), "{format} has no {op}");
        assert!(!run.stdout.contains(" = Conv(%input"), "{format} has a convolution of floats");
    };
    has("qoperator", "QLinearConv");
    has("integer", "ConvInteger");
    has("ascend", "AscendDequant");
}

#[test]
fn models_that_are_quantized_already_are_errors() {
    let scratch = Scratch::new();
    assert_eq!(quantize(&scratch, "digits", &["--deploy", "qdq,integer"]).code, 0);
    let (record, deployed) = (scratch.path("m_scale_offset_record.txt"), scratch.path("m_deploy_model.onnx"));
    let run = intact8(&["convert", &deployed, "--record", &record, "--save", &scratch.path("c")]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("the model is already quantized; pass its float original, or use convert-qat"),
        "{}",
        run.stderr
    );
    let [calib, eval] = ["calib.npz", "eval.npz"].map(|file| fixture("digits", file));
    let integer = scratch.path("m_deploy_integer_model.onnx");
    for model in [&deployed, &integer] {
        let (save, config) = (scratch.path("c"), scratch.path("c.json"));
        for run in [
            intact8(&["quantize", model, "--calib", &calib, "--eval", &eval, "--save", &save]),
            intact8(&["config", model, "-o", &config]),
        ] {
            assert_eq!((run.code, run.stderr.lines().count()), (1, 1), "{}", run.stderr);
            assert!(run.stderr.contains("pass its float original, or use convert-qat"), "{}", run.stderr);
        }
    }
    assert!(!scratch.files().iter().any(|file| file.starts_with('c')), "{:?}", scratch.files());
    let run = intact8(&["convert-qat", &integer, "--save", &scratch.path("c")]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("is a ConvInteger"), "{}", run.stderr);
    let run = intact8(&["convert-qat", &fixture("digits", "model.onnx"), "--save", &scratch.path("c")]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("has no QuantizeLinear"), "{}", run.stderr);
}

#[test]
fn every_node_of_the_original_is_in_the_map() {
    let scratch = Scratch::new();
    assert_eq!(quantize(&scratch, "digits", &["--deploy", "qdq,qoperator", "--contrib"]).code, 0);
    let model = intact8::load_model(fixture("digits", "model.onnx").as_ref()).expect("the model is bundled");
    let nodes = model.main().dag().node_weights().filter(|node| node.as_op().is_some());
    let names: Vec<String> = nodes.map(|node| node.name.clone()).collect();
    let map = json(&scratch, "m_quant.json");
    for file in ["m_fake_quant_model.onnx", "m_deploy_model.onnx", "m_deploy_qoperator_model.onnx"] {
        let of_file = map[file].as_object().expect("the map has each file");
        let found: Vec<&str> =
            of_file.values().filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect();
        let lost: Vec<&String> = names.iter().filter(|name| !found.contains(&name.as_str())).collect();
        assert!(lost.is_empty(), "{file}: {lost:?}");
        assert!(of_file.values().all(|sources| sources != &serde_json::json!([])), "{file}: {of_file:?}");
    }
}

#[test]
fn the_report_has_sizes_and_the_target_decides_the_signedness() {
    let scratch = Scratch::new();
    let run = quantize(&scratch, "digits", &["--target", "generic"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let size = &json(&scratch, "m_report.json")["sizes"][0];
    assert_eq!(size["bytes"], read(&scratch, "m_deploy_model.onnx").len());
    assert!(intact8(&["print", &scratch.path("m_deploy_model.onnx")]).stdout.contains(": i8[]"));
    assert_eq!(quantize(&scratch, "digits", &["--target", "onnxruntime-x86"]).code, 0);
    assert!(intact8(&["print", &scratch.path("m_deploy_model.onnx")]).stdout.contains(": u8[]"));
    let run = quantize(&scratch, "digits", &["--target", "abacus"]);
    assert_eq!(run.code, 2);
    assert!(
        run.stderr.contains("there is no target \"abacus\"; use one of onnxruntime-x86"),
        "{}",
        run.stderr
    );
}
