//! The check that no command replaces a file that it reads.

use super::usage_error::UsageError;
use super::written_paths::FILES;
use clap::ArgMatches;
use std::ffi::OsStr;
use std::path::PathBuf;

/// The arguments whose files a command may replace by what it makes of them: states of a calibration, and merged shards.
const CONTINUED: [(&str, &str); 2] = [("calibrate", "stats"), ("merge", "files")];

/// Checks that no written file of a command is one of its other arguments, under any name.
///
/// # Errors
/// An error in the words of the command line, if one is.
pub(super) fn check(matches: &ArgMatches) -> anyhow::Result<()> {
    let Some((command, matches)) = matches.subcommand() else { return Ok(()) };
    let values = |id: &str| matches.try_get_raw(id).ok().flatten().into_iter().flatten();
    let file = |value: &OsStr| PathBuf::from(value).canonicalize().ok().filter(|path| path.is_file());
    for written in FILES {
        for value in values(written) {
            let Some(path) = file(value) else { continue };
            let read = matches
                .ids()
                .map(clap::Id::as_str)
                .filter(|id| !FILES.contains(id) && !CONTINUED.contains(&(command, id)));
            for id in read {
                if values(id).any(|value| file(value).is_some_and(|read| read == path)) {
                    let value = value.display();
                    let message =
                        format!("--{written} {value}: the command reads this file; name another one");
                    return Err(UsageError::new(message).into());
                }
            }
        }
    }
    Ok(())
}
