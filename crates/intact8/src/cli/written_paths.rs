//! The check that the written files of a command can be written, before hours of work whose result would be lost.

use crate::files::{check_writable, check_writable_folder};
use clap::ArgMatches;
use std::path::{Path, PathBuf};

/// The options that name a written file.
pub(super) const FILES: [&str; 2] = ["output", "json"];

/// The options that name a folder for written files.
const FOLDERS: [&str; 1] = ["dump"];

/// Checks the paths of a command, but for a prefix of files, which the command makes of the name of the model too.
///
/// # Errors
/// If one can't be written.
pub(super) fn check(matches: &ArgMatches) -> anyhow::Result<()> {
    let Some((_, matches)) = matches.subcommand() else { return Ok(()) };
    let paths = |id: &str| -> Vec<PathBuf> {
        let raw = matches.try_get_raw(id).ok().flatten().into_iter().flatten();
        raw.map(PathBuf::from).collect()
    };
    FILES.iter().flat_map(|id| paths(id)).try_for_each(|path| check_writable(&path))?;
    FOLDERS
        .iter()
        .flat_map(|id| paths(id))
        .try_for_each(|path: PathBuf| check_writable_folder(Path::new(&path)))?;
    Ok(())
}
