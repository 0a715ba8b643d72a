//! The parts of a file without a representation in the IR: doc strings, properties, and the other fields of a message
//! as bytes.
//!
//! protobuf merges two concatenated messages of one kind, so the other fields of a message are restored by appending
//! them.

use crate::fields::Fields;
use crate::wire;
use intact8_ir::{Error, Notes, Result};
use onnx_protobuf::StringStringEntryProto;
use protobuf::rt::WireType;
use protobuf::{CodedInputStream, CodedOutputStream, Message};
use std::mem::take;

/// The notes of a message; `rest` holds the fields without a representation in the IR.
pub(crate) fn import(
    kind: wire::Message,
    doc: &mut String,
    metadata: &mut Vec<StringStringEntryProto>,
    rest: impl Message,
) -> Result<Notes> {
    let metadata = take(metadata).into_iter().map(|entry| (entry.key, entry.value)).collect();
    Ok(Notes { doc: take(doc), metadata, rest: bytes(kind, rest)? })
}

/// The properties in the form of a message.
pub(crate) fn metadata(notes: &Notes) -> Vec<StringStringEntryProto> {
    let entry = |(key, value): (&String, &String)| StringStringEntryProto {
        key: key.clone(),
        value: value.clone(),
        ..Default::default()
    };
    notes.metadata.iter().map(entry).collect()
}

/// A message with its other fields, to which the fields with tensors and graphs are added.
pub(crate) fn fields(kind: wire::Message, message: impl Message, notes: &Notes) -> Result<Fields> {
    let mut bytes = bytes(kind, message)?;
    if !notes.rest.is_empty() {
        wire::check(kind, &notes.rest).map_err(|error| error.at("notes.rest"))?;
        bytes.extend(&notes.rest);
    }
    Ok(Fields::of(&bytes))
}

/// The bytes of a message. Its fields are sorted, and those of the messages inside of it, so that equal messages have equal
/// bytes: protobuf writes unknown fields in a random order.
pub(crate) fn bytes(kind: wire::Message, message: impl Message) -> Result<Vec<u8>> {
    let bytes = message.write_to_bytes().and_then(|bytes| sorted(kind, &bytes));
    bytes.map_err(|error| Error::limit(error.to_string()))
}

/// The same message with its fields in the order of their numbers. The messages of one field keep their order.
fn sorted(kind: wire::Message, bytes: &[u8]) -> protobuf::Result<Vec<u8>> {
    let mut fields: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut input = CodedInputStream::from_bytes(bytes);
    let mut start = 0;
    while let Some(tag) = input.read_raw_tag_or_eof()? {
        let (number, wire_type) = (tag >> 3, WireType::new(tag & 7));
        let field = match (kind.field(number), wire_type) {
            (Some(inner), Some(WireType::LengthDelimited)) => {
                let content = sorted(inner, &input.read_bytes()?)?;
                let mut field = Vec::new();
                let mut stream = CodedOutputStream::vec(&mut field);
                stream.write_bytes(number, &content)?;
                stream.flush()?;
                drop(stream);
                field
            }
            (_, wire_type) => {
                wire_type.map_or(Ok(()), |wire_type| input.skip_field(wire_type))?;
                bytes[start..input.pos() as usize].to_vec()
            }
        };
        start = input.pos() as usize;
        fields.push((number, field));
    }
    fields.sort_by_key(|(number, _)| *number);
    Ok(fields.into_iter().flat_map(|(_, field)| field).collect())
}
