//! `intact8 completions` and `intact8 man`: what a shell and `man` know about the command, generated from its options.

use super::{ExitCode, print_line};
use anyhow::Context;
use clap::Command;
use clap_complete::Shell;
use std::path::PathBuf;

/// Print completions for a shell
///
/// Example: intact8 completions bash > ~/.local/share/bash-completion/completions/intact8
#[derive(clap::Args)]
pub(crate) struct CompletionArgs {
    /// The shell: bash, elvish, fish, powershell or zsh
    #[arg(hide_possible_values = true)]
    shell: Shell,
}

pub(crate) fn completions(args: &CompletionArgs, mut command: Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "intact8", &mut script);
    print_line(String::from_utf8(script)?.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Write man pages, one for each subcommand
///
/// Example: intact8 man ~/.local/share/man/man1
#[derive(clap::Args)]
pub(crate) struct ManArgs {
    /// The folder, which is created if it is not there
    folder: PathBuf,
}

pub(crate) fn man(args: &ManArgs, command: Command) -> anyhow::Result<ExitCode> {
    let context = || args.folder.display().to_string();
    std::fs::create_dir_all(&args.folder).with_context(context)?;
    clap_mangen::generate_to(command, &args.folder).with_context(context)?;
    print_line(&format!("wrote {}", args.folder.display()));
    Ok(ExitCode::SUCCESS)
}
