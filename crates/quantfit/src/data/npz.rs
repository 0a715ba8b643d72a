//! `.npz` files: zip archives of NumPy arrays.

use npyz::{DType as NpyType, Deserialize, NpyFile, Order, TypeChar, WriterBuilder};
use quantfit_ir::{Element, Error, Result, Tensor, f16, with_element};
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Reads every array of a file.
pub fn read_npz(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let at = |error: Error| error.at(path.display());
    let wrong = |error: &dyn std::fmt::Display| at(Error::invalid_data(error.to_string()));
    let file = std::fs::File::open(path).map_err(|error| wrong(&error))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| wrong(&error))?;
    let mut arrays = BTreeMap::new();
    for idx in 0..archive.len() {
        let entry = archive.by_index(idx).map_err(|error| wrong(&error))?;
        let name = entry.name().map_err(|error| wrong(&error))?.into_owned();
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else { continue };
        let array = NpyFile::new(entry).map_err(|error| wrong(&error))?;
        let tensor = read_array(array).map_err(|error| at(error.at(format!("array {name:?}"))))?;
        arrays.insert(name, tensor);
    }
    Ok(arrays)
}

fn read_array<R: Read>(file: NpyFile<R>) -> Result<Tensor> {
    let NpyType::Plain(ty) = file.dtype() else {
        return Err(Error::unsupported("structured arrays can't be fed"));
    };
    let size = ty.size_field();
    match (ty.type_char(), size) {
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
        _ => Err(Error::unsupported(format!("arrays of {ty} can't be fed"))),
    }
}

fn read<T: Element + Deserialize, R: Read>(file: NpyFile<R>) -> Result<Tensor> {
    let wrong = |error: std::io::Error| Error::invalid_data(error.to_string());
    let shape = file.shape().iter().map(|&n| usize::try_from(n));
    let shape: Vec<usize> =
        shape.collect::<Result<_, _>>().map_err(|_| Error::invalid_data("is too large"))?;
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

/// Writes arrays as a compressed archive.
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
