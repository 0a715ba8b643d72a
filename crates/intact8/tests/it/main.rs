//! Tests of the command: its output, the files that it writes, and its exit codes.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod amct;
mod arithmetic;
mod bad_input;
mod command;
mod compare;
mod convert;
mod counts;
mod data;
mod hostile;
mod images;
mod kept_float;
mod killed;
mod memory;
mod opt;
mod options;
mod other_floats;
mod overwritten;
mod recipe;
mod reports;
mod runtime;
#[cfg(unix)]
mod save_path;
mod shard_scores;
mod shards;
mod sharing;
#[cfg(unix)]
mod streams;
mod trust;
mod usability;
mod usage;
mod workers;
mod written_paths;
mod wrong_data;
mod wrong_use;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The result of a run of the command.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

/// A program whose runs do not depend on the runtimes of the machine.
fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("INTACT8_RUNTIME", "none");
    command
}

/// The command.
fn command() -> Command {
    program(env!("CARGO_BIN_EXE_intact8"))
}

/// Runs the command without progress. Networks as small as the tests' run faster in float on the default target; so, unless a test
/// states a preference, all of their layers are quantized.
fn intact8(args: &[&str]) -> Run {
    let mut args = args.to_vec();
    if args[0] == "quantize" && !args.contains(&"--progress") {
        args.extend(["--progress", "never"]);
    }
    if ["quantize", "config"].contains(&args[0]) && !args.contains(&"--prefer") && !args.contains(&"--config")
    {
        args.extend(["--prefer", "most-int8"]);
    }
    let output = command().args(&args).output().expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    let code = output.status.code().expect("the command ends by itself");
    Run { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A model's file without the properties of its score, which `quantize` appends when it has scored the file.
fn without_properties(model: &[u8]) -> &[u8] {
    // The first of them as a field of the model: its number, and the lengths of the property and of its key.
    let first = b"\x72\x19\x0a\x14intact8.layers.float";
    let is_first = |at: &usize| model[*at..].get(4..first.len()) == first.get(4..) && model[*at] == first[0];
    let start = (0..model.len()).rev().find(is_first);
    &model[..start.unwrap_or(model.len())]
}

/// The path of a file of a bundled model.
fn fixture(model: &str, file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(model);
    folder.join(file).display().to_string()
}

/// A temporary folder.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Scratch {
        Scratch(tempfile::tempdir().expect("there is a temporary folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// The names of the files in the folder, sorted.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).expect("the folder is there");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("is there").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    /// Writes an `.npz` and returns its path.
    fn npz(&self, name: &str, arrays: &[(&str, intact8::Tensor)]) -> String {
        let path = self.path(name);
        let file = std::fs::File::create(&path).expect("the folder can be written to");
        let arrays = arrays.iter().map(|(name, tensor)| (*name, tensor));
        intact8::data::write_npz(std::io::BufWriter::new(file), arrays).expect("the arrays can be written");
        path
    }

    /// Writes a text file and returns its path.
    fn text(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("the folder can be written to");
        path
    }
}
