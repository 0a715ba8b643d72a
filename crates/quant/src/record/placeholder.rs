//! A record without calibration, for models whose operations are looked at and whose results are not used.

use super::{LayerRecord, Record};
use crate::config::{LayerConfig, QuantConfig};
use crate::layer::{Layer, Weight};
use crate::params::QuantParams;
use intact8_ir::{Model, Result};

/// The one scale: values up to 8 can be represented.
const SCALE: f32 = 1.0 / 16.0;

impl Record {
    /// A record for every layer and value that a configuration quantizes, of one scale and no zero points. The models that are made
    /// with it have the operations and shapes of calibrated ones, and meaningless results. Their times are not those of calibrated
    /// models: a runtime leaves out a Relu before integers without negative values, which they are not.
    ///
    /// # Errors
    /// If the configuration names single inputs that the model does not have.
    pub fn placeholder(model: &Model, config: &QuantConfig) -> Result<Record> {
        let enabled = config.enabled(model).into_iter().map(|(layer, of_layer)| (layer, of_layer.clone()));
        let entries = enabled.chain(config.tensors(model)?);
        let entry = |(layer, of_layer): (Layer, LayerConfig)| {
            let bits = of_layer.activation_quant_params.num_bits;
            let n_activations = layer.activations.len() + usize::from(layer.quantizes_result);
            let weights = layer.weights.iter().map(|weight| weight_params(&layer, *weight, &of_layer, model));
            let record = LayerRecord {
                activations: vec![QuantParams::per_tensor(SCALE, 0, bits); n_activations],
                weights: weights.collect(),
                ..LayerRecord::default()
            };
            (layer.name, record)
        };
        Ok(Record { layers: entries.map(entry).collect() })
    }
}

fn weight_params(layer: &Layer, weight: Weight, of_layer: &LayerConfig, model: &Model) -> QuantParams {
    let config = &of_layer.weight_quant_params;
    let n_channels = layer.tensor(model, &weight).shape().get(weight.axis).copied().unwrap_or(1);
    let n_scales = if config.channel_wise && weight.per_channel { n_channels } else { 1 };
    QuantParams {
        scale: vec![SCALE; n_scales],
        offset: vec![0; n_scales],
        bits: config.num_bits,
        block_size: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::{Preparation, Prepared};

    #[test]
    fn a_placeholder_fits_its_configuration() {
        let text = "model m opset 17\n%x = input : f32[N,4]\n%w = const splat(0.5) : f32[4,8]\n\
                    %a = MatMul(%x, %w) @fc : f32[N,8]\n%t = Tanh(%a) : f32[N,8]\n%v = const splat(0.5) : f32[8,2]\n\
                    %y = MatMul(%t, %v) @last\nreturn %y\n";
        let model: Model = text.parse().unwrap();
        let prepared = Prepared::new(&model, &Preparation::default(), None, &mut ()).unwrap();
        let mut config = QuantConfig::for_model(prepared.model());
        config.layers.get_mut("fc").unwrap().quantize_output = true;
        config.layers.get_mut("last").unwrap().weights_only = true;
        let record = Record::placeholder(prepared.model(), &config).unwrap();
        assert!(record.layers.keys().eq(["fc", "fc:output", "last"]));
        assert_eq!(record.layers["fc"].weights[0].scale.len(), 8);
        let quantized = prepared.quantize(&config, &record, &mut ()).unwrap();
        assert_eq!(quantized.fake_quant().to_string().matches("= QuantizeLinear").count(), 4);
    }
}
