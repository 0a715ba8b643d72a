//! The record: the scale and offset of every quantized layer. Its text is AMCT's scale-offset record, so that
//! existing files load.

use crate::layer::Layer;
use crate::params::QuantParams;
use crate::prototext::{Field, Message, quote};
use quantfit_ir::{Error, Model, Result};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Scales and offsets by layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// The layers, by name.
    pub layers: BTreeMap<String, LayerRecord>,
}

/// Scales and offsets of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerRecord {
    /// Of the activation, one entry.
    pub activation: QuantParams,
    /// Of the weight: one entry, or one for each output channel. Scale 1 for layers without a weight.
    pub weight: QuantParams,
}

impl Record {
    /// Reads the text form and checks every value. A layer that occurs twice counts as its last occurrence says.
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
        Ok(record)
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, layer) in &self.layers {
            layer.write(&mut text, name).expect("writing to a string can't fail");
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

    /// Checks that an entry fits its layer: one weight scale, or one for each output channel.
    pub(crate) fn check(entry: &LayerRecord, layer: &Layer, model: &Model) -> Result<()> {
        let Some(weight) = layer.weight else { return Ok(()) };
        let graph = model.graphs()[layer.graph];
        let tensor = graph.operand(layer.node, weight.slot).and_then(|value| graph.constant(value));
        let n_channels = tensor.map_or(1, |tensor| tensor.shape()[weight.axis]);
        let n_scales = entry.weight.scale.len();
        if n_scales == 1 || n_scales == n_channels && weight.per_channel {
            return Ok(());
        }
        let expected = if weight.per_channel { format!("1 or {n_channels}") } else { "1".to_owned() };
        Err(Error::invalid_config(format!(
            "the record has {n_scales} weight scales, the layer needs {expected}"
        ))
        .at(&layer.name))
    }
}

impl LayerRecord {
    fn check(&self) -> Result<()> {
        self.activation.check().map_err(|error| error.at("activation"))?;
        self.weight.check().map_err(|error| error.at("weight"))?;
        match self.weight.offset.iter().find(|&&offset| offset != 0) {
            Some(offset) => Err(Error::invalid_config(format!("offset_w must be 0, found {offset}"))),
            None => Ok(()),
        }
    }

    /// Reads AMCT's message of a layer. Fields of other quantization schemes are refused, not ignored.
    fn read(field: &Field) -> Result<LayerRecord> {
        let mut activation = QuantParams { scale: vec![], offset: vec![], bits: 8 };
        let mut weight = activation.clone();
        for entry in &field.message()?.0 {
            match entry.name.as_str() {
                // Of a field that is not repeated, the last occurrence counts.
                "scale_d" => activation.scale = vec![entry.number()?],
                "offset_d" => activation.offset = vec![entry.number()?],
                "scale_w" => weight.scale.push(entry.number()?),
                "offset_w" => weight.offset.push(entry.number()?),
                "act_type" => activation.bits = bits(entry)?,
                "wts_type" => weight.bits = bits(entry)?,
                "dst_type" => (activation.bits, weight.bits) = (bits(entry)?, bits(entry)?),
                "skip_fusion" => drop(entry.flag()?),
                "shift_bit" => drop(entry.number::<u32>()?),
                "fakequant_precision_mode" if entry.text()? == "DEFAULT" => {}
                "tensor_balance_factor"
                | "fakequant_precision_mode"
                | "scale_h"
                | "offset_h"
                | "scale_r"
                | "offset_r" => {
                    let message = format!("{} is not supported", entry.name);
                    return Err(Error::unsupported(message).at(format!("line {}", entry.line)));
                }
                _ => return Err(entry.unknown()),
            }
        }
        if activation.offset.is_empty() {
            activation.offset = vec![0];
        }
        if weight.offset.is_empty() {
            weight.offset = vec![0; weight.scale.len()];
        }
        Ok(LayerRecord { activation, weight })
    }

    fn write(&self, out: &mut String, name: &str) -> std::fmt::Result {
        writeln!(out, "record {{\n  key: {}\n  value {{", quote(name))?;
        writeln!(out, "    scale_d: {}", self.activation.scale[0])?;
        writeln!(out, "    offset_d: {}", self.activation.offset[0])?;
        self.weight.scale.iter().try_for_each(|scale| writeln!(out, "    scale_w: {scale}"))?;
        self.weight.offset.iter().try_for_each(|offset| writeln!(out, "    offset_w: {offset}"))?;
        writeln!(out, "    act_type: \"INT{}\"", self.activation.bits)?;
        writeln!(out, "    wts_type: \"INT{}\"", self.weight.bits)?;
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

    /// The example of AMCT's documentation, without the balance factors.
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
  value { scale_d: 0.0365 offset_d: -7 scale_w: 0.00158 offset_w: 0 }
}
"#;

    #[test]
    fn the_text_round_trips() {
        let record = Record::from_text(EXAMPLE).unwrap();
        let conv1 = record.layer("conv1").unwrap();
        assert_eq!(conv1.activation, QuantParams::per_tensor(0.0187, -128, 8));
        assert_eq!(conv1.weight.scale, [0.00297, 0.00311]);
        assert_eq!(Record::from_text(&record.to_text()).unwrap(), record);
        assert!(record.to_text().starts_with(&EXAMPLE[..EXAMPLE.find("record {\n  key: \"fc\"").unwrap()]));
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
