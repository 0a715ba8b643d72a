//! Raw files, as AMCT's commands read them: the elements of an input, little-endian and row-major, without shape and type.

use super::Array;
use intact8_interp::Input;
use intact8_ir::{DType, Dim, Error, Result, Tensor};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};

/// The shape of a sample in raw files, where the model leaves dimensions open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawShape {
    /// The name of the input; `None` for all inputs.
    pub input: Option<String>,
    /// The lengths of the dimensions after the first.
    pub sample: Vec<usize>,
}

/// `16x80` or `x=16x80`.
impl FromStr for RawShape {
    type Err = Error;

    fn from_str(text: &str) -> Result<RawShape> {
        let (input, dims) = match text.rsplit_once('=') {
            Some((input, dims)) => (Some(input.to_owned()), dims),
            None => (None, text),
        };
        let length = |dim: &str| dim.trim().parse::<usize>().ok().filter(|&length| length > 0);
        let sample: Option<Vec<usize>> = dims.split('x').map(length).collect();
        let sample = sample.ok_or_else(|| {
            let message = format!("must be AxB or INPUT=AxB with positive numbers, found {text:?}");
            Error::invalid_config(message).at("raw shape")
        })?;
        Ok(RawShape { input, sample })
    }
}

/// Whether a path stands for raw files: one or more files `x.bin` or folders that hold such files, separated by `;`.
pub(super) fn is_raw(path: &Path) -> bool {
    let is_raw = |part: &Path| is_bin(part) || bins(part).is_ok_and(|bins| !bins.is_empty());
    !path.as_os_str().is_empty() && parts(path).iter().all(|part| is_raw(part))
}

/// The raw files that a path stands for.
///
/// # Errors
/// If a folder can't be read.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    Ok(parts(path).iter().map(|part| files_of(part)).collect::<Result<Vec<_>>>()?.concat())
}

/// Reads raw files for the inputs of a model, in the order of the inputs that have no default. Their types and shapes are the
/// model's, of which only the first dimension may be open; each file holds whole samples, and the files of a folder follow each
/// other by name.
///
/// # Errors
/// If there are fewer or more parts than inputs, an input has no fixed shape, or a file can't be read or does not hold whole samples.
pub(super) fn read_raw(
    path: &Path,
    inputs: &[Input],
    shapes: &[RawShape],
) -> Result<BTreeMap<String, Array>> {
    let at = |error: Error| error.at(path.display());
    let parts = parts(path);
    let stated = shapes.iter().filter_map(|shape| shape.input.as_deref());
    if let Some(name) = stated.into_iter().find(|name| inputs.iter().all(|input| input.name != *name)) {
        let names: Vec<&str> = inputs.iter().map(|input| &*input.name).collect();
        let message = format!("{name:?} is not an input of the model; its inputs are {names:?}");
        return Err(Error::invalid_config(message).at("raw shape"));
    }
    let inputs: Vec<&Input> = inputs.iter().filter(|input| !input.has_default).collect();
    if parts.len() != inputs.len() {
        let names: Vec<String> = inputs.iter().map(|input| format!("{:?}", input.name)).collect();
        let message = format!(
            "names raw files of {} inputs, and the model has {}; name one folder for each of {}, separated by \";\"",
            parts.len(),
            inputs.len(),
            names.join(", ")
        );
        return Err(at(Error::invalid_data(message)));
    }
    let read = |(part, input): (&PathBuf, &&Input)| {
        let array = read_input(part, input, shapes)
            .map_err(|error| at(error.at(format!("input {:?}", input.name))))?;
        Ok((input.name.clone(), array))
    };
    parts.iter().zip(&inputs).map(read).collect()
}

/// The samples of one input, stacked in a temporary file.
fn read_input(part: &Path, input: &Input, shapes: &[RawShape]) -> Result<Array> {
    let of_input = |shape: &&RawShape| shape.input.as_deref() == Some(&*input.name);
    let of_all = |shape: &&RawShape| shape.input.is_none();
    let stated = shapes.iter().rfind(of_input).or(shapes.iter().rfind(of_all));
    let (dtype, sample) = sample_of(input, stated)?;
    let sample_bytes = sample.iter().product::<usize>() * dtype.byte_size();
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| Error::io(error).at(path)
    };
    let mut stacked = tempfile::tempfile().map_err(io(part))?;
    let mut n_bytes = 0;
    for file in files_of(part)? {
        let bytes = std::fs::read(&file).map_err(io(&file))?;
        if bytes.is_empty() || bytes.len() % sample_bytes != 0 {
            let message = format!(
                "has {} bytes, and a sample of {dtype} of the shape {sample:?} has {sample_bytes}; write whole samples",
                bytes.len()
            );
            return Err(Error::invalid_data(message).at(file.display()));
        }
        stacked.write_all(&bytes).map_err(io(&file))?;
        n_bytes += bytes.len();
    }
    let shape = std::iter::once(n_bytes / sample_bytes).chain(sample).collect();
    Ok(Array::in_file(dtype, shape, Arc::new(Mutex::new(stacked)), 0))
}

/// The type of an input's elements, and the shape of one sample.
fn sample_of(input: &Input, stated: Option<&RawShape>) -> Result<(DType, Vec<usize>)> {
    let unfixed = |found: String| {
        let message = format!(
            "raw files require a fixed shape after the first dimension, found {found}; state --raw-shape, or use an .npz file"
        );
        Error::invalid_data(message)
    };
    let ty = input.ty.as_ref().ok_or_else(|| unfixed("none".to_owned()))?;
    let known = ty.dtype.byte_size() > 0;
    if let Some(RawShape { sample, .. }) = stated.filter(|_| known) {
        let fits = |(dim, &length): (&Dim, &usize)| dim.known().is_none_or(|known| known == length);
        let fits_all = ty
            .shape
            .as_ref()
            .is_none_or(|dims| dims.len() == sample.len() + 1 && dims[1..].iter().zip(sample).all(fits));
        if !fits_all
            || Tensor::n_elements(sample).is_none_or(|n| n.checked_mul(ty.dtype.byte_size()).is_none())
        {
            let message = format!("the shape {sample:?} of a sample does not fit {ty}");
            return Err(Error::invalid_config(message));
        }
        return Ok((ty.dtype, sample.clone()));
    }
    let dims = ty.shape.as_ref().filter(|dims| !dims.is_empty());
    let sample: Option<Vec<usize>> = dims.and_then(|dims| dims[1..].iter().map(Dim::known).collect());
    let sample = sample.filter(|sample| !sample.contains(&0) && known);
    Ok((ty.dtype, sample.ok_or_else(|| unfixed(ty.to_string()))?))
}

fn parts(path: &Path) -> Vec<PathBuf> {
    match path.to_str() {
        Some(text) => {
            text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(PathBuf::from).collect()
        }
        None => vec![path.to_owned()],
    }
}

fn is_bin(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("bin"))
}

fn files_of(part: &Path) -> Result<Vec<PathBuf>> {
    if part.is_dir() { bins(part) } else { Ok(vec![part.to_owned()]) }
}

/// The raw files of a folder, by name.
fn bins(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |error: std::io::Error| Error::io(error).at(folder.display());
    let entries = std::fs::read_dir(folder).map_err(io)?;
    let paths = entries.map(|entry| Ok(entry.map_err(io)?.path())).collect::<Result<Vec<_>>>()?;
    let mut bins: Vec<PathBuf> = paths.into_iter().filter(|path| is_bin(path)).collect();
    bins.sort();
    Ok(bins)
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::TensorType;

    fn input(name: &str, dims: &[Option<usize>]) -> Input {
        let shape = dims.iter().map(|dim| dim.map_or(Dim::Unknown, Dim::Known)).collect();
        let ty = TensorType { dtype: DType::F32, shape: Some(shape) };
        Input { name: name.to_owned(), ty: Some(ty), has_default: false }
    }

    #[test]
    fn files_of_a_folder_are_stacked_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, values: &[f32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        write("b.bin", &[5.0, 6.0]);
        write("a.bin", &[1.0, 2.0, 3.0, 4.0]);
        write("notes.txt", &[0.0]);
        let read = |path: &Path, inputs: &[Input]| read_raw(path, inputs, &[]);
        let arrays = read(folder.path(), &[input("x", &[None, Some(2)])]).unwrap();
        let whole = arrays["x"].whole().unwrap();
        assert_eq!(
            (whole.shape(), whole.values::<f32>().unwrap()),
            (&[3, 2][..], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..])
        );
        let both = format!("{0};{0}/b.bin", folder.path().display());
        let arrays =
            read(both.as_ref(), &[input("x", &[Some(1), Some(2)]), input("y", &[None, Some(1)])]).unwrap();
        assert_eq!(arrays["y"].layout().unwrap().1, [2, 1]);
        assert_eq!(files(both.as_ref()).unwrap().len(), 3);
        assert!(is_raw(both.as_ref()) && !is_raw("x.npz".as_ref()));
        let message = |inputs: &[Input]| read(folder.path(), inputs).unwrap_err().to_string();
        assert!(
            message(&[input("x", &[None, Some(4)])])
                .ends_with("has 8 bytes, and a sample of f32 of the shape [4] has 16; write whole samples")
        );
        assert!(
            message(&[input("x", &[None, None])])
                .contains("require a fixed shape after the first dimension, found f32[?,?]")
        );
        assert!(message(&[]).contains("names raw files of 1 inputs, and the model has 0"));
        let with = |shape: &str, dims: &[Option<usize>]| -> Result<Vec<usize>> {
            let shape: RawShape = shape.parse()?;
            let arrays = read_raw(folder.path(), &[input("x", dims)], &[shape])?;
            Ok(arrays["x"].layout()?.1.to_vec())
        };
        let open = [None, None, Some(2)];
        assert_eq!(with("x=1x2", &open).unwrap(), [3, 1, 2]);
        assert_eq!(with("1x1", &[None, None, None]).unwrap(), [6, 1, 1]);
        let wrong = |shape: &str| with(shape, &open).unwrap_err().to_string();
        assert!(wrong("x=2x1").ends_with("the shape [2, 1] of a sample does not fit f32[?,?,2]"));
        assert!(wrong("2").ends_with("does not fit f32[?,?,2]"));
        assert!(wrong("y=2").contains("\"y\" is not an input of the model"));
        assert!(wrong("0x2").starts_with("raw shape: must be AxB"), "{}", wrong("0x2"));
    }
}
