//! The parts of a file without a representation in the IR: doc strings, properties, and the other fields of a message
//! as bytes.
//!
//! protobuf merges two concatenated messages of one kind, so the other fields of a message are restored by appending
//! them.

use crate::fields::Fields;
use crate::wire;
use intact8_ir::{Error, Notes, Result};
use onnx_protobuf::StringStringEntryProto;
use protobuf::{CodedOutputStream, Message};
use std::mem::take;

/// The notes of a message; `rest` holds the fields without a representation in the IR.
pub(crate) fn import(
    doc: &mut String,
    metadata: &mut Vec<StringStringEntryProto>,
    rest: impl Message,
) -> Result<Notes> {
    let metadata = take(metadata).into_iter().map(|entry| (entry.key, entry.value)).collect();
    Ok(Notes { doc: take(doc), metadata, rest: bytes(rest)? })
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
    let mut bytes = bytes(message)?;
    if !notes.rest.is_empty() {
        wire::check(kind, &notes.rest).map_err(|error| error.at("notes.rest"))?;
        bytes.extend(&notes.rest);
    }
    Ok(Fields::of(&bytes))
}

/// The bytes of a message. Unknown fields are sorted, so that equal messages have equal bytes.
pub(crate) fn bytes(mut message: impl Message) -> Result<Vec<u8>> {
    let special_fields = take(message.mut_special_fields());
    let mut unknown: Vec<_> = special_fields.unknown_fields().iter().collect();
    unknown.sort_by_key(|(number, _)| *number);
    let mut bytes = Vec::new();
    let mut stream = CodedOutputStream::vec(&mut bytes);
    let mut written = message.write_to(&mut stream);
    for (number, value) in unknown {
        written = written.and_then(|()| stream.write_unknown(number, value));
    }
    written.and_then(|()| stream.flush()).map_err(|error| Error::limit(error.to_string()))?;
    drop(stream);
    Ok(bytes)
}
