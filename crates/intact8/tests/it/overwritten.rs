//! No command replaces what it reads, or the result of another model, without being told to.

use crate::{Scratch, fixture, intact8};

/// A copy of a file of the bundled model.
fn copy(scratch: &Scratch, file: &str) -> String {
    let path = scratch.path(file);
    std::fs::copy(fixture("digits", file), &path).unwrap();
    path
}

#[test]
fn a_file_that_is_read_is_not_written() {
    let scratch = Scratch::new();
    let [model, calib, eval] = ["model.onnx", "calib.npz", "eval.npz"].map(|file| copy(&scratch, file));
    let save = scratch.path("m");
    let same_model = format!("{}/./model.onnx", scratch.path(""));
    let before = [&model, &calib, &eval].map(|path| std::fs::read(path).unwrap());
    for (args, written) in [
        (vec!["calibrate", &model, "--calib", &calib, "--choices", "-o", &calib], &calib),
        (vec!["score", &model, "--eval", &eval, "--json", &model], &model),
        (vec!["score", &model, "--eval", &eval, "--shard", "1/2", "-o", &eval], &eval),
        (
            vec!["quantize", &model, "--calib", &calib, "--eval", &eval, "-o", &save, "--json", &same_model],
            &same_model,
        ),
        (vec!["compare", &model, &model, "--input", &eval, "--json", &eval], &eval),
        (vec!["run", &model, "--input", &calib, "--output", &calib], &calib),
    ] {
        let run = intact8(&args);
        let expected = format!("{written}: the command reads this file; name another one");
        assert!(run.code == 2 && run.stderr.contains(&expected), "{args:?}: {} {}", run.code, run.stderr);
    }
    assert!(before == [&model, &calib, &eval].map(|path| std::fs::read(path).unwrap()));
}

#[test]
fn a_result_of_another_model_is_kept_also_without_a_report() {
    let scratch = Scratch::new();
    let [model, calib] = ["model.onnx", "calib.npz"].map(|file| copy(&scratch, file));
    let other = fixture("digits-hard", "model.onnx");
    let save = scratch.path("m");
    let run = |model: &str, more: &[&str]| {
        intact8(&[&["quantize", model, "--calib", &calib, "--no-eval", "-o", &save], more].concat())
    };
    assert_eq!(run(&model, &[]).code, 0);
    let refused = run(&other, &[]);
    let expected = "m_report.json: is the result of another model, ";
    assert!(refused.code == 1 && refused.stderr.contains(expected), "{}", refused.stderr);
    // The recipe names the model too.
    std::fs::remove_file(scratch.path("m_report.json")).unwrap();
    let refused = run(&other, &[]);
    let expected = "m_intact8.toml: is the result of another model, ";
    assert!(refused.code == 1 && refused.stderr.contains(expected), "{}", refused.stderr);
    assert_eq!([run(&model, &[]).code, run(&other, &["--force"]).code], [0, 0]);
}
