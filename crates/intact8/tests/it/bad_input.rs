//! Invalid input: one error line, exit code 1, and no files.

use crate::{Scratch, fixture, intact8};
use intact8::Tensor;

/// Runs `intact8 quantize` on the bundled model with some arguments replaced, and returns the error line.
pub(crate) fn message(scratch: &Scratch, replaced: &[(&str, &str)], more: &[&str]) -> String {
    message_with(1, scratch, replaced, more)
}

/// The message for words of the command line that are wrong.
pub(crate) fn usage_message(scratch: &Scratch, replaced: &[(&str, &str)], more: &[&str]) -> String {
    message_with(2, scratch, replaced, more)
}

fn message_with(code: i32, scratch: &Scratch, replaced: &[(&str, &str)], more: &[&str]) -> String {
    let [onnx, calib, eval] = ["model.onnx", "calib.npz", "eval.npz"].map(|file| fixture("digits", file));
    let before = scratch.files();
    let save = scratch.path("m");
    let argument = |name: &str, default: &str| {
        replaced
            .iter()
            .find(|(key, _)| *key == name)
            .map_or(default.to_owned(), |(_, value)| (*value).to_owned())
    };
    let (onnx, calib, eval) = (argument("model", &onnx), argument("calib", &calib), argument("eval", &eval));
    let mut args = vec!["quantize", &onnx, "--calib", &calib, "--save", &save];
    if !more.contains(&"--eval-cmd") {
        args.extend(["--eval", &eval]);
    }
    args.extend(more);
    let run = intact8(&args);
    assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    let is_fed = |line: &str| line.starts_with("input: ");
    assert!(run.stdout.lines().all(is_fed), "only what is fed: {}", run.stdout);
    assert_eq!(scratch.files(), before, "no file is written");
    let line = run.stderr.trim_end().replace(&scratch.path(""), "");
    // That the option is named is checked for all options together.
    let text = line.split_once("error: --").and_then(|(_, text)| text.split_once(": "));
    let of_value = text.filter(|(option, _)| code == 2 && !option.contains(' '));
    of_value.map_or(line.clone(), |(_, text)| format!("error: {text}"))
}

fn images(n: usize) -> Tensor {
    Tensor::full(&[n, 1, 8, 8], 0.5f32)
}

#[test]
fn models_that_can_not_be_read_are_errors() {
    let scratch = Scratch::new();
    let missing = scratch.path("no.onnx");
    assert_eq!(
        message(&scratch, &[("model", &missing)], &[]),
        "error: no.onnx: No such file or directory (os error 2)"
    );
    let whole = std::fs::read(fixture("digits", "model.onnx")).expect("the model can be read");
    let truncated = scratch.path("half.onnx");
    std::fs::write(&truncated, &whole[..whole.len() / 2]).expect("the folder can be written to");
    let found = message(&scratch, &[("model", &truncated)], &[]);
    assert!(found.starts_with("error: half.onnx: ") && found.contains("truncated"), "{found}");
    let text = scratch.text("text.onnx", "hello, this is no model").display().to_string();
    let found = message(&scratch, &[("model", &text)], &[]);
    assert!(found.starts_with("error: text.onnx: "), "{found}");
}

#[test]
fn a_name_with_a_line_break_is_printed_on_one_line() {
    let scratch = Scratch::new();
    let text = "model m opset 17, own 1\n%input = input : f32[N,1,8,8]\n%y = own::Nonsense(%input) @\"a\\nb\"\nreturn %y\n";
    let model = scratch.path("lines.onnx");
    intact8::save_model(&text.parse().expect("a model"), model.as_ref())
        .expect("the folder can be written to");
    let found = message(&scratch, &[("model", &model)], &[]);
    assert!(found.contains(r"a\nb"), "{found}");
}

#[test]
fn data_that_do_not_fit_the_model_are_errors() {
    let scratch = Scratch::new();
    let calib = |arrays: &[(&str, Tensor)]| {
        let path = scratch.npz("c.npz", arrays);
        message(&scratch, &[("calib", &path)], &[])
    };
    assert_eq!(
        calib(&[("image", images(2))]),
        "error: c.npz: has no array \"input\", which the model requires; it has \"image\""
    );
    assert_eq!(
        calib(&[("input", Tensor::full(&[2, 1, 8, 8], 1i64))]),
        "error: c.npz: array \"input\": is i64, the model requires f32"
    );
    assert_eq!(
        calib(&[("input", Tensor::full(&[2, 1, 8, 9], 0.5f32))]),
        "error: c.npz: array \"input\": has the shape [2,1,8,9], the model requires f32[N,1,8,8]"
    );
    assert_eq!(calib(&[("input", images(0))]), "error: c.npz: there are no samples");
    let mut nan = images(2);
    nan.values_mut::<f32>().expect("images are f32")[70] = f32::NAN;
    assert_eq!(
        calib(&[("input", nan)]),
        "error: c.npz: array \"input\": sample 1 (from 0) holds NaN; correct the data, or leave the sample out"
    );
    let eval = scratch.npz("e.npz", &[("input", images(3)), ("labels", Tensor::new(&[2], vec![1i64, 2]))]);
    assert_eq!(message(&scratch, &[("eval", &eval)], &[]), "error: e.npz: has 3 samples and 2 labels");
    let eval = scratch.npz("e.npz", &[("input", images(3))]);
    assert_eq!(
        message(&scratch, &[("eval", &eval)], &[]),
        "error: e.npz: has no array \"labels\", which the metric requires"
    );
    let eval = scratch.npz("e.npz", &[("input", images(1)), ("labels", Tensor::new(&[1], vec![0.5f32]))]);
    assert_eq!(
        message(&scratch, &[("eval", &eval)], &[]),
        "error: e.npz: labels must be integers, found f32"
    );
    let text = scratch.text("t.npz", "no archive").display().to_string();
    let found = message(&scratch, &[("calib", &text)], &[]);
    assert!(found.starts_with("error: t.npz: "), "{found}");
}

#[test]
fn configurations_that_do_not_fit_the_model_are_errors() {
    let scratch = Scratch::new();
    let config = |json: &str| {
        let path = scratch.text("c.json", json).display().to_string();
        message(&scratch, &[], &["--config", &path])
    };
    assert_eq!(
        config(r#"{"version": 1, "block1.conv3": {}}"#),
        "error: layer \"block1.conv3\": is not in the model; did you mean \"block1.conv1\""
    );
    assert_eq!(
        config(r#"{"version": 1, "batch": 3}"#),
        "error: c.json: batch: invalid type: integer `3`, expected the keys of a layer, as there is no global key of that name"
    );
    assert!(
        config(r#"{"fc": {"quantize": true}}"#)
            .starts_with("error: c.json: fc: quantize: unknown field `quantize`, expected")
    );
    assert_eq!(
        config(r#"{"fc": {"activation_quant_params": {"search_range": [1.3, 0.7]}}}"#),
        "error: c.json: fc: activation_quant_params: search_range: must be [start, end] with 0 < start < end, found [1.3, 0.7]"
    );
    assert_eq!(
        config(r#"{"batch_num": 100, "fc": {}}"#),
        "error: the calibration data have 8 batches, and batch_num is 100; lower it, or add data"
    );
    assert_eq!(config("{}"), "error: no layer is to be quantized; enable one");
    assert!(config("{").starts_with("error: c.json: EOF while parsing"));
}

#[test]
fn evaluation_commands_that_fail_are_errors() {
    let scratch = Scratch::new();
    let command = |line: &str| message(&scratch, &[], &["--eval-cmd", line]);
    assert_eq!(command("false"), "error: false: failed with exit status: 1");
    let found = command("echo model is");
    assert!(
        found.starts_with(
            "error: echo model is: must print a finite number on its last line, found \"model is "
        ),
        "{found}"
    );
    assert_eq!(command("true"), "error: true: must print a finite number on its last line, found \"\"");
    assert_eq!(
        command("/no/such/program"),
        "error: /no/such/program: can't be run: No such file or directory (os error 2)"
    );
    assert_eq!(
        usage_message(&scratch, &[], &["--eval-cmd", "echo 'open"]),
        "error: echo 'open: the command can't be split into words; check its quotes"
    );
    let persistent = |line: &str| message(&scratch, &[], &["--eval-stays", "--eval-cmd", line]);
    assert_eq!(
        persistent("sh -c 'read path; echo is; exit 3'"),
        "error: sh -c read path; echo is; exit 3: exited with exit status: 3 before it printed a number for a model"
    );
    assert_eq!(
        persistent("sh -c 'read path; echo NaN'"),
        "error: sh -c read path; echo NaN: must print a finite number on its last line, found \"NaN\""
    );
}

#[test]
fn unknown_names_are_errors_that_list_the_known_ones() {
    let scratch = Scratch::new();
    assert_eq!(
        usage_message(&scratch, &[], &["--strategy", "guess"]),
        "error: there is no strategy \"guess\"; use one of \"minimal\", \"anytime\", \"binary-search\", \"gallop\", \"worst-first\", \"greedy\""
    );
    assert_eq!(
        usage_message(&scratch, &[], &["--sensitivity", "speed"]),
        "error: there is no sensitivity \"speed\"; use one of \"cosine\", \"mse\", \"sqnr\", \"kl\", or one of these with the prefix \"output-\""
    );
    assert_eq!(
        usage_message(&scratch, &[], &["--target", "tensorrt", "--deploy", "qdq,qoperator"]),
        "error: tensorrt does not read the deploy format \"qoperator\"; use qdq, or one of the targets onnxruntime-x86, onnxruntime-arm, openvino, generic"
    );
    let run = intact8(&[
        "config",
        &fixture("digits", "model.onnx"),
        "-o",
        &scratch.path("c.json"),
        "--skip",
        "stem.con",
    ]);
    assert_eq!(
        run.stderr,
        "error: skip \"stem.con\": is not a layer that can be quantized; did you mean \"stem.conv\"; see `intact8 inspect`\n"
    );
}

#[test]
fn invalid_goals_and_budgets_are_errors() {
    let scratch = Scratch::new();
    let message = |more: &[&str]| message(&scratch, &[], more);
    let usage = |more: &[&str]| usage_message(&scratch, &[], more);
    let found = usage(&["--metric", "speed"]);
    assert!(
        found.starts_with("error: there is no metric \"speed\"; use one of \"topK\", \"miou\", "),
        "{found}"
    );
    assert_eq!(
        usage(&["--metric", "top1<=1"]),
        "error: metric \"top1<=1\": higher is better here; write top1>= and a number"
    );
    assert_eq!(
        usage(&["--max-drop", "-1"]),
        "error: \"-1\" is not a drop; write 0.01, or 1% of the original's metric"
    );
    assert_eq!(usage(&["--time-budget", "soon"]), "error: \"soon\" is not a duration; write 90s, 15m or 2h");
    assert_eq!(
        message(&["--group", "fc,nothing"]),
        "error: group: \"nothing\" is not a layer of the configuration; see `intact8 inspect`"
    );
    assert_eq!(
        message(&["--group", "fc,stem.conv", "--group", "fc"]),
        "error: fc: is in two groups; name it in one"
    );
    assert_eq!(
        message(&["--metric", "auc"]),
        "error: auc: requires one or two outputs and one label for each sample, found 10 outputs"
    );
    assert_eq!(
        message(&["--metric", "sqnr"]),
        "error: metric \"sqnr\": is compared with the original's own outputs, so a drop is meaningless; write sqnr>= and a number"
    );
    assert_eq!(
        message(&["--metric", "mse=1%"]),
        "error: metric \"mse\": is compared with the original's own outputs, so a drop is meaningless; write mse<= and a number"
    );
    // The original itself misses the goal.
    assert_eq!(
        message(&["--metric", "top1>=0.999"]),
        "error: the original's top1 is 0.994981, and the goal is >=0.999; lower the goal"
    );
}

#[test]
fn journals_of_other_runs_are_errors() {
    let scratch = Scratch::new();
    scratch.text("m_journal.jsonl", "{\"journal\":1,\"run\":\"another\"}\n");
    assert_eq!(
        message(&scratch, &[], &["--resume"]),
        "error: m_journal.jsonl: belongs to another model, configuration, data, goal, target or runtime; begin anew without --resume"
    );
    scratch.text("m_journal.jsonl", "no journal\n");
    assert_eq!(
        message(&scratch, &[], &["--resume"]),
        "error: m_journal.jsonl: is not a journal; begin anew without --resume"
    );
}
