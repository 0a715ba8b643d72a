//! Temporary files and folders. Their names begin with `.intact8-`, and the process that uses one holds a lock on it, so that
//! the leftovers of a killed process can be told from those in use.

use std::fs::File;
use std::io::Result;
use std::path::Path;
use tempfile::{Builder, NamedTempFile, TempDir};

/// The beginning of the names.
pub(crate) const PREFIX: &str = ".intact8-";

/// A new file in a folder, with the permissions of the user's mask.
pub(crate) fn temporary_file(folder: &Path) -> Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX);
    // Temporary files are private by default.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(folder)?;
    lock(file.as_file());
    Ok(file)
}

/// A new private folder in the system's folder for temporary files; it is removed with this value.
pub(crate) struct TemporaryFolder {
    folder: TempDir,
    /// On systems that can't open folders there is none.
    _lock: Option<File>,
}

impl TemporaryFolder {
    pub(crate) fn new() -> Result<TemporaryFolder> {
        let folder = Builder::new().prefix(PREFIX).tempdir()?;
        let opened = File::open(folder.path()).ok();
        opened.iter().for_each(lock);
        Ok(TemporaryFolder { folder, _lock: opened })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Locks a new file or folder. If the file system has no locks, its leftovers are never removed.
fn lock(file: &File) {
    drop(file.try_lock());
}

/// Removes the temporary files and folders in a folder that no process uses, as far as the system allows it.
pub fn remove_leftovers(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| {
        let name = entry.file_name();
        name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
    }) {
        // A link may point anywhere, and opening a FIFO may wait.
        let Some(kind) = entry.file_type().ok().filter(|kind| kind.is_file() || kind.is_dir()) else {
            continue;
        };
        let path = entry.path();
        let Ok(opened) = File::open(&path) else { continue };
        if opened.try_lock().is_ok() {
            drop(if kind.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) });
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_removed_and_files_in_use_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let in_use = temporary_file(folder.path()).unwrap();
        std::fs::write(path(".intact8-a"), "left over").unwrap();
        std::fs::create_dir(path(".intact8-b")).unwrap();
        std::fs::write(path(".intact8-b/model.onnx"), "left over").unwrap();
        std::fs::write(path("results"), "").unwrap();
        std::os::unix::fs::symlink(path("results"), path(".intact8-c")).unwrap();
        remove_leftovers(folder.path());
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let mut expected = vec![in_use.path().to_owned(), path(".intact8-c"), path("results")];
        expected.sort();
        assert_eq!(names, expected);
        remove_leftovers(&path("no folder"));
    }

    #[test]
    fn a_folder_in_use_stays() {
        let folder = TemporaryFolder::new().unwrap();
        remove_leftovers(folder.path().parent().unwrap());
        assert!(folder.path().exists());
    }
}
