//! Images as data: a file, a folder of them, a folder for each class, or a table of files and labels. They are decoded batch by batch,
//! resized and cropped for the only input of a model, and fed as arrays of uint8 are.

mod decode;
mod geometry;
mod image_array;
mod label_table;
mod listing;
mod settings;

pub(super) use image_array::ImageArray;
pub(super) use listing::is_listing;
pub use settings::{Channels, ImageSettings, Interpolation, Layout, Resize, Size};

use super::{Array, Arrays, DataSet, Part, UnusedOption};
use decode::Form;
use geometry::Geometry;
use intact8_interp::Input;
use intact8_ir::{Dim, Error, Model, Result, Tensor};
use listing::{Listing, class_names, listing};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The formats of images that are read, for messages.
const FORMATS: &str = "JPEG, PNG, WebP, BMP and PNM";

/// The files of images that a path stands for, with the table that names them.
///
/// # Errors
/// As for [`read`].
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let table = label_table::is_table(path).then(|| path.to_owned());
    Ok(table.into_iter().chain(listing(path, None)?.files).collect())
}

/// Reads images for a model with one input.
///
/// # Errors
/// If the files can't be listed, or the input takes no images of one size.
pub(super) fn read(path: &Path, model: &Model, settings: &ImageSettings) -> Result<DataSet> {
    let source = path.display().to_string();
    let names = settings.classes.as_deref().map(class_names).transpose()?;
    let Listing { files, labels, classes } = listing(path, names.as_deref())?;
    let inputs = Input::all_of(model);
    let required: Vec<&Input> = inputs.iter().filter(|input| !input.has_default).collect();
    let [input] = required[..] else {
        let message = format!(
            "holds images, and the model requires {} inputs; save an .npz with an array for each input",
            required.len()
        );
        return Err(Error::invalid_data(message).at(source));
    };
    let form = form(input, settings);
    let form = form.map_err(|error| error.at(format!("input {:?}", input.name)).at(&source))?;
    let mut notes = notes(&source, &files, labels.as_deref(), &classes, &form);
    notes.extend(names.is_none().then(|| misnumbered(&source, &classes)).flatten());
    let mut arrays: BTreeMap<String, Array> = BTreeMap::new();
    let has_no_use = names.is_some() && labels.is_none();
    let unused = has_no_use.then(|| UnusedOption {
        option: "--classes",
        reason: format!("the images of {source} are not in folders of classes"),
    });
    let unused = Vec::from_iter(unused);
    if let Some(labels) = labels {
        let is_input = inputs.iter().any(|input| input.name == "labels");
        let name = if is_input { "metric.labels" } else { "labels" };
        arrays.insert(name.to_owned(), Tensor::new(&[labels.len()], labels).into());
    }
    arrays.insert(input.name.clone(), Array::of_images(ImageArray::new(files, form)));
    let part = Part { source: source.clone(), arrays: Arrays::Named(arrays) };
    Ok(DataSet { source, parts: vec![part], is_folder: false, notes, unused })
}

/// What is made of each image for an input.
fn form(input: &Input, settings: &ImageSettings) -> Result<Form> {
    let wrong = |message: String| Err(Error::invalid_data(message));
    let dims = input.ty.as_ref().and_then(|ty| ty.shape.as_deref()).unwrap_or_default();
    let [_, second, third, fourth] = dims else {
        let found = input.ty.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        return wrong(format!(
            "takes no images: 4 dimensions are needed, samples, channels, rows and columns, found {found}"
        ));
    };
    let is_channels = |dim: &Dim| matches!(dim.known(), Some(1 | 3));
    let layout = match settings.layout {
        Some(layout) => layout,
        None if is_channels(second) => Layout::Nchw,
        None if is_channels(fourth) => Layout::Nhwc,
        None => return wrong("has no dimension of 1 or 3 channels; state --layout nchw or nhwc".to_owned()),
    };
    let (depth, rows, columns) = match layout {
        Layout::Nchw => (second, third, fourth),
        Layout::Nhwc => (fourth, second, third),
    };
    let channels = match (settings.channels, depth.known()) {
        (Some(channels), None) => channels,
        (Some(channels), Some(n)) if channels.len() == n => channels,
        (None, None | Some(3)) => Channels::Rgb,
        (None, Some(1)) => Channels::Grey,
        (Some(channels), Some(n)) => {
            return wrong(format!(
                "has {n} channels in the layout {layout}, and --channels {channels} makes {}",
                channels.len()
            ));
        }
        (None, Some(n)) => {
            return wrong(format!(
                "has {n} channels in the layout {layout}, and images make 1 or 3; save an .npz"
            ));
        }
    };
    let geometry = Geometry::new(settings, [rows.known(), columns.known()])?;
    Ok(Form { geometry, interpolation: settings.interpolation, layout, channels })
}

/// What is made of the images, and which number each class has.
fn notes(
    source: &str,
    files: &[PathBuf],
    labels: Option<&[i64]>,
    classes: &[String],
    form: &Form,
) -> Vec<String> {
    let n = files.len();
    let images = if n == 1 { "1 image".to_owned() } else { format!("{n} images") };
    let Form { geometry, interpolation, layout, channels } = form;
    let mut notes =
        vec![format!("{source}: {images}, {}, {interpolation}, {channels}, {layout}", geometry.words())];
    let (Some(_), Some(first), Some(last)) = (labels, classes.first(), classes.last()) else { return notes };
    let end = classes.len() - 1;
    notes.push(format!("{source}: {} classes, from 0 = {first:?} to {end} = {last:?}", classes.len()));
    notes
}

/// A warning if the names of classes are numbers, and others than those that the classes have by the order of their names.
fn misnumbered(source: &str, classes: &[String]) -> Option<String> {
    let named: Vec<usize> = classes.iter().map(|name| name.parse().ok()).collect::<Option<_>>()?;
    let number = (0..named.len()).find(|&number| named[number] != number)?;
    Some(format!(
        "warning: {source}: the class {:?} has the number {number}: classes are numbered in the order of their names; --classes \
         states another order",
        classes[number]
    ))
}

#[cfg(test)]
mod tests;
