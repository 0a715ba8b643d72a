//! The command with the libraries of runtimes. Without a library its tests are reported as ignored; with
//! `INTACT8_REQUIRE_RUNTIMES=1` they fail.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use intact8::data::{DataSet, Feeding};
use intact8::ir::Runtime;
use intact8::runtimes::{RUNTIMES, RuntimeKind};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn main() {
    let is_required = std::env::var_os("INTACT8_REQUIRE_RUNTIMES").is_some();
    let mut trials = Vec::new();
    for kind in RUNTIMES {
        let found = kind.find(None).unwrap_or_else(|error| panic!("{error}"));
        for (name, test) in TESTS {
            let name = match &found {
                Some(_) => format!("{}::{name}", kind.name),
                None => format!("{}::{name} (no library of {} was found)", kind.name, kind.title),
            };
            let is_found = found.is_some();
            let run = move || match is_found {
                true => {
                    test(kind);
                    Ok(())
                }
                false => Err(Failed::from("no library was found")),
            };
            trials.push(Trial::test(name, run).with_ignored_flag(!is_found && !is_required));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

type Test = fn(&'static RuntimeKind);

const TESTS: &[(&str, Test)] = &[
    ("the_promised_score_is_that_of_the_runtime", the_promised_score_is_that_of_the_runtime),
    ("a_run_in_a_runtime_is_resumed", a_run_in_a_runtime_is_resumed),
    ("results_are_verified_without_being_asked", results_are_verified_without_being_asked),
    ("latencies_name_the_runtime", latencies_name_the_runtime),
    ("the_fastest_configuration_is_measured_and_resumed", the_fastest_configuration_is_measured_and_resumed),
    ("a_slower_result_is_replaced_also_if_resumed", a_slower_result_is_replaced_also_if_resumed),
    ("a_placement_by_profiles_is_resumed", a_placement_by_profiles_is_resumed),
];

fn fixture(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/models/digits-hard")
        .join(file)
        .display()
        .to_string()
}

fn intact8(args: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_intact8")).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

/// Quantizes a bundled model of which two layers are sensitive, into a folder. Returns the standard output.
fn quantize(folder: &Path, kind: &RuntimeKind, more: &[&str]) -> String {
    let [model, calib, eval] = ["model.onnx", "calib.npz", "eval.npz"].map(fixture);
    let save = folder.join("m").display().to_string();
    let target = if kind.name == "openvino" { "openvino" } else { "onnxruntime-x86" };
    let args =
        ["quantize", &model, "--calib", &calib, "--eval", &eval, "--save", &save, "--max-drop", "0.002"];
    let plain =
        ["--no-equalize", "--no-balance", "--no-correct-bias", "--no-fit-rounding", "--target", target];
    let prefer: &[&str] = if more.contains(&"--prefer") { &[] } else { &["--prefer", "most-int8"] };
    let (output, text) = intact8(&[&args[..], &plain, prefer, more].concat());
    // A search that was ended early may have missed the target.
    let is_done = output.status.success() || more.contains(&"--keep-best");
    assert!(is_done, "{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn report(folder: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join("m_report.json")).unwrap()).unwrap()
}

/// A search for the fastest configuration, with latencies that a command prints: 4 ms of the original, which is larger than
/// 60 kB, 2 ms of the configurations, and those of the result.
fn quantize_for(result_milliseconds: u32, folder: &Path, kind: &RuntimeKind, more: &[&str]) -> String {
    let script = folder.join("bench.sh");
    let text = format!(
        "case $1 in *deploy*) echo {result_milliseconds};; *) [ $(wc -c < $1) -gt 60000 ] && echo 4 || echo 2;; esac\n"
    );
    std::fs::write(&script, text).unwrap();
    let command = format!("sh {}", script.display());
    quantize(folder, kind, &[&["--prefer", "fastest", "--bench-cmd", &command], more].concat())
}

/// The choice is that of the first run also where another measurement would choose otherwise.
fn the_fastest_configuration_is_measured_and_resumed(kind: &'static RuntimeKind) {
    let folder = tempfile::tempdir().unwrap();
    let line = |text: &str, prefix: &str| text.lines().any(|line| line.starts_with(prefix));
    let text = quantize_for(1, folder.path(), kind, &["--max-trials", "1", "--keep-best"]);
    assert!(
        line(&text, "fastest by --bench-cmd: as estimated (4.00 ms float, 2.00 ms as estimated, "),
        "{text}"
    );
    let before = report(folder.path());
    let text = quantize_for(1, folder.path(), kind, &["--resume", "--keep-best"]);
    assert!(!line(&text, "fastest "), "{text}");
    assert_eq!(before["trials"][0]["metric"], report(folder.path())["trials"][0]["metric"]);
}

/// Whatever the runtime is measured to run fastest is resumed without another measurement, also a placement by its profiles, which
/// may differ from run to run.
fn a_placement_by_profiles_is_resumed(kind: &'static RuntimeKind) {
    let folder = tempfile::tempdir().unwrap();
    let fastest = ["--prefer", "fastest", "--keep-best"];
    let text = quantize(folder.path(), kind, &[&fastest[..], &["--max-trials", "1"]].concat());
    assert!(text.lines().any(|line| line.starts_with("fastest in ")), "{text}");
    let before = report(folder.path());
    let text = quantize(folder.path(), kind, &[&fastest[..], &["--resume", "--max-trials", "1"]].concat());
    assert!(!text.lines().any(|line| line.starts_with("fastest in ")), "{text}");
    let after = report(folder.path());
    if before["kept_float"].is_null() && after["kept_float"].is_null() {
        assert_eq!(before["trials"][0]["metric"], after["trials"][0]["metric"]);
    }
}

/// The second search, with only weights in int8, has a journal of its own.
fn a_slower_result_is_replaced_also_if_resumed(kind: &'static RuntimeKind) {
    let folder = tempfile::tempdir().unwrap();
    let text = quantize_for(1, folder.path(), kind, &[]);
    let is_replaced = !text.contains(": with only weights in int8 (");
    let text = quantize_for(5, folder.path(), kind, &["--resume"]);
    assert_eq!(text.contains("so only weights are quantized"), is_replaced, "{text}");
    // The command finds every result slower, so it is the original in the end.
    let report = report(folder.path());
    assert_eq!(report["latency"]["speedup"], 4.0 / 5.0);
    assert!(text.contains("so every layer stays in float") && report["kept_float"].is_string(), "{text}");
}

/// The top-1 accuracy that a runtime computes from a file.
fn accuracy(kind: &'static RuntimeKind, path: &Path) -> f64 {
    let model = intact8::load_model(path).unwrap();
    let data = DataSet::read(fixture("eval.npz").as_ref()).unwrap();
    let feed = data.feed(&model, &Feeding::default()).unwrap();
    let runtime = kind.load(&kind.find(None).unwrap().unwrap()).unwrap();
    let executor = runtime.compile(&model).unwrap();
    let mut classes = Vec::new();
    for samples in feed.batches() {
        let outputs = executor.run(&feed.inputs(samples).unwrap()).unwrap();
        let n_classes = outputs[0].shape()[1];
        classes.extend(outputs[0].values::<f32>().unwrap().chunks(n_classes).map(|row| {
            let largest = (0..n_classes).rev().max_by(|&a, &b| row[a].total_cmp(&row[b]));
            largest.unwrap() as i64
        }));
    }
    let labels = data.targets("labels", &feed).unwrap();
    let labels: Vec<i64> =
        labels.iter().flat_map(|labels| labels.values::<i64>().unwrap().to_vec()).collect();
    let n_right = classes.iter().zip(&labels).filter(|(class, label)| class == label).count();
    n_right as f64 / labels.len() as f64
}

fn the_promised_score_is_that_of_the_runtime(kind: &'static RuntimeKind) {
    let folder = tempfile::tempdir().unwrap();
    let text = quantize(folder.path(), kind, &["--runtime", kind.name, "--no-bench"]);
    let report = report(folder.path());
    assert_eq!(report["final"], accuracy(kind, &folder.path().join("m_deploy_model.onnx")));
    assert_eq!(report["original"], accuracy(kind, fixture("model.onnx").as_ref()));
    assert!(report["trials"].as_array().unwrap().len() > 1);
    let line = format!("scored in {} ", kind.title);
    assert!(text.lines().any(|text| text.starts_with(&line)), "{text}");
    assert_eq!(report["latency"], Value::Null);
}

fn a_run_in_a_runtime_is_resumed(kind: &'static RuntimeKind) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = ["--runtime", kind.name, "--no-bench"];
    quantize(folder.path(), kind, &runtime);
    let whole = report(folder.path());
    let journal = folder.path().join("m_journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    let first: String = text.lines().take(3).map(|line| format!("{line}\n")).collect();
    std::fs::write(&journal, first).unwrap();
    quantize(folder.path(), kind, &[&runtime[..], &["--resume"]].concat());
    let resumed = report(folder.path());
    assert_eq!((&resumed["final"], &resumed["rolled_back"]), (&whole["final"], &whole["rolled_back"]));
    assert_eq!(resumed["recalled"], 1);
    // The scores of another runtime are others.
    let [model, calib, eval] = ["model.onnx", "calib.npz", "eval.npz"].map(fixture);
    let save = folder.path().join("m").display().to_string();
    let other = [
        "quantize",
        &model,
        "--calib",
        &calib,
        "--eval",
        &eval,
        "--save",
        &save,
        "--runtime",
        "none",
        "--resume",
    ];
    let (output, _) = intact8(&other);
    assert!(String::from_utf8_lossy(&output.stderr).contains("belongs to another model"));
}

fn results_are_verified_without_being_asked(kind: &'static RuntimeKind) {
    let folder = tempfile::tempdir().unwrap();
    let text = quantize(folder.path(), kind, &["--threads", "2"]);
    let report = report(folder.path());
    if RuntimeKind::of_target(if kind.name == "openvino" { "openvino" } else { "onnxruntime-x86" }).is_none()
    {
        assert_eq!(report["runtime"], Value::Null);
        return;
    }
    let deploy = &report["rescored"][1];
    assert_eq!(deploy["verified"]["metrics"][0], accuracy(kind, &folder.path().join("m_deploy_model.onnx")));
    let name = deploy["verified"]["runtime"].as_str().unwrap();
    assert!(name.starts_with(kind.title), "{name}");
    assert!(text.contains(&format!("verified in {name}: ")), "{text}");
    assert!(text.contains(&format!("{name}, 2 threads, batch 32: ")), "{text}");
    assert!(report["latency"]["speedup"].as_f64().unwrap() > 0.0);
    // Calibration, trials and scores are those of a run without it.
    let plain = tempfile::tempdir().unwrap();
    quantize(plain.path(), kind, &["--runtime", "none"]);
    let plain = self::report(plain.path());
    assert_eq!((&report["original"], &report["rolled_back"]), (&plain["original"], &plain["rolled_back"]));
}

fn latencies_name_the_runtime(kind: &'static RuntimeKind) {
    let model = fixture("model.onnx");
    let (output, text) =
        intact8(&["bench", &model, "--runtime", kind.name, "--seconds", "0.1", "--batch", "2"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        text.starts_with(&format!("{} ", kind.title))
            && text.contains(", 1 thread, batch 2, random inputs\n"),
        "{text}"
    );
    let both = ["bench", &model, "--runtime", "none", "--runtime", kind.name, "--seconds", "0.1"];
    let (output, text) = intact8(&both);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with(&format!("the interpreter of intact8 and {} ", kind.title)), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("model.onnx")).count(), 2, "{text}");
}
