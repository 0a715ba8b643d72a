//! Recipes that are read, that are written, and what is wrong with others.

use super::*;
use clap::Args;
use std::path::Path;

fn program() -> Command {
    let quantize = crate::cli::quantize::Args::augment_args(Command::new(SUBCOMMAND));
    Command::new("intact8").subcommand(quantize)
}

/// The command line of a recipe and further words.
fn expanded(recipe: &str, more: &[&str]) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.toml");
    std::fs::write(&path, recipe).unwrap();
    let words = ["intact8", "quantize", "--recipe", path.to_str().unwrap()];
    let words: Vec<OsString> = words.iter().chain(more).map(OsString::from).collect();
    match with_recipe(&program(), &words) {
        Ok(ExpandedWords { words: found, .. }) => {
            let added = &found[2..found.len() - words.len() + 2];
            Ok(added.iter().map(|word| word.to_str().unwrap().to_owned()).collect())
        }
        Err(error) => Err(error.to_string().rsplit_once("r.toml: ").unwrap().1.to_owned()),
    }
}

#[test]
fn options_are_words_of_the_command_line() {
    let recipe = "\
model = \"-m.onnx\"
no-bench = true
keep-best = false
[data]
calib = \"c.npz\"
mean = [-1, 2.5]
batch = 8
[accuracy]
metric = [\"top1=1%\", \"sqnr>=30\"]
[search]
ladder = true
";
    let expected = [
        "./-m.onnx",
        "--no-bench",
        "--calib=c.npz",
        "--mean=-1",
        "--mean=2.5",
        "--batch=8",
        "--metric=top1=1%",
        "--metric=sqnr>=30",
        "--ladder",
    ];
    assert_eq!(expanded(recipe, &[]).unwrap(), expected);
}

#[test]
fn the_command_line_takes_the_place_of_options_and_of_those_that_it_excludes() {
    let recipe = "eval = \"e.npz\"\nmetric = \"top5\"\nbatch = 8\nsave = \"out/a\"\n";
    assert_eq!(
        expanded(recipe, &["--batch", "4"]).unwrap(),
        ["--eval=e.npz", "--metric=top5", "--output=out/a"]
    );
    assert_eq!(expanded(recipe, &["--eval-cmd", "score", "-o", "b"]).unwrap(), ["--batch=8"]);
    // Also of what has no effect beside a typed one, or by it.
    let recipe = "metric = \"top1\"\nmax-drop = 0.01\ncontrib = true\ndeploy = \"qoperator\"\n";
    let no_drop = ["--contrib", "--deploy=qoperator"];
    assert_eq!(expanded(recipe, &["--metric", "sqnr>=20"]).unwrap(), no_drop);
    assert_eq!(
        expanded(recipe, &["--metric", "sqnr>=20", "--metric", "top5"]).unwrap(),
        ["--max-drop=0.01", "--contrib", "--deploy=qoperator"]
    );
    assert_eq!(expanded(recipe, &["--deploy", "qdq"]).unwrap(), ["--metric=top1", "--max-drop=0.01"]);
    let recipe = "metric = [\"top1=1%\", \"sqnr>=20\"]\n";
    assert_eq!(expanded(recipe, &["--max-drop", "2%"]).unwrap(), ["--metric=top1", "--metric=sqnr>=20"]);
    let recipe = "metric = [\"top1=1%\", \"top5\"]\n";
    assert_eq!(expanded(recipe, &["--max-drop", "2%"]).unwrap(), ["--metric=top1=1%", "--metric=top5"]);
    let recipe = "eval-cmd = \"score\"\neval-stays = true\neval-timeout = \"5s\"\n";
    assert_eq!(expanded(recipe, &["--eval", "e.npz"]).unwrap(), [""; 0]);
    assert_eq!(expanded(recipe, &["--eval-cmd", "s"]).unwrap(), ["--eval-stays", "--eval-timeout=5s"]);
    let recipe = "eval = \"e.npz\"\nmetric = \"top5\"\nbatch = 8\nsave = \"out/a\"\n";
    // What is wrong in the words themselves is left to the parser.
    assert_eq!(expanded(recipe, &["--no-such-option"]).unwrap(), [""; 0]);
}

#[test]
fn what_is_wrong_is_one_line_with_the_key() {
    for (recipe, expected) in [
        (
            "max_drop = 1",
            "there is no option \"max_drop\"; did you mean \"max-drop\"; see `intact8 help quantize`",
        ),
        ("recipe = \"x\"", "there is no option \"recipe\"; did you mean"),
        (
            "[serach]\nbatch = 1",
            "there is no section [serach]; did you mean \"search\"; sections are the headings",
        ),
        ("batch = \"many\"", "batch: invalid value 'many' for '--batch <N>': "),
        ("batch = [1, 2]", "batch: expected a string or a number, found [1, 2]"),
        ("resume = \"yes\"", "resume: expected true or false, found \"yes\""),
        ("calib = true", "calib: expected a string or a number, found true"),
        ("record-format = \"amtc\"", "record-format: invalid value 'amtc' for '--record-format <FORMAT>'; "),
        ("batch = 1\n[data]\nbatch = 2", "batch: is given twice"),
        ("eval = \"e\"\neval-cmd = \"c\"", "eval: can't be used with eval-cmd; omit one or the other"),
        ("batch = 1\nbatch = 2", "line 2: "),
        ("a = \n", "line 1: "),
    ] {
        let found = expanded(recipe, &[]).unwrap_err();
        assert!(found.starts_with(expected) && !found.contains('\n'), "{recipe}: {found}");
    }
}

#[test]
fn what_excludes_each_other_is_listed_in_one_line() {
    let recipe = "model = \"m\"\ncalib = \"c\"\nno-eval = true\nmax-drop = \"1%\"\nmetric = [\"top1\"]\n";
    let found = expanded(recipe, &[]).unwrap_err();
    assert!(found == "no-eval: can't be used with max-drop and metric; omit one or the other", "{found}");
}

/// The recipe that a command line writes.
fn written(words: &[&str]) -> WrittenRecipe {
    let program = program();
    let matches = program.clone().try_get_matches_from([&["intact8", "quantize"], words].concat()).unwrap();
    WrittenRecipe::of(
        program.find_subcommand(SUBCOMMAND).unwrap(),
        matches.subcommand_matches(SUBCOMMAND).unwrap(),
        vec![],
    )
}

#[test]
fn a_written_recipe_has_what_was_given_and_the_defaults_that_decide() {
    let mut recipe = written(&[
        "m.onnx",
        "--calib",
        "c.npz",
        "--eval-cmd",
        "score 'a b'",
        "--skip",
        "a*",
        "--skip",
        "b",
        "--mean=1,-2.5",
        "-q",
        "--resume",
        "--keep-best",
    ]);
    recipe.decide("accuracy", "max-drop", "0.01");
    let text = recipe.text(Path::new("out/m x.toml"));
    assert!(text.starts_with("# The options of a run of intact8 "), "{text}");
    assert!(text.contains("`intact8 quantize --recipe 'out/m x.toml'` repeats it.\n"), "{text}");
    for line in [
        "model = \"m.onnx\"",
        "calib = \"c.npz\"",
        "mean = [1, -2.5]",
        "eval-cmd = \"score 'a b'\"",
        "max-drop = 0.01",
        "skip = [\"a*\", \"b\"]",
        "strategy = \"minimal\"",
        "keep-best = true",
        "deploy = [\"qdq\"]",
        "threads = 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    for word in ["metric", "quiet", "resume", "progress", "no-bench"] {
        assert!(!text.lines().any(|line| line.starts_with(word)), "{word}: {text}");
    }
    // The words that it stands for are parsed to the same options.
    let read = expanded(&text, &[]).unwrap();
    let again = written(&read.iter().map(String::as_str).collect::<Vec<_>>());
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&again.text(Path::new("out/m x.toml"))), sorted(&text));
}

#[test]
fn a_file_with_the_same_options_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.toml");
    let recipe = written(&["m.onnx", "--calib", "c.npz", "--eval", "e.npz"]);
    assert!(!recipe.is_that_of(&path));
    std::fs::write(&path, format!("# mine\n{}", recipe.text(&path))).unwrap();
    assert!(recipe.is_that_of(&path));
    assert!(!written(&["m.onnx", "--calib", "d.npz", "--eval", "e.npz"]).is_that_of(&path));
}
