//! The reports of a run, and the facts in the written models.

use crate::command::{prepared, quantize};
use crate::{Scratch, fixture};
use intact8::{file_sha256, load_model};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

fn report(scratch: &Scratch) -> Value {
    serde_json::from_slice(&std::fs::read(scratch.path("m_report.json")).unwrap()).unwrap()
}

fn page(scratch: &Scratch) -> String {
    std::fs::read_to_string(scratch.path("m_report.html")).unwrap()
}

/// Checks that every object has the keys that the schema lists, and no others. The Python tests check the types too.
fn check_keys(value: &Value, schema: &Value, at: &str) {
    match value {
        Value::Object(entries) => {
            let Some(properties) = schema["properties"].as_object() else { return };
            for key in schema["required"].as_array().unwrap() {
                assert!(entries.contains_key(key.as_str().unwrap()), "{at} has no {key}");
            }
            for (key, item) in entries {
                let of_key = properties.get(key).unwrap_or_else(|| panic!("the schema has no {at}.{key}"));
                check_keys(item, of_key, &format!("{at}.{key}"));
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| check_keys(item, &schema["items"], &format!("{at}[]")))
        }
        _ => {}
    }
}

#[test]
fn the_keys_of_a_report_are_those_of_its_schema() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/report.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
    for (more, code) in [(&["--max-drop", "0.002"][..], 0), (&["--metric", "sqnr>=90"], 3)] {
        let scratch = Scratch::new();
        let run = quantize(&scratch, "digits-hard", more);
        assert_eq!(run.code, code, "{}", run.stderr);
        check_keys(&report(&scratch), &schema, "report");
        let report = report(&scratch);
        for key in schema["else"]["required"].as_array().unwrap() {
            assert!(report.get(key.as_str().unwrap()).is_some(), "a scored run has {key}");
        }
    }
}

#[test]
fn the_page_states_the_result_and_every_layer_with_its_reason() {
    let scratch = Scratch::new();
    assert_eq!(quantize(&scratch, "digits-hard", &["--max-drop", "0.002"]).code, 0);
    let (page, report) = (page(&scratch), report(&scratch));
    assert!(page.contains(">Target met<") && page.contains("m_deploy_model.onnx"));
    let details = report["layer_details"].as_array().unwrap();
    for layer in details {
        assert!(page.contains(layer["layer"].as_str().unwrap()), "{layer}");
        assert_eq!(layer["why"].is_null(), layer["arithmetic"] == "int8", "{layer}");
        assert_eq!(layer["range"].is_null(), layer["arithmetic"] != "int8", "{layer}");
    }
    let of = |name: &str| details.iter().find(|layer| layer["layer"] == name).unwrap();
    assert_eq!(of("block1.conv2")["why"], "rolled back: the target is missed with it in int8");
    for layer in details.iter().filter(|layer| !layer["range"].is_null()) {
        let ends = |key: &str| [0, 1].map(|end| layer[key][end].as_f64().unwrap());
        let ([low, high], [min, max]) = (ends("range"), ends("observed"));
        assert!(low <= 0.0 && high > 0.0 && low < max && high > min, "{layer}");
    }
    for part in ["id=\"trials\"", "id=\"sensitivity\"", "id=\"graph\"", "class=\"distribution\""] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_missed_target_has_a_page_too() {
    let scratch = Scratch::new();
    assert_eq!(quantize(&scratch, "digits-hard", &["--metric", "sqnr>=90"]).code, 3);
    assert!(page(&scratch).contains("Target missed; no model was written"));
    assert_eq!(report(&scratch)["deploy_file"], Value::Null);
}

#[test]
fn models_hold_the_facts_of_their_own_score() {
    let scratch = Scratch::new();
    assert_eq!(prepared(&scratch, "digits-hard", &["--max-drop", "0.002"]).code, 0);
    let report = report(&scratch);
    for (file, idx) in [("m_fake_quant_model.onnx", 0), ("m_deploy_model.onnx", 1)] {
        let model = load_model(Path::new(&scratch.path(file))).unwrap();
        let found: BTreeMap<String, String> = model.origin.notes.metadata;
        let of = |key: &str| found[&format!("intact8.{key}")].clone();
        assert_eq!([of("verdict"), of("version")], ["met", env!("CARGO_PKG_VERSION")]);
        assert_eq!(of("metric.top1").parse::<f64>().unwrap(), report["rescored"][idx]["metric"]);
        assert_eq!(of("original_metric.top1").parse::<f64>().unwrap(), report["original"]);
        assert_eq!(of("target.top1"), "0.002");
        assert_eq!(of("layers.int8"), report["counts"]["final"]["int8"].to_string());
        let sha256 = file_sha256(Path::new(&fixture("digits-hard", "model.onnx"))).unwrap();
        assert_eq!(of("original.sha256"), sha256);
        assert_eq!(report["fingerprints"][0]["sha256"], sha256);
    }
}

#[test]
fn layers_have_their_noise_and_their_time() {
    let scratch = Scratch::new();
    assert_eq!(quantize(&scratch, "digits-hard", &["--max-drop", "0.002"]).code, 0);
    let report_of_run = report(&scratch);
    let details = report_of_run["layer_details"].as_array().unwrap();
    for layer in details {
        let is_quantized = layer["arithmetic"] != "float";
        assert_eq!(
            layer["sqnr"].as_f64().is_some_and(|sqnr| (10.0..=200.0).contains(&sqnr)),
            is_quantized,
            "{layer}"
        );
        assert!(layer["float_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{layer}");
    }
    assert!(details.iter().filter(|layer| layer["int8_ms"].is_f64()).count() > details.len() / 2);
    let how = &report_of_run["layer_measurements"];
    assert_eq!((&how["sqnr"]["samples"], &how["latency"]["batch"]), (&4.into(), &1.into()));
    let sum: f64 = details.iter().filter_map(|layer| layer["float_ms"].as_f64()).sum();
    assert!(sum <= how["latency"]["float_ms"].as_f64().unwrap() * 1.000_001, "{how}");
    let page = page(&scratch);
    assert!(page.contains(">SQNR<") && page.contains(">ms<"));
    // Where nothing is timed, noise is measured still.
    assert_eq!(quantize(&scratch, "digits-hard", &["--max-drop", "0.002", "--no-bench"]).code, 0);
    let report = report(&scratch);
    assert!(report["layer_details"][0]["sqnr"].is_f64() && report["layer_measurements"]["latency"].is_null());
}

#[test]
fn a_run_without_a_score_has_reports() {
    let scratch = Scratch::new();
    let [onnx, calib] = ["model.onnx", "calib.npz"].map(|file| fixture("digits", file));
    let save = scratch.path("m");
    let run = crate::intact8(&["quantize", &onnx, "--calib", &calib, "--no-eval", "-o", &save]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let page = page(&scratch);
    assert!(page.contains(">Quantized; nothing was scored<") && page.contains("m_deploy_model.onnx"));
    for section in ["layers", "graph", "run"] {
        assert!(page.contains(&format!("id=\"{section}\"")), "{section}");
    }
    for section in ["metrics", "trials", "sensitivity"] {
        assert!(!page.contains(&format!("id=\"{section}\"")), "{section}");
    }
    assert!(page.contains(">SQNR<") && page.contains(">ms<") && page.contains("stem.conv"));
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/report.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
    let report = report(&scratch);
    check_keys(&report, &schema, "report");
    assert!(report["target_met"].is_null() && report.get("trials").is_none(), "{report}");
    assert_eq!(report["arithmetic"]["stem.conv"], "int8");
    assert!(report["layers"].as_array().unwrap().contains(&"stem.conv".into()));
    let files = report["files"].as_array().unwrap();
    assert!(files.contains(&scratch.path("m_report.json").into()) && files.contains(&report["deploy_file"]));
    assert!(!page.contains("arget m"));
}

#[test]
fn a_run_without_a_score_replaces_the_reports_of_an_earlier_one() {
    let scratch = Scratch::new();
    assert_eq!(prepared(&scratch, "digits-hard", &["--max-drop", "0.002"]).code, 0);
    assert!(page(&scratch).contains(">Target met<"));
    let [model, calib] = ["model.onnx", "calib.npz"].map(|file| fixture("digits-hard", file));
    let save = scratch.path("m");
    let run = crate::intact8(&["quantize", &model, "--calib", &calib, "--no-eval", "--save", &save]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(page(&scratch).contains(">Quantized; nothing was scored<"));
    assert!(report(&scratch)["target_met"].is_null() && !Path::new(&scratch.path("m_history.json")).exists());
}
