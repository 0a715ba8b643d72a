//! The destination of a written path: a file, which is replaced as a whole, or a stream, which is written to.

use std::io::Result;
use std::path::{Path, PathBuf};

/// The destination of a written path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// The standard output.
    StandardOutput,
    /// A device, a FIFO, or another stream of this process.
    Stream(PathBuf),
    /// A file, which is replaced. A symbolic link stays, and its target is replaced.
    File(PathBuf),
}

/// Whether a path is that of the standard output: `-`, or a name of the system for it.
pub fn is_standard_output(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name))
}

impl Destination {
    /// The destination of a path.
    ///
    /// # Errors
    /// If a link can't be resolved.
    pub(crate) fn of(path: &Path) -> Result<Destination> {
        if is_standard_output(path) {
            return Ok(Destination::StandardOutput);
        }
        let Ok(entry) = std::fs::symlink_metadata(path) else {
            return Ok(Destination::File(path.to_owned()));
        };
        let is_stream =
            |path: &Path| std::fs::metadata(path).is_ok_and(|target| !target.is_file() && !target.is_dir());
        // `/dev/stderr` leads to an open file, which must not be replaced even if it is a file on a disk.
        if is_stream(path) || entry.is_symlink() && is_in_system_folder(path) {
            return Ok(Destination::Stream(path.to_owned()));
        }
        Ok(Destination::File(if entry.is_symlink() { path.canonicalize()? } else { path.to_owned() }))
    }
}

/// Whether a path is in a folder whose links lead to open files.
fn is_in_system_folder(path: &Path) -> bool {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    folder.is_some_and(|folder| folder == Path::new("/dev") || folder.starts_with("/proc"))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn devices_are_streams_and_files_are_replaced_through_links() {
        let of = |path: &Path| Destination::of(path).unwrap();
        assert_eq!(of(Path::new("-")), Destination::StandardOutput);
        assert_eq!(of(Path::new("/dev/stdout")), Destination::StandardOutput);
        for stream in ["/dev/null", "/dev/stderr"] {
            assert_eq!(of(Path::new(stream)), Destination::Stream(stream.into()));
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (file, link, device) = (folder.join("file"), folder.join("link"), folder.join("device"));
        assert_eq!(of(&file), Destination::File(file.clone()));
        symlink(&file, &link).unwrap();
        assert!(Destination::of(&link).is_err(), "a link that leads nowhere");
        std::fs::write(&file, "").unwrap();
        assert_eq!(of(&link), Destination::File(file));
        symlink("/dev/null", &device).unwrap();
        assert_eq!(of(&device), Destination::Stream(device));
    }
}
