//! What is scored: the deploy file in every format, and the option for runtimes without any library.

use crate::bad_input::usage_message;
use crate::command::json;
use crate::{Scratch, fixture, intact8};

/// Quantizes `digits-hard` with a command that scores files by their content, in a shell where `$1` is the path, `$n` the size, and
/// `$q` whether QuantizeLinear is in it.
fn scored_by(scratch: &Scratch, script: &str, more: &[&str]) -> crate::Run {
    let head = "n=$(wc -c < $1); q=no; grep -q QuantizeLinear $1 && q=yes";
    let command = format!("sh {}", scratch.text("score.sh", &format!("{head}\n{script}\n")).display());
    let [onnx, calib] = ["model.onnx", "calib.npz"].map(|file| fixture("digits-hard", file));
    let save = scratch.path("m");
    let args = ["quantize", &onnx, "--calib", &calib, "--eval-cmd", &command, "--save", &save];
    intact8(&[&args[..], &["--no-equalize", "--no-balance", "--no-fit-rounding"], more].concat())
}

/// The sizes of the float file and of the files of all layers quantized.
fn sizes(deploy: &str) -> [u64; 3] {
    let scratch = Scratch::new();
    let run = scored_by(&scratch, "echo 1", &["--deploy", deploy]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let last = match deploy.rsplit_once(',') {
        Some((_, format)) => format!("m_deploy_{format}_model.onnx"),
        None => "m_deploy_model.onnx".to_owned(),
    };
    let size = |path: &str| std::fs::metadata(path).expect("the file is written").len();
    [&fixture("digits-hard", "model.onnx"), &scratch.path("m_fake_quant_model.onnx"), &scratch.path(&last)]
        .map(|path| size(path))
}

#[test]
fn a_deploy_file_that_misses_sends_the_search_on_though_its_simulation_meets() {
    let [float, simulation, deploy] = sizes("qdq");
    assert!(simulation > float / 2 && deploy < float / 2, "{simulation} and {deploy} of {float}");
    // The float model and all simulations meet the target, deploy files only if a layer is in float.
    let script = format!("if [ $q = yes ] && [ $n -le {deploy} ]; then echo 0; else echo 1; fi");
    for more in [&[][..], &["--eval-simulation"]] {
        let scratch = Scratch::new();
        let run = scored_by(&scratch, &script, more);
        assert_eq!(run.code, 0, "{more:?}: {}", run.stderr);
        let report = json(&scratch, "m_report.json");
        assert_eq!(report["trials"][0]["satisfied"], false, "{more:?}");
        assert_eq!(report["trials"][0]["metric"], 0.0, "{more:?}");
        assert!(!report["rolled_back"].as_array().expect("it is a list").is_empty(), "{more:?}");
        let saved = report["rescored"].as_array().expect("it is a list");
        assert!(saved.iter().all(|saved| saved["satisfied"] == true), "{more:?}: {saved:?}");
        let path = scratch.path("m_deploy_model.onnx");
        let score = std::process::Command::new("sh").args([&scratch.path("score.sh"), &path]).output();
        assert_eq!(score.expect("sh runs").stdout, b"1\n", "{more:?}");
    }
}

#[test]
fn a_simulation_that_misses_is_a_remark() {
    let [float, ..] = sizes("qdq");
    let script = format!("if [ $q = yes ] && [ $n -gt $(({float} / 2)) ]; then echo 0; else echo 1; fi");
    let scratch = Scratch::new();
    let run = scored_by(&scratch, &script, &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let remark = "m_fake_quant_model.onnx: misses the target, with a loss of 1.000000 (target 0.01); the deploy \
                  model meets it, and is the one that runs";
    assert!(run.stderr.contains(remark), "{}", run.stderr);
    let report = json(&scratch, "m_report.json");
    assert_eq!(
        (&report["target_met"], &report["rescored"][0]["satisfied"], &report["rescored"][1]["satisfied"]),
        (&true.into(), &false.into(), &true.into())
    );
    // With the option it counts, up to the last layer.
    let scratch = Scratch::new();
    assert_eq!(scored_by(&scratch, &script, &["--eval-simulation"]).code, 3);
}

#[test]
fn a_trial_meets_the_target_only_in_every_deploy_format() {
    let [.., integer] = sizes("qdq,integer");
    let script = format!("if grep -q ConvInteger $1 && [ $n -le {integer} ]; then echo 0; else echo 1; fi");
    let scratch = Scratch::new();
    let run = scored_by(&scratch, &script, &["--deploy", "qdq,integer"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report = json(&scratch, "m_report.json");
    assert_eq!(report["trials"][0]["satisfied"], false);
    let saved = report["rescored"].as_array().expect("it is a list");
    assert!(saved.len() == 3 && saved.iter().all(|saved| saved["satisfied"] == true), "{saved:?}");
}

#[test]
fn a_runtime_that_can_not_be_used_is_one_line() {
    let scratch = Scratch::new();
    let text = scratch.text("libonnxruntime.so", "no library").display().to_string();
    let message_with = |code: i32, runtime: &str| {
        let run = intact8(&["bench", &fixture("digits", "model.onnx"), "--runtime", runtime]);
        assert_eq!((run.code, run.stderr.lines().count()), (code, 1), "{}", run.stderr);
        run.stderr
    };
    let message = |runtime: &str| message_with(1, runtime);
    // A wrong name is an error of usage, a library that is missing is not.
    let found = message_with(2, "onnxruntim");
    assert!(
        found.contains(
            "--runtime: there is no runtime \"onnxruntim\"; did you mean \"onnxruntime\"; the runtimes of this build are \
             onnxruntime, openvino"
        ),
        "{found}"
    );
    let found = message("onnxruntime=/no/such/folder");
    assert!(found.contains("ONNX Runtime: /no/such/folder: does not exist, so it has no "), "{found}");
    let found = message(&format!("onnxruntime={text}"));
    assert!(
        found.contains("libonnxruntime.so: can't be loaded: ") && found.contains("--runtime none"),
        "{found}"
    );
    let found = message(&format!("openvino={text}"));
    assert!(found.contains("libonnxruntime.so: can't be loaded: "), "{found}");
}

#[test]
fn a_format_that_the_runtime_does_not_run_is_refused_before_anything_is_measured() {
    let scratch = Scratch::new();
    let more = ["--target", "ascend", "--deploy", "ascend", "--runtime", "onnxruntime=/no/such/folder"];
    assert_eq!(
        usage_message(&scratch, &[], &more),
        "error: ONNX Runtime does not run the deploy format ascend, and can't score it; omit --runtime, and our \
         interpreter does"
    );
}

#[test]
fn latencies_are_measured_in_turns_and_compared_with_the_first() {
    let scratch = Scratch::new();
    let (model, table) = (fixture("digits", "model.onnx"), scratch.path("bench.json"));
    let run = intact8(&["bench", &model, &model, "--seconds", "0.1", "--batch", "4", "--json", &table]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.starts_with("the interpreter of intact8, 1 thread, batch 4, random inputs\n"),
        "{}",
        run.stdout
    );
    let found = json(&scratch, "bench.json");
    assert_eq!((&found["batch"], &found["models"][0]["speedup"]), (&4.into(), &1.0.into()));
    let [least, median] =
        ["least_ms", "median_ms"].map(|key| found["models"][1][key].as_f64().expect("a number"));
    assert!(0.0 < least && least <= median, "{found}");
    let data = fixture("digits", "eval.npz");
    let run = intact8(&["bench", &model, "--seconds", "0.1", "--batch", "4", "--input", &data]);
    assert!(run.stdout.starts_with("the interpreter of intact8, 1 thread, batch 4\n"), "{}", run.stdout);
}

#[test]
fn every_model_is_measured_in_every_runtime_that_is_named() {
    let scratch = Scratch::new();
    let (model, table) = (fixture("digits", "model.onnx"), scratch.path("bench.json"));
    let two = ["--runtime", "none", "--runtime", "none"];
    let args = ["bench", &model, &model, "--seconds", "0.05", "--threads", "2", "--json", &table];
    let run = intact8(&[&args[..], &two].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let ours = "the interpreter of intact8";
    assert!(run.stdout.starts_with(&format!("{ours} and {ours}, 2 threads, batch 1, ")), "{}", run.stdout);
    assert!(run.stdout.contains(" runtime "), "{}", run.stdout);
    let found = json(&scratch, "bench.json");
    let rows = found["models"].as_array().expect("a list");
    assert!(rows.len() == 4 && rows.iter().all(|row| row["runtime"] == ours), "{found}");
}

#[test]
fn a_profile_has_every_node_and_operator() {
    let scratch = Scratch::new();
    let (model, table) = (fixture("digits-hard", "model.onnx"), scratch.path("profile.json"));
    let args =
        ["run", &model, "--profile", "--seconds", "0.05", "--batch", "4", "--top", "2", "--json", &table];
    let run = intact8(&args);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.starts_with("1 thread, batch 4, random inputs, "), "{}", run.stdout);
    assert!(run.stdout.contains("\npeak: ") && run.stdout.contains("--json writes all\n"), "{}", run.stdout);
    let found = json(&scratch, "profile.json");
    let list = |key: &str| found[key].as_array().expect("a list").clone();
    let sum = |key: &str, field: &str| -> f64 {
        list(key).iter().map(|row| row[field].as_f64().expect("a number")).sum()
    };
    assert!((sum("operators", "share") - 1.0).abs() < 1e-6 && (sum("nodes", "share") - 1.0).abs() < 1e-6);
    assert_eq!(sum("operators", "calls"), list("nodes").len() as f64, "{found}");
    // 24 to 16 channels, 3x3, on 4x4 pixels of 4 samples.
    let nodes = list("nodes");
    let conv = nodes.iter().find(|node| node["node"] == "block4.conv2").expect("it runs");
    let operator = "intact8.lowered::BlockedConv".into();
    assert_eq!((&conv["operator"], &conv["multiply_adds"]), (&operator, &(4 * 24 * 16 * 9 * 16).into()));
    assert!(conv["giga_operations_per_second"].as_f64() > Some(0.0), "{conv}");
    let change = nodes.iter().find(|node| node["operator"] == "intact8.lowered::Unblock").expect("it runs");
    assert!(change["multiply_adds"].is_null() && change["part_of_peak"].is_null(), "{change}");
    // With data in place of random numbers, and without a file.
    let data = fixture("digits-hard", "eval.npz");
    let run = intact8(&["run", &model, "--profile", "--seconds", "0.05", "--input", &data]);
    assert!(
        run.stdout.starts_with("1 thread, batch 32, ") && run.stdout.contains(" runs: "),
        "{}",
        run.stdout
    );
}

#[test]
fn the_lowered_model_is_printed() {
    let model = fixture("digits-hard", "model.onnx");
    let run = intact8(&["run", &model, "--print-compiled"]);
    assert!(
        run.stdout.starts_with("model ") && run.stdout.contains("= intact8.lowered::BlockedConv("),
        "{}",
        run.stdout
    );
    let run = intact8(&["run", &model, "--print-compiled", "--profile"]);
    assert!(run.stderr.contains("cannot be used with"), "{}", run.stderr);
}

#[test]
fn a_profile_writes_no_outputs() {
    let model = fixture("digits", "model.onnx");
    for wrong in [
        &["--output", "out.npz"][..],
        &["--tap", "x"],
        &["--runtime", "onnxruntime"],
        &["--seconds", "nan"],
        &["--threads", "0"],
    ] {
        let run = intact8(&[&["run", &model, "--profile"], wrong].concat());
        assert!(run.code != 0 && run.stdout.is_empty() && run.stderr.contains(wrong[0]), "{}", run.stderr);
    }
    // Without a profile its options are errors, and data and output are required.
    for (args, expected) in
        [(&["--json", "p.json"][..], "--profile"), (&[], "--input"), (&["--input", "x"], "--output")]
    {
        let run = intact8(&[&["run", &model], args].concat());
        assert!(run.code == 2 && run.stderr.contains(expected), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn a_command_measures_the_latency_elsewhere() {
    let scratch = Scratch::new();
    let bench = scratch.text("bench.sh", "if grep -q QuantizeLinear $1; then echo 1.5; else echo 3; fi\n");
    let bench = format!("sh {}", bench.display());
    let run = scored_by(&scratch, "echo 1", &["--bench-cmd", &bench]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("--bench-cmd: 3.00 ms float, 1.50 ms int8 (2.00x)\n"), "{}", run.stdout);
    assert_eq!(json(&scratch, "m_report.json")["latency"]["speedup"], 2.0);
    let run = scored_by(&scratch, "echo 1", &["--bench-cmd", "false"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("warning: the latency is not measured: false: failed with"),
        "{}",
        run.stderr
    );
}
