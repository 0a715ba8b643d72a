//! A search whose trials run on workers writes the bytes of a search in one process, also if workers die.

use crate::{Scratch, fixture};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

fn files() -> [String; 3] {
    ["model.onnx", "calib.npz", "eval.npz"].map(|file| fixture("digits-hard", file))
}

/// The written files of a search without reports and journal, which contain times.
fn search(more: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let scratch = Scratch::new();
    let ([model, calib, eval], save) = (files(), scratch.path("m"));
    let args = [
        "quantize",
        &model,
        "--calib",
        &calib,
        "--eval",
        &eval,
        "--save",
        &save,
        "--max-drop",
        "0.002",
        "-q",
    ];
    let plain = ["--no-equalize", "--no-balance", "--no-correct-bias", "--no-fit-rounding", "--batch", "20"];
    let output = crate::command().args(args).args(plain).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let with_times = ["m_report.json", "m_report.html", "m_journal.jsonl", "m_intact8.toml"];
    let names =
        scratch.files().into_iter().filter(|name| !name.starts_with('.') && !with_times.contains(&&**name));
    names.map(|name| (name.clone(), std::fs::read(scratch.path(&name)).unwrap())).collect()
}

fn worker(folder: &str) -> Child {
    let [model, _, eval] = files();
    let args = ["work", folder, &model, "--eval", &eval, "--batch", "20"];
    crate::command().args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn workers_change_nothing_in_a_search_and_neither_does_their_death() {
    let expected = search(&[]);
    let scratch = Scratch::new();
    let folder = scratch.path("work");
    std::fs::create_dir(&folder).unwrap();
    let mut killed = worker(&folder);
    let others = [worker(&folder), worker(&folder)];
    let found = std::thread::scope(|scope| {
        let search = scope.spawn(|| search(&["--workers", &folder]));
        // As soon as there are results, one worker is killed.
        while !has_results(Path::new(&folder)) {
            assert!(!search.is_finished(), "no chunk was written");
            std::thread::sleep(Duration::from_millis(1));
        }
        killed.kill().unwrap();
        search.join().unwrap()
    });
    killed.wait().unwrap();
    let n_chunks: Vec<String> = others
        .map(|worker| {
            let output = worker.wait_with_output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        })
        .to_vec();
    assert!(n_chunks.iter().any(|printed| !printed.starts_with('0')), "{n_chunks:?}");
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, found) in &found {
        assert!(*found == expected[name], "{name} differs");
    }
}

fn has_results(folder: &Path) -> bool {
    let models =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    models.into_iter().any(|model| {
        let names = std::fs::read_dir(model).unwrap().map(|entry| entry.unwrap().file_name());
        names.into_iter().any(|name| name.to_string_lossy().ends_with(".samples"))
    })
}

#[test]
fn a_worker_with_other_data_is_refused_and_a_folder_is_used_once() {
    let (scratch, [model, calib, eval]) = (Scratch::new(), files());
    let folder = scratch.path("work");
    search(&["--workers", &folder]);
    let args = ["work", &folder, &model, "--eval", &eval, "--batch", "20", "--metric", "top3"];
    let output = crate::command().args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("work: is of the metrics top1, and not top3; use what belongs together"),
        "{stderr}"
    );
    let args = [
        "quantize",
        &model,
        "--calib",
        &calib,
        "--eval",
        &eval,
        "--workers",
        &folder,
        "-q",
        "--save",
        &scratch.path("m"),
    ];
    let output = crate::command().args(args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("work: is of another run; name a folder of its own for each run"), "{stderr}");
}
