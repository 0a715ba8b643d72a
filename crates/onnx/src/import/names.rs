//! Names and descriptions of nodes and values in the messages of a graph.

use crate::types;
use intact8_ir::{Error, Result};
use onnx_protobuf::{NodeProto, ValueInfoProto};

/// The name of a node in messages.
pub(super) fn label(node: &NodeProto, idx: usize) -> String {
    let label = [&node.name].into_iter().chain(&node.output).find(|name| !name.is_empty());
    label.cloned().unwrap_or_else(|| format!("node {idx}"))
}

/// Checks that all elements of a list have a name.
pub(super) fn named<'a>(what: &str, mut names: impl Iterator<Item = &'a String>) -> Result<()> {
    match names.position(String::is_empty) {
        Some(idx) => Err(Error::invalid_model(format!("{what} {idx} has no name"))),
        None => Ok(()),
    }
}

/// Of two descriptions of a value the later one, unless it is empty.
pub(super) fn merged(earlier: ValueInfoProto, mut later: ValueInfoProto) -> ValueInfoProto {
    if types::is_bare(&later) {
        return earlier;
    }
    if later.type_.is_none() {
        later.type_ = earlier.type_;
    }
    later
}
