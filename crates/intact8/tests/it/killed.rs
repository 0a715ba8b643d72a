//! A search that is killed at random moments and resumed writes the same bytes as an uninterrupted one.

use crate::{Scratch, fixture, without_properties};
use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The number of kills; more with `RUN_SLOW_TESTS`.
fn n_kills() -> u32 {
    if std::env::var_os("RUN_SLOW_TESTS").is_some() { 300 } else { 20 }
}

fn start(scratch: &Scratch, more: &[&str]) -> Child {
    let [onnx, calib, eval] =
        ["model.onnx", "calib.npz", "eval.npz"].map(|file| fixture("digits-hard", file));
    let save = scratch.path("m");
    let args =
        ["quantize", &onnx, "--calib", &calib, "--eval", &eval, "--save", &save, "--max-drop", "0.002"];
    let mut command = crate::command();
    command.args(args).args([
        "--no-equalize",
        "--no-balance",
        "--no-correct-bias",
        "--no-fit-rounding",
        "--batch",
        "50",
    ]);
    command.args(more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The written files without reports and journal, which contain times, and without the recipe, which contains paths.
fn results(scratch: &Scratch) -> BTreeMap<String, Vec<u8>> {
    let files = scratch.files().into_iter();
    let others = ["m_report.json", "m_report.html", "m_journal.jsonl", "m_intact8.toml"];
    let results = files.filter(|name| !name.starts_with('.') && !others.contains(&&**name));
    results.map(|name| (name.clone(), std::fs::read(scratch.path(&name)).unwrap())).collect()
}

#[test]
fn a_killed_and_resumed_search_writes_the_same_bytes() {
    let (uninterrupted, killed) = (Scratch::new(), Scratch::new());
    let began = Instant::now();
    assert!(start(&uninterrupted, &[]).wait().unwrap().success());
    let duration = began.elapsed();
    let expected = results(&uninterrupted);
    assert_eq!(expected.len(), 7);

    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for kill in 0..n_kills() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Every fifth time the search begins anew, since a finished search can't be killed.
        if kill % 5 == 0 {
            drop(std::fs::remove_file(killed.path("m_journal.jsonl")));
        }
        let mut child = start(&killed, &["--resume"]);
        std::thread::sleep(
            duration.mul_f64((state >> 40) as f64 / f64::from(1 << 24)).max(Duration::from_millis(1)),
        );
        child.kill().unwrap();
        child.wait().unwrap();
        // Every file is complete; a model gets its properties when it is scored.
        for (name, bytes) in results(&killed) {
            let complete = &expected[&name];
            let is_complete = bytes == *complete || bytes == without_properties(complete);
            assert!(is_complete, "{name} after {} kills", kill + 1);
        }
    }
    assert!(start(&killed, &["--resume"]).wait().unwrap().success());
    assert_eq!(results(&killed), expected);
    let hidden: Vec<String> = killed.files().into_iter().filter(|name| name.starts_with('.')).collect();
    assert_eq!(hidden, [""; 0], "the last run has removed what the killed ones have left");
}
