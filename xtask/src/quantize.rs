//! `cargo xtask quantize`: runs `intact8 quantize`, built with optimizations.

use anyhow::Context;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use xshell::{Shell, cmd};

/// The bundled model that needs a search.
const EXAMPLE: &str = "fixtures/models/digits-hard";

/// Runs `intact8 quantize` with `args` in the folder `here`; without arguments on the bundled model, first without and
/// then with the preparation that makes a search unnecessary. The model is so small that it runs about as fast in float, so all
/// of its layers are asked for.
pub(crate) fn quantize(sh: &Shell, here: &Path, args: &[String]) -> anyhow::Result<ExitCode> {
    let program = build(sh)?;
    if !args.is_empty() {
        return run(sh, &program, here, args.to_vec());
    }
    let mut code = ExitCode::SUCCESS;
    for (title, more) in [
        (
            "Without preparation: two layers can't be quantized, and the search finds them.",
            &["--no-equalize", "--no-balance", "--no-correct-bias", "--no-fit-rounding"][..],
        ),
        ("With preparation: after cross-layer equalization every layer can be quantized.", &[]),
    ] {
        writeln!(std::io::stdout(), "{title}\n")?;
        let data = |file: &str| format!("{EXAMPLE}/{file}");
        let args = [&data("model.onnx"), "--calib", &data("calib.npz"), "--eval", &data("eval.npz")];
        let args = args
            .into_iter()
            .chain(["--metric", "top1", "--max-drop", "0.002", "--prefer", "most-int8"])
            .chain(more.iter().copied());
        code = run(sh, &program, &sh.current_dir(), args.map(str::to_owned).collect())?;
        writeln!(std::io::stdout())?;
    }
    Ok(code)
}

fn run(sh: &Shell, program: &Path, here: &Path, mut args: Vec<String>) -> anyhow::Result<ExitCode> {
    // A recipe has a place for the files as well.
    let says_where = |arg: &String| {
        ["-o", "--output", "--save", "--recipe"].iter().any(|option| arg.split('=').next() == Some(option))
    };
    if !args.iter().any(says_where) {
        let model = args.iter().find(|arg| arg.ends_with(".onnx")).map(Path::new).and_then(prefix);
        let save = Path::new("target/quantize").join(model.unwrap_or_else(|| "model".to_owned()));
        let save = if here == sh.current_dir() { save } else { sh.current_dir().join(save) };
        args.extend(["--save".to_owned(), save.display().to_string()]);
    }
    let status = Command::new(program).arg("quantize").args(&args).current_dir(here).status();
    let status = status.with_context(|| program.display().to_string())?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// The prefix of the written files: the name of the model's file, or of its folder if the file is called `model.onnx`.
fn prefix(model: &Path) -> Option<String> {
    let stem = model.file_stem()?.to_string_lossy();
    let folder = model.parent().and_then(Path::file_name).map(|name| name.to_string_lossy());
    Some(if stem == "model" { folder.unwrap_or(stem) } else { stem }.into_owned())
}

/// Builds the `intact8` command and returns its path.
pub(crate) fn build(sh: &Shell) -> anyhow::Result<PathBuf> {
    cmd!(sh, "cargo build --quiet --release --package intact8 --bin intact8").quiet().run()?;
    Ok(built(sh, "intact8"))
}

/// Builds an example of `fixtures` and returns its path.
pub(crate) fn build_example(sh: &Shell, name: &str) -> anyhow::Result<PathBuf> {
    cmd!(sh, "cargo build --quiet --release --package fixtures --example {name}").quiet().run()?;
    Ok(built(sh, &format!("examples/{name}")))
}

fn built(sh: &Shell, program: &str) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| sh.current_dir().join("target"), PathBuf::from);
    target.join("release").join(format!("{program}{}", std::env::consts::EXE_SUFFIX))
}
