//! Data types: ONNX's number, and the number of bits of an element in a file.
//!
//! The numbers are plain integers in a file, so the table may have types that the protobuf crate lacks.

use intact8_ir::DType;

/// ONNX's number, the data type, and the bits of one element in packed data; 0 for strings, which are never packed.
const TABLE: [(i32, DType, usize); 28] = [
    (1, DType::F32, 32),
    (2, DType::U8, 8),
    (3, DType::I8, 8),
    (4, DType::U16, 16),
    (5, DType::I16, 16),
    (6, DType::I32, 32),
    (7, DType::I64, 64),
    (8, DType::Str, 0),
    (9, DType::Bool, 8),
    (10, DType::F16, 16),
    (11, DType::F64, 64),
    (12, DType::U32, 32),
    (13, DType::U64, 64),
    (14, DType::C64, 64),
    (15, DType::C128, 128),
    (16, DType::Bf16, 16),
    (17, DType::F8E4M3Fn, 8),
    (18, DType::F8E4M3Fnuz, 8),
    (19, DType::F8E5M2, 8),
    (20, DType::F8E5M2Fnuz, 8),
    (21, DType::U4, 4),
    (22, DType::I4, 4),
    (23, DType::F4E2M1, 4),
    (24, DType::F8E8M0, 8),
    (25, DType::U2, 2),
    (26, DType::I2, 2),
    (27, DType::F6E2M3, 6),
    (28, DType::F6E3M2, 6),
];

/// The data type with the number, if it exists.
pub(crate) fn import(number: i32) -> Option<DType> {
    TABLE.iter().find(|row| row.0 == number).map(|row| row.1)
}

/// The number of a data type.
pub(crate) fn export(dtype: DType) -> i32 {
    row(dtype).0
}

/// The bits of one element in packed data; 0 for strings, which are never packed.
pub(crate) fn bits(dtype: DType) -> usize {
    row(dtype).2
}

/// The number of bytes of `n_elements` in packed data; `None` if it overflows.
pub(crate) fn packed_size(dtype: DType, n_elements: usize) -> Option<usize> {
    Some(n_elements.checked_mul(bits(dtype))?.div_ceil(8))
}

fn row(dtype: DType) -> (i32, DType, usize) {
    *TABLE.iter().find(|row| row.1 == dtype).expect("the table has every data type")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_data_type() {
        for &dtype in DType::ALL {
            assert_eq!(import(export(dtype)), Some(dtype));
            let is_packed = bits(dtype) < 8;
            assert!(is_packed || bits(dtype) == 8 * dtype.byte_size(), "{dtype}");
        }
        assert_eq!(TABLE.len(), DType::ALL.len());
        assert_eq!(import(0), None);
    }

    #[test]
    fn packed_elements_of_few_bits_share_bytes() {
        assert_eq!(packed_size(DType::I4, 3), Some(2));
        assert_eq!(packed_size(DType::U2, 5), Some(2));
        assert_eq!(packed_size(DType::F6E2M3, 5), Some(4));
        assert_eq!(packed_size(DType::F32, usize::MAX), None);
    }
}
