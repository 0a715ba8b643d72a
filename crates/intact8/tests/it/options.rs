//! Tests of the options of the search.

use crate::Scratch;
use crate::command::{json, quantize};
use serde_json::{Value, json};

const REPORT: &str = "m_report.json";
const SENSITIVE: [&str; 2] = ["block4.conv2", "block1.conv2"];

/// The layers that each trial rolled back.
fn trials(report: &Value) -> Vec<Vec<&str>> {
    let trials = report["trials"].as_array().unwrap().iter();
    trials
        .map(|trial| {
            trial["rolled_back"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
        })
        .collect()
}

#[test]
fn every_strategy_finds_the_two_sensitive_layers() {
    for strategy in ["minimal", "anytime", "binary-search", "gallop", "worst-first", "greedy"] {
        let scratch = Scratch::new();
        let run = quantize(&scratch, "digits-hard", &["--max-drop", "0.002", "--strategy", strategy]);
        assert_eq!(run.code, 0, "{strategy}: {}", run.stderr);
        let report = json(&scratch, REPORT);
        let mut rolled_back: Vec<&str> =
            report["rolled_back"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        rolled_back.sort_unstable();
        assert_eq!(rolled_back, ["block1.conv2", "block4.conv2"], "{strategy}");
    }
}

#[test]
fn the_report_marks_a_result_as_one_minimal() {
    let scratch = Scratch::new();
    let run = quantize(&scratch, "digits-hard", &["--max-drop", "0.002"]);
    assert!(run.stdout.contains("no single layer in float can be put back into int8"), "{}", run.stdout);
    let report = json(&scratch, REPORT);
    let both = SENSITIVE.to_vec();
    assert_eq!(trials(&report), [vec![], vec![SENSITIVE[0]], both, vec![SENSITIVE[1]]]);
    assert_eq!((&report["one_minimal"], &report["ending"]), (&json!(true), &json!("finished")));
    let worst = &report["ranking"][0];
    assert_eq!((&worst["layer"], &worst["in_float"]), (&json!(SENSITIVE[0]), &json!(true)));
    assert_eq!(worst["cost"], 24 * 16 * 9 * 16);
}

#[test]
fn early_stopping_changes_no_verdict() {
    let reports = [&["--max-drop", "0.002", "--batch", "50"][..], &["--no-early-stop"]];
    let verdicts = |more: &[&str]| {
        let scratch = Scratch::new();
        assert_eq!(quantize(&scratch, "digits-hard", more).code, 0);
        let report = json(&scratch, REPORT);
        let trials = report["trials"].as_array().unwrap().clone();
        let stopped = trials.iter().filter(|trial| !trial["stopped_after"].is_null()).count();
        let verdicts: Vec<(Value, Value)> =
            trials.iter().map(|trial| (trial["rolled_back"].clone(), trial["satisfied"].clone())).collect();
        (verdicts, stopped, report["final"].clone())
    };
    let (with, n_stopped, result) = verdicts(reports[0]);
    let (without, none_stopped, same) = verdicts(&reports.concat());
    assert_eq!((with, result), (without, same));
    assert!(n_stopped > 0 && none_stopped == 0);
}

#[test]
fn a_resumed_search_scores_no_candidate_twice() {
    let scratch = Scratch::new();
    let args = |more: &[&'static str]| [&["--max-drop", "0.002"][..], more].concat();
    let run = quantize(&scratch, "digits-hard", &args(&["--max-trials", "2"]));
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.starts_with("no quantization tried so far meets the target"), "{}", run.stderr);
    assert_eq!(json(&scratch, REPORT)["ending"], "out of trials");
    // An incomplete last line, as after a power failure.
    let journal = scratch.path("m_journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, format!("{text}{{\"rolled")).unwrap();
    assert_eq!(quantize(&scratch, "digits-hard", &args(&["--resume"])).code, 0);
    let report = json(&scratch, REPORT);
    assert_eq!((&report["recalled"], trials(&report).len()), (&json!(2), 4));
    // All scores are known now, also for other strategies.
    assert_eq!(quantize(&scratch, "digits-hard", &args(&["--resume", "--strategy", "gallop"])).code, 0);
    assert_eq!(json(&scratch, REPORT)["recalled"], 3);
}

#[test]
fn the_time_budget_does_not_end_the_first_trial() {
    let scratch = Scratch::new();
    let run = quantize(&scratch, "digits-hard", &["--max-drop", "0.002", "--time-budget", "0.001s"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let report = json(&scratch, REPORT);
    assert_eq!((&report["ending"], trials(&report).len()), (&json!("out of time"), 1));
}

#[test]
fn several_metrics_with_goals_of_their_own() {
    let scratch = Scratch::new();
    let goals =
        ["--metric", "top1=0.5%", "--metric", "top3", "--metric", "cosine>=0.999", "--metric", "sqnr>=20"];
    let run = quantize(&scratch, "digits-hard", &[&goals[..], &["--max-drop", "0.01"]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report = json(&scratch, REPORT);
    let targets: Vec<&Value> =
        report["goals"].as_array().unwrap().iter().map(|goal| &goal["target"]).collect();
    assert_eq!(targets, ["0.5%", "0.01", ">=0.999", ">=20"]);
    assert_eq!(report["goals"][2]["original"], 1.0);
    assert!(report["goals"][3]["final"].as_f64().unwrap() >= 20.0);
}

#[test]
fn every_sensitivity_ranks_the_sensitive_layers_first() {
    for sensitivity in ["mse", "sqnr", "kl", "output-cosine", "output-mse", "output-sqnr", "output-kl"] {
        let scratch = Scratch::new();
        let run = quantize(&scratch, "digits-hard", &["--max-drop", "0.002", "--sensitivity", sensitivity]);
        assert_eq!(run.code, 0, "{sensitivity}: {}", run.stderr);
        let report = json(&scratch, REPORT);
        assert_eq!(report["ranking"].as_array().unwrap().len(), 13);
        assert_eq!(report["rolled_back"].as_array().unwrap().len(), 2, "{sensitivity}");
    }
}

#[test]
fn a_group_is_rolled_back_as_a_whole() {
    let scratch = Scratch::new();
    let group = ["--group", "fc,block4.conv2"];
    let run = quantize(&scratch, "digits-hard", &[&group[..], &["--max-drop", "0.002"]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report = json(&scratch, REPORT);
    assert!(trials(&report).iter().all(|trial| trial.contains(&"fc") == trial.contains(&"block4.conv2")));
    assert_eq!(report["rolled_back"].as_array().unwrap().len(), 3);
    assert_eq!(report["one_minimal"], true);
}

#[test]
fn a_dump_has_the_inputs_and_outputs_of_every_layer() {
    let scratch = Scratch::new();
    let folder = scratch.path("dump");
    assert_eq!(quantize(&scratch, "digits", &["--dump", &folder, "--batch", "128"]).code, 0);
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!((files.len(), files[0].as_str()), (26, "block1.add_batch0.npz"));
    let arrays = intact8::data::read_npz(format!("{folder}/fc_batch1.npz").as_ref()).unwrap();
    let shapes: Vec<(&str, &[usize])> =
        arrays.iter().map(|(name, tensor)| (name.as_str(), tensor.layout().unwrap().1)).collect();
    assert_eq!(shapes, [("input", &[128, 128][..]), ("output", &[128, 10]), ("quantized", &[128, 10])]);
}

#[cfg(unix)]
#[test]
fn a_persistent_command_is_started_once() {
    let scratch = Scratch::new();
    let started = scratch.path("started");
    let script = format!(
        "echo >> {started}\nwhile read path; do if grep -q QuantizeLinear $path; then echo 1; else echo 2; fi; done\n"
    );
    let score = format!("sh {}", scratch.text("score.sh", &script).display());
    let [onnx, calib] = ["model.onnx", "calib.npz"].map(|file| crate::fixture("digits-hard", file));
    let save = scratch.path("m");
    let args = ["--eval-cmd", &score, "--eval-stays", "--max-drop", "1", "--save", &save];
    let run = crate::intact8(&[&["quantize", &onnx, "--calib", &calib], &args[..]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(json(&scratch, REPORT)["final"], json!(1.0));
    assert_eq!(std::fs::read_to_string(started).unwrap(), "\n");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_search_with_the_best_result_so_far() {
    use std::process::{Command, Stdio};
    let scratch = Scratch::new();
    let began = scratch.path("began");
    // The third model, which is the second trial, is slow.
    let script = format!(
        "echo >> {began}\n[ $(wc -l < {began}) = 3 ] && sleep 3\nif grep -q QuantizeLinear $1; then echo 0; else echo 1; fi\n"
    );
    let score = format!("sh {}", scratch.text("score.sh", &script).display());
    let [onnx, calib] = ["model.onnx", "calib.npz"].map(|file| crate::fixture("digits-hard", file));
    let args = ["quantize", &onnx, "--calib", &calib, "--eval-cmd", &score, "--save", &scratch.path("m")];
    let args = args.into_iter().chain(["--prefer", "most-int8", "--progress", "never"]);
    let mut command = crate::command();
    let child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while std::fs::read_to_string(&began).map_or(0, |text| text.lines().count()) < 3 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.starts_with("ending with the best result so far"), "{stderr}");
    assert!(stderr.contains("\nto continue, run: ") && stderr.ends_with(" --resume\n"), "{stderr}");
    let report = json(&scratch, REPORT);
    assert_eq!((&report["ending"], trials(&report).len()), (&json!("interrupted"), 1));
}

/// Interrupts a search once a command has been started with a file, and returns the exit code and the messages.
#[cfg(unix)]
fn interrupted_in_bench(scratch: &Scratch, more: &[&str]) -> (Option<i32>, String) {
    use std::process::{Command, Stdio};
    let began = scratch.path("began");
    let script = scratch.text("bench.sh", &format!("echo > {began}\nexec sleep 60\n"));
    let bench = format!("sh {}", script.display());
    let [onnx, calib, eval] =
        ["model.onnx", "calib.npz", "eval.npz"].map(|file| crate::fixture("digits", file));
    let save = scratch.path("m");
    let args = ["quantize", &onnx, "--calib", &calib, "--eval", &eval, "--bench-cmd", &bench, "-o", &save];
    let mut command = crate::command();
    let command = command.args(args).args(["--progress", "never", "--no-fit-rounding"]).args(more);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !std::path::Path::new(&began).exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_a_command_that_measures() {
    let scratch = Scratch::new();
    let (code, messages) = interrupted_in_bench(&scratch, &["--prefer", "most-int8"]);
    assert_eq!(code, Some(130), "{messages}");
    assert!(messages.contains("warning: the latency is not measured: "), "{messages}");
    assert_eq!(json(&scratch, REPORT)["target_met"], true);
    let scratch = Scratch::new();
    let (code, messages) = interrupted_in_bench(&scratch, &[]);
    assert_eq!(code, Some(130), "{messages}");
    assert!(messages.contains("error: interrupted before the first trial was finished"), "{messages}");
}

#[cfg(unix)]
#[test]
fn a_command_that_measures_prints_a_positive_number() {
    let scratch = Scratch::new();
    let run = quantize(&scratch, "digits", &["--bench-cmd", "sh -c 'echo 0'"]);
    let expected = "warning: the latency is not measured: sh -c echo 0: must print milliseconds, a positive number, found 0";
    assert!(run.code == 0 && run.stderr.contains(expected), "{}", run.stderr);
}
