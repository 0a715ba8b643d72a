//! The lock on the files of a save path: two runs that write the same files would mix them.

use crate::files::folder_of;
use crate::temporary::PREFIX;
use intact8_ir::{Error, Result};
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// The lock of a process on the files of a save path. It ends with this value, or with the process.
#[derive(Debug)]
pub struct SaveLock {
    path: PathBuf,
    _file: File,
}

impl SaveLock {
    /// Acquires the lock with that name, in a hidden file, and creates its folder.
    pub(crate) fn acquire(name: &Path) -> Result<SaveLock> {
        let path = hidden(name);
        let failed = |error| Error::io(error).at(path.display());
        std::fs::create_dir_all(folder_of(&path)).map_err(failed)?;
        loop {
            let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(SaveLock { path, _file: file }),
                // The owner has removed the file after it was opened here.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let message = "another run writes these files; wait for its end, or choose another name with --save";
                    return Err(Error::invalid_config(message).at(path.display()));
                }
                // A file system without locks.
                Err(TryLockError::Error(_)) => return Ok(SaveLock { path, _file: file }),
            }
        }
    }
}

/// The file of a lock, which a killed process leaves.
pub(crate) fn hidden(name: &Path) -> PathBuf {
    let mut hidden = OsString::from(PREFIX);
    hidden.push(name.file_name().unwrap_or_default());
    name.with_file_name(hidden)
}

impl Drop for SaveLock {
    fn drop(&mut self) {
        // A file that can't be removed is a leftover without a lock.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Whether the file at a path is still this one.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let (opened, found) = (file.metadata().map(identity), std::fs::metadata(path).map(identity));
    matches!((opened, found), (Ok(opened), Ok(found)) if opened == found)
}

/// Other systems do not remove a file that is open.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::remove_leftovers;

    #[test]
    fn a_second_lock_is_an_error_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("new/m_lock");
        let lock = SaveLock::acquire(&name).unwrap();
        let message = SaveLock::acquire(&name).unwrap_err().message;
        assert!(message.starts_with("another run writes these files"), "{message}");
        SaveLock::acquire(&name.with_file_name("other_lock")).unwrap();
        remove_leftovers(&folder.path().join("new"));
        assert!(SaveLock::acquire(&name).is_err(), "a lock in use is no leftover");
        drop(lock);
        SaveLock::acquire(&name).unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 0);
    }
}
