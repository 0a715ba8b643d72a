//! The text form of a record: AMCT's scale-offset record, protocol buffer text.

use super::{LayerRecord, Record, flags};
use crate::config::Precision;
use crate::params::QuantParams;
use crate::prototext::{Field, Message, quote};
use intact8_ir::{Error, Result};
use std::fmt::Write;

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
        self.text_with(|_| false)
    }

    /// The text form, with AMCT's mark for the entries of single inputs.
    pub(super) fn text_with(&self, is_single_input: impl Fn(&str) -> bool) -> String {
        const INFALLIBLE: &str = "writing to a string can't fail";
        let mut text = String::new();
        for (name, layer) in &self.layers {
            layer.write(&mut text, name, is_single_input(name)).expect(INFALLIBLE);
            for (number, params) in layer.activations.iter().enumerate().skip(1) {
                let further = LayerRecord { activations: vec![params.clone()], ..LayerRecord::default() };
                further.write(&mut text, &format!("{name}:{number}"), false).expect(INFALLIBLE);
            }
        }
        text
    }
}

impl LayerRecord {
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
                "skip_fusion" => layer.skip_fusion = entry.flag()?,
                "fakequant_precision_mode" => layer.precision = precision(entry)?,
                // Reserved; the key tells of a single input; the model has the type.
                "shift_bit" => drop(entry.number::<u32>()?),
                "is_tensor_quantize" => drop(entry.flag()?),
                "op_data_type" => drop(entry.text()?),
                "scale_h" | "offset_h" => {
                    let message =
                        format!("{} is not supported: the state of a recurrence stays float", entry.name);
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

    fn write(&self, out: &mut String, name: &str, is_single_input: bool) -> std::fmt::Result {
        writeln!(out, "record {{\n  key: {}\n  value {{", quote(name))?;
        if is_single_input {
            writeln!(out, "    is_tensor_quantize: true")?;
        }
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
        if self.skip_fusion {
            writeln!(out, "    skip_fusion: true")?;
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
        if self.precision == Precision::ForceFp16Quant {
            writeln!(out, "    fakequant_precision_mode: \"FORCE_FP16_QUANT\"")?;
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

fn precision(field: &Field) -> Result<Precision> {
    match field.text()? {
        "DEFAULT" => Ok(Precision::Default),
        "FORCE_FP16_QUANT" => Ok(Precision::ForceFp16Quant),
        other => {
            let message =
                format!("there is no {} {other:?}; use \"DEFAULT\" or \"FORCE_FP16_QUANT\"", field.name);
            Err(Error::invalid_config(message).at(format!("line {}", field.line)))
        }
    }
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
    fn fields_of_every_flavour_of_amct_are_read() {
        let more = "shift_bit: 0 is_tensor_quantize: false op_data_type: \"FLOAT32\" skip_fusion: true \
                    fakequant_precision_mode: \"FORCE_FP16_QUANT\"";
        let record =
            Record::from_text(&EXAMPLE.replace("offset_d: -7", &format!("offset_d: -7 {more}"))).unwrap();
        let fc = record.layer("fc").unwrap();
        assert_eq!((fc.skip_fusion, fc.precision), (true, Precision::ForceFp16Quant));
        assert_eq!(Record::from_text(&record.to_text()).unwrap(), record);
        let message = |field: &str| {
            Record::from_text(&format!("record {{ key: \"c\" value {{ scale_d: 1 {field} }} }}"))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            message("fakequant_precision_mode: \"FP16\""),
            "line 1: there is no fakequant_precision_mode \"FP16\"; use \"DEFAULT\" or \"FORCE_FP16_QUANT\""
        );
        assert!(message("scale_h: 1").contains("the state of a recurrence stays float"));
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
