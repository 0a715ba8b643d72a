//! Files of work that is shared: parts of a calibration or of a scoring, and what they are merged to.
//!
//! A file starts with a line of text that names its kind and version, so that `head -1` tells what it is. The rest is the content in
//! postcard's format, and a hash of it. Files of other versions, and files that do not belong together, are refused by name.

mod byte_string;
mod calibration;
mod data_identity;
mod from_environment;
mod merging;
mod score;
mod states_in_file;

pub use calibration::{CalibrationFile, CalibrationTask};
pub use data_identity::DataIdentity;
pub use from_environment::shard_of_environment;
pub use score::{ScoreFile, ScoreTask};

use crate::files::write_file;
use intact8_calibrate::Shard;
use intact8_ir::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Read;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Merges the shards of one task into a file, and returns what is merged, in words. They are those of a calibration, with the file that
/// they go on from, or of a scoring.
///
/// # Errors
/// If the files do not belong together, one is missing, or a file can't be read or written.
pub fn merge_shards(files: &[PathBuf], output: &Path) -> Result<String> {
    if let Some(first) = files.first()
        && starts_as(first, score::PART)?
    {
        ScoreFile::merge(files)?.write(output)?;
        return Ok(format!("{} shards of a scoring", files.len()));
    }
    let merged = CalibrationFile::merge(files)?;
    merged.write(output)?;
    let passes: Vec<&str> = merged.states.passes.iter().map(|state| state.pass.name()).collect();
    Ok(format!("passes made: {}", passes.join(", ")))
}

/// Whether a file starts as one of that kind does.
fn starts_as(path: &Path, kind: &str) -> Result<bool> {
    let mut start = Vec::new();
    let file = std::fs::File::open(path).and_then(|file| file.take(80).read_to_end(&mut start));
    file.map_err(|error| Error::io(error).at(path.display()))?;
    Ok(is_of_kind(&start, kind))
}

/// The version of the format of all kinds of files.
const VERSION: u32 = 1;

/// What a file holds, as its first line has it.
fn first_line(kind: &str) -> String {
    format!("intact8 {kind}, version {VERSION}\n")
}

pub(crate) use read as read_file;
pub(crate) use write as write_to;

/// Writes content of a kind.
pub(crate) fn write<T: Serialize>(path: &Path, kind: &str, content: &T) -> Result<()> {
    write_file(path, &bytes(kind, content)?)
}

/// The bytes of a file with content of a kind.
fn bytes<T: Serialize>(kind: &str, content: &T) -> Result<Vec<u8>> {
    let content = postcard::to_stdvec(content)
        .map_err(|error| Error::invalid_data(format!("can't be written: {error}")))?;
    let hash = xxh3_64(&content).to_le_bytes();
    Ok([first_line(kind).as_bytes(), &hash, &content].concat())
}

/// Whether a file starts as one of that kind does, of any version.
fn is_of_kind(bytes: &[u8], kind: &str) -> bool {
    bytes.starts_with(format!("intact8 {kind}, version ").as_bytes())
}

/// Reads content of a kind.
///
/// # Errors
/// If the file can't be read, is of another kind or version, or is damaged.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, kind: &str) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(error).at(path.display()))?;
    parsed(&bytes, kind).map_err(|error| error.at(path.display()))
}

fn parsed<T: DeserializeOwned>(bytes: &[u8], kind: &str) -> Result<T> {
    let Some(rest) = bytes.strip_prefix(first_line(kind).as_bytes()) else {
        let first = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let first =
            std::str::from_utf8(first).ok().filter(|line| line.starts_with("intact8 ") && line.len() < 80);
        let is = first.map_or("is no such file".to_owned(), |line| format!("is {line:?}"));
        let expected = first_line(kind);
        return Err(Error::invalid_data(format!("{is}; this intact8 reads {:?} here", expected.trim_end())));
    };
    let damaged = || Error::invalid_data("is damaged or incomplete; make it again");
    let (hash, content) = rest.split_at_checked(8).ok_or_else(damaged)?;
    if xxh3_64(content).to_le_bytes() != hash {
        return Err(damaged());
    }
    postcard::from_bytes(content).map_err(|_| damaged())
}

/// Checks that these are all shards of one task, each once.
///
/// # Errors
/// If they are parts of different numbers, or one is missing or doubled.
fn check_complete(shards: &[(PathBuf, Shard)]) -> Result<()> {
    let Some((first_path, first)) = shards.first() else {
        return Err(Error::invalid_data("there is no shard to merge"));
    };
    let mut known: Vec<Option<&Path>> = vec![None; first.of()];
    for (path, shard) in shards {
        if shard.of() != first.of() {
            return Err(Error::invalid_data(format!(
                "is shard {shard}, and {} is shard {first}; merge the shards of one split",
                first_path.display()
            ))
            .at(path.display()));
        }
        if let Some(other) = known[shard.index()].replace(path) {
            let message = format!("is shard {shard}, as is {}; omit one of them", other.display());
            return Err(Error::invalid_data(message).at(path.display()));
        }
    }
    let missing = known.iter().enumerate().filter(|(_, path)| path.is_none());
    let missing: Vec<String> = missing.map(|(index, _)| format!("{}/{}", index + 1, first.of())).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let shown = missing.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let further = missing.len().saturating_sub(5);
    let further = if further > 0 { format!(" and {further} more") } else { String::new() };
    let (noun, verb) = if missing.len() == 1 { ("shard", "is") } else { ("shards", "are") };
    Err(Error::invalid_data(format!("{noun} {shown}{further} {verb} missing; make and add them")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_kinds_versions_and_lengths_are_refused() {
        let good = bytes("calibration", &vec![1u32, 2, 300]).unwrap();
        assert_eq!(parsed::<Vec<u32>>(&good, "calibration").unwrap(), [1, 2, 300]);
        let message = |bytes: &[u8], kind: &str| parsed::<Vec<u32>>(bytes, kind).unwrap_err().to_string();
        assert_eq!(
            message(&good, "score"),
            "is \"intact8 calibration, version 1\"; this intact8 reads \"intact8 score, version 1\" here"
        );
        assert!(message(b"\x08\x07", "score").starts_with("is no such file; "));
        let newer = [b"intact8 score, version 2\n", &good[..]].concat();
        assert!(message(&newer, "score").starts_with("is \"intact8 score, version 2\"; "));
        for length in [1, 3, 6, 12].map(|n_cut| good.len() - n_cut) {
            assert_eq!(message(&good[..length], "calibration"), "is damaged or incomplete; make it again");
        }
        let mut changed = good;
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(message(&changed, "calibration"), "is damaged or incomplete; make it again");
    }

    #[test]
    fn missing_doubled_and_foreign_shards_are_named() {
        let check = |shards: &[&str]| {
            let named = shards.iter().enumerate();
            let named =
                named.map(|(idx, shard)| (PathBuf::from(format!("{idx}.stats")), shard.parse().unwrap()));
            check_complete(&named.collect::<Vec<_>>()).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["2/3", "3/3", "1/3"]), Ok(()));
        assert_eq!(check(&["1/3", "3/3"]), Err("shard 2/3 is missing; make and add them".to_owned()));
        let missing = check(&["4/9"]).unwrap_err();
        assert_eq!(missing, "shards 1/9, 2/9, 3/9, 5/9, 6/9 and 3 more are missing; make and add them");
        let doubled = check(&["1/2", "2/2", "1/2"]).unwrap_err();
        assert_eq!(doubled, "2.stats: is shard 1/2, as is 0.stats; omit one of them");
        let foreign = check(&["1/2", "2/3"]).unwrap_err();
        assert_eq!(foreign, "1.stats: is shard 2/3, and 0.stats is shard 1/2; merge the shards of one split");
        assert!(check(&[]).is_err());
    }
}
