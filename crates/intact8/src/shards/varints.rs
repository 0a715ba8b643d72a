//! Many numbers as one run of bytes: seven bits in each, the lowest first, and the highest bit of all but the last byte set (LEB128).
//! A sequence of serde's is read number by number, which takes most of the time of merging.

use intact8_ir::{Error, Result};
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// Numbers of 64 bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Varints(Vec<u8>);

impl Varints {
    pub(super) fn of(numbers: impl Iterator<Item = u64>) -> Varints {
        let mut bytes = Vec::new();
        for mut number in numbers {
            while number >= 0x80 {
                bytes.push(number as u8 | 0x80);
                number >>= 7;
            }
            bytes.push(number as u8);
        }
        Varints(bytes)
    }

    /// # Errors
    /// If the bytes are not those of numbers of 64 bits.
    pub(super) fn numbers(&self) -> Result<Vec<u64>> {
        let wrong = || Error::invalid_data("the numbers of a state are damaged");
        let mut numbers = Vec::with_capacity(self.0.len() / 2);
        let (mut number, mut shift) = (0u64, 0u32);
        for &byte in &self.0 {
            let digit = u64::from(byte & 0x7f);
            if shift > 63 || digit << shift >> shift != digit {
                return Err(wrong());
            }
            number |= digit << shift;
            shift += 7;
            if byte < 0x80 {
                numbers.push(number);
                (number, shift) = (0, 0);
            }
        }
        if shift == 0 { Ok(numbers) } else { Err(wrong()) }
    }
}

impl Serialize for Varints {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Varints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Varints, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Varints;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<Varints, E> {
                Ok(Varints(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let numbers = [0, 1, 127, 128, 300, 1 << 35, u64::MAX - 1, u64::MAX];
        let varints = Varints::of(numbers.into_iter());
        let bytes = postcard::to_stdvec(&varints).unwrap();
        assert_eq!(postcard::from_bytes::<Varints>(&bytes).unwrap().numbers().unwrap(), numbers);
        assert!(Varints::default().numbers().unwrap().is_empty());
        for damaged in [vec![0x80], vec![0xff; 10], [&[0xff; 9][..], &[2]].concat()] {
            assert!(Varints(damaged.clone()).numbers().is_err(), "{damaged:?}");
        }
    }
}
