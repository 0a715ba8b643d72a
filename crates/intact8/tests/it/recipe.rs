//! Recipes: that a run can be repeated by its own, and what is said of a wrong one.

use crate::command::{json, quantize};
use crate::{Scratch, command, fixture, intact8};

/// The files that depend on neither time nor path.
const LASTING: [&str; 6] = [
    "deploy_model.onnx",
    "fake_quant_model.onnx",
    "final_config.json",
    "history.json",
    "ranking.json",
    "scale_offset_record.txt",
];

fn bytes(scratch: &Scratch, prefix: &str) -> Vec<Vec<u8>> {
    LASTING.map(|name| std::fs::read(scratch.path(&format!("{prefix}_{name}"))).unwrap()).into()
}

#[test]
fn a_run_by_the_recipe_of_another_writes_the_same_bytes() {
    let scratch = Scratch::new();
    let run = quantize(&scratch, "digits-hard", &["--max-drop", "0.002", "--skip", "fc"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let (recipe, other) = (scratch.path("m_intact8.toml"), scratch.path("other"));
    let again = intact8(&["quantize", "--recipe", &recipe, "-o", &other]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(bytes(&scratch, "m") == bytes(&scratch, "other"));
    // A recipe with remarks stays as it is when it is used for its own files.
    let text = format!("# My remark.\n{}", std::fs::read_to_string(&recipe).unwrap());
    std::fs::write(&recipe, &text).unwrap();
    let again = intact8(&["quantize", "--recipe", &recipe]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&recipe).unwrap(), text);
    assert!(json(&scratch, "m_report.json")["command"].as_str().unwrap().contains("--recipe"));
}

#[test]
fn a_run_without_a_score_has_a_recipe_too() {
    let scratch = Scratch::new();
    let [onnx, calib] = ["model.onnx", "calib.npz"].map(|file| fixture("digits", file));
    let (save, other) = (scratch.path("m"), scratch.path("other"));
    let run = intact8(&["quantize", &onnx, "--calib", &calib, "--no-eval", "-o", &save]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let again = intact8(&["quantize", "--recipe", &scratch.path("m_intact8.toml"), "-o", &other]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let deploy = |prefix: &str| std::fs::read(scratch.path(&format!("{prefix}_deploy_model.onnx"))).unwrap();
    assert!(deploy("m") == deploy("other"));
}

/// A folder of workers is that of one run, so a further one names its own; neither it nor the calibration is lost.
#[test]
fn a_recipe_keeps_the_calibration_and_the_workers_of_its_run() {
    let scratch = Scratch::new();
    let [onnx, calib] = ["model.onnx", "calib.npz"].map(|file| fixture("digits-hard", file));
    let (stats, folder, other) = (scratch.path("all.stats"), scratch.path("work"), scratch.path("other"));
    let run = intact8(&["calibrate", &onnx, "--calib", &calib, "--no-correct-bias", "-o", &stats]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let run = command_of(&scratch, &["--calibration", &stats, "--workers", &folder, "--max-drop", "0.002"]);
    assert_eq!(run.0, 0, "{}", run.1);
    let recipe = scratch.path("m_intact8.toml");
    let text = std::fs::read_to_string(&recipe).unwrap();
    for (option, value) in [("calibration", &stats), ("workers", &folder)] {
        assert!(text.contains(&format!("{option} = \"{value}\"\n")), "{text}");
    }
    let again = |more: &[&str]| {
        let output =
            command().args(["quantize", "--recipe", &recipe, "-q", "-o", &other]).args(more).output();
        let output = output.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, message) = again(&[]);
    let expected = format!("error: {folder}: is of another run; name a folder of its own for each run\n");
    assert_eq!((code, message), (1, expected));
    let (code, message) = again(&["--workers", &scratch.path("work2")]);
    assert_eq!(code, 0, "{message}");
    assert!(bytes(&scratch, "m") == bytes(&scratch, "other"));
    // The configuration of the calibration is no longer wanted, and the run says so.
    let run = intact8(&[
        "quantize",
        "--recipe",
        &recipe,
        "--no-eval",
        "--skip",
        "fc",
        "-o",
        &scratch.path("third"),
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for line in ["calibration is left out, because of --", "workers is left out, because of --no-eval"] {
        assert!(run.stderr.contains(&format!("{recipe}: {line}")), "{}", run.stderr);
    }
    let text = std::fs::read_to_string(scratch.path("other_intact8.toml")).unwrap();
    assert!(text.contains(&format!("calibration = \"{stats}\"\n")), "{text}");
}

/// `quantize` of the fixture; the configuration is that of a calibration, so nothing is preferred.
fn command_of(scratch: &Scratch, more: &[&str]) -> (i32, String) {
    let [onnx, calib, eval] =
        ["model.onnx", "calib.npz", "eval.npz"].map(|file| fixture("digits-hard", file));
    let args = ["quantize", &onnx, "--calib", &calib, "--eval", &eval, "-q", "-o", &scratch.path("m")];
    let output = command().args(args).args(more).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_limit_of_a_recipe_is_raised_to_go_on() {
    let scratch = Scratch::new();
    let recipe = scratch.text("r.toml", "max-trials = 2\nmax-drop = 0.002\n").display().to_string();
    let run = quantize(&scratch, "digits-hard", &["--recipe", &recipe]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let advice = run.stderr.lines().last().unwrap().strip_prefix("to continue, run: ").unwrap();
    let words = shlex::split(advice).unwrap();
    let run = intact8(&words[1..].iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(run.code, 0, "{advice}: {}", run.stderr);
    assert_eq!(json(&scratch, "m_report.json")["recalled"], 2);
}

#[test]
fn a_wrong_recipe_is_one_line_before_anything_is_read() {
    let scratch = Scratch::new();
    for (text, expected) in [
        ("max_drop = 1", "r.toml: there is no option \"max_drop\"; did you mean \"max-drop\""),
        ("threads = 0", "r.toml: threads: 0 is not in 1..=65535"),
        ("model = ", "r.toml: line 1: "),
        ("eval = \"e\"\nno-eval = true", "r.toml: eval: can't be used with no-eval; omit one or the other"),
    ] {
        let recipe = scratch.text("r.toml", text).display().to_string();
        let run = intact8(&["quantize", "--recipe", &recipe]);
        assert_eq!((run.code, run.stderr.lines().count()), (2, 1), "{text}: {}", run.stderr);
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains(expected), "{}", run.stderr);
    }
    let absent = intact8(&["quantize", "--recipe", &scratch.path("no.toml")]);
    assert!(absent.code == 1 && absent.stderr.ends_with("no.toml: No such file or directory (os error 2)\n"));
    // What no recipe has is required still.
    let recipe = scratch.text("r.toml", "batch = 4").display().to_string();
    let run = intact8(&["quantize", "--recipe", &recipe]);
    assert!(run.code == 2 && run.stderr.contains("--calib <CALIB>"), "{}", run.stderr);
}

#[test]
fn options_of_the_call_override_those_of_a_recipe() {
    let scratch = Scratch::new();
    let recipe =
        scratch.text("r.toml", "[accuracy]\nmetric = \"top1\"\nmax-drop = 0.002\n").display().to_string();
    let run = quantize(&scratch, "digits", &["--recipe", &recipe, "--metric", "sqnr>=20"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report = json(&scratch, "m_report.json");
    let targets: Vec<&str> =
        report["goals"].as_array().unwrap().iter().map(|goal| goal["target"].as_str().unwrap()).collect();
    assert_eq!(targets, [">=20"]);
    // What has no effect in the recipe itself is said of the recipe.
    let recipe = scratch.text("r.toml", "metric = \"sqnr>=20\"\nmax-drop = 0.002\n").display().to_string();
    let run = quantize(&scratch, "digits", &["--recipe", &recipe]);
    let expected =
        "error: --max-drop has no effect: every --metric has a goal of its own; omit it, or a goal; ";
    assert!(run.code == 2 && run.stderr.starts_with(expected), "{}", run.stderr);
    assert!(run.stderr.ends_with("r.toml has metric and max-drop\n"), "{}", run.stderr);
}

#[test]
fn a_file_of_the_user_is_not_replaced_by_a_recipe() {
    let scratch = Scratch::new();
    let own = scratch.text("m_intact8.toml", "max-drop = 0.01\n");
    let run = quantize(&scratch, "digits", &["--recipe", &own.display().to_string()]);
    assert!(run.code == 1 && run.stderr.contains("m_intact8.toml: exists"), "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(&own).unwrap(), "max-drop = 0.01\n");
}
