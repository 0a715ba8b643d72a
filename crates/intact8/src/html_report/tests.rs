//! Pages of synthetic reports: that they are well-formed, hold no markup of the model's, and stay small. With `REPORT_PAGES=FOLDER`
//! they are left in the folder.

use super::*;
use crate::layer_graph::GraphNode;
use html5gum::emitters::default::DefaultEmitter;
use html5gum::{Token, Tokenizer};
use serde_json::json;
use std::path::Path;

/// A report of `n` layers, of which some are in each arithmetic, and the graph of the model.
fn synthetic(
    n: usize,
    name: impl Fn(usize) -> String,
) -> (Value, LayerGraph, BTreeMap<String, ValueHistogram>) {
    let arithmetic = |idx: usize| match idx % 23 {
        7 => "float",
        11 => "weights only",
        _ => "int8",
    };
    let similarity = |idx: usize| 1.0 - 10f64.powf(-7.0 + (idx * 7919 % 997) as f64 / 180.0);
    let layer = |idx: usize| {
        let why = match arithmetic(idx) {
            "float" => Some("rolled back: the target is missed with it in int8"),
            "weights only" => Some("onnxruntime-x86 runs this Conv faster in float here"),
            _ => None,
        };
        let range = (arithmetic(idx) == "int8").then_some([-1.25, 2.5]);
        json!({
            "layer": name(idx), "operator": "Conv", "arithmetic": arithmetic(idx), "why": why,
            "similarity": similarity(idx), "multiply_adds": 1000 * (idx + 1), "range": range,
            "observed": [-1.5, 3.0], "calibration": ["fitted rounding", "corrected bias"],
            "sqnr": 30.0 + (idx % 17) as f64, "float_ms": 0.02 * (idx % 11 + 1) as f64, "int8_ms": 0.01,
        })
    };
    let count = |wanted: &str| (0..n).filter(|&idx| arithmetic(idx) == wanted).count();
    let rolled_back: Vec<String> = (0..n).filter(|&idx| arithmetic(idx) == "float").map(&name).collect();
    let trial = |number: usize| {
        let n_float = (number * 5) % (rolled_back.len() + 1);
        let metric = 0.76 - 0.2 * 0.7f64.powi(i32::try_from(n_float + 1).unwrap());
        json!({
            "rolled_back": rolled_back[..n_float], "ladder": {}, "metric": metric, "metrics": [metric],
            "loss": 0.76 - metric, "satisfied": metric > 0.75, "samples": 1000, "seconds": 1.5,
            "stopped_after": (number % 4 == 3).then_some(200),
            "missed_in": (number == 1).then_some("ONNX Runtime 1.32.0"),
        })
    };
    let loss = json!({ "confidence": 0.95, "loss": 0.004, "standard_error": 0.002, "interval": [0.0, 0.008],
                       "is_noise": true, "is_sure": true });
    let report = json!({
        "version": "0.1.0", "model": "models/synthetic.onnx", "runtime": "ONNX Runtime 1.32.0", "target_met": true,
        "goals": [{ "metric": "top1", "target": "1%", "better": "higher", "limit": 0.7524, "original": 0.76,
                    "all_quantized": 0.62, "final": 0.757, "loss": loss }],
        "counts": { "final": { "int8": count("int8"), "int16": 0, "weights_only": count("weights only"),
                               "float": count("float") } },
        "rescored": [{ "model": "deploy", "metrics": [0.757], "satisfied": true,
                       "verified": { "runtime": "ONNX Runtime 1.32.0", "metrics": [0.7571] } }],
        "trials": (0..12.min(n)).map(trial).collect::<Vec<_>>(),
        "latency": { "measured_by": "ONNX Runtime 1.32.0", "threads": 1, "batch": 1, "speedup": 2.31,
                     "float": { "least_ms": 12.4 }, "int8": { "least_ms": 5.37 } },
        "original_bytes": 102_400_000, "deploy_file": "out/synthetic_deploy_model.onnx",
        "sizes": [{ "file": "out/synthetic_deploy_model.onnx", "bytes": 27_300_000, "warning": null }],
        "files": ["out/synthetic_deploy_model.onnx", "out/synthetic_report.json"], "warnings": [],
        "ending": "finished", "one_minimal": true, "seconds": 83.2,
        "layer_details": (0..n).map(layer).collect::<Vec<_>>(),
        "layer_measurements": {
            "sqnr": { "samples": 32 },
            "latency": { "measured_by": "the interpreter of intact8", "threads": 1, "batch": 32, "runs": 20,
                         "float_ms": 12.3, "int8_ms": 4.56 },
        },
        "preparation": { "operators": { "BatchNormalization": [53, 0] }, "changed_layers": n / 3 },
        "settings": { "target": "onnxruntime-x86", "deploy": ["qdq"], "sensitivity": "cosine", "equalize": true },
        "fingerprints": [{ "what": "model", "file": "models/synthetic.onnx", "sha256": "0f".repeat(32) }],
        "command": "intact8 quantize models/synthetic.onnx --calib calib.npz --eval eval.npz --max-drop 1%",
    });
    let mut graph = blocks::tests::residual(n);
    (0..n).for_each(|idx| graph.nodes[2 * idx].name = name(idx));
    graph.nodes.push(GraphNode { name: "logits".to_owned(), operator: "output".to_owned() });
    graph.edges.push((2 * n - 1, 2 * n));
    let bell = |idx: usize| (3000.0 * (-((idx as f64 - 20.0) / 7.0).powi(2)).exp()) as u64 + 1;
    let histogram = ValueHistogram { min: -1.5, max: 3.0, counts: (0..48).map(bell).collect() };
    (report, graph, (0..n).map(|idx| (name(idx), histogram.clone())).collect())
}

fn plain_name(idx: usize) -> String {
    format!("/layer{}/layer{}.{}/conv{}/Conv", idx / 40, idx / 40, idx / 4 % 10, idx % 4)
}

/// Names of scripts, attributes and elements that begin in the page; the page must be well-formed.
fn tags(page: &str) -> Vec<String> {
    const VOID: [&str; 3] = ["meta", "input", "link"];
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let tokens = Tokenizer::new_with_emitter(page, emitter);
    let (mut open, mut found) = (Vec::new(), Vec::new());
    for token in tokens {
        let Ok(token) = token;
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        match token {
            Token::StartTag(tag) => {
                let name = text(&tag.name);
                found.push(name.clone());
                found.extend(tag.attributes.keys().map(|attribute| format!("{name} {}", text(attribute))));
                if !tag.self_closing && !VOID.contains(&name.as_str()) {
                    open.push(name);
                }
            }
            Token::EndTag(tag) => assert_eq!(open.pop().as_deref(), Some(&*text(&tag.name))),
            Token::Error(error) => panic!("{error:?}"),
            Token::String(_) | Token::Comment(_) | Token::Doctype(_) => {}
        }
    }
    assert_eq!(open, [""; 0]);
    found
}

fn page_of(n: usize, name: impl Fn(usize) -> String) -> String {
    let (report, graph, histograms) = synthetic(n, name);
    html_report(&report, &graph, &histograms).unwrap()
}

#[test]
fn pages_are_well_formed_and_small() {
    for (n, most) in [(5, 60_000), (100, 300_000), (2000, 2_500_000)] {
        let page = page_of(n, plain_name);
        // For looking at them.
        if let Some(folder) = std::env::var_os("REPORT_PAGES") {
            std::fs::write(Path::new(&folder).join(format!("report_{n}.html")), &page).unwrap();
        }
        assert!(page.len() < most, "{n}: {}", page.len());
        tags(&page);
        assert_eq!(page.matches("<td class=\"number muted\">").count() - 12.min(n), n);
        for address in ["http://", "https://", "url(", "@import", "src="] {
            let page = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(address), "{n}: {address}");
        }
    }
}

#[test]
fn hostile_names_are_text() {
    let hostile = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'\"&lt;\n\r\u{0}\u{202e}\u{ffff}",
        "</title></style></svg><b>",
        "<!--",
        "]]>&#x3c;script&#x3e;",
    ];
    let name = |idx: usize| match idx {
        6 => "a<b".repeat(3400),
        idx => format!("{}{idx}", hostile[idx % hostile.len()]),
    };
    let page = page_of(60, name);
    let expected = tags(&page_of(60, plain_name));
    let mut found = tags(&page);
    // The long name has a title.
    found.retain(|tag| tag != "td title");
    assert!(found == expected, "the page has other elements");
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert"));
    assert!(page.len() < 250_000, "{}", page.len());
}

#[test]
fn every_text_of_a_report_is_escaped() {
    let (mut report, graph, histograms) = synthetic(40, plain_name);
    let expected = tags(&html_report(&report, &graph, &histograms).unwrap());
    spoil(&mut report, "");
    let page = html_report(&report, &graph, &histograms).unwrap();
    assert!(tags(&page) == expected, "the page has other elements");
    assert!(page.matches("&lt;u&gt;").count() > 100);
}

/// Adds markup to every text whose value no page depends on.
fn spoil(value: &mut Value, key: &str) {
    match value {
        Value::String(text)
            if !["arithmetic", "layer", "better", "calibration", "sensitivity"].contains(&key) =>
        {
            text.push_str("<u>\"'");
        }
        Value::Array(items) => items.iter_mut().for_each(|item| spoil(item, key)),
        Value::Object(entries) => entries.iter_mut().for_each(|(key, item)| spoil(item, key)),
        _ => {}
    }
}

#[test]
fn a_column_without_data_is_left_out_and_so_is_a_plot() {
    let (mut report, graph, _) = synthetic(5, plain_name);
    for layer in report["layer_details"].as_array_mut().unwrap() {
        (layer["similarity"], layer["range"], layer["calibration"]) = (Value::Null, Value::Null, json!([]));
        (layer["sqnr"], layer["float_ms"], layer["int8_ms"]) = (Value::Null, Value::Null, Value::Null);
    }
    report["trials"].as_array_mut().unwrap().truncate(1);
    let page = html_report(&report, &graph, &BTreeMap::new()).unwrap();
    for left_out in [
        "id=\"sensitivity\"",
        "range in integers",
        "input values",
        ">calibration<",
        "id=\"trials\"",
        ">SQNR<",
        ">ms<",
    ] {
        assert!(!page.contains(left_out), "{left_out}");
    }
    assert!(page.contains(">multiply-adds<"));
}

#[test]
fn a_missed_target_and_an_empty_report_have_pages() {
    let (mut report, graph, histograms) = synthetic(30, plain_name);
    assert!(
        html_report(&report, &graph, &histograms)
            .unwrap()
            .contains("missed</span><span class=\"muted\"> verified in ONNX Runtime 1.32.0")
    );
    report["target_met"] = false.into();
    report["deploy_file"] = Value::Null;
    report["counts"]["final"] = Value::Null;
    report["goals"][0]["final"] = Value::Null;
    report["goals"][0]["loss"] = Value::Null;
    let page = html_report(&report, &graph, &histograms).unwrap();
    tags(&page);
    assert!(page.contains("Target missed; no model was written"));
    let unscored = html_report(&json!({}), &LayerGraph::default(), &BTreeMap::new()).unwrap();
    tags(&unscored);
    assert!(unscored.contains("Quantized; nothing was scored"));
    let message = html_report(&json!({ "trials": 3 }), &graph, &histograms).unwrap_err().to_string();
    assert!(message.starts_with("report: "), "{message}");
}
