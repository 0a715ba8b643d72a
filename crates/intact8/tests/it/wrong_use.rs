//! Wrong use of data, metrics and goals: each is an error or a message that says what to do, and no score.

use crate::bad_input::{message, usage_message};
use crate::command::{json, prepared, quantize};
use crate::{Run, Scratch, fixture, intact8};
use intact8::Tensor;
use intact8::data::read_npz;

/// An array of the bundled data.
fn array(file: &str, name: &str) -> Tensor {
    read_npz(fixture("digits", file).as_ref()).unwrap()[name].whole().unwrap()
}

/// The bundled images as bytes from 0 to 255.
fn bytes(file: &str) -> Tensor {
    let images = array(file, "input");
    let values = images.values::<f32>().unwrap().iter().map(|&value| (value * 255.0).round() as u8);
    Tensor::new(images.shape(), values.collect())
}

/// Quantizes the bundled model once with data of one's own.
fn with_data(scratch: &Scratch, calib: &str, eval: &str, more: &[&str]) -> Run {
    let (onnx, save) = (fixture("digits", "model.onnx"), scratch.path("m"));
    let args = ["quantize", &onnx, "--calib", calib, "--eval", eval, "--save", &save, "--no-fit-rounding"];
    intact8(&[&args[..], more].concat())
}

#[test]
fn bytes_require_means_in_their_unit() {
    let scratch = Scratch::new();
    let calib = scratch.npz("c.npz", &[("input", bytes("calib.npz"))]);
    let eval = scratch.npz("e.npz", &[("input", bytes("eval.npz")), ("labels", array("eval.npz", "labels"))]);
    let message = |more: &[&str]| message(&scratch, &[("calib", &calib), ("eval", &eval)], more);
    assert_eq!(
        message(&[]),
        "error: c.npz: array \"input\": is uint8, the model requires f32; pass the --mean and --std of its training, in \
         units of the bytes, or --raw-bytes to feed 0 to 255"
    );
    assert_eq!(
        message(&["--mean", "0", "--std", "0.5"]),
        "error: c.npz: array \"input\": is uint8 from 0 to 255, and --mean and --std are for values from 0 to 1; multiply \
         them by 255: --mean 0 --std 127.5"
    );
    let run = with_data(&scratch, &calib, &eval, &["--mean", "0", "--std", "255"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.starts_with("input: uint8 0..255 → f32 0..1\n"), "{}", run.stdout);
    let run = with_data(&scratch, &calib, &eval, &["--raw-bytes", "--allow-chance", "--max-drop", "99%"]);
    assert!(run.stdout.starts_with("input: uint8 0..255 → f32 0..255\n"), "{}{}", run.stdout, run.stderr);
}

#[test]
fn what_is_fed_is_said_before_the_search() {
    let scratch = Scratch::new();
    let images = array("calib.npz", "input");
    let doubles = images.values::<f32>().unwrap().iter().map(|&value| f64::from(value)).collect();
    let calib = scratch.npz("c.npz", &[("input", Tensor::new(images.shape(), doubles))]);
    let labels = array("eval.npz", "labels");
    let eval = scratch.npz("e.npz", &[("input", bytes("eval.npz")), ("labels", labels)]);
    let run = with_data(&scratch, &calib, &eval, &["--mean", "0", "--std", "255"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.starts_with("input: f64 0..1 → f32 0..1\n"), "{}", run.stdout);
    let remark = "c.npz: array \"input\" is f64, not uint8 for a float input, so --mean is not applied\n";
    assert!(run.stderr.contains(remark), "{}", run.stderr);
}

#[test]
fn an_option_without_effect_on_any_data_is_refused_by_every_command() {
    let scratch = Scratch::new();
    let [onnx, calib, eval] = ["model.onnx", "calib.npz", "eval.npz"].map(|file| fixture("digits", file));
    let (m, out) = (scratch.path("m"), scratch.path("out"));
    let commands: [&[&str]; 8] = [
        &["quantize", &onnx, "--calib", &calib, "--eval", &eval, "-o", &m],
        &["quantize", &onnx, "--calib", &calib, "--no-eval", "-o", &m],
        &["calibrate", &onnx, "--calib", &calib, "-o", &out],
        &["score", &onnx, "--eval", &eval, "--no-bench"],
        &["compare", &onnx, &onnx, "--input", &eval],
        &["run", &onnx, "--input", &eval, "--output", &out],
        &["bench", &onnx, "--input", &eval],
        &["work", &m, &onnx, "--eval", &eval],
    ];
    for command in commands {
        for option in [
            ["--mean", "0.5"].as_slice(),
            &["--std", "2"],
            &["--raw-bytes"],
            &["--raw-shape", "9x9"],
            &["--classes", "names.txt"],
            &["--layout", "nhwc"],
        ] {
            let run = intact8(&[command, option].concat());
            let expected = format!(": {} has no effect: ", option[0]);
            assert!(run.code == 1 && run.stderr.contains(&expected), "{command:?}: {}", run.stderr);
            assert!(run.stderr.ends_with("; omit it\n"), "{}", run.stderr);
        }
    }
    assert_eq!(scratch.files(), [""; 0]);
    // Without data no option for them has an effect.
    for command in [&["bench", &onnx][..], &["run", &onnx, "--profile"]] {
        let run = intact8(&[command, &["--raw-shape", "9x9"]].concat());
        let expected = "--raw-shape has no effect without --input; add it, or omit --raw-shape\n";
        assert!(run.code == 2 && run.stderr.ends_with(expected), "{command:?}: {}", run.stderr);
    }
}

#[test]
fn what_is_given_twice_or_judges_nothing_is_refused() {
    let scratch = Scratch::new();
    let message = |more: &[&str]| usage_message(&scratch, &[], more);
    assert_eq!(
        message(&["--metric", "top1", "--metric", "top1=2%"]),
        "error: metric \"top1\" is given twice"
    );
    assert_eq!(message(&["--deploy", "qdq,integer,qdq"]), "error: deploy: qdq is given twice");
    let [onnx, eval] = ["model.onnx", "eval.npz"].map(|file| fixture("digits", file));
    let score = |metrics: &[&str]| {
        let run = intact8(&[&["score", &onnx, "--eval", &eval, "--no-bench"], metrics].concat());
        (run.code, run.stderr)
    };
    let (code, message) = score(&["--metric", "top1=1%"]);
    assert!(code == 2 && message.contains("has a goal, and score judges nothing"), "{message}");
    let (code, message) = score(&["--metric", "top1", "--metric", "top1"]);
    assert!(code == 2 && message.contains("metric \"top1\" is given twice"), "{message}");
}

#[test]
fn labels_that_are_no_classes_of_the_output_are_errors() {
    let scratch = Scratch::new();
    let images = Tensor::full(&[2, 1, 8, 8], 0.5f32);
    let message = |labels: Vec<i64>, metric: &str| {
        let labels = Tensor::new(&[2], labels);
        let eval = scratch.npz("e.npz", &[("input", images.clone()), ("labels", labels)]);
        message(&scratch, &[("eval", &eval)], &["--metric", metric])
    };
    assert_eq!(
        message(vec![3, 10], "top1"),
        "error: top1: the label 10 is none of the classes 0 to 9 of the model's first output; labels count from 0, and \
         belong to the first output"
    );
    assert!(
        message(vec![-1, 2], "top1").starts_with("error: top1: the label -1 is none of the classes 0 to 9")
    );
    assert_eq!(
        message(vec![3, 4], "top10"),
        "error: top10: is always 1, as the model has 10 outputs; use a smaller K"
    );
}

/// Quantizes a model with the input `x` and given outputs.
pub(crate) fn of_text(scratch: &Scratch, text: &str, x: Tensor, labels: Vec<i64>, more: &[&str]) -> Run {
    let model = scratch.path("model.onnx");
    intact8::save_model(&text.parse().unwrap(), model.as_ref()).unwrap();
    let labels = Tensor::new(&[labels.len()], labels);
    let data = scratch.npz("data.npz", &[("x", x), ("labels", labels)]);
    let save = scratch.path("m");
    let args = ["quantize", &model, "--calib", &data, "--eval", &data, "--save", &save];
    intact8(&[&args[..], more].concat())
}

#[test]
fn accuracy_requires_an_output_with_a_value_for_each_class() {
    let scratch = Scratch::new();
    let x = || Tensor::new(&[2, 2], vec![1.0f32, 2.0, -1.0, 0.5]);
    let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 2.0] : f32[2,1]\n%y = MatMul(%x, %w) @fc\nreturn %y\n";
    let run = of_text(&scratch, text, x(), vec![0, 0], &[]);
    assert_eq!(
        (run.code, run.stderr.lines().last().unwrap_or_default()),
        (1, "error: top1: is always 1, as the model has 1 output; use auc, or a smaller K")
    );
    let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const splat(1.0) : f32[2,6]\n%h = MatMul(%x, %w) @fc\n\
                %s = const [-1, 2, 3] : i64[3]\n%y = Reshape(%h, %s)\nreturn %y\n";
    let run = of_text(&scratch, text, x(), vec![0, 0], &[]);
    let line = "error: top1: requires one value for each class, found an output of the shape [2, 2, 3]; make the output with \
                the classes the first one\n";
    assert!(run.code == 1 && run.stderr.ends_with(line), "{}", run.stderr);
}

#[test]
fn an_original_at_chance_level_is_refused_or_warned_of() {
    let scratch = Scratch::new();
    let labels = Tensor::full(&[797], 3i64);
    let eval = scratch.npz("e.npz", &[("input", array("eval.npz", "input")), ("labels", labels)]);
    let found = message(&scratch, &[("eval", &eval)], &[]);
    assert!(
        found.starts_with("error: the original's top1 is 0.1")
            && found.contains("at chance level (0.100000, ±0.010627 on 797 samples)"),
        "{found}"
    );
    assert!(found.ends_with("; --allow-chance accepts it"), "{found}");
    let run = with_data(&scratch, &fixture("digits", "calib.npz"), &eval, &["--allow-chance"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let warning = run.stdout.lines().nth(1).unwrap();
    assert!(warning.starts_with("warning: the original's top1 is 0.1"), "{}", run.stdout);
    assert_eq!(json(&scratch, "m_report.json")["warnings"].as_array().unwrap().len(), 1);
}

#[cfg(unix)]
#[test]
fn a_command_that_prints_zero_for_the_original_is_refused() {
    let scratch = Scratch::new();
    let found = message(&scratch, &[], &["--eval-cmd", "sh -c 'echo 0'"]);
    assert!(found.starts_with("error: the original's metric is 0; check the preprocessing"), "{found}");
    let [onnx, calib] = ["model.onnx", "calib.npz"].map(|file| fixture("digits", file));
    let save = scratch.path("m");
    let args = [
        "quantize",
        &onnx,
        "--calib",
        &calib,
        "--eval-cmd",
        "sh -c 'echo 0'",
        "--save",
        &save,
        "--allow-chance",
    ];
    let run = intact8(&args);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("\nwarning: the original's metric is 0\n"), "{}", run.stdout);
}

#[test]
fn a_drop_of_the_whole_metric_is_refused() {
    let scratch = Scratch::new();
    let message = |more: &[&str]| message(&scratch, &[], more);
    let whole = "1 is a drop of the whole metric; 1 % is written 1%";
    let usage = |more: &[&str]| usage_message(&scratch, &[], more);
    assert_eq!(usage(&["--max-drop", "1"]), format!("error: {whole}"));
    assert_eq!(usage(&["--metric", "top1=1"]), format!("error: metric \"top1=1\": {whole}"));
    assert_eq!(
        message(&["--max-drop", "0.999"]),
        "error: top1: 0.999 is a drop of the whole metric, which is 0.9949811794228356 for the original; every model \
         meets it; allow a smaller one"
    );
    if cfg!(unix) {
        assert_eq!(
            message(&["--eval-cmd", "sh -c 'echo 0.76'", "--max-drop", "1"]),
            "error: metric: 1 is a drop of the whole metric, which is 0.76 for the original; 1 % is written 1%"
        );
    }
}

#[test]
fn a_configuration_uses_all_batches_unless_it_names_a_number() {
    let scratch = Scratch::new();
    let config = scratch.path("c.json");
    let onnx = fixture("digits", "model.onnx");
    assert_eq!(intact8(&["config", &onnx, "-o", &config]).code, 0);
    assert!(json(&scratch, "c.json").get("batch_num").is_none());
    assert_eq!(prepared(&scratch, "digits", &[]).code, 0);
    let deployed = || std::fs::read(scratch.path("m_deploy_model.onnx")).unwrap();
    let without = deployed();
    let run = prepared(&scratch, "digits", &["--config", &config]);
    assert!(run.code == 0 && !run.stderr.contains("batch_num"), "{}", run.stderr);
    assert!(deployed() == without, "the written configuration is the default");
    let one = ["config", &onnx, "-o", &config, "--force", "--batch-num", "1"];
    assert_eq!(intact8(&one).code, 0);
    let run = prepared(&scratch, "digits", &["--config", &config]);
    let line = "batch_num is 1: the calibration uses 1 of 8 batches; remove batch_num from the configuration to use all\n";
    assert!(run.stderr.starts_with(line), "{}", run.stderr);
    let none = scratch.text("none.json", r#"{"batch_num": 0, "fc": {}}"#).display().to_string();
    assert_eq!(
        message(&scratch, &[], &["--config", &none]),
        "error: none.json: batch_num must be at least 1; omit it to use all batches"
    );
    let many = scratch.text("many.json", r#"{"batch_num": 9223372036854775807, "fc": {}}"#);
    assert_eq!(
        message(&scratch, &[], &["--config", &many.display().to_string()]),
        "error: many.json: batch_num must be at most 4294967295; omit it to use all batches"
    );
}

#[test]
fn a_missed_bound_is_reported_by_its_value() {
    let scratch = Scratch::new();
    let run = quantize(&scratch, "digits-hard", &["--metric", "sqnr>=80"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let first = run.stderr.lines().next().unwrap();
    assert!(
        first.contains("layers rolled back sqnr is ") && first.contains(" dB at best (target >=80)"),
        "{first}"
    );
    assert!(!run.stdout.contains("loss") && !run.stderr.contains("loss"), "{}{}", run.stdout, run.stderr);
}

#[test]
fn kernels_are_chosen_by_a_known_word() {
    let run = |word: &str| {
        let onnx = fixture("digits", "model.onnx");
        let output = crate::command().args(["inspect", &onnx]).env("INTACT8_KERNELS", word).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run("portable").0, Some(0));
    let (code, message) = run("sse");
    assert_ne!(code, Some(0));
    let (start, end) =
        ("error: INTACT8_KERNELS: \"sse\" names no kernels; choose one of ", "portable, reference\n");
    assert!(
        message.starts_with(start) && message.ends_with(end) && message.lines().count() == 1,
        "{message}"
    );
}
