//! `intact8 opt`: passes by name, on both kinds of files.

use crate::{Scratch, fixture, intact8};

const MODEL: &str = "\
model m opset 17
%x = input : f32[N,2]
%one = const [1.0] : f32[1]
%two = Neg(%one)
%i = Identity(%x)
%y = Mul(%i, %two)
return %y
";

fn text_model(scratch: &Scratch) -> String {
    let path = scratch.path("m.qir");
    std::fs::write(&path, MODEL).unwrap();
    path
}

#[test]
fn passes_run_by_name_and_the_text_is_printed() {
    let scratch = Scratch::new();
    let model = text_model(&scratch);
    let run = intact8(&["opt", &model, "--pass", "fold-constants,remove-no-ops", "--time"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let folded = "model m opset 17\n%x = input : f32[N,2]\n%two = const [-1.0] : f32[1]\n%y = Mul(%x, %two)\nreturn %y\n";
    assert_eq!(run.stdout, folded);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert!(lines[0].starts_with("fold-constants: changed, ") && lines[0].ends_with(" ms"), "{lines:?}");
    assert!(lines[1].starts_with("remove-no-ops: changed, "), "{lines:?}");
    let run = intact8(&["opt", &model]);
    assert_eq!(run.stdout, MODEL);
}

#[test]
fn a_model_is_printed_after_the_passes_that_were_named() {
    let scratch = Scratch::new();
    let model = text_model(&scratch);
    let names = "fold-constants,remove-no-ops";
    let run = intact8(&["opt", &model, "--pass", names, "--print-after", "fold-constants"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let after = run.stdout.strip_prefix("// after fold-constants\n").unwrap();
    assert!(after.contains("%i = Identity(%x)") && after.contains("%two = const"), "{after}");
    let run = intact8(&["opt", &model, "--pass", "trim", "--print-after", "fold-constants"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("is not among those of --pass"), "{}", run.stderr);
}

#[test]
fn both_kinds_of_files_hold_the_same_model() {
    let scratch = Scratch::new();
    let [text, onnx, again] = ["t.qir", "o.onnx", "again.qir"].map(|name| scratch.path(name));
    let digits = fixture("digits", "model.onnx");
    let passes = ["--pass", "name-nodes,fold-constants,infer-shapes"];
    for (from, to) in [(&digits, &text), (&text, &onnx), (&onnx, &again)] {
        let run = intact8(&["opt", from, passes[0], passes[1], "-o", to]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    let read = |path: &str| std::fs::read(path).unwrap();
    assert_eq!(read(&text), read(&again));
    assert_eq!(read(&(text.clone() + ".data")), read(&(again + ".data")));
    let inline = scratch.path("inline.qir");
    assert_eq!(intact8(&["opt", &text, "-o", &inline, "--inline-constants"]).code, 0);
    assert!(!scratch.files().contains(&"inline.qir.data".to_owned()));
    let printed = |path: &str| intact8(&["opt", path, "--inline-constants"]).stdout;
    assert_eq!(printed(&inline), printed(&text));
}

#[test]
fn an_unknown_pass_is_an_error_with_the_nearest_name() {
    let scratch = Scratch::new();
    let run = intact8(&["opt", &text_model(&scratch), "--pass", "fold-constnats"]);
    assert_eq!(run.code, 2);
    let expected =
        "there is no pass \"fold-constnats\"; did you mean \"fold-constants\"; the passes are name-nodes, ";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    let list = intact8(&["opt", "--list"]).stdout;
    assert!(
        list.lines().any(|line| line.starts_with("fold-constants ") && line.contains("computes")),
        "{list}"
    );
}

#[test]
fn a_text_form_without_its_data_is_refused() {
    let scratch = Scratch::new();
    let text = scratch.path("t.qir");
    assert_eq!(intact8(&["opt", &fixture("digits", "model.onnx"), "-o", &text]).code, 0);
    std::fs::remove_file(text.clone() + ".data").unwrap();
    let run = intact8(&["opt", &text]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("the constant is in a data file, which is missing"), "{}", run.stderr);
}
