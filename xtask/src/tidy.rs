//! `cargo xtask tidy`: rules of the project that no lint covers.

use crate::crates::{self, CONFINED};
use anyhow::bail;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// The largest number of lines of a source file: a longer file has two subjects.
const MAX_LINES: usize = 400;

/// Collects all violations, and fails if there are any.
pub(crate) fn tidy(sh: &Shell) -> anyhow::Result<()> {
    let mut broken = Vec::new();
    crates::check(sh, &mut broken)?;
    without_protobuf(sh, &mut broken)?;
    let files = cmd!(sh, "git ls-files --cached --others --exclude-standard").quiet().read()?;
    let files: Vec<PathBuf> = files.lines().map(PathBuf::from).filter(|path| sh.path_exists(path)).collect();
    for path in &files {
        if path.extension().is_some_and(|extension| extension == "rs") {
            source(sh, path, &mut broken)?;
        }
        if path.extension().is_some_and(|extension| extension == "expect") {
            orphan(&files, path, &mut broken);
        }
    }
    passes(sh, &files, &mut broken)?;
    named_files(sh, &mut broken)?;
    if broken.is_empty() { Ok(()) } else { bail!("tidy:\n{}", broken.join("\n")) }
}

/// A program that depends only on the passes must not link protobuf, not even transitively.
fn without_protobuf(sh: &Shell, broken: &mut Vec<String>) -> anyhow::Result<()> {
    let tree = cmd!(sh, "cargo tree --package intact8-quant --edges normal --prefix none").quiet().read()?;
    for (package, _) in CONFINED.iter().filter(|(package, _)| package.ends_with("protobuf")) {
        if tree.lines().any(|line| line.split(' ').next() == Some(package)) {
            broken.push(format!("intact8-quant: links {package}, see `cargo tree`"));
        }
    }
    Ok(())
}

/// Every source file begins with a description, is short, and has a specific name.
fn source(sh: &Shell, path: &Path, broken: &mut Vec<String>) -> anyhow::Result<()> {
    let text = sh.read_file(path)?;
    let shown = path.display();
    if !text.starts_with("//!") && !text.starts_with("#![") {
        broken.push(format!("{shown}: must begin with a //! comment that describes the file"));
    }
    let n_lines = text.lines().count();
    if n_lines > MAX_LINES {
        broken.push(format!("{shown}: has {n_lines} lines, more than {MAX_LINES}; split it"));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    if ["mod", "utils", "util", "common", "helpers", "misc"].contains(&stem.as_ref()) {
        broken.push(format!("{shown}: name the file after its subject"));
    }
    Ok(())
}

/// The files and folders that ARCHITECTURE.md names must exist; `a/{b,c}.rs` names two.
fn named_files(sh: &Shell, broken: &mut Vec<String>) -> anyhow::Result<()> {
    let page = sh.read_file("ARCHITECTURE.md")?;
    let is_path = |word: &&str| word.starts_with("crates/") || word.starts_with("docs/");
    // Every second part of a line is between backticks.
    for word in page.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).filter(is_path) {
        let names =
            match word.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
                Some((before, (names, after))) => {
                    names.split(',').map(|name| format!("{before}{name}{after}")).collect()
                }
                None => vec![word.to_owned()],
            };
        for missing in names.iter().filter(|name| !sh.path_exists(name)) {
            broken.push(format!("ARCHITECTURE.md: names {missing}, which does not exist"));
        }
    }
    Ok(())
}

/// An `.expect` file must have a case beside it.
fn orphan(files: &[PathBuf], path: &Path, broken: &mut Vec<String>) {
    let is_case = |other: &&PathBuf| *other != path && other.with_extension("") == path.with_extension("");
    if !files.iter().any(|other| is_case(&other)) {
        broken.push(format!("{}: has no case beside it", path.display()));
    }
}

/// A pass must have its file's name, cases, and a heading in the docs.
fn passes(sh: &Shell, files: &[PathBuf], broken: &mut Vec<String>) -> anyhow::Result<()> {
    let page = sh.read_file("docs/passes.md")?;
    for path in files.iter().filter(|path| path.parent() == Some(Path::new("crates/quant/src/passes"))) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-");
        if !sh.read_file(path)?.contains(&format!("\"{name}\"")) {
            broken.push(format!("{}: the pass must be called {name:?}, like its file", path.display()));
        }
        let folder = Path::new("fixtures/passes").join(&name);
        if !files.iter().any(|file| file.starts_with(&folder) && file.extension().is_some_and(|e| e == "qir"))
        {
            broken.push(format!("{}: the pass has no case", folder.display()));
        }
        if !page.contains(&format!("\n## {name}\n")) {
            broken.push(format!("docs/passes.md: {name} is missing; UPDATE_EXPECT=1 cargo test -p fixtures"));
        }
    }
    Ok(())
}
