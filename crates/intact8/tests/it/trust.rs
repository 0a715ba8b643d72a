//! Reported numbers, their noise, and unreliable evaluation commands: each gets a clear message, and no result is lost.

use crate::command::{json, quantize};
use crate::{Run, Scratch, fixture, intact8};
use serde_json::{Value, json};

const REPORT: &str = "m_report.json";

/// Quantizes `digits-hard` with a shell script as scorer; it receives the model as `$1`, and counts the models in `$n`.
fn scored_by(scratch: &Scratch, script: &str, more: &[&str]) -> Run {
    let counter = scratch.path("n");
    let script = format!("echo >> {counter}\nn=$(($(wc -l < {counter})))\n{script}\n");
    let command = format!("sh {}", scratch.text("score.sh", &script).display());
    let [onnx, calib] = ["model.onnx", "calib.npz"].map(|file| fixture("digits-hard", file));
    let save = scratch.path("m");
    let args = ["quantize", &onnx, "--calib", &calib, "--eval-cmd", &command, "--save", &save];
    intact8(&[&args[..], more].concat())
}

/// The command in the last line of the messages, after a prefix.
fn advised<'a>(run: &'a Run, prefix: &str) -> &'a str {
    let last = run.stderr.lines().last().unwrap_or_default();
    last.strip_prefix(prefix).unwrap_or_else(|| panic!("{}", run.stderr))
}

#[test]
fn the_reported_score_is_that_of_the_first_deploy_file() {
    let scratch = Scratch::new();
    let formats = "qdq,integer,qoperator";
    let run = quantize(&scratch, "digits-hard", &["--max-drop", "0.02", "--deploy", formats]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report = json(&scratch, REPORT);
    let rescored = report["rescored"].as_array().unwrap();
    let models: Vec<&Value> = rescored.iter().map(|saved| &saved["model"]).collect();
    assert_eq!(models, ["fake-quant", "deploy", "deploy_integer", "deploy_qoperator"]);
    assert!(rescored.iter().all(|saved| saved["satisfied"] == true));
    // The trial ran the models of all formats, so their files are not run again, and the fake-quant file is what they are made of.
    let samples: Vec<&Value> = rescored.iter().map(|saved| &saved["samples"]).collect();
    assert_eq!(samples, [0, 0, 0, 0]);
    assert_eq!(report["final"], rescored[1]["metric"]);
    for file in ["deploy", "deploy_integer", "deploy_qoperator"] {
        assert!(run.stdout.contains(&format!("\n {file} file ")), "{}", run.stdout);
    }
}

#[test]
fn the_report_has_the_effort_of_every_trial() {
    let scratch = Scratch::new();
    assert_eq!(quantize(&scratch, "digits-hard", &["--max-drop", "0.002", "--batch", "50"]).code, 0);
    let report = json(&scratch, REPORT);
    for trial in report["trials"].as_array().unwrap() {
        let stopped = trial["stopped_after"].as_u64();
        assert_eq!(trial["samples"].as_u64(), Some(stopped.unwrap_or(797)));
        assert!(trial["seconds"].as_f64().unwrap() > 0.0);
        assert!(cfg!(not(target_os = "linux")) || trial["peak_memory"].as_u64().unwrap() > 1_000_000);
    }
}

#[test]
fn a_loss_within_the_noise_is_reported_as_such() {
    let scratch = Scratch::new();
    let run = quantize(&scratch, "digits-hard", &["--max-drop", "0.002"]);
    assert!(run.stdout.contains("within the noise of 797 samples"), "{}", run.stdout);
    let report = json(&scratch, REPORT);
    let loss = &report["goals"][0]["loss"];
    assert_eq!((&loss["confidence"], &loss["is_noise"]), (&json!(0.95), &json!(true)));
    // No answer changes; with one gained and one lost of 799 this is the error of Bonett and Price.
    let error = (2.0f64 / (799.0 * 798.0)).sqrt();
    assert!((loss["standard_error"].as_f64().unwrap() - error).abs() < 1e-12, "{loss}");
    let most = loss["interval"][1].as_f64().unwrap();
    assert!((most - 1.959964 * error).abs() < 1e-8, "{loss}");
}

#[test]
fn with_confidence_the_worse_end_must_meet_the_goal() {
    let layers_in_float = |more: &[&str]| {
        let scratch = Scratch::new();
        let run = quantize(&scratch, "digits-hard", &[&["--metric", "top1=0.03"], more].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        let report = json(&scratch, REPORT);
        let most = report["goals"][0]["loss"]["interval"][1].as_f64().unwrap();
        (report["rolled_back"].as_array().unwrap().len(), most)
    };
    // With one layer in float the loss is 0.024, whose interval exceeds the goal.
    let ((n_float, most), (n_float_surely, most_surely)) =
        (layers_in_float(&[]), layers_in_float(&["--confidence", "0.95"]));
    assert!(n_float_surely > n_float && most > 0.03 && most_surely <= 0.03, "{most} {most_surely}");
    // The noise of 797 samples exceeds 0.002.
    let scratch = Scratch::new();
    let run = quantize(&scratch, "digits-hard", &["--max-drop", "0.002", "--confidence", "95%"]);
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (
            1,
            "error: top1: at a confidence of 95 % the noise of 797 samples alone exceeds the goal of 0.002; use more \
             samples, or allow a larger drop\n"
        )
    );
    assert_eq!(scratch.files(), [""; 0]);
}

#[test]
fn keep_best_writes_the_closest_model() {
    let scratch = Scratch::new();
    let goals = ["--metric", "top1=0.005", "--metric", "sqnr>=60"];
    let run = quantize(&scratch, "digits-hard", &goals);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let closest = json(&scratch, REPORT)["closest"]["rolled_back"].clone();
    let is_float = |config: &Value, layer: &Value| config[layer.as_str().unwrap()]["quant_enable"] == false;
    let config = json(&scratch, "m_closest_config.json");
    assert!(!scratch.files().contains(&"m_deploy_model.onnx".to_owned()));
    assert!(closest.as_array().unwrap().iter().all(|layer| is_float(&config, layer)));
    // The printed command writes it without scoring any trial again.
    let advice = advised(&run, "to write the closest model anyway, run: ");
    let again = intact8(&shlex::split(advice).unwrap()[1..].iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(again.code, 3, "the target is still not met: {}", again.stderr);
    let report = json(&scratch, REPORT);
    assert_eq!((&report["rolled_back"], &report["target_met"]), (&closest, &json!(false)));
    assert_eq!(report["recalled"].as_u64(), report["trials"].as_array().map(|trials| trials.len() as u64));
    let files = scratch.files();
    assert!(files.contains(&"m_deploy_model.onnx".to_owned()));
    assert!(!files.contains(&"m_closest_config.json".to_owned()));
    // The closest trial has the highest SQNR of all complete trials.
    let closest = report["rescored"][1]["metrics"][1].as_f64().unwrap();
    let trials = report["trials"].as_array().unwrap().iter();
    let whole = trials.filter(|trial| trial["stopped_after"].is_null());
    assert!(whole.map(|trial| trial["metrics"][1].as_f64().unwrap()).all(|sqnr| sqnr <= closest));
}

/// A script that scores the original as 1 and all other models low, so that there is a search.
const LOW_SCORES: &str = "if [ $n = 1 ]; then echo 1; else echo 0.$((40 + n)); fi";

#[test]
fn a_score_that_is_not_finite_ends_the_search_without_losing_results() {
    for invalid in ["nan", "inf", "-inf", "NaN%"] {
        let scratch = Scratch::new();
        let run =
            scored_by(&scratch, &format!("if [ $n = 4 ]; then echo {invalid}; else {LOW_SCORES}; fi"), &[]);
        assert_eq!(run.code, 1, "{}", run.stderr);
        let expected = format!("must print a finite number on its last line, found {invalid:?}\n");
        assert!(run.stderr.contains(&expected), "{}", run.stderr);
        let report = json(&scratch, REPORT);
        assert_eq!(report["trials"].as_array().unwrap().len(), 2);
        assert!(report["failure"].as_str().unwrap().ends_with(expected.trim_end()));
        let history = json(&scratch, "m_history.json");
        assert_eq!(history.as_array().unwrap().len(), 2);
        // The command is repaired, and the search is continued.
        let advice = advised(&run, "to continue, run: ");
        assert!(advice.ends_with(" --resume"));
        assert_eq!(scored_by(&scratch, LOW_SCORES, &["--resume"]).code, 3);
        assert_eq!(json(&scratch, REPORT)["recalled"], 2);
    }
}

#[cfg(unix)]
#[test]
fn a_command_that_hangs_is_ended_without_losing_results() {
    let scratch = Scratch::new();
    let hang = format!("if [ $n = 4 ]; then sleep 1000; else {LOW_SCORES}; fi");
    let run = scored_by(&scratch, &hang, &["--eval-timeout", "5s"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains(": took longer than 5s for a model and was ended; raise --eval-timeout\n"),
        "{}",
        run.stderr
    );
    assert_eq!(json(&scratch, REPORT)["trials"].as_array().unwrap().len(), 2);
    assert!(run.stderr.lines().last().unwrap().ends_with(" --resume"), "{}", run.stderr);
}

#[test]
fn a_command_that_varies_is_reported() {
    let scratch = Scratch::new();
    let run = scored_by(&scratch, "echo 0.9$n", &["--max-drop", "0.05"]);
    // Each score is better than the one before, so all meet the target.
    assert_eq!(run.code, 0, "{}", run.stderr);
    let expected =
        "scores 0.94 when it is read back, and scored 0.92 as a trial; the evaluator varies by 0.020000";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    // The target is missed if a file misses it, here that of the deploy model.
    let scratch = Scratch::new();
    let run = scored_by(&scratch, "if [ $n = 4 ]; then echo 0; else echo 0.9; fi", &[]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(
        run.stderr.contains("m_deploy_model.onnx: misses the target when it is read back"),
        "{}",
        run.stderr
    );
    assert_eq!(json(&scratch, REPORT)["target_met"], false);
    assert!(scratch.files().contains(&"m_deploy_model.onnx".to_owned()), "the models stay");
}
