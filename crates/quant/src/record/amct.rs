//! The record as AMCT reads it: its own fields, and layers that it quantizes.

use super::{LayerRecord, Record};
use crate::params::QuantParams;
use crate::stages::Prepared;
use intact8_ir::one_line;

/// The operators that AMCT quantizes.
const QUANTIZED_BY_AMCT: &[&str] = &["AveragePool", "Conv", "ConvTranspose", "Gemm", "MatMul"];

impl Record {
    /// The text of the record for AMCT's `convert_model` with the original model: the scales are those of its weights. Which way
    /// elements are rounded and what is added to biases is lost. Comments name the layers that it can't hold.
    pub fn for_amct(&self, original: &Prepared, prepared: &Prepared) -> String {
        let (mut record, mut comments) = (Record::default(), String::new());
        for (name, mut entry) in self.of_original(original, prepared).layers {
            if let Some(layer) = prepared.layers().id(&name).map(|id| &prepared.layers()[id]) {
                if let Some(reason) = reason(layer.op, &entry) {
                    comments += &format!("# {} is left out: {reason}.\n", one_line(&name));
                    continue;
                }
                if layer.op == "AveragePool" {
                    entry.weights = vec![QuantParams::per_tensor(1.0, 0, 8)];
                }
            }
            let entry = LayerRecord { rounded_up: vec![], bias_shift: vec![], ..entry };
            record.layers.insert(name, entry);
        }
        comments + &record.text_with(|name| prepared.layers().id(name).is_none())
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
        return Some("AMCT quantizes activations too, and weights without blocks".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::Preparation;
    use intact8_ir::Model;

    #[test]
    fn amct_gets_its_own_fields_and_layers() {
        let text = "model m opset 17\n%x = input : f32[N,1,2,2]\n%w = const [1.0] : f32[1,1,1,1]\n\
                    %c = Conv(%x, %w) @conv : f32[N,1,2,2]\n%k = const [4.0] : f32[]\n%m = Mul(%c, %k) : f32[N,1,2,2]\n\
                    %p = AveragePool(%m) {kernel_shape = [1, 1]} @pool : f32[N,1,2,2]\n\
                    %a = Add(%p, %m) @add : f32[N,1,2,2]\n%y = MaxPool(%a) {kernel_shape = [1, 1]} @max\nreturn %y\n";
        let model: Model = text.parse().unwrap();
        let prepare = |how: &Preparation| Prepared::new(&model, how, None, &mut ()).unwrap();
        let [original, prepared] = [&Preparation::none(), &Preparation::default()].map(prepare);
        let params = |scale: f32| QuantParams::per_tensor(scale, 0, 8);
        let entry = |n_activations| LayerRecord {
            activations: vec![params(0.5); n_activations],
            ..LayerRecord::default()
        };
        let conv = LayerRecord {
            weights: vec![params(2.0)],
            rounded_up: vec![true; 4],
            bias_shift: vec![1.0],
            ..entry(1)
        };
        let layers = [("conv", conv), ("pool", entry(1)), ("add", entry(2)), ("max:0", entry(1))];
        let record = Record { layers: layers.map(|(name, entry)| (name.to_owned(), entry)).into() };
        let text = record.for_amct(&original, &prepared);
        assert!(text.starts_with("# add is left out: AMCT has no int8 Add.\nrecord {"), "{text}");
        assert!(text.contains("is_tensor_quantize: true") && !text.contains("rounded_up"), "{text}");
        let read = Record::from_text(&text).unwrap();
        assert_eq!(read.layers.keys().collect::<Vec<_>>(), ["conv", "max:0", "pool"]);
        // Of the weight before the Mul.
        assert_eq!(read.layers["conv"].weights, [params(0.5)]);
        assert_eq!(read.layers["pool"].weights, [params(1.0)]);
    }
}
