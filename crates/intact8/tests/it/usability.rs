//! Options that lack another one, names that are nearly right, and files that must not be lost: each gets the line that helps.

use crate::bad_input::{message, usage_message};
use crate::command::{json, prepared, quantize};
use crate::{Scratch, fixture, intact8};

/// The error line of `quantize` with calibration data and further options only.
fn refused(more: &[&str]) -> String {
    let scratch = Scratch::new();
    let [onnx, calib] = ["model.onnx", "calib.npz"].map(|file| fixture("digits", file));
    let save = scratch.path("m");
    let run = intact8(&[&["quantize", &onnx, "--calib", &calib, "--save", &save], more].concat());
    assert_eq!((run.code, run.stderr.lines().count()), (2, 1), "{}", run.stderr);
    run.stderr.trim_end().to_owned()
}

#[test]
fn options_that_lack_another_one_name_it() {
    assert_eq!(
        refused(&[]),
        "error: nothing to score the models with; add --eval EVAL.npz and a --metric, or --eval-cmd CMD, or use --no-eval \
         to quantize without an accuracy target"
    );
    let eval = fixture("digits", "eval.npz");
    assert_eq!(
        refused(&["--eval", &eval, "--eval-stays"]),
        "error: --eval-stays is for a command; add --eval-cmd CMD, or omit --eval-stays"
    );
    assert!(refused(&["--eval", &eval, "--eval-timeout", "5s"]).contains("--eval-timeout is for a command"));
    assert_eq!(
        refused(&["--eval", &eval, "--contrib"]),
        "error: --contrib is for the format qoperator; add --deploy qoperator, or omit --contrib"
    );
    assert_eq!(
        refused(&["--eval", &eval, "--deploy", "ascend"]),
        "error: onnxruntime-x86 does not read the deploy format \"ascend\"; use qdq, qoperator or integer, or one of the \
         targets ascend, generic"
    );
    assert_eq!(
        refused(&["--eval-cmd", "CUDA=0 python score.py"]),
        "error: --eval-cmd: CUDA=0 python score.py: no shell runs the command, so \"CUDA=0\" is taken for a program; write env CUDA=0 \
         python score.py"
    );
}

#[test]
fn names_that_are_nearly_right_are_suggested() {
    let scratch = Scratch::new();
    let found = usage_message(&scratch, &[], &["--metric", "accuracy"]);
    assert!(
        found.starts_with("error: there is no metric \"accuracy\"; top1 is accuracy; use one of "),
        "{found}"
    );
    for (name, meant) in [("TensorRT", "tensorrt"), ("trt", "tensorrt"), ("onnxruntime", "onnxruntime-x86")] {
        let found = usage_message(&scratch, &[], &["--target", name]);
        let expected = format!("error: there is no target {name:?}; did you mean {meant:?}; use one of ");
        assert!(found.starts_with(&expected), "{found}");
    }
    let found = usage_message(&scratch, &[], &["--strategy", "minimum"]);
    assert!(found.contains("did you mean \"minimal\""), "{found}");
    let definition =
        scratch.text("short.cfg", "common_config : { arq_quantise : { } }").display().to_string();
    let config = scratch.path("c.json");
    let run =
        intact8(&["config", &fixture("digits", "model.onnx"), "-o", &config, "--definition", &definition]);
    let expected =
        "short.cfg: line 1: there is no field \"arq_quantise\" here; did you mean \"arq_quantize\"\n";
    assert!(run.code == 1 && run.stderr.ends_with(expected), "{}", run.stderr);
}

#[test]
fn data_in_other_formats_get_a_line_on_how_to_write_them() {
    let scratch = Scratch::new();
    let table = scratch.text("data.parquet", "PAR1").display().to_string();
    let found = message(&scratch, &[("calib", &table)], &[]);
    assert!(found.starts_with("error: data.parquet: is no .npz file ("), "{found}");
    assert!(found.contains("numpy.savez(\"data.npz\", INPUT=array)"), "{found}");
    assert!(found.ends_with("docs/your-data.md has what else is read"), "{found}");
    let image = scratch.text("photo.jpg", "\u{7f}JFIF").display().to_string();
    let found = message(&scratch, &[("calib", &image)], &["--raw-bytes", "-q"]);
    assert_eq!(found, "error: photo.jpg: is no image; known are JPEG, PNG, WebP, BMP and PNM");
    std::fs::create_dir(scratch.path("empty")).unwrap();
    let found = message(&scratch, &[("calib", &scratch.path("empty"))], &[]);
    assert!(
        found.starts_with("error: empty: holds no .npz, .npy or .safetensors file and no image; save"),
        "{found}"
    );
}

#[test]
fn a_skipped_layer_stays_in_float() {
    let scratch = Scratch::new();
    let run = prepared(&scratch, "digits", &["--skip-layer", "fc", "--skip-layer", "block1.add"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report = json(&scratch, "m_report.json");
    let in_float = ["block1.add", "fc"].map(|layer| report["arithmetic"][layer] == "float");
    assert_eq!(in_float, [true; 2]);
    // A third layer, whose result only `fc` uses, is in float in ONNX Runtime.
    assert_eq!(report["counts"]["final"]["float"], 3);
    assert_eq!(
        message(&scratch, &[], &["--skip-layer", "x"]),
        "error: skip \"x\": is not a layer that can be quantized; see `intact8 inspect`"
    );
}

#[test]
fn the_printed_command_goes_on_with_the_search() {
    let scratch = Scratch::new();
    let run = quantize(&scratch, "digits-hard", &["--max-drop", "0.002", "--max-trials", "2"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let advice = run.stderr.lines().last().unwrap().strip_prefix("to continue, run: ").unwrap();
    let words = shlex::split(advice).unwrap();
    let run = intact8(&words[1..].iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(run.code, 0, "{advice}: {}", run.stderr);
    let report = json(&scratch, "m_report.json");
    assert_eq!((&report["recalled"], report["trials"].as_array().unwrap().len()), (&2.into(), 4));
}

#[test]
fn an_existing_configuration_is_replaced_only_by_force() {
    let scratch = Scratch::new();
    let (onnx, config) = (fixture("digits", "model.onnx"), scratch.text("c.json", "mine"));
    let config = config.display().to_string();
    let run = intact8(&["config", &onnx, "-o", &config]);
    let expected =
        format!("error: {config}: exists; name another file with -o, or replace it with --force\n");
    assert_eq!((run.code, run.stderr), (1, expected));
    assert_eq!(std::fs::read_to_string(&config).unwrap(), "mine");
    assert_eq!(intact8(&["config", &onnx, "-o", &config, "--force"]).code, 0);
    assert!(json(&scratch, "c.json")["fc"].is_object());
}

#[test]
fn the_results_of_two_models_are_in_one_folder() {
    let scratch = Scratch::new();
    let quantized = |model: &str, prefix: &str| {
        let [onnx, calib, eval] = ["model.onnx", "calib.npz", "eval.npz"].map(|file| fixture(model, file));
        let save = scratch.path(prefix);
        intact8(&["quantize", &onnx, "--calib", &calib, "--eval", &eval, "--no-fit-rounding", "-o", &save])
    };
    let of_a = || {
        let files = scratch.files().into_iter().filter(|file| file.starts_with("a_"));
        files.map(|file| std::fs::read(scratch.path(&file)).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(quantized("digits", "a").code, 0);
    let (files, before) = (scratch.files(), of_a());
    assert_eq!(quantized("digits-hard", "b").code, 0);
    assert!(of_a() == before && scratch.files().len() == 2 * files.len());
    assert_eq!(quantized("digits-hard", "b").code, 0);
    assert!(of_a() == before && scratch.files().len() == 2 * files.len());
    // The same prefix.
    let run = quantized("digits-hard", "a");
    assert!(
        run.code == 1 && run.stderr.contains("a_report.json: is the result of another model, "),
        "{}",
        run.stderr
    );
    assert!(of_a() == before);
    assert_eq!(quantized("digits", "a").code, 0, "the result of the same model is replaced");
}

#[test]
fn files_of_others_are_replaced_by_force_only() {
    let scratch = Scratch::new();
    let own = scratch.text("m_deploy_model.onnx", "a file of the user");
    let run = prepared(&scratch, "digits", &["--max-drop", "1%"]);
    assert!(
        run.code == 1
            && run.stderr.contains("m_deploy_model.onnx: exists, and is not the result of an earlier run"),
        "{}",
        run.stderr
    );
    assert_eq!(std::fs::read_to_string(&own).unwrap(), "a file of the user");
    assert_eq!(prepared(&scratch, "digits", &["--max-drop", "1%", "--force"]).code, 0);
    assert_ne!(std::fs::read(&own).unwrap(), b"a file of the user");
    assert_eq!(prepared(&scratch, "digits", &["--max-drop", "1%"]).code, 0, "an own result is replaced");
}

#[test]
fn the_first_lines_are_the_result() {
    let scratch = Scratch::new();
    let run = prepared(&scratch, "digits", &["--max-drop", "1%"]);
    let lines: Vec<&str> =
        run.stdout.lines().skip_while(|line| !line.starts_with("target")).take(4).collect();
    let [verdict, layers, gain, ship] = lines[..] else { panic!("{}", run.stdout) };
    assert!(
        verdict.starts_with("target met: top1 0.99") && verdict.contains(" of 1%, 95 % interval "),
        "{verdict}"
    );
    assert!(
        layers.starts_with("layers: int8 ") && layers.contains(" % of multiply-adds in int8)"),
        "{layers}"
    );
    assert!(gain.ends_with("x smaller"), "{gain}");
    assert_eq!(ship, format!("ship: {}", scratch.path("m_deploy_model.onnx")));
    let last = run.stdout.lines().rfind(|line| !line.trim().is_empty()).unwrap();
    assert!(last.contains("m_fake_quant_model.onnx") && last.contains("for inspection only"), "{last}");
    let run = prepared(&scratch, "digits", &["--metric", "sqnr>=150"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stdout.contains("target missed: sqnr "), "{}", run.stdout);
    assert!(run.stderr.contains("--resume --keep-best"), "{}", run.stderr);
}

#[test]
fn the_help_fits_into_80_columns() {
    for command in [
        "quantize",
        "bench",
        "config",
        "compare",
        "convert",
        "convert-qat",
        "inspect",
        "opt",
        "print",
        "run",
        "completions",
        "man",
    ] {
        let run = intact8(&["help", command]);
        let longest = run.stdout.lines().map(|line| line.chars().count()).max();
        assert!(run.code == 0 && longest <= Some(80), "{command}: {longest:?}");
    }
    let run = intact8(&["help", "quantize"]);
    for heading in
        ["Data:", "Accuracy:", "Speed:", "Layers:", "Search:", "Preparation:", "Output:", "Memory:"]
    {
        assert!(run.stdout.contains(&format!("\n{heading}\n")), "{heading}");
    }
}

#[test]
fn a_pipe_gets_a_line_for_each_stage_and_trial() {
    let scratch = Scratch::new();
    let run = quantize(&scratch, "digits-hard", &["--max-drop", "0.002", "--progress", "auto"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let stages = [
        "preparing the model\n",
        "scoring the original\n",
        "calibrating: observing the layers\n",
        "scoring with all 13 layers quantized\n",
        "trial 1: missed with 0 of 13 layers in float, top1 0.8",
        "ranking the layers\n",
        "; best so far: none\n",
        "trial 2, about ",
        ": met with 2 of 13 layers in float, top1 0.99",
        "with 1 of 13 layers in float, about top1 0.",
        "; best so far: 2 in float\n",
        "verifying the file of the deploy model\n",
    ];
    assert!(!run.stderr.contains("rounding weights"), "a stage that does nothing: {}", run.stderr);
    let mut rest = &*run.stderr;
    for stage in ["preparing", "scoring the original", "observing", "trial 1", "ranking", "verifying"] {
        rest = &rest[rest.find(stage).unwrap_or_else(|| panic!("{stage}: {}", run.stderr))..];
    }
    stages.iter().for_each(|stage| assert!(run.stderr.contains(stage), "{stage}: {}", run.stderr));
    let verbose = quantize(&scratch, "digits-hard", &["--max-drop", "0.002", "-v"]);
    assert!(
        verbose.stderr.contains("prepare: fold-batch-norm has changed the model\n"),
        "{}",
        verbose.stderr
    );
    assert!(verbose.stderr.contains("in float: block1.conv2, block4.conv2\n"), "{}", verbose.stderr);
}

#[test]
fn a_quiet_run_prints_the_result_alone() {
    let scratch = Scratch::new();
    let run = quantize(&scratch, "digits", &["-q", "--progress", "plain"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.starts_with("target met: ") && run.stdout.lines().count() <= 4, "{}", run.stdout);
    assert!(run.stderr.lines().all(|line| line.starts_with("warning: ")), "{}", run.stderr);
    // Colours are for terminals, unless they are asked for.
    let colored = intact8(&["--color", "always", "run", "absent.onnx", "--input", "x", "--output", "y"]);
    assert!(
        colored.stderr.starts_with("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m absent.onnx: "),
        "{:?}",
        colored.stderr
    );
    let plain = intact8(&["run", "absent.onnx", "--input", "x", "--output", "y"]);
    assert!(plain.stderr.starts_with("error: absent.onnx: "), "{:?}", plain.stderr);
}

#[test]
fn completions_and_man_pages_have_every_option() {
    let scratch = Scratch::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = intact8(&["completions", shell]);
        assert!(
            run.code == 0 && run.stdout.contains("skip-type") && run.stdout.contains("convert-qat"),
            "{shell}"
        );
    }
    let folder = scratch.path("man1");
    assert_eq!(intact8(&["man", &folder]).code, 0);
    let page = std::fs::read_to_string(format!("{folder}/intact8-quantize.1")).unwrap();
    assert!(page.contains("max\\-drop"), "{page}");
}

#[test]
fn inspect_shows_the_plan_for_a_target() {
    let model = fixture("digits", "model.onnx");
    let run = intact8(&[
        "inspect",
        &model,
        "--target",
        "onnxruntime-x86",
        "--prefer",
        "most-int8",
        "--skip",
        "stem*",
        "--json",
        "-",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let found: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let layers = found["layers"].as_array().unwrap();
    let stem = layers.iter().find(|layer| layer["name"] == "stem.conv").unwrap();
    assert_eq!(stem["plan"]["arithmetic"], "float");
    assert_eq!(stem["plan"]["reason"], "left out by the selection");
    let conv = layers.iter().find(|layer| layer["name"] == "block1.conv1").unwrap();
    assert_eq!(conv["plan"]["arithmetic"], "int8");
    let table = intact8(&["inspect", &model, "--target", "generic", "--shape", "input=4x1x8x8"]);
    assert!(table.stdout.contains("on the target") && table.stdout.contains("4x16x8x8"), "{}", table.stderr);
    let refused = intact8(&["inspect", &model, "--skip", "fc"]);
    assert_eq!(
        (refused.code, &*refused.stderr),
        (2, "error: a selection of layers has no effect without --target NAME\n")
    );
}
