//! The record as AMCT reads it: its own fields, and layers that it quantizes.

use super::{LayerRecord, Record};
use crate::params::QuantParams;
use crate::stages::Prepared;

/// A record for AMCT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmctRecord {
    /// The text of the file.
    pub text: String,
    /// The layers that it can't hold, a line for each.
    pub left_out: Vec<String>,
}

/// The operators that AMCT quantizes.
const QUANTIZED_BY_AMCT: &[&str] = &["AveragePool", "Conv", "ConvTranspose", "Gemm", "MatMul"];

impl Record {
    /// The record for AMCT's `convert_model` with the original model: the scales are those of its weights. Which way elements
    /// are rounded and what is added to biases is lost.
    pub fn for_amct(&self, original: &Prepared, prepared: &Prepared) -> AmctRecord {
        let (mut record, mut left_out) = (Record::default(), vec![]);
        for (name, mut entry) in self.of_original(original, prepared).layers {
            match prepared.layers().id(&name).map(|id| prepared.layers()[id].op) {
                // A single input.
                None => {}
                Some(op) => match reason(op, &entry) {
                    Some(reason) => {
                        left_out.push(format!("{name} is not in the record for AMCT: {reason}"));
                        continue;
                    }
                    None if entry.weights.is_empty() && op == "AveragePool" => {
                        entry.weights = vec![QuantParams::per_tensor(1.0, 0, 8)];
                    }
                    None => {}
                },
            }
            let entry = LayerRecord { rounded_up: vec![], bias_shift: vec![], ..entry };
            record.layers.insert(name, entry);
        }
        let is_single_input = |name: &str| prepared.layers().id(name).is_none();
        AmctRecord { text: record.text_with(is_single_input), left_out }
    }
}

/// Why AMCT can't read the entry of a layer.
fn reason(op: &str, entry: &LayerRecord) -> Option<String> {
    if !QUANTIZED_BY_AMCT.contains(&op) {
        return Some(format!("AMCT has no int8 {op}"));
    }
    if entry.prepared {
        return Some("its scales are of a weight that preparation has changed".to_owned());
    }
    if entry.has_blocks() || entry.activations.is_empty() {
        return Some("AMCT quantizes activations too, and has no blocks".to_owned());
    }
    None
}
