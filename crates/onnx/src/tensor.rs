//! Import of tensors from messages, and export of their elements as packed little-endian data.
//!
//! A message has its elements in one of six typed lists, as raw data, or in another file. The export writes raw data,
//! and string lists, since strings have no raw data.

use crate::dtype;
use crate::external::Files;
use intact8_ir::{Complex, DType, Element, Error, Result, SparseTensor, Tensor, TensorType, with_element};
use onnx_protobuf::{SparseTensorProto, TensorProto, tensor_proto::DataLocation};
use std::io::{self, Write};
use std::mem::take;

/// The number of elements that are converted at a time. A multiple of four, so that no byte is split.
const CHUNK: usize = 1 << 16;

/// The tensor in a message. Moves the elements out of the message and leaves its other fields.
pub(crate) fn import(proto: &mut TensorProto, files: &mut Files) -> Result<Tensor> {
    let unknown = || Error::invalid_model(format!("data type {} is unknown", proto.data_type));
    let dtype = dtype::import(proto.data_type).ok_or_else(unknown)?;
    let shape = shape(&proto.dims)?;
    let ty = TensorType::fixed(dtype, &shape);
    if proto.segment.is_some() {
        return Err(Error::unsupported(
            "the tensor is stored in segments, which are not supported; store it as one piece",
        ));
    }
    let is_external = proto.data_location.value() == DataLocation::EXTERNAL as i32;
    let lists = lists(proto);
    let full: Vec<&str> = lists.iter().filter(|(_, len)| *len > 0).map(|(name, _)| *name).collect();
    match full[..] {
        [name] if is_external => {
            Err(Error::invalid_model(format!("the elements are in another file and in {name}")))
        }
        [] if is_external => {
            let size = packed_size(&ty, shape.iter().product())?;
            from_packed(&ty, &shape, files.bytes(&proto.external_data, size)?)
        }
        ["raw_data"] => from_packed(&ty, &shape, &take(&mut proto.raw_data)),
        [] if !shape.contains(&0) => Err(Error::invalid_model(format!("{ty} has no data"))),
        [] | [_] => from_list(&ty, &shape, proto, full.first().copied()),
        _ => Err(Error::invalid_model(format!("the elements are in {}; keep one", full.join(" and in ")))),
    }
}

/// The sparse tensor in a message.
pub(crate) fn import_sparse(proto: &mut SparseTensorProto, files: &mut Files) -> Result<SparseTensor> {
    let shape = shape(&proto.dims)?;
    let values = import(proto.values.mut_or_insert_default(), files)?;
    let indices = import(proto.indices.mut_or_insert_default(), files)?;
    let n_values = values.len();
    let fits = match indices.shape() {
        [n] => *n == n_values,
        [n, rank] => *n == n_values && *rank == shape.len(),
        _ => false,
    };
    if values.shape().len() != 1 || indices.dtype() != DType::I64 || !fits {
        let (values, indices) = (values.shape(), indices.shape());
        return Err(Error::invalid_model(format!(
            "values of shape {values:?} and indices of shape {indices:?} do not match a sparse tensor of shape {shape:?}"
        )));
    }
    Ok(SparseTensor { shape, values, indices })
}

/// The number of bytes of a tensor in packed data.
pub(crate) fn size(tensor: &Tensor) -> u64 {
    dtype::packed_size(tensor.dtype(), tensor.len()).expect("the tensor is in memory") as u64
}

/// Writes the elements as packed little-endian data, in chunks. Strings are not written.
pub(crate) fn write(tensor: &Tensor, out: &mut impl Write) -> io::Result<()> {
    let bits = dtype::bits(tensor.dtype());
    if bits == 0 {
        return Ok(());
    }
    let mut bytes = Vec::with_capacity(tensor.dtype().byte_size() * CHUNK.min(tensor.len()));
    with_element!(tensor.dtype(), T => {
        let values = tensor.values::<T>().expect("the type is the tensor's own");
        values.chunks(CHUNK).try_for_each(|chunk| {
            bytes.clear();
            chunk.iter().for_each(|value| value.write_le(&mut bytes));
            if bits < 8 { out.write_all(&packed(bits, &bytes)) } else { out.write_all(&bytes) }
        })
    })
}

/// The dimensions; an error if the number of elements exceeds the address space.
fn shape(dims: &[i64]) -> Result<Vec<usize>> {
    let negative =
        |dim: i64| Error::invalid_model(format!("a dimension of {dims:?} is {dim}; it can't be negative"));
    let shape: Vec<usize> =
        dims.iter().map(|&dim| usize::try_from(dim).map_err(|_| negative(dim))).collect::<Result<_>>()?;
    // Empty arrays have strides too, so their other dimensions must not overflow.
    let n_elements = shape.iter().filter(|&&n| n > 0).try_fold(1usize, |n, &dim| n.checked_mul(dim));
    match n_elements {
        Some(n) if isize::try_from(n).is_ok() => Ok(shape),
        _ => Err(Error::invalid_model(format!(
            "the address space is too small for the elements of shape {dims:?}"
        ))),
    }
}

fn packed_size(ty: &TensorType, n_elements: usize) -> Result<usize> {
    match dtype::packed_size(ty.dtype, n_elements) {
        _ if ty.dtype == DType::Str => {
            Err(Error::invalid_model("strings can't be raw data; use string_data"))
        }
        Some(size) => Ok(size),
        None => Err(Error::invalid_model(format!("the address space is too small for the elements of {ty}"))),
    }
}

fn from_packed(ty: &TensorType, shape: &[usize], bytes: &[u8]) -> Result<Tensor> {
    let n_elements = shape.iter().product();
    let size = packed_size(ty, n_elements)?;
    if bytes.len() != size {
        let found = bytes.len();
        return Err(Error::invalid_model(format!("{ty} requires {size} bytes of raw data, found {found}")));
    }
    match dtype::bits(ty.dtype) {
        bits @ ..8 => {
            let is_signed = matches!(ty.dtype, DType::I4 | DType::I2);
            Tensor::from_le_bytes(ty.dtype, shape, &unpacked(bits, is_signed, bytes, n_elements))
        }
        _ => Tensor::from_le_bytes(ty.dtype, shape, bytes),
    }
}

/// The fields of a message that may contain elements, with the number of entries of each.
fn lists(proto: &TensorProto) -> [(&'static str, usize); 7] {
    [
        ("raw_data", proto.raw_data.len()),
        ("float_data", proto.float_data.len()),
        ("double_data", proto.double_data.len()),
        ("int32_data", proto.int32_data.len()),
        ("int64_data", proto.int64_data.len()),
        ("uint64_data", proto.uint64_data.len()),
        ("string_data", proto.string_data.len()),
    ]
}

/// The tensor from the typed list `found`, the only one that is not empty.
fn from_list(
    ty: &TensorType,
    shape: &[usize],
    proto: &mut TensorProto,
    found: Option<&str>,
) -> Result<Tensor> {
    let expected = match ty.dtype {
        DType::F32 | DType::C64 => "float_data",
        DType::F64 | DType::C128 => "double_data",
        DType::I64 => "int64_data",
        DType::U32 | DType::U64 => "uint64_data",
        DType::Str => "string_data",
        _ => "int32_data",
    };
    if let Some(found) = found.filter(|found| *found != expected) {
        return Err(Error::invalid_model(format!(
            "{ty} must have its elements in {expected}, found {found}"
        )));
    }
    let n_elements: usize = shape.iter().product();
    let n_expected = match ty.dtype {
        DType::C64 | DType::C128 => n_elements.checked_mul(2),
        dtype if matches!(dtype::bits(dtype), 2 | 4) => dtype::packed_size(dtype, n_elements),
        _ => Some(n_elements),
    };
    let n_found = lists(proto).iter().map(|(_, len)| len).sum::<usize>();
    if n_expected != Some(n_found) {
        return Err(Error::invalid_model(format!("{n_found} entries of {expected} do not match {ty}")));
    }
    Ok(match ty.dtype {
        DType::F32 => Tensor::new(shape, take(&mut proto.float_data)),
        DType::F64 => Tensor::new(shape, take(&mut proto.double_data)),
        DType::I32 => Tensor::new(shape, take(&mut proto.int32_data)),
        DType::I64 => Tensor::new(shape, take(&mut proto.int64_data)),
        DType::U64 => Tensor::new(shape, take(&mut proto.uint64_data)),
        DType::C64 => Tensor::new(shape, pairs(&take(&mut proto.float_data))),
        DType::C128 => Tensor::new(shape, pairs(&take(&mut proto.double_data))),
        DType::U32 => {
            let too_large = |value| Error::invalid_model(format!("{value} is out of range for {ty}"));
            let values =
                proto.uint64_data.iter().map(|&value| u32::try_from(value).map_err(|_| too_large(value)));
            Tensor::new::<u32>(shape, values.collect::<Result<_>>()?)
        }
        DType::Str => {
            let no_text = |_| Error::invalid_model("an element of string_data is not UTF-8");
            let texts =
                take(&mut proto.string_data).into_iter().map(|text| String::from_utf8(text).map_err(no_text));
            Tensor::new::<String>(shape, texts.collect::<Result<_>>()?)
        }
        _ => return from_int32(ty, shape, &take(&mut proto.int32_data)),
    })
}

fn pairs<T: Copy>(parts: &[T]) -> Vec<Complex<T>> {
    parts.chunks_exact(2).map(|pair| Complex::new(pair[0], pair[1])).collect()
}

/// The tensor of a type of less than 32 bits. Exporters differ in the sign of the unused upper bits.
fn from_int32(ty: &TensorType, shape: &[usize], values: &[i32]) -> Result<Tensor> {
    let width = ty.dtype.byte_size();
    // In this list six-bit types are not packed, smaller ones are.
    let (range, is_packed) = match dtype::bits(ty.dtype) {
        6 => (0..1 << 6, false),
        _ => (-(1 << (8 * width - 1))..1 << (8 * width), true),
    };
    let mut bytes = Vec::with_capacity(width * values.len());
    for value in values {
        match ty.dtype {
            DType::Bool => bytes.push(u8::from(*value != 0)),
            _ if range.contains(value) => bytes.extend(&value.to_le_bytes()[..width]),
            _ => return Err(Error::invalid_model(format!("{value} is out of range for {ty}"))),
        }
    }
    if is_packed { from_packed(ty, shape, &bytes) } else { Tensor::from_le_bytes(ty.dtype, shape, &bytes) }
}

/// One byte for each element of `bits` bits, the first in the lowest bits.
fn unpacked(bits: usize, is_signed: bool, bytes: &[u8], n_elements: usize) -> Vec<u8> {
    let element = |idx: usize| {
        let (byte, shift) = (idx * bits / 8, idx * bits % 8);
        let window = u16::from_le_bytes([bytes[byte], bytes.get(byte + 1).copied().unwrap_or(0)]);
        let left = (window >> shift << (16 - bits)) as i16;
        if is_signed { (left >> (16 - bits)) as u8 } else { (left as u16 >> (16 - bits)) as u8 }
    };
    (0..n_elements).map(element).collect()
}

/// The inverse of [`unpacked`]. The bits above `bits` are dropped.
fn packed(bits: usize, elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; (elements.len() * bits).div_ceil(8)];
    for (idx, element) in elements.iter().enumerate() {
        let (byte, shift) = (idx * bits / 8, idx * bits % 8);
        let window = u16::from(element & ((1 << bits) - 1)) << shift;
        bytes[byte] |= window as u8;
        if let Some(next) = bytes.get_mut(byte + 1) {
            *next |= (window >> 8) as u8;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_is_in_the_lowest_bits() {
        assert_eq!(packed(4, &[1, 0xff, 7]), [0xf1, 7]);
        assert_eq!(packed(2, &[1, 2, 3, 0, 1]), [0b00_11_10_01, 1]);
        assert_eq!(packed(6, &[63, 0, 63, 0, 1]), [0x3f, 0xf0, 0x03, 1]);
    }

    #[test]
    fn packing_round_trips_and_keeps_signs() {
        for bits in [2, 4, 6] {
            for n_elements in 0..10 {
                let values: Vec<u8> =
                    (0..n_elements).map(|idx| (idx * 37) as u8 & ((1 << bits) - 1)).collect();
                assert_eq!(unpacked(bits, false, &packed(bits, &values), n_elements), values);
            }
        }
        assert_eq!(unpacked(4, true, &[0x8f], 2), [0xff, 0xf8]);
        assert_eq!(unpacked(2, true, &[0b10_01], 2), [1, 0xfe]);
    }

    #[test]
    fn every_data_type_is_written_and_read() {
        for &dtype in DType::ALL.iter().filter(|&&dtype| dtype != DType::Str) {
            let ty = TensorType::fixed(dtype, &[3]);
            let bytes: Vec<u8> = (0..3 * dtype.byte_size()).map(|idx| idx as u8 & 1).collect();
            let tensor = Tensor::from_le_bytes(dtype, &[3], &bytes).unwrap();
            let mut written = Vec::new();
            write(&tensor, &mut written).unwrap();
            assert_eq!(written.len() as u64, size(&tensor));
            assert_eq!(from_packed(&ty, &[3], &written).unwrap(), tensor, "{dtype}");
        }
    }

    #[test]
    fn shapes_beyond_the_address_space_are_rejected() {
        assert!(shape(&[1 << 40, 1 << 40]).is_err());
        assert!(shape(&[0, 1 << 40, 1 << 40]).is_err());
        assert!(shape(&[-1]).is_err());
        assert_eq!(shape(&[0, 5]).unwrap(), [0, 5]);
    }
}
