//! The rule of the exit codes 1 and 2: what the command line alone decides is an error of usage, before any file is read; what a file
//! decides is not.

use crate::{Scratch, fixture, intact8};

/// The words of a command, and options with values.
type Wrong = (&'static [&'static str], &'static [(&'static str, &'static str)]);

/// For each command the arguments that it requires, with a model that is not there, and its options with wrong values.
const WRONG_VALUES: &[Wrong] = &[
    (
        &["quantize", "no.onnx", "--calib", "no.npz", "--eval", "no.npz"],
        &[
            ("--metric", "speed"),
            ("--metric", "top1<=1"),
            ("--metric", "top1>=x"),
            ("--max-drop", "much"),
            ("--confidence", "95"),
            ("--prefer", "best"),
            ("--runtime", "onnxruntim"),
            ("--runtime", "onnxruntim=/lib"),
            ("--threads", "0"),
            ("--bench-cmd", "time 'open"),
            ("--strategy", "guess"),
            ("--sensitivity", "speed"),
            ("--ladder", "int4"),
            ("--max-trials", "0"),
            ("--time-budget", "soon"),
            ("--target", "gpu"),
            ("--deploy", "onnx"),
            ("--record-format", "json"),
            ("--memory", "1K"),
            ("--max-memory", "8 bytes"),
            ("--batch", "0"),
            ("--batch-axis", "x=y"),
            ("--mean", "NaN"),
            ("--mean", "grey"),
            ("--std", "0"),
            ("--resize", "0"),
            ("--crop", "1x"),
            ("--interpolation", "cubic"),
            ("--layout", "chwn"),
            ("--channels", "cmyk"),
            ("--raw-shape", "x=two"),
            ("--progress", "loud"),
            ("--color", "blue"),
        ],
    ),
    (
        &["quantize", "no.onnx", "--calib", "no.npz"],
        &[("--eval-cmd", "score 'open"), ("--eval-cmd", "CUDA=0 score")],
    ),
    (&["quantize", "no.onnx", "--calib", "no.npz", "--eval-cmd", "score"], &[("--eval-timeout", "0s")]),
    (
        &["calibrate", "no.onnx", "--calib", "no.npz", "-o", "out.stats"],
        &[
            ("--shard", "9/8"),
            ("--shard", "some"),
            ("--target", "gpu"),
            ("--prefer", "best"),
            ("--memory", "1K"),
            ("--max-memory", "?"),
            ("--mean", "inf"),
        ],
    ),
    (
        &["score", "no.onnx", "--eval", "no.npz"],
        &[
            ("--metric", "speed"),
            ("--confidence", "2"),
            ("--runtime", "tvm"),
            ("--threads", "none"),
            ("--max-memory", "?"),
        ],
    ),
    (&["score", "no.onnx", "--eval", "no.npz", "-o", "out.score"], &[("--shard", "0/8")]),
    (&["work", "folder", "no.onnx", "--eval", "no.npz"], &[("--metric", "speed"), ("--max-memory", "?")]),
    (
        &["bench", "no.onnx"],
        &[
            ("--runtime", "tvm"),
            ("--threads", "0"),
            ("--seconds", "0"),
            ("--seconds", "NaN"),
            ("--shape", "x=two"),
        ],
    ),
    (&["compare", "no.onnx", "no.onnx", "--input", "no.npz"], &[("--runtime", "tvm"), ("--std", "-1")]),
    (
        &["run", "no.onnx", "--input", "no.npz", "--output", "out.npz"],
        &[("--runtime", "tvm"), ("--max-memory", "?")],
    ),
    (&["run", "no.onnx", "--profile"], &[("--seconds", "-1"), ("--threads", "0"), ("--top", "all")]),
    (
        &["config", "no.onnx", "-o", "c.json"],
        &[("--target", "gpu"), ("--prefer", "best"), ("--batch-num", "0")],
    ),
    (&["inspect", "no.onnx", "--target", "generic"], &[("--prefer", "best"), ("--shape", "1x3")]),
    (&["inspect", "no.onnx"], &[("--target", "gpu")]),
    (&["convert", "no.onnx", "--record", "no.txt"], &[("--target", "gpu"), ("--deploy", "onnx")]),
    (&["convert-qat", "no.onnx"], &[("--target", "gpu"), ("--deploy", "onnx")]),
    (&["opt", "no.onnx"], &[("--pass", "fold-constnats"), ("--print-after", "fold")]),
    (&["completions"], &[("bash", "tcsh")]),
];

#[test]
fn a_wrong_value_is_an_error_of_usage_in_one_line_that_names_its_option() {
    for (command, options) in WRONG_VALUES {
        for (option, value) in *options {
            let given = format!("{option}={value}");
            let last = if option.starts_with("--") { &*given } else { value };
            let run = intact8(&[command, &[last][..]].concat());
            assert_eq!((run.code, run.stderr.lines().count()), (2, 1), "{command:?} {given}: {}", run.stderr);
            let is_named = run.stderr.contains(option) || command[0] == "completions";
            assert!(run.stderr.starts_with("error: ") && is_named, "{command:?} {given}: {}", run.stderr);
        }
    }
}

#[test]
fn options_that_do_not_go_together_are_an_error_of_usage_before_a_file_is_read() {
    let quantize = ["quantize", "no.onnx", "--calib", "no.npz"];
    let convert = ["convert", "no.onnx", "--record", "no.txt"];
    let bench = ["bench", "no.onnx"];
    for (command, more) in [
        (&quantize[..], &["--eval", "no.npz", "--eval-stays"][..]),
        (&quantize, &["--eval", "no.npz", "--target", "tensorrt", "--deploy", "qoperator"]),
        (&quantize, &["--eval", "no.npz", "--contrib"]),
        (&quantize, &["--eval", "no.npz", "--metric", "top1", "--metric", "top1=1%"]),
        (&quantize, &["--eval", "no.npz", "--mean", "1,2", "--std", "1,2,3"]),
        (&quantize, &[]),
        (&convert, &["--target", "tensorrt", "--deploy", "qoperator"]),
        (&convert, &["--contrib"]),
        (&["convert-qat", "no.onnx"], &["--deploy", "qdq,qdq"]),
        (&["inspect", "no.onnx"], &["--skip", "fc"]),
        (&["opt", "no.onnx"], &["--pass", "trim", "--print-after", "fold-constants"]),
        (&["score", "no.onnx", "--eval", "no.npz"], &["--metric", "top1=1%"]),
        (&["compare", "no.onnx", "no.onnx", "--input", "no.npz"], &["--mean", "1,2", "--std", "1,2,3"]),
    ] {
        let run = intact8(&[command, more].concat());
        assert_eq!((run.code, run.stderr.lines().count()), (2, 1), "{command:?} {more:?}: {}", run.stderr);
    }
    let run = intact8(&[&bench[..], &["--runtime", "none"]].concat());
    assert_eq!(run.code, 1, "a model that is not there: {}", run.stderr);
}

#[test]
fn what_a_file_decides_is_no_error_of_usage() {
    let scratch = Scratch::new();
    let [onnx, calib, eval] = ["model.onnx", "calib.npz", "eval.npz"].map(|file| fixture("digits", file));
    let m = scratch.path("m");
    let quantize = ["quantize", &onnx, "--calib", &calib, "--eval", &eval, "-o", &m];
    let inspect = ["inspect", &onnx];
    for (command, more) in [
        (&quantize[..], &["--runtime", "onnxruntime=/no/such/folder"][..]),
        (&quantize, &["--skip", "no-such-layer"]),
        (&quantize, &["--group", "no-such-layer"]),
        (&quantize, &["--reduce-range", "no-such-layer"]),
        (&quantize, &["--recipe", "no-such-recipe.toml"]),
        (&quantize, &["--config", "no-such-config.json"]),
        (&inspect, &["--shape", "no-such-input=1x2"]),
        (&inspect, &["--shape", "input=1x2"]),
    ] {
        let run = intact8(&[command, more].concat());
        assert_eq!((run.code, run.stderr.lines().count()), (1, 1), "{command:?} {more:?}: {}", run.stderr);
    }
    assert_eq!(scratch.files(), [""; 0]);
}
