//! `.safetensors` files: named arrays as plain bytes after a header in JSON. Only the header is read at once.

use super::Array;
use intact8_ir::{DType, Error, Result, Tensor};
use safetensors::tensor::{Dtype, Metadata};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The number of bytes of the header's length.
const LENGTH: u64 = 8;

/// The longest header in bytes.
const MAX_HEADER: u64 = 1 << 24;

/// The arrays of a file.
///
/// # Errors
/// If the file can't be read, or its header is wrong or names elements beyond its end.
pub(super) fn read_safetensors(path: &Path) -> Result<BTreeMap<String, Array>> {
    read(path).map_err(|error| error.at(path.display()))
}

fn read(path: &Path) -> Result<BTreeMap<String, Array>> {
    let mut file = super::npz::open(path)?;
    let n_bytes = file.metadata().map_err(Error::io)?.len();
    let cut = |error: std::io::Error| Error::invalid_data(format!("is no .safetensors file: {error}"));
    let mut length = [0; LENGTH as usize];
    file.read_exact(&mut length).map_err(cut)?;
    let length = u64::from_le_bytes(length);
    let start = LENGTH.saturating_add(length);
    if length > MAX_HEADER || start > n_bytes {
        let most = MAX_HEADER.min(n_bytes.saturating_sub(LENGTH));
        return Err(Error::invalid_data(format!(
            "is no .safetensors file: its header would have {length} bytes, more than {most}"
        )));
    }
    let mut header = Vec::new();
    (&mut file).take(length).read_to_end(&mut header).map_err(cut)?;
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| Error::invalid_data(format!("is no .safetensors file: its header: {error}")))?;
    let file = Arc::new(Mutex::new(file));
    let mut arrays = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        let array = match dtype(info.dtype) {
            None => Array::unreadable(Error::unsupported(format!(
                "has elements of {:?}; save it as floats, integers or bool",
                info.dtype
            ))),
            Some(dtype) => {
                let (first, end) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
                let n_needed = Tensor::n_elements(&info.shape).and_then(|n| n.checked_mul(dtype.byte_size()));
                let is_whole = end.checked_sub(first) == n_needed.map(|n| n as u64)
                    && start.checked_add(end).is_some_and(|end| end <= n_bytes);
                if !is_whole {
                    return Err(Error::invalid_data(format!(
                        "the elements of {name:?} are not in the file; it is cut off, or its header is wrong"
                    )));
                }
                Array::in_file(dtype, info.shape.clone(), file.clone(), start + first)
            }
        };
        arrays.insert(name, array);
    }
    Ok(arrays)
}

/// The type of elements in a tensor; `None` if tensors can't have it.
fn dtype(stored: Dtype) -> Option<DType> {
    Some(match stored {
        Dtype::BOOL => DType::Bool,
        Dtype::U8 => DType::U8,
        Dtype::I8 => DType::I8,
        Dtype::U16 => DType::U16,
        Dtype::I16 => DType::I16,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::Bf16,
        Dtype::U32 => DType::U32,
        Dtype::I32 => DType::I32,
        Dtype::F32 => DType::F32,
        Dtype::U64 => DType::U64,
        Dtype::I64 => DType::I64,
        Dtype::F64 => DType::F64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(header: &str, elements: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let length = (header.len() as u64).to_le_bytes();
        std::fs::write(file.path(), [&length[..], header.as_bytes(), elements].concat()).unwrap();
        file
    }

    /// What safetensors.numpy.save of Python writes for `{"x": float64 [[0.5, -1.0]], "labels": int64 [3]}`.
    const OF_PYTHON: &str = r#"{"labels":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"x":{"dtype":"F64","shape":[1,2],"data_offsets":[8,24]}}"#;

    #[test]
    fn arrays_are_read_by_their_names() {
        let elements = [&3i64.to_le_bytes()[..], &0.5f64.to_le_bytes(), &(-1.0f64).to_le_bytes()].concat();
        let arrays = read_safetensors(written(OF_PYTHON, &elements).path()).unwrap();
        assert_eq!(arrays["x"].whole().unwrap(), Tensor::new(&[1, 2], vec![0.5f64, -1.0]));
        assert_eq!(arrays["labels"].whole().unwrap(), Tensor::new(&[1], vec![3i64]));
        let half = r#"{"x":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}}"#;
        let arrays = read_safetensors(written(half, &[0x80, 0x3f]).path()).unwrap();
        assert_eq!(arrays["x"].whole().unwrap().floats().unwrap()[0], 1.0);
        let eighth = r#"{"x":{"dtype":"F8_E8M0","shape":[1],"data_offsets":[0,1]},"y":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
        let arrays = read_safetensors(written(eighth, &[1, 2]).path()).unwrap();
        assert!(arrays["x"].layout().unwrap_err().to_string().starts_with("has elements of F8_E8M0"));
        assert_eq!(arrays["y"].whole().unwrap(), Tensor::new(&[1], vec![2u8]));
    }

    #[test]
    fn wrong_headers_are_errors() {
        let message = |header: &str, elements: &[u8]| {
            let error = read(written(header, elements).path()).unwrap_err().to_string();
            assert!(!error.contains('\n'), "{error}");
            error
        };
        assert!(message(OF_PYTHON, &[0; 23]).contains("are not in the file"));
        assert!(message("{", &[]).starts_with("is no .safetensors file: its header: EOF"));
        let huge = r#"{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#;
        let far =
            r#"{"x":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551614,18446744073709551615]}}"#;
        for header in [huge, far] {
            message(header, &[0; 8]);
        }
        let short = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(short.path(), b"abc").unwrap();
        assert!(read(short.path()).unwrap_err().to_string().starts_with("is no .safetensors file"));
        std::fs::write(short.path(), u64::MAX.to_le_bytes()).unwrap();
        assert!(
            read(short.path()).unwrap_err().to_string().contains("18446744073709551615 bytes, more than 0")
        );
    }
}
