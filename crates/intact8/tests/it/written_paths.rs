//! Files and folders for results that can't be written: an error before any work.

use crate::{Scratch, fixture, intact8};

#[test]
fn a_path_that_can_not_be_written_is_refused_before_a_model_is_read() {
    let scratch = Scratch::new();
    let file = scratch.text("file", "mine").display().to_string();
    let below = format!("{file}/below");
    let folder = scratch.path("");
    let no = scratch.path("no.onnx");
    let quantize = ["quantize", &no, "--calib", &no, "--eval", &no];
    let unscored = ["quantize", &no, "--calib", &no, "--no-eval"];
    let run = ["run", &no, "--input", &no];
    for (command, option) in [
        (&quantize[..], "--dump"),
        (&quantize, "--json"),
        (&quantize, "--output"),
        (&unscored, "--output"),
        (&["calibrate", &no, "--calib", &no], "--output"),
        (&["config", &no], "--output"),
        (&["convert", &no, "--record", &no], "--output"),
        (&["convert-qat", &no], "--output"),
        (&["merge", &no], "--output"),
        (&["opt", &no], "--output"),
        (&run, "--output"),
        (&["run", &no, "--profile"], "--json"),
        (&["bench", &no], "--json"),
        (&["compare", &no, &no, "--input", &no], "--json"),
        (&["inspect", &no], "--json"),
        (&["score", &no, "--eval", &no], "--json"),
        (&["score", &no, "--eval", &no, "--shard", "1/2"], "--output"),
    ] {
        let refused = |path: &str| {
            let found = intact8(&[command, &[option, path]].concat());
            assert_eq!((found.code, found.stderr.lines().count()), (1, 1), "{command:?}: {}", found.stderr);
            found.stderr
        };
        let found = refused(&below);
        let expected =
            format!("error: {file}: is no folder, and files are written to it; name another one\n");
        assert_eq!(found, expected, "{command:?} {option}");
        let is_prefix = option == "--output" && ["quantize", "convert", "convert-qat"].contains(&command[0]);
        if option == "--dump" {
            assert_eq!(refused(&file), expected);
        } else if !is_prefix {
            let found = refused(&folder);
            assert!(found.ends_with(": is a folder, and a file is written; name the file\n"), "{found}");
        }
    }
    assert_eq!(scratch.files(), ["file"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_folder_that_is_not_there_is_made_when_the_result_is_written() {
    let scratch = Scratch::new();
    let path = scratch.path("a/b/out.json");
    let run = intact8(&["inspect", &fixture("digits", "model.onnx"), "--json", &path]);
    assert!(run.code == 0 && std::path::Path::new(&path).exists(), "{}", run.stderr);
}
