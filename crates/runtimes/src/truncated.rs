//! Whether the file of a library is complete. The system maps the segments of a library that is cut off, as by an installation that
//! was interrupted, and ends the process when it reads one of them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Whether an ELF file of 64 bits in little-endian order ends before one of its segments does. Other files are not judged.
pub(crate) fn is_truncated(path: &Path) -> bool {
    File::open(path).ok().and_then(|mut file| ends_early(&mut file)).unwrap_or(false)
}

/// The fields are those of `Elf64_Ehdr` and `Elf64_Phdr` in the System V ABI.
fn ends_early(file: &mut File) -> Option<bool> {
    let length = file.metadata().ok()?.len();
    let mut header = [0; 64];
    file.read_exact(&mut header).ok()?;
    if header[..6] != *b"\x7fELF\x02\x01" {
        return None;
    }
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let (table, size, count) = (number(&header[32..40]), number(&header[54..56]), number(&header[56..58]));
    if size < 56 || table.checked_add(size * count).is_none_or(|end| end > length) {
        return Some(true);
    }
    file.seek(SeekFrom::Start(table)).ok()?;
    let mut entries = vec![0; usize::try_from(size * count).ok()?];
    file.read_exact(&mut entries).ok()?;
    let ends = entries.chunks(usize::try_from(size).ok()?).map(|entry| {
        let (offset, in_file) = (number(&entry[8..16]), number(&entry[32..40]));
        offset.checked_add(in_file)
    });
    Some(ends.into_iter().any(|end| end.is_none_or(|end| end > length)))
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_cut_off_is_truncated() {
        let whole = std::env::current_exe().unwrap();
        assert!(!is_truncated(&whole));
        let bytes = std::fs::read(&whole).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cut = |length: usize| {
            let path = folder.path().join("cut.so");
            std::fs::write(&path, &bytes[..length]).unwrap();
            is_truncated(&path)
        };
        assert!(cut(4096) && cut(70));
        // Too short for a header: the loader says so.
        assert!(!cut(20));
    }
}
