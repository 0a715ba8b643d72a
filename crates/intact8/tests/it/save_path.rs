//! The save path: names that are not Unicode, runs at the same time, and what killed runs leave behind.

use crate::{Scratch, fixture};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// `intact8 quantize` on a bundled model, without preparation.
fn quantize(model: &OsStr, save: &OsStr, more: &[&str]) -> Command {
    let mut command = crate::command();
    command.arg("quantize").arg(model).args(["--calib", &fixture("digits", "calib.npz"), "--save"]).arg(save);
    command.args(["--no-equalize", "--no-balance", "--no-correct-bias", "--no-fit-rounding"]).args(more);
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn names_that_are_not_unicode_are_read_and_written() {
    let scratch = Scratch::new();
    let path = |name: &[u8]| {
        let mut path = scratch.0.path().join("m").into_os_string().into_vec();
        path.extend_from_slice(name);
        OsString::from_vec(path)
    };
    let model = path(b"\xff.onnx");
    std::fs::copy(fixture("digits", "model.onnx"), &model).unwrap();
    let save = path(b"\xfe");
    let eval = fixture("digits", "eval.npz");
    let output = quantize(&model, &save, &["--eval", &eval]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for name in [&b"\xfe_deploy_model.onnx"[..], b"\xfe_scale_offset_record.txt", b"\xfe_report.json"] {
        assert!(std::path::Path::new(&path(name)).exists(), "{}", OsStr::from_bytes(name).display());
    }
    // A command receives the names as they are; the last model that it scores is in the folder of the results.
    let last = scratch.path("last");
    let script = format!("while read -r path; do ls \"$path\" > {last} || exit; echo 1; done");
    let script = shlex::try_quote(&script).unwrap().into_owned();
    let more = ["--eval-cmd", &format!("sh -c {script}"), "--eval-stays"];
    let output = quantize(&model, &save, &more).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let deploy = [path(b"\xfe_deploy_model.onnx").as_bytes(), b"\n"].concat();
    assert_eq!(std::fs::read(last).unwrap(), deploy);
}

#[test]
fn a_second_run_on_the_same_files_is_an_error() {
    let scratch = Scratch::new();
    let (model, save) = (fixture("digits", "model.onnx"), scratch.path("m"));
    let (model, save): (&OsStr, &OsStr) = (model.as_ref(), save.as_ref());
    let output = |more: &[&str]| quantize(model, save, more).output().unwrap();
    // A run whose scoring does not end, in a temporary folder of its own.
    let (pid, temporary) = (scratch.path("pid"), scratch.path("tmp"));
    std::fs::create_dir(&temporary).unwrap();
    let script = format!("sh -c 'echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 1000'");
    let mut first = quantize(model, save, &["--eval-cmd", &script]);
    let mut first = first.env("TMPDIR", &temporary).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !std::path::Path::new(&pid).exists() {
        assert!(start.elapsed() < Duration::from_secs(240), "the first run does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = output(&["--eval-cmd", "sh -c 'echo 1'"]);
    assert_eq!(second.status.code(), Some(1), "{}", stderr(&second));
    assert!(
        stderr(&second).contains("another run writes these files; wait for its end"),
        "{}",
        stderr(&second)
    );
    // Another name is free.
    let other =
        quantize(model, scratch.path("n").as_ref(), &["--eval-cmd", "sh -c 'echo 1'"]).output().unwrap();
    assert_eq!(other.status.code(), Some(0), "{}", stderr(&other));

    // A killed run holds nothing. Its folders for temporary files and those beside the results are removed by --resume.
    first.kill().unwrap();
    first.wait().unwrap();
    let pid = std::fs::read_to_string(&pid).unwrap();
    assert!(Command::new("kill").arg(pid.trim()).status().unwrap().success());
    scratch.text(".intact8-abcdef", "half a file");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 1);
    let mut resumed = quantize(model, save, &["--eval-cmd", "sh -c 'echo 1'", "--resume"]);
    let resumed = resumed.env("TMPDIR", &temporary).output().unwrap();
    assert_eq!(resumed.status.code(), Some(0), "{}", stderr(&resumed));
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    let hidden: Vec<String> = scratch.files().into_iter().filter(|name| name.starts_with('.')).collect();
    assert_eq!(hidden, [""; 0]);
}
