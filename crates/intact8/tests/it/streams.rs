//! Outputs that are no files, and inputs that are none: devices, FIFOs and the standard output.

use crate::{Run, Scratch, fixture, intact8};
use std::os::unix::fs::FileTypeExt;
use std::process::{Command, Stdio};

fn compare(json: &str) -> Run {
    let model = fixture("digits", "model.onnx");
    intact8(&["compare", &model, &model, "--input", &fixture("digits", "eval.npz"), "--json", json])
}

#[test]
fn a_result_on_the_standard_output_is_alone_there() {
    for json in ["-", "/dev/stdout"] {
        let run = compare(json);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&run.stdout).unwrap();
        assert!(!rows.is_empty() && run.stderr.contains("cosine"), "{}", run.stderr);
    }
}

#[test]
fn devices_and_fifos_are_written_to() {
    let run = compare("/dev/null");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());

    let scratch = Scratch::new();
    let fifo = scratch.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let reader = Command::new("cat").arg(&fifo).stdout(Stdio::piped()).spawn().unwrap();
    let run = intact8(&["config", &fixture("digits", "model.onnx"), "-o", &fifo]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let read = reader.wait_with_output().unwrap().stdout;
    assert!(read.starts_with(b"{") && read.ends_with(b"}\n"), "{}", String::from_utf8_lossy(&read));
    assert!(std::fs::metadata(&fifo).unwrap().file_type().is_fifo());
}

#[test]
fn a_link_stays_and_its_target_is_replaced() {
    let scratch = Scratch::new();
    let file = scratch.text("file.json", "old");
    std::os::unix::fs::symlink(&file, scratch.path("link.json")).unwrap();
    let run =
        intact8(&["config", &fixture("digits", "model.onnx"), "--force", "-o", &scratch.path("link.json")]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(std::fs::symlink_metadata(scratch.path("link.json")).unwrap().is_symlink());
    assert!(std::fs::read_to_string(file).unwrap().starts_with('{'));
}

/// The error line of a run in a shell, in which `$0` is the command and `$1` the bundled model.
fn error_in_shell(scratch: &Scratch, script: &str) -> String {
    let mut command = crate::program("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_intact8"), &fixture("digits", "model.onnx")]);
    let output = command.current_dir(scratch.0.path()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    let [line] = lines[..] else { panic!("{stderr}") };
    line.to_owned()
}

#[test]
fn lines_that_can_not_be_printed_are_an_error() {
    let scratch = Scratch::new();
    assert_eq!(
        error_in_shell(&scratch, "\"$0\" print \"$1\" > /dev/full"),
        "error: the standard output: No space left on device (os error 28)"
    );
    // A reader that has seen enough closes its end.
    let run = crate::program("sh")
        .args(["-c", "{ \"$0\" print \"$1\"; echo $? >&2; } | head -n 1"])
        .args([env!("CARGO_BIN_EXE_intact8"), &fixture("digits", "model.onnx")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(run.stderr).unwrap(), "0\n");
}

#[test]
fn a_file_beyond_the_limit_of_the_shell_is_an_error() {
    let scratch = Scratch::new();
    let found = error_in_shell(&scratch, "ulimit -f 1; \"$0\" opt \"$1\" -o out.onnx");
    assert_eq!(found, "error: out.onnx: File too large (os error 27)");
    assert!(scratch.files().is_empty());
}

#[test]
fn a_model_that_is_a_fifo_is_an_error_at_once() {
    let scratch = Scratch::new();
    let found = error_in_shell(&scratch, "mkfifo m.onnx; \"$0\" inspect m.onnx");
    assert_eq!(found, "error: m.onnx: is a device or a FIFO, and a model must be a file; copy it to a file");
}

#[test]
fn a_missing_folder_for_temporary_files_is_an_error() {
    let scratch = Scratch::new();
    let calib = fixture("digits", "calib.npz");
    let script = format!(
        "TMPDIR=/no/such/folder \"$0\" quantize \"$1\" --calib {calib} --prefer most-int8 --eval-cmd 'echo 1' --save m"
    );
    let found = error_in_shell(&scratch, &script);
    assert!(found.contains("there is no folder for temporary files"), "{found}");
    assert!(found.ends_with("; set TMPDIR"), "{found}");
}

#[test]
fn a_system_that_starts_no_thread_is_no_error() {
    let scratch = Scratch::new();
    let (calib, eval) = (fixture("digits", "calib.npz"), fixture("digits", "eval.npz"));
    let output = crate::command()
        .args(["quantize", &fixture("digits", "model.onnx"), "--calib", &calib, "--eval", &eval])
        .args(["--save", &scratch.path("m"), "--no-equalize", "--no-balance", "--no-fit-rounding"])
        // The stack of a thread that does not fit into the address space.
        .env("RUST_MIN_STACK", (1u64 << 50).to_string())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
