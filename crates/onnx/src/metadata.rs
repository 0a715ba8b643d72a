//! Properties that are added to an ONNX file without reading it.

use crate::notes;
use crate::wire::Message;
use intact8_ir::{Notes, Result};
use onnx_protobuf::ModelProto;
use std::collections::BTreeMap;

/// Bytes that, appended to an ONNX file, add properties to the model (`metadata_props`): protobuf merges two concatenated messages.
///
/// # Errors
/// If the properties are longer than a message can be.
pub fn appended_metadata(properties: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let notes = Notes { metadata: properties.clone(), ..Notes::default() };
    let model = ModelProto { metadata_props: notes::metadata(&notes), ..ModelProto::default() };
    notes::bytes(Message::Model, model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExportOptions, export, import};

    #[test]
    fn appended_properties_belong_to_the_model() {
        let text = "model m opset 17\n%x = input : f32[N]\n%y = Neg(%x) : f32[N]\nreturn %y\n";
        let mut model: intact8_ir::Model = text.parse().unwrap();
        model.origin.notes.metadata.insert("author".to_owned(), "a".to_owned());
        let mut bytes = export(&model, &ExportOptions::default()).unwrap().to_bytes();
        let added = BTreeMap::from([("b.c".to_owned(), "d".to_owned())]);
        bytes.extend(appended_metadata(&added).unwrap());
        let found = import(&bytes, None).unwrap();
        assert_eq!(found.to_string(), model.to_string());
        let metadata: Vec<_> = found.origin.notes.metadata.into_iter().collect();
        assert_eq!(metadata, [("author", "a"), ("b.c", "d")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}
