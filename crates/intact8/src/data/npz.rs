//! `.npz` files: zip archives of NumPy arrays. Large arrays are unpacked into files, not into memory.

use super::Array;
use intact8_ir::{DType, Element, Error, Result, Tensor, f16, with_element};
use npyz::{
    DType as NpyType, Deserialize, Endianness, NpyFile, NpyHeader, Order, TypeChar, TypeStr, WriterBuilder,
};
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Arrays of more bytes than this are stored in temporary files.
const MAX_BYTES_IN_MEMORY: u64 = 1 << 20;

/// Reads every array of a file. An array of more than one MiB is unpacked into a private temporary file, which is removed with the
/// array, so that memory is needed only for the samples of a batch.
///
/// # Errors
/// If the file can't be read, is not an `.npz` file, or has an array of a type that can't be fed.
pub fn read_npz(path: &Path) -> Result<BTreeMap<String, Array>> {
    let at = |error: Error| error.at(path.display());
    let wrong = |error: &dyn std::fmt::Display| at(Error::invalid_data(error.to_string()));
    let file = std::fs::File::open(path).map_err(|error| at(Error::io(error)))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
        wrong(&format!(
            "is no .npz file ({error}); write one in Python with numpy.savez(\"data.npz\", INPUT=array), with an array for \
             each model input and the samples along its first axis"
        ))
    })?;
    let mut arrays = BTreeMap::new();
    for idx in 0..archive.len() {
        let mut entry = archive.by_index(idx).map_err(|error| wrong(&error))?;
        let name = entry.name().map_err(|error| wrong(&error))?.into_owned();
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else { continue };
        let header = NpyHeader::from_reader(&mut entry).map_err(|error| wrong(&error))?;
        let array = read_array(header, entry).map_err(|error| at(error.at(format!("array {name:?}"))))?;
        arrays.insert(name, array);
    }
    Ok(arrays)
}

fn read_array(header: NpyHeader, mut entry: impl Read) -> Result<Array> {
    let NpyType::Plain(ty) = header.dtype() else {
        return Err(Error::unsupported("is a structured array; save one array for each field"));
    };
    let shape = shape(&header)?;
    let n_elements = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d as u64));
    let n_bytes = n_elements.and_then(|n| n.checked_mul(ty.size_field()));
    match (dtype(&ty), n_bytes) {
        (Some(dtype), Some(n_bytes)) if n_bytes > MAX_BYTES_IN_MEMORY && header.order() == Order::C => {
            let wrong = |error: std::io::Error| Error::invalid_data(format!("can't be unpacked: {error}"));
            let mut file = tempfile::tempfile().map_err(wrong)?;
            let n_found = std::io::copy(&mut entry.by_ref().take(n_bytes), &mut file).map_err(wrong)?;
            if n_found != n_bytes {
                let message = format!("{n_found} bytes can't fill {n_bytes}; the file is cut off");
                return Err(Error::invalid_data(message));
            }
            Ok(Array::in_file(dtype, shape, file))
        }
        _ => read_tensor(NpyFile::with_header(header, entry), &ty).map(Array::from),
    }
}

/// The type of elements that need no conversion.
fn dtype(ty: &TypeStr) -> Option<DType> {
    if ty.endianness() == Endianness::Big {
        return None;
    }
    Some(match (ty.type_char(), ty.size_field()) {
        (TypeChar::Float, 4) => DType::F32,
        (TypeChar::Float, 8) => DType::F64,
        (TypeChar::Float, 2) => DType::F16,
        (TypeChar::Int, 1) => DType::I8,
        (TypeChar::Int, 2) => DType::I16,
        (TypeChar::Int, 4) => DType::I32,
        (TypeChar::Int, 8) => DType::I64,
        (TypeChar::Uint, 1) => DType::U8,
        (TypeChar::Uint, 2) => DType::U16,
        (TypeChar::Uint, 4) => DType::U32,
        (TypeChar::Uint, 8) => DType::U64,
        _ => return None,
    })
}

fn shape(header: &NpyHeader) -> Result<Vec<usize>> {
    let shape = header.shape().iter().map(|&n| usize::try_from(n));
    shape.collect::<Result<_, _>>().map_err(|_| Error::invalid_data("is too large"))
}

fn read_tensor<R: Read>(file: NpyFile<R>, ty: &TypeStr) -> Result<Tensor> {
    match (ty.type_char(), ty.size_field()) {
        (TypeChar::Float, 4) => read::<f32, R>(file),
        (TypeChar::Float, 8) => read::<f64, R>(file),
        (TypeChar::Float, 2) => read::<f16, R>(file),
        (TypeChar::Int, 1) => read::<i8, R>(file),
        (TypeChar::Int, 2) => read::<i16, R>(file),
        (TypeChar::Int, 4) => read::<i32, R>(file),
        (TypeChar::Int, 8) => read::<i64, R>(file),
        (TypeChar::Uint, 1) => read::<u8, R>(file),
        (TypeChar::Uint, 2) => read::<u16, R>(file),
        (TypeChar::Uint, 4) => read::<u32, R>(file),
        (TypeChar::Uint, 8) => read::<u64, R>(file),
        (TypeChar::Bool, _) => read::<bool, R>(file),
        _ => Err(Error::unsupported(format!("has elements of {ty}; save it as floats, integers or bool"))),
    }
}

fn read<T: Element + Deserialize, R: Read>(file: NpyFile<R>) -> Result<Tensor> {
    let wrong = |error: std::io::Error| Error::invalid_data(error.to_string()).caused_by(error);
    let shape = shape(file.header())?;
    let order = file.order();
    let values: Vec<T> = file.into_vec().map_err(wrong)?;
    if shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) != Some(values.len()) {
        return Err(Error::invalid_data(format!("{} values can't fill the shape {shape:?}", values.len())));
    }
    match order {
        Order::C => Ok(Tensor::new(&shape, values)),
        Order::Fortran => {
            Err(Error::unsupported("is in Fortran order; save it with numpy.ascontiguousarray"))
        }
    }
}

/// Writes arrays as a compressed `.npz` file.
///
/// # Errors
/// If writing fails, or an array has elements that NumPy lacks.
pub fn write_npz<'a>(
    out: impl Write + Seek,
    arrays: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
) -> Result<()> {
    let wrong = |error: &dyn std::fmt::Display| Error::invalid_data(error.to_string());
    let mut archive = ZipWriter::new(out);
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(true);
    for (name, tensor) in arrays {
        let shape: Vec<u64> = tensor.shape().iter().map(|&n| n as u64).collect();
        let dtype = tensor.dtype();
        archive.start_file(format!("{name}.npy"), options).map_err(|error| wrong(&error))?;
        with_element!(dtype, [F32 F64 F16 I8 U8 I16 U16 I32 U32 I64 U64 Bool], T => {
            let writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut archive);
            let mut writer = writer.begin_nd().map_err(|error| wrong(&error))?;
            writer.extend(tensor.values::<T>()?).map_err(|error| wrong(&error))?;
            writer.finish().map_err(|error| wrong(&error))?;
        }, _ => return Err(Error::unsupported(format!("{name}: arrays of {dtype} can't be written"))));
    }
    archive.finish().map_err(|error| wrong(&error))?;
    Ok(())
}
