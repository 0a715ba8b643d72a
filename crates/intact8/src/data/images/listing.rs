//! The files of a data set of images, and their labels: a file, a folder of images, a folder with a folder for each class, or a table
//! of files and labels. No image is opened here.

use super::label_table;
use intact8_ir::{Error, Result};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The extensions of images that are read.
const READ: [&str; 12] =
    ["bmp", "dib", "jfif", "jpe", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "webp"];

/// The extensions of further images, which must be converted.
const OTHERS: [&str; 12] =
    ["avif", "gif", "heic", "heif", "ico", "jp2", "jxl", "psd", "svg", "tga", "tif", "tiff"];

/// Images with or without labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) files: Vec<PathBuf>,
    /// The number of the class of each file.
    pub(super) labels: Option<Vec<i64>>,
    /// The names of the classes in the order of their numbers; empty if the labels are numbers, or there are none.
    pub(super) classes: Vec<String>,
}

/// Whether a path stands for images: an image, a table, or a folder that holds images, or folders of images and no file of arrays.
pub(in crate::data) fn is_listing(path: &Path) -> bool {
    if !path.is_dir() {
        return is_image(path) || label_table::is_table(path);
    }
    let Ok(found) = Found::of(path) else { return false };
    !found.images.is_empty()
        || found.arrays.is_empty() && found.folders.iter().any(|folder| has_image(folder))
}

/// Lists the images of a path. `names` are those of the classes in the order of their numbers; without them, classes are numbered in
/// the order of their names.
///
/// # Errors
/// If a folder can't be read, holds other data too, or is that of a class and has no image; if a class is not among the names; if a
/// table is wrong.
pub(super) fn listing(path: &Path, names: Option<&[String]>) -> Result<Listing> {
    let listing = if label_table::is_table(path) {
        label_table::read(path, names)?
    } else if path.is_dir() {
        of_folder(path, names)?
    } else {
        Listing { files: vec![path.to_owned()], labels: None, classes: vec![] }
    };
    match listing.files.iter().find(|file| has_extension(file, &OTHERS)) {
        Some(other) => {
            let message = format!("can't be read; convert it to a .png, or to one of {}", super::FORMATS);
            Err(Error::unsupported(message).at(other.display()))
        }
        None => Ok(listing),
    }
}

fn of_folder(path: &Path, names: Option<&[String]>) -> Result<Listing> {
    let found = Found::of(path)?;
    let at = |message: String, path: &Path| Err(Error::invalid_data(message).at(path.display()));
    if let Some(array) = found.arrays.first() {
        return at(format!("holds images and arrays such as {}; move them apart", name(array)), path);
    }
    if !found.images.is_empty() {
        return match found.folders.iter().find(|folder| has_image(folder)) {
            Some(folder) => {
                at(format!("holds images, and a folder of images, {}; move them apart", name(folder)), path)
            }
            None => Ok(Listing { files: found.images, labels: None, classes: vec![] }),
        };
    }
    let mut listing = Listing { files: vec![], labels: None, classes: vec![] };
    let mut labels = Vec::new();
    for (idx, folder) in found.folders.iter().enumerate() {
        let of_class = Found::of(folder)?;
        if let Some(inner) = of_class.folders.first() {
            return at(
                "is a folder in the folder of a class; move its images up, or it away".to_owned(),
                inner,
            );
        }
        if of_class.images.is_empty() {
            return at(
                "is the folder of a class and holds no image; remove it, or add images".to_owned(),
                folder,
            );
        }
        let class = name(folder);
        let number = match names {
            Some(names) => number_of(&class, names).map_err(|error| error.at(folder.display()))?,
            None => idx as i64,
        };
        labels.extend(of_class.images.iter().map(|_| number));
        listing.files.extend(of_class.images);
        listing.classes.push(class);
    }
    listing.labels = Some(labels);
    if let Some(names) = names {
        listing.classes = names.to_vec();
    }
    Ok(listing)
}

/// The number of a class among names.
pub(super) fn number_of(class: &str, names: &[String]) -> Result<i64> {
    let found = names.iter().position(|name| name == class);
    found.map(|number| number as i64).ok_or_else(|| {
        let shown = names.first().map_or(String::new(), |first| format!(", which begin with {first:?}"));
        Error::invalid_data(format!("the class {class:?} is none of the {} in --classes{shown}", names.len()))
    })
}

/// The names of a file with one class in each line.
///
/// # Errors
/// If the file can't be read, has no name, or one twice.
pub(super) fn class_names(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(error).at(path.display()))?;
    let text = text.trim_start_matches('\u{feff}');
    let names: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
    let mut lines = BTreeMap::new();
    for (idx, name) in names.iter().enumerate() {
        let wrong = |message: String| Err(Error::invalid_data(message).at(path.display()));
        if name.is_empty() {
            return wrong(format!("line {} is empty; it must name class {idx}", idx + 1));
        }
        if let Some(before) = lines.insert(name, idx + 1) {
            return wrong(format!("lines {before} and {} both name the class {name:?}", idx + 1));
        }
    }
    match names.is_empty() {
        true => Err(Error::invalid_data("names no class").at(path.display())),
        false => Ok(names),
    }
}

/// What a folder holds, sorted by name. Hidden files and folders, whose names begin with a dot, are left out.
struct Found {
    images: Vec<PathBuf>,
    arrays: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Found {
    fn of(folder: &Path) -> Result<Found> {
        let io = |error: std::io::Error| Error::io(error).at(folder.display());
        let mut found = Found { images: vec![], arrays: vec![], folders: vec![] };
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if is_hidden {
                continue;
            }
            if is_image(&path) {
                found.images.push(path);
            } else if crate::data::folder::is_of_arrays(&path) {
                found.arrays.push(path);
            } else if path.is_dir() {
                found.folders.push(path);
            }
        }
        found.images.sort();
        found.arrays.sort();
        found.folders.sort();
        Ok(found)
    }
}

fn has_image(folder: &Path) -> bool {
    Found::of(folder).is_ok_and(|found| !found.images.is_empty())
}

/// Whether the extension of a file is that of an image, also of one that can't be read.
fn is_image(path: &Path) -> bool {
    has_extension(path, &READ) || has_extension(path, &OTHERS)
}

/// Whether a file has one of some extensions, in letters of any case.
fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let found = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    found.is_some_and(|found| extensions.contains(&&*found))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
