//! The fields of a message that is written, in ascending order of their numbers.
//!
//! The order has no meaning in protobuf, but readers exist that tell an ONNX file by the order of its first fields, as
//! OpenVINO does.

use crate::rope::Rope;
use crate::wire;

/// A message that is assembled from the bytes of its plain fields and from fields with tensors and graphs.
#[derive(Debug)]
pub(crate) struct Fields {
    /// Neighbours may have one number; each rope holds whole fields.
    fields: Vec<(u32, Rope)>,
}

impl Fields {
    /// The fields of a message that protobuf wrote, or that was checked.
    pub(crate) fn of(bytes: &[u8]) -> Fields {
        let mut runs: Vec<(u32, Vec<u8>)> = Vec::new();
        for (number, field) in wire::fields(bytes) {
            match runs.last_mut() {
                Some((last, run)) if *last == number => run.extend(field),
                _ => runs.push((number, field.to_vec())),
            }
        }
        Fields { fields: runs.into_iter().map(|(number, run)| (number, Rope::from_bytes(run))).collect() }
    }

    /// Adds a field that holds bytes, text or another message, after all fields of the same number.
    pub(crate) fn add(&mut self, number: u32, content: Rope) {
        let mut field = Rope::default();
        field.field(number, content);
        self.fields.push((number, field));
    }

    /// The bytes of the message.
    pub(crate) fn into_rope(mut self) -> Rope {
        // The order of fields of one number is that of a list, and is kept.
        self.fields.sort_by_key(|(number, _)| *number);
        let mut rope = Rope::default();
        self.fields.into_iter().for_each(|(_, field)| rope.append(field));
        rope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_ascend_and_those_of_one_number_keep_their_order() {
        // Field 8 is 1, field 2 is "a", field 8 is 2, field 9 is four bytes.
        let mut fields = Fields::of(&[0x40, 1, 0x12, 1, b'a', 0x40, 2, 0x4d, 1, 2, 3, 4]);
        fields.add(7, Rope::from_bytes(vec![b'g']));
        fields.add(2, Rope::from_bytes(vec![b'b']));
        let mut bytes = Vec::new();
        fields.into_rope().write_to(&mut bytes).unwrap();
        let expected = [0x12, 1, b'a', 0x12, 1, b'b', 0x3a, 1, b'g', 0x40, 1, 0x40, 2, 0x4d, 1, 2, 3, 4];
        assert_eq!(bytes, expected);
    }
}
