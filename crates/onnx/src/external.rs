//! Tensor data in other files: reading through memory maps, and the layout of an export's data file.
//!
//! A model must not read arbitrary files of the machine, so its data files must be in its own folder, also after
//! symbolic links are resolved. A file with further hard links may be one from elsewhere, so the caller must allow it. This is the only module of the libraries that accesses files.

use crate::rope::Rope;
use intact8_ir::{Error, Result, Tensor};
use memmap2::Mmap;
use onnx_protobuf::{StringStringEntryProto, TensorProto, tensor_proto::DataLocation};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// The alignment of tensors by size: 64 KiB from 1 MiB on, which every system can map, and 4 KiB for others.
const ALIGNMENT: [(u64, u64); 2] = [(1 << 20, 64 << 10), (0, 4 << 10)];

/// The files beside a model, mapped on first use.
pub(crate) struct Files {
    folder: Option<PathBuf>,
    /// Whether a file may have further hard links.
    hard_links: bool,
    maps: BTreeMap<String, Mmap>,
}

impl Files {
    pub(crate) fn new(folder: Option<&Path>, hard_links: bool) -> Files {
        // The parent of a bare file name is the empty path.
        let folder = folder.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        Files { folder: folder.map(Path::to_owned), hard_links, maps: BTreeMap::new() }
    }

    /// The `size` bytes to which the properties of a tensor refer.
    pub(crate) fn bytes(&mut self, properties: &[StringStringEntryProto], size: usize) -> Result<&[u8]> {
        let property =
            |key: &str| properties.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
        let number = |key: &str| match property(key).map(str::parse::<usize>) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => {
                Err(Error::invalid_model(format!("the {key} of the external data is not a number")))
            }
        };
        let location = property("location").unwrap_or_default();
        let (offset, len) = (number("offset")?.unwrap_or(0), number("length")?.unwrap_or(size));
        let external =
            |message: String| Error::invalid_model(message).at(format!("external data {location:?}"));
        if len != size {
            return Err(external(format!("{len} bytes are stored, but the tensor has {size}")));
        }
        if !self.maps.contains_key(location) {
            let path =
                self.path(location).map_err(|error| error.at(format!("external data {location:?}")))?;
            let map = map(&path).map_err(|error| external(error.to_string()))?;
            self.maps.insert(location.to_owned(), map);
        }
        let bytes = &self.maps[location];
        let end = offset.checked_add(size).filter(|&end| end <= bytes.len());
        end.map(|end| &bytes[offset..end]).ok_or_else(|| {
            let n_bytes = bytes.len();
            external(format!(
                "{size} bytes at {offset} are past the end of the file's {n_bytes}; copy it again"
            ))
        })
    }

    /// The path of a location, if the model may read it.
    fn path(&self, location: &str) -> Result<PathBuf> {
        let Some(folder) = &self.folder else {
            return Err(Error::unsupported(
                "the folder of the model is unknown; import the model from a file",
            ));
        };
        if !is_inside(location) {
            return Err(Error::invalid_model("the location must be a relative path without \"..\""));
        }
        let resolved = |path: &Path| {
            path.canonicalize().map_err(|error| match error.kind() {
                ErrorKind::NotFound => Error::invalid_model("the file is missing; copy it beside the model"),
                _ => Error::invalid_model(error.to_string()),
            })
        };
        let path = resolved(&folder.join(location))?;
        if !path.starts_with(resolved(folder)?) {
            return Err(Error::invalid_model(
                "the location is a link to a file outside of the model's folder; copy the file into it",
            ));
        }
        if !path.is_file() {
            return Err(Error::invalid_model("the location is not a file"));
        }
        if !self.hard_links && n_links(&path) > 1 {
            return Err(Error::invalid_model(
                "the file has further hard links, so it may be one from outside of the model's folder; copy it, or allow \
                 hard links (--allow-hard-links)",
            ));
        }
        Ok(path)
    }
}

/// The number of names of a file; systems other than Unix do not report it.
fn n_links(path: &Path) -> u64 {
    #[cfg(unix)]
    return std::fs::metadata(path).map_or(1, |metadata| std::os::unix::fs::MetadataExt::nlink(&metadata));
    #[cfg(not(unix))]
    return u64::from(path.exists());
}

/// Whether a relative path stays in its folder, without resolving links.
pub(crate) fn is_inside(location: &str) -> bool {
    let components = || Path::new(location).components();
    components().any(|component| matches!(component, Component::Normal(_)))
        && components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir))
}

fn map(path: &Path) -> std::io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: the documentation of the import forbids changing the file meanwhile; all data of the map are copied
    // before the import returns.
    #[expect(unsafe_code, reason = "mapping a file is unsafe, since other processes may write to it")]
    let map = unsafe { Mmap::map(&file) }?;
    Ok(map)
}

/// The data file of an export.
pub(crate) struct DataFile {
    name: String,
    /// Tensors of more bytes are stored in the file.
    above: u64,
    data: Rope,
}

impl DataFile {
    pub(crate) fn new(name: &str, above: u64) -> DataFile {
        DataFile { name: name.to_owned(), above, data: Rope::default() }
    }

    /// Stores a tensor in the file if it is large enough, and records that in its message.
    pub(crate) fn store(&mut self, tensor: &Tensor, proto: &mut TensorProto) -> bool {
        let size = crate::tensor::size(tensor);
        if size <= self.above {
            return false;
        }
        let alignment =
            ALIGNMENT.iter().find(|(from, _)| size >= *from).map_or(1, |(_, alignment)| *alignment);
        self.data.pad_to(alignment);
        let properties = [
            ("location", self.name.clone()),
            ("offset", self.data.len().to_string()),
            ("length", size.to_string()),
        ];
        proto.data_location = DataLocation::EXTERNAL.into();
        proto.external_data = properties
            .map(|(key, value)| StringStringEntryProto { key: key.to_owned(), value, ..Default::default() })
            .into();
        self.data.tensor(tensor);
        true
    }

    /// The name and the content, unless the file is empty.
    pub(crate) fn finish(self) -> Option<(String, Rope)> {
        (self.data.len() > 0).then_some((self.name, self.data))
    }
}
