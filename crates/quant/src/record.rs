//! The record: the scale and offset of every quantized layer. Its text is AMCT's scale-offset record, so that
//! existing files load.

mod flags;

use crate::config::LayerConfig;
use crate::granularity::blocked;
use crate::layer::{Layer, Weight};
use crate::params::QuantParams;
use crate::prototext::{Field, Message, quote};
use intact8_ir::{Error, Model, Result};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Scales and offsets by layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// The layers, by name.
    pub layers: BTreeMap<String, LayerRecord>,
}

/// Scales and offsets of one layer, and all other results of its calibration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerRecord {
    /// The parameters of the activations, in the order of [`Layer::activations`], each with one scale. Empty if only weights
    /// are quantized and the ranges of activations are unknown.
    pub activations: Vec<QuantParams>,
    /// The parameters of the weights, in the order of [`Layer::weights`]: one scale, one per output channel, or of the first
    /// weight one per block.
    pub weights: Vec<QuantParams>,
    /// The smoothing factors: each channel of the first activation is divided by its factor, and the weight is multiplied
    /// by it; empty without smoothing. AMCT: `tensor_balance_factor`.
    pub smoothing: Vec<f32>,
    /// Bias correction: the summand of each output channel that compensates the mean error of quantization; empty without
    /// bias correction.
    pub bias_shift: Vec<f32>,
    /// Whether each element of the first weight is rounded up instead of down, after smoothing; empty for rounding to nearest.
    pub rounded_up: Vec<bool>,
    /// Whether the scales belong to weights that were changed as only the configuration describes: by cross-layer
    /// equalization, or by another choice of folding than the default.
    pub prepared: bool,
}

impl Record {
    /// Reads the text form and checks every value. Of a layer that occurs twice, the last occurrence counts.
    ///
    /// An entry without weights whose key is another entry's followed by `:1`, `:2`, … holds that layer's further
    /// activations.
    pub fn from_text(text: &str) -> Result<Record> {
        let mut record = Record::default();
        for field in Message::parse(text)?.0 {
            if field.name != "record" {
                return Err(field.unknown());
            }
            let (mut key, mut layer) = (None, None);
            for entry in &field.message()?.0 {
                match entry.name.as_str() {
                    "key" => key = Some(entry.text()?.to_owned()),
                    "value" => layer = Some(LayerRecord::read(entry)?),
                    _ => return Err(entry.unknown()),
                }
            }
            let at_line = || format!("line {}", field.line);
            let key = key.ok_or_else(|| Error::syntax("the record has no key").at(at_line()))?;
            let layer =
                layer.ok_or_else(|| Error::syntax("the record has no value").at(&key).at(at_line()))?;
            layer.check().map_err(|error| error.at(&key))?;
            record.layers.insert(key, layer);
        }
        record.join_activations();
        Ok(record)
    }

    /// Moves the entries of further activations to their layers.
    fn join_activations(&mut self) {
        let keys: Vec<String> = self.layers.keys().cloned().collect();
        for name in keys {
            for number in 1.. {
                let key = format!("{name}:{number}");
                let Some(further) = self.layers.get(&key).filter(|entry| entry.weights.is_empty()) else {
                    break;
                };
                let activations = further.activations.clone();
                let Some(layer) = self.layers.get_mut(&name) else { break };
                layer.activations.extend(activations);
                self.layers.remove(&key);
            }
        }
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, layer) in &self.layers {
            layer.write(&mut text, name).expect("writing to a string can't fail");
            for (number, params) in layer.activations.iter().enumerate().skip(1) {
                let further = LayerRecord { activations: vec![params.clone()], ..LayerRecord::default() };
                further
                    .write(&mut text, &format!("{name}:{number}"))
                    .expect("writing to a string can't fail");
            }
        }
        text
    }

    /// The entry of a layer.
    pub fn layer(&self, name: &str) -> Result<&LayerRecord> {
        let missing = || {
            Error::invalid_config("layer is enabled but has no entry in the record; calibrate first").at(name)
        };
        self.layers.get(name).ok_or_else(missing)
    }

    /// Checks that the values of an entry are in range and fit its layer. The number of activations is the layer's, unless
    /// only its weights are quantized. Each activation has one scale; each weight has one scale or one for each output channel.
    pub(crate) fn check(
        entry: &LayerRecord,
        (layer, of_layer): (&Layer, &LayerConfig),
        model: &Model,
    ) -> Result<()> {
        let differs = |found: usize, what: &str, expected: &str| {
            Err(Error::invalid_config(format!("the record has {found} {what}, the layer needs {expected}"))
                .at(&layer.name))
        };
        entry.check().map_err(|error| error.at(&layer.name))?;
        let n_scales = entry.activations.iter().map(|params| params.scale.len());
        if let Some(n_scales) = n_scales.into_iter().find(|&n_scales| n_scales != 1) {
            return differs(n_scales, "scales of an activation", "1");
        }
        let n_activations = layer.activations.len();
        let needs_none = of_layer.weights_only && entry.activations.is_empty();
        if entry.activations.len() != n_activations && !needs_none {
            return differs(entry.activations.len(), "activations", &n_activations.to_string());
        }
        // The original tool writes a weight scale for layers that have no weight.
        if entry.weights.len() < layer.weights.len() {
            return differs(entry.weights.len(), "weights", &layer.weights.len().to_string());
        }
        for (weight, params) in layer.weights.iter().zip(&entry.weights) {
            let shape = layer.tensor(model, weight).shape();
            let (n_scales, n_channels) = (params.scale.len(), shape[weight.axis]);
            if let Some(size) = params.block_size {
                check_blocks(params, size, weight, shape).map_err(|error| error.at(&layer.name))?;
            } else if n_scales != 1 && (n_scales != n_channels || !weight.per_channel) {
                let expected = if weight.per_channel { format!("1 or {n_channels}") } else { "1".to_owned() };
                return differs(n_scales, "weight scales", &expected);
            }
        }
        let n_elements = layer.weights.first().map_or(0, |weight| layer.tensor(model, weight).len());
        // A file holds four elements per digit.
        if ![0, n_elements, n_elements.next_multiple_of(4)].contains(&entry.rounded_up.len()) {
            return differs(entry.rounded_up.len(), "elements rounded up or down", &n_elements.to_string());
        }
        LayerRecord::check_smoothing(&entry.smoothing, layer, model)?;
        let weight = layer.weights.first().filter(|_| layer.output_axis().is_some());
        let n_outputs = weight.map_or(0, |weight| layer.tensor(model, weight).shape()[weight.axis]);
        if ![0, n_outputs].contains(&entry.bias_shift.len()) {
            return differs(entry.bias_shift.len(), "shifts of the bias", &n_outputs.to_string());
        }
        Ok(())
    }
}

/// Checks that there is a scale for each block of a weight of that shape.
fn check_blocks(params: &QuantParams, size: usize, weight: &Weight, shape: &[usize]) -> Result<()> {
    let Some(input) = weight.input else {
        let message = "this weight can't have blocks; remove block_size and state one scale";
        return Err(Error::invalid_config(message));
    };
    let expected = blocked(shape, input.weight, size);
    let (found, needed) = (params.scale.len(), expected.iter().product::<usize>());
    if found == needed {
        return Ok(());
    }
    Err(Error::invalid_config(format!(
        "the record has {found} weight scales, the layer needs {needed} in blocks of {size}, of the shape {expected:?}"
    )))
}

impl LayerRecord {
    /// Whether a weight has scales for blocks.
    pub(crate) fn has_blocks(&self) -> bool {
        self.weights.iter().any(|params| params.block_size.is_some())
    }

    /// Checks that there is no smoothing factor, or one for each input channel.
    pub(crate) fn check_smoothing(factors: &[f32], layer: &Layer, model: &Model) -> Result<()> {
        let n_inputs =
            layer.input_channels().map_or(0, |(weight, _)| weight.n_inputs(layer.tensor(model, weight)));
        if [0, n_inputs].contains(&factors.len()) {
            return Ok(());
        }
        let message =
            format!("the record has {} smoothing factors, the layer needs {n_inputs}", factors.len());
        Err(Error::invalid_config(message).at(&layer.name))
    }

    fn check(&self) -> Result<()> {
        self.activations.iter().try_for_each(QuantParams::check).map_err(|error| error.at("activation"))?;
        self.weights.iter().try_for_each(QuantParams::check).map_err(|error| error.at("weight"))?;
        if self.activations.iter().any(|params| params.block_size.is_some()) {
            return Err(Error::invalid_config("an activation can't have blocks; state one scale"));
        }
        let offsets = self.weights.iter().flat_map(|params| &params.offset);
        if let Some(offset) = offsets.copied().find(|&offset| offset != 0) {
            return Err(Error::invalid_config(format!("offset_w must be 0, found {offset}")));
        }
        let usable = f32::EPSILON..=1.0 / f32::EPSILON;
        if let Some(factor) = self.smoothing.iter().find(|factor| !usable.contains(factor)) {
            let message = format!("tensor_balance_factor must be in {usable:?}, found {factor}");
            return Err(Error::invalid_config(message));
        }
        match self.bias_shift.iter().find(|shift| !shift.is_finite()) {
            Some(shift) => Err(Error::invalid_config(format!("bias_shift must be finite, found {shift}"))),
            None => Ok(()),
        }
    }

    /// Reads AMCT's message of a layer. Fields of other quantization schemes are refused, not ignored.
    fn read(field: &Field) -> Result<LayerRecord> {
        let empty = || QuantParams { scale: vec![], offset: vec![], bits: 8, block_size: None };
        let (mut activation, mut weight, mut recurrence) = (empty(), empty(), empty());
        let mut layer = LayerRecord::default();
        for entry in &field.message()?.0 {
            match entry.name.as_str() {
                // Of a field that is not repeated, the last occurrence counts.
                "scale_d" => activation.scale = vec![entry.number()?],
                "offset_d" => activation.offset = vec![entry.number()?],
                "scale_w" => weight.scale.push(entry.number()?),
                "offset_w" => weight.offset.push(entry.number()?),
                "block_size" => weight.block_size = Some(entry.number()?),
                "scale_r" => recurrence.scale.push(entry.number()?),
                "offset_r" => recurrence.offset.push(entry.number()?),
                "tensor_balance_factor" => layer.smoothing.push(entry.number()?),
                "bias_shift" => layer.bias_shift.push(entry.number()?),
                "rounded_up" => layer.rounded_up = flags::read(entry)?,
                "prepared" => layer.prepared = entry.flag()?,
                "act_type" => activation.bits = bits(entry)?,
                "wts_type" => weight.bits = bits(entry)?,
                "dst_type" => (activation.bits, weight.bits) = (bits(entry)?, bits(entry)?),
                "skip_fusion" => drop(entry.flag()?),
                "shift_bit" => drop(entry.number::<u32>()?),
                "fakequant_precision_mode" if ["DEFAULT", "FORCE_FP16_QUANT"].contains(&entry.text()?) => {}
                "fakequant_precision_mode" | "scale_h" | "offset_h" => {
                    let message = format!("{} is not supported", entry.name);
                    return Err(Error::unsupported(message).at(format!("line {}", entry.line)));
                }
                _ => return Err(entry.unknown()),
            }
        }
        if activation.offset.is_empty() {
            activation.offset = vec![0];
        }
        if !activation.scale.is_empty() || weight.scale.is_empty() {
            layer.activations = vec![activation];
        }
        recurrence.bits = weight.bits;
        for mut params in [weight, recurrence].into_iter().filter(|params| !params.scale.is_empty()) {
            if params.offset.is_empty() {
                params.offset = vec![0; params.scale.len()];
            }
            layer.weights.push(params);
        }
        Ok(layer)
    }

    fn write(&self, out: &mut String, name: &str) -> std::fmt::Result {
        writeln!(out, "record {{\n  key: {}\n  value {{", quote(name))?;
        if let Some(activation) = self.activations.first() {
            writeln!(out, "    scale_d: {}", activation.scale[0])?;
            writeln!(out, "    offset_d: {}", activation.offset[0])?;
        }
        for (params, letter) in self.weights.iter().zip(["w", "r"]) {
            params.scale.iter().try_for_each(|scale| writeln!(out, "    scale_{letter}: {scale}"))?;
            params.offset.iter().try_for_each(|offset| writeln!(out, "    offset_{letter}: {offset}"))?;
        }
        if let Some(size) = self.weights.first().and_then(|params| params.block_size) {
            writeln!(out, "    block_size: {size}")?;
        }
        self.smoothing.iter().try_for_each(|factor| writeln!(out, "    tensor_balance_factor: {factor}"))?;
        self.bias_shift.iter().try_for_each(|shift| writeln!(out, "    bias_shift: {shift}"))?;
        if !self.rounded_up.is_empty() {
            writeln!(out, "    rounded_up: \"{}\"", flags::written(&self.rounded_up))?;
        }
        if self.prepared {
            writeln!(out, "    prepared: true")?;
        }
        if let Some(activation) = self.activations.first() {
            writeln!(out, "    act_type: \"INT{}\"", activation.bits)?;
        }
        if !self.weights.is_empty() {
            // Integers of fewer bits are stored as bytes.
            writeln!(out, "    wts_type: \"INT8\"")?;
        }
        writeln!(out, "  }}\n}}")
    }
}

fn bits(field: &Field) -> Result<u8> {
    let text = field.text()?;
    let bits = text.strip_prefix("INT").and_then(|digits| digits.parse().ok());
    bits.filter(|bits| [8, 16].contains(bits)).ok_or_else(|| {
        let message = format!("{} {text:?} is not supported; use \"INT8\" or \"INT16\"", field.name);
        Error::unsupported(message).at(format!("line {}", field.line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of AMCT's documentation.
    const EXAMPLE: &str = r#"record {
  key: "conv1"
  value {
    scale_d: 0.0187
    offset_d: -128
    scale_w: 0.00297
    scale_w: 0.00311
    offset_w: 0
    offset_w: 0
    act_type: "INT8"
    wts_type: "INT8"
  }
}
record {
  key: "fc"
  value { scale_d: 0.0365 offset_d: -7 scale_w: 0.00158 offset_w: 0 tensor_balance_factor: 1.3 tensor_balance_factor: 0.8 }
}
"#;

    #[test]
    fn the_text_round_trips() {
        let record = Record::from_text(EXAMPLE).unwrap();
        let conv1 = record.layer("conv1").unwrap();
        assert_eq!(conv1.activations, [QuantParams::per_tensor(0.0187, -128, 8)]);
        assert_eq!(conv1.weights[0].scale, [0.00297, 0.00311]);
        assert_eq!(record.layer("fc").unwrap().smoothing, [1.3, 0.8]);
        assert_eq!(Record::from_text(&record.to_text()).unwrap(), record);
        assert!(record.to_text().starts_with(&EXAMPLE[..EXAMPLE.find("record {\n  key: \"fc\"").unwrap()]));
    }

    #[test]
    fn learned_fields_round_trip() {
        let text =
            EXAMPLE.replace("offset_d: -7", "offset_d: -7 bias_shift: 0.5 rounded_up: \"68\" prepared: true");
        let record = Record::from_text(&text).unwrap();
        let fc = record.layer("fc").unwrap();
        assert_eq!(fc.rounded_up, [false, true, true, false, true, false, false, false]);
        assert_eq!((&fc.bias_shift[..], fc.prepared), (&[0.5][..], true));
        assert_eq!(Record::from_text(&record.to_text()).unwrap(), record);
        let error = Record::from_text(&text.replace("68", "6g")).unwrap_err();
        assert!(error.to_string().contains("rounded_up must be hexadecimal digits, found 'g'"), "{error}");
    }

    #[test]
    fn further_activations_have_entries_of_their_own() {
        let params = |scale| QuantParams::per_tensor(scale, 3, 8);
        let entry = |activations| LayerRecord { activations, ..LayerRecord::default() };
        let add = entry(vec![params(0.5), params(0.25), params(1.0)]);
        let record = Record {
            layers: [("add".to_owned(), add), ("add:9".to_owned(), entry(vec![params(2.0)]))].into(),
        };
        assert!(record.to_text().contains("key: \"add:2\""));
        assert_eq!(Record::from_text(&record.to_text()).unwrap(), record);
    }

    #[test]
    fn blocks_round_trip() {
        let text = EXAMPLE.replace("scale_w: 0.00311", "scale_w: 0.00311 block_size: 32");
        let record = Record::from_text(&text).unwrap();
        assert_eq!(record.layer("conv1").unwrap().weights[0].block_size, Some(32));
        assert_eq!(record.layer("fc").unwrap().weights[0].block_size, None);
        assert_eq!(Record::from_text(&record.to_text()).unwrap(), record);
        let error = Record::from_text(&text.replace("block_size: 32", "block_size: 0")).unwrap_err();
        assert_eq!(error.to_string(), "conv1: weight: block_size must be at least 1, found 0");
    }

    #[test]
    fn bad_values_are_named() {
        let message = |value: &str| {
            let text = format!("record {{ key: \"c\" value {{ {value} }} }}");
            Record::from_text(&text).unwrap_err().to_string()
        };
        assert_eq!(
            message("scale_d: 0.1 offset_d: 200 scale_w: 1"),
            "c: activation: offset 200 is not in -128..=127"
        );
        assert_eq!(message("scale_d: 0.1 scale_w: 1 offset_w: 3"), "c: offset_w must be 0, found 3");
        assert_eq!(
            message("scale_d: 0.1 scale_w: 1 scale_w: 2 offset_w: 0"),
            "c: weight: there are 2 scales and 1 offsets"
        );
        assert_eq!(message("scale_x: 1"), "line 1: there is no field \"scale_x\" here");
    }
}
