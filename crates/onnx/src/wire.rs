//! The check before protobuf: a bounded, iterative test whether bytes have the structure of an ONNX message.
//!
//! protobuf 3.4.0 recurses without bound into nested groups (RUSTSEC-2024-0437). Bytes that pass have no
//! groups, no messages nested deeper than [`MAX_DEPTH`], no length that exceeds its message, and a number of messages
//! whose memory is proportional to their bytes. The check does not read the values of fields; the import validates the
//! model.

use intact8_ir::{Error, Result};
use onnx_protobuf as onnx;

/// The largest nesting depth of messages.
pub(crate) const MAX_DEPTH: usize = 200;

/// The largest nesting depth of graphs. Each nests three messages, and the innermost may contain a few more.
pub(crate) const MAX_GRAPHS: usize = 64;

/// The largest number of bytes of a message, defined by protobuf.
pub(crate) const MAX_LEN: u64 = i32::MAX as u64;

/// The memory that a message may take: a factor of its size in the file, and a minimum for small messages.
/// An empty message has two bytes in a file and hundreds in memory; real models need a factor below 40.
const MEMORY: (usize, usize) = (64, 64 << 10);

macro_rules! messages {
    ($($message:ident $proto:ty { $($field:literal $inner:ident,)* })*) => {
        /// The messages of ONNX.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Message { $($message,)* }

        impl Message {
            #[cfg(test)]
            const ALL: &[Message] = &[$(Message::$message,)*];

            /// The kind of message in a field, if the field contains a message.
            pub(crate) fn field(self, number: u32) -> Option<Message> {
                match (self, number) {
                    $($((Message::$message, $field) => Some(Message::$inner),)*)*
                    _ => None,
                }
            }

            /// The memory of the message in bytes, without its heap allocations.
            fn memory(self) -> usize {
                match self { $(Message::$message => size_of::<$proto>(),)* }
            }

            #[cfg(test)]
            fn parse(self, bytes: &[u8]) -> protobuf::Result<()> {
                match self {
                    $(Message::$message => <$proto as protobuf::Message>::parse_from_bytes(bytes).map(drop),)*
                }
            }
        }
    };
}

messages! {
    Model onnx::ModelProto { 7 Graph, 8 OpsetId, 14 Entry, 20 Training, 25 Function, }
    Graph onnx::GraphProto {
        1 Node, 5 Tensor, 11 ValueInfo, 12 ValueInfo, 13 ValueInfo, 14 Annotation, 15 SparseTensor, 16 Entry,
    }
    Function onnx::FunctionProto { 7 Node, 9 OpsetId, 11 Attribute, 12 ValueInfo, 14 Entry, }
    Node onnx::NodeProto { 5 Attribute, 9 Entry, }
    Attribute onnx::AttributeProto {
        5 Tensor, 6 Graph, 10 Tensor, 11 Graph, 14 Type, 15 Type, 22 SparseTensor, 23 SparseTensor,
    }
    Tensor onnx::TensorProto { 3 Segment, 13 Entry, 16 Entry, }
    SparseTensor onnx::SparseTensorProto { 1 Tensor, 2 Tensor, }
    ValueInfo onnx::ValueInfoProto { 2 Type, 4 Entry, }
    Type onnx::TypeProto { 1 TensorType, 4 SequenceType, 5 MapType, 8 SparseType, 9 OptionalType, }
    TensorType onnx::type_proto::Tensor { 2 Shape, }
    SparseType onnx::type_proto::SparseTensor { 2 Shape, }
    SequenceType onnx::type_proto::Sequence { 1 Type, }
    OptionalType onnx::type_proto::Optional { 1 Type, }
    MapType onnx::type_proto::Map { 2 Type, }
    Shape onnx::TensorShapeProto { 1 Dimension, }
    Dimension onnx::tensor_shape_proto::Dimension {}
    Segment onnx::tensor_proto::Segment {}
    Annotation onnx::TensorAnnotation { 2 Entry, }
    Training onnx::TrainingInfoProto { 1 Graph, 2 Graph, 3 Entry, 4 Entry, }
    OpsetId onnx::OperatorSetIdProto {}
    Entry onnx::StringStringEntryProto {}
}

/// The numbers of the fields with tensors and graphs. The export writes these itself, so that no tensor is copied.
pub(crate) mod field {
    pub(crate) const MODEL_GRAPH: u32 = 7;
    pub(crate) const MODEL_FUNCTIONS: u32 = 25;
    pub(crate) const FUNCTION_NODE: u32 = 7;
    pub(crate) const FUNCTION_ATTRIBUTE_PROTO: u32 = 11;
    pub(crate) const GRAPH_NODE: u32 = 1;
    pub(crate) const GRAPH_INITIALIZER: u32 = 5;
    pub(crate) const GRAPH_SPARSE_INITIALIZER: u32 = 15;
    pub(crate) const NODE_ATTRIBUTE: u32 = 5;
    pub(crate) const ATTRIBUTE_T: u32 = 5;
    pub(crate) const ATTRIBUTE_G: u32 = 6;
    pub(crate) const ATTRIBUTE_TENSORS: u32 = 10;
    pub(crate) const ATTRIBUTE_GRAPHS: u32 = 11;
    pub(crate) const ATTRIBUTE_SPARSE_TENSOR: u32 = 22;
    pub(crate) const ATTRIBUTE_SPARSE_TENSORS: u32 = 23;
    pub(crate) const SPARSE_VALUES: u32 = 1;
    pub(crate) const SPARSE_INDICES: u32 = 2;
    pub(crate) const TENSOR_RAW_DATA: u32 = 9;
}

/// Checks the bytes of a model's file.
pub(crate) fn check_model(bytes: &[u8]) -> Result<()> {
    let no_model = |why: &str| Error::syntax(format!("not an ONNX model: {why}"));
    if bytes.is_empty() {
        return Err(no_model("the file is empty"));
    }
    if bytes.len() as u64 > MAX_LEN {
        return Err(no_model("the file is larger than 2 GiB, the limit of protobuf"));
    }
    check(Message::Model, bytes).map_err(|damage| match bytes {
        [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', ..] if is_text(bytes) => {
            no_model("the file is a Git LFS pointer; fetch the model with git lfs pull")
        }
        _ if is_text(bytes) => no_model("the file is text"),
        _ => damage,
    })
}

/// Checks that bytes have the structure of a message, down to the fields in the table above.
pub(crate) fn check(message: Message, bytes: &[u8]) -> Result<()> {
    let mut open = vec![(message, bytes.len())];
    let mut memory = 0;
    let mut at = 0;
    while let Some(&(message, end)) = open.last() {
        if at == end {
            open.pop();
            continue;
        }
        let start = at;
        let damaged = |what: &str| {
            Error::syntax(format!(
                "not an ONNX model, or a damaged one: {what} at byte {start} ({message:?})"
            ))
        };
        let tag = varint(bytes, &mut at, end).ok_or_else(|| damaged("an unterminated number"))?;
        let (number, wire_type) = match u32::try_from(tag) {
            Ok(tag) if tag >= 8 && at - start <= 5 => (tag >> 3, tag & 7),
            Ok(..8) => return Err(damaged("field number 0")),
            _ => return Err(damaged("a field number out of range")),
        };
        let inner = message.field(number);
        if inner.is_some() && wire_type != 2 {
            return Err(damaged(&format!(
                "field {number} has wire type {wire_type}, but must be a message,"
            )));
        }
        let len = match wire_type {
            0 => varint(bytes, &mut at, end).map(|_| 0).ok_or_else(|| damaged("an unterminated number"))?,
            1 => 8,
            2 => varint(bytes, &mut at, end).ok_or_else(|| damaged("an unterminated number"))?,
            3 | 4 => return Err(damaged("a group, which ONNX does not use,")),
            5 => 4,
            _ => return Err(damaged(&format!("the undefined wire type {wire_type}"))),
        };
        if len > (bytes.len() - at) as u64 {
            return Err(Error::syntax(format!(
                "the file is truncated: the field at byte {start} has {len} bytes, but only {} are left; copy it again",
                bytes.len() - at
            )));
        }
        if len > (end - at) as u64 {
            return Err(damaged("a field that is longer than its message"));
        }
        let inner_end = at + len as usize;
        match inner {
            None => at = inner_end,
            Some(_) if open.len() == MAX_DEPTH => {
                return Err(damaged(&format!("more than {MAX_DEPTH} nested messages")));
            }
            Some(Message::Graph)
                if open.iter().filter(|(message, _)| *message == Message::Graph).count() == MAX_GRAPHS =>
            {
                return Err(damaged(&format!("more than {MAX_GRAPHS} nested graphs")));
            }
            Some(inner) => {
                memory += inner.memory();
                open.push((inner, inner_end));
            }
        }
        if memory > bytes.len().saturating_mul(MEMORY.0).saturating_add(MEMORY.1) {
            return Err(damaged("too many empty messages"));
        }
    }
    Ok(())
}

/// The fields of a message that passed [`check`], or that protobuf wrote: the number and the bytes of each, tag included.
pub(crate) fn fields(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let tag = varint(bytes, &mut at, bytes.len())?;
        let len = match tag & 7 {
            0 => varint(bytes, &mut at, bytes.len()).map(|_| 0)?,
            1 => 8,
            2 => varint(bytes, &mut at, bytes.len())? as usize,
            _ => 4,
        };
        at += len;
        Some(((tag >> 3) as u32, bytes.get(start..at)?))
    })
}

/// The number at `at`, which must end before `end` and within ten bytes.
fn varint(bytes: &[u8], at: &mut usize, end: usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = *bytes[..end].get(*at)?;
        *at += 1;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(512)];
    let is_printable = |&byte: &u8| byte >= b' ' && byte != 0x7f || b"\t\r\n".contains(&byte);
    // The head may end inside a character.
    head.iter().all(is_printable) && head.utf8_chunks().all(|chunk| chunk.invalid().len() < 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        check_model(bytes).unwrap_err().to_string()
    }

    /// `content` in field `number`.
    fn field(number: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut stream = protobuf::CodedOutputStream::vec(&mut bytes);
        stream.write_bytes(number, content).unwrap();
        stream.flush().unwrap();
        drop(stream);
        bytes
    }

    #[test]
    fn every_message_that_protobuf_reads_is_in_the_table() {
        for &message in Message::ALL {
            for number in 1..64 {
                // A single tag is not a message; it is a valid string, bytes, and packed integer, but not a packed
                // float.
                let is_packed_float =
                    matches!((message, number), (Message::Attribute, 7) | (Message::Tensor, 4 | 10));
                let is_message = message.parse(&field(number, &[8])).is_err() && !is_packed_float;
                assert_eq!(message.field(number).is_some(), is_message, "field {number} of {message:?}");
            }
        }
    }

    #[test]
    fn groups_are_rejected_at_any_depth() {
        assert_eq!(
            message(&[0x0b, 0x0c]),
            "not an ONNX model, or a damaged one: a group, which ONNX does not use, at byte 0 (Model)"
        );
        let nested = field(7, &field(1, &[0x0b]));
        assert!(message(&nested).ends_with("a group, which ONNX does not use, at byte 4 (Node)"));
    }

    #[test]
    fn a_message_field_with_another_wire_type_is_rejected() {
        assert!(message(&[0x38, 1]).contains("field 7 has wire type 0, but must be a message, at byte 0"));
    }

    #[test]
    fn unterminated_and_overlong_numbers_are_rejected() {
        assert!(
            message(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2])
                .contains("an unterminated number")
        );
        assert!(message(&[0x08, 0x80]).contains("an unterminated number"));
        assert!(message(&[0x88, 0x80, 0x80, 0x80, 0x80, 0]).contains("out of range"));
        assert!(message(&[0x02, 0]).contains("field number 0"));
    }

    #[test]
    fn lengths_past_the_end_are_rejected() {
        let mut bytes = field(7, &field(2, b"name"));
        assert!(check_model(&bytes).is_ok());
        bytes[3] = 9;
        assert_eq!(
            message(&bytes),
            "the file is truncated: the field at byte 2 has 9 bytes, but only 4 are left; copy it again"
        );
        bytes.extend([0; 8]);
        assert!(message(&bytes).contains("longer than its message at byte 2 (Graph)"));
    }

    #[test]
    fn depth_is_bounded() {
        let graphs =
            |n| field(7, &(1..n).fold(Vec::new(), |inner, _| field(1, &field(5, &field(6, &inner)))));
        assert!(check_model(&graphs(64)).is_ok());
        assert!(message(&graphs(65)).contains("more than 64 nested graphs"));
        assert!(message(&graphs(10_000)).contains("more than 64 nested graphs"));
        let sequences = |n| {
            field(7, &field(11, &field(2, &(0..n).fold(Vec::new(), |inner, _| field(4, &field(1, &inner))))))
        };
        assert!(check_model(&sequences(98)).is_ok());
        assert!(message(&sequences(99)).contains("more than 200 nested messages"));
    }

    #[test]
    fn too_many_empty_messages_are_rejected() {
        let nodes: Vec<u8> = [0x0a, 0].repeat(100_000);
        assert!(message(&field(7, &nodes)).contains("too many empty messages"));
    }

    #[test]
    fn other_kinds_of_files_are_rejected_by_kind() {
        assert_eq!(message(b""), "not an ONNX model: the file is empty");
        assert_eq!(message(b"<!DOCTYPE html>"), "not an ONNX model: the file is text");
        assert_eq!(
            message(b"version https://git-lfs.github.com/spec/v1\n"),
            "not an ONNX model: the file is a Git LFS pointer; fetch the model with git lfs pull"
        );
        assert!(message(b"PK\x03\x04").contains("field number 0 at byte 2"));
    }
}
