//! The configuration: which layers are quantized, and how. Its JSON is AMCT's, so that existing files load.
//!
//! Global keys and layers stand side by side in one JSON object; a layer's key is its name.
//! A quantizable layer that the file does not mention is not quantized. `docs/config.md` lists every key.

mod layers;
mod params;

pub use params::{ActivationConfig, ActivationMethod, Ifmr, WeightConfig, WeightMethod};

use crate::layer::{Layer, layers};
use quantfit_ir::{Error, Model, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which layers to quantize, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantConfig {
    /// The version of the format: 1.
    #[serde(default = "one")]
    pub version: u32,
    /// How many batches of calibration data are used.
    #[serde(default = "one_batch")]
    pub batch_num: usize,
    /// Whether activations have an offset, where a layer does not say.
    #[serde(default = "yes")]
    pub activation_offset: bool,
    /// Whether batch normalizations are folded into the convolutions before them.
    #[serde(default = "yes")]
    pub do_fusion: bool,
    /// Convolutions whose batch normalization is left alone.
    #[serde(default)]
    pub skip_fusion_layers: Vec<String>,
    /// The layers, by name.
    #[serde(flatten, deserialize_with = "layers::deserialize")]
    pub layers: BTreeMap<String, LayerConfig>,
}

/// How one layer is quantized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerConfig {
    /// Whether it is quantized at all.
    #[serde(default = "yes")]
    pub quant_enable: bool,
    /// How strongly ranges are moved from activation to weight, 0.2 to 0.8; absent: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dmq_balancer_param: Option<f64>,
    /// The activation.
    #[serde(default)]
    pub activation_quant_params: ActivationConfig,
    /// The weight.
    #[serde(default)]
    pub weight_quant_params: WeightConfig,
}

fn one() -> u32 {
    1
}

fn one_batch() -> usize {
    1
}

fn yes() -> bool {
    true
}

impl QuantConfig {
    /// The default configuration of a model: every layer quantized, activations by IFMR, weights by ARQ.
    pub fn for_model(model: &Model) -> QuantConfig {
        let config = |layer: &Layer| {
            let mut config = LayerConfig::default();
            config.weight_quant_params.channel_wise = layer.quantizable().channel_wise;
            (layer.name.clone(), config)
        };
        QuantConfig {
            version: 1,
            batch_num: 1,
            activation_offset: true,
            do_fusion: true,
            skip_fusion_layers: Vec::new(),
            layers: layers(model).iter().map(config).collect(),
        }
    }

    /// The same configuration with some layers left in float.
    pub fn rolled_back(&self, layers: &[String]) -> QuantConfig {
        let mut config = self.clone();
        for layer in layers {
            if let Some(layer) = config.layers.get_mut(layer) {
                layer.quant_enable = false;
            }
        }
        config
    }

    /// The layers of a model that are to be quantized.
    pub fn enabled(&self, model: &Model) -> Vec<(Layer, &LayerConfig)> {
        let config = |layer: Layer| {
            let config = self.layers.get(&layer.name).filter(|config| config.quant_enable)?;
            Some((layer, config))
        };
        layers(model).into_iter().filter_map(config).collect()
    }

    /// Whether a layer's activation has an offset.
    pub fn is_asymmetric(&self, layer: &LayerConfig) -> bool {
        layer.activation_quant_params.asymmetric.unwrap_or(self.activation_offset)
    }

    /// Reads the JSON form and checks every value's range, but not yet the names of layers.
    pub fn from_json(json: &str) -> Result<QuantConfig> {
        let config: QuantConfig =
            serde_json::from_str(json).map_err(|error| Error::invalid_config(error.to_string()))?;
        if config.version != 1 {
            return Err(Error::invalid_config(format!("version must be 1, found {}", config.version)));
        }
        if config.batch_num == 0 {
            return Err(Error::invalid_config("batch_num must be at least 1"));
        }
        config.layers.iter().try_for_each(|(name, layer)| layer.check().map_err(|error| error.at(name)))?;
        Ok(config)
    }

    /// The JSON form.
    pub fn to_json(&self) -> String {
        let mut json = Vec::new();
        let mut writer = serde_json::Serializer::with_formatter(
            &mut json,
            serde_json::ser::PrettyFormatter::with_indent(b"    "),
        );
        self.serialize(&mut writer).expect("a configuration has no keys but strings");
        String::from_utf8(json).expect("JSON is UTF-8") + "\n"
    }

    /// Checks that every layer named is a layer of the model and can be quantized as asked.
    pub fn check(&self, model: &Model) -> Result<()> {
        let layers = layers(model);
        for name in self.layers.keys().chain(&self.skip_fusion_layers) {
            if !layers.iter().any(|layer| layer.name == *name) {
                return Err(
                    Error::invalid_config(unknown_layer(name, model, &layers)).at(format!("layer {name:?}"))
                );
            }
        }
        for layer in &layers {
            let Some(config) = self.layers.get(&layer.name) else { continue };
            config.check_for(layer).map_err(|error| error.at(&layer.name))?;
        }
        Ok(())
    }
}

/// Why there is no layer of that name, and what might have been meant.
fn unknown_layer(name: &str, model: &Model, layers: &[Layer]) -> String {
    for (position, graph) in model.graphs().into_iter().enumerate() {
        let mut named =
            graph.node_ids().filter(|&id| graph.node(id).name == name && graph.node(id).as_op().is_some());
        if let Some(id) = named.next() {
            return match crate::layer::layer(graph, position, id) {
                Some(Err(reason)) => format!("can't be quantized: {reason}; remove it"),
                _ => "is no quantizable operator; remove it".to_owned(),
            };
        }
    }
    let nearest =
        layers.iter().map(|layer| (strsim::damerau_levenshtein(name, &layer.name), &layer.name)).min();
    match nearest {
        Some((distance, nearest)) if distance * 2 <= name.len() => {
            format!("is not in the model; did you mean {nearest:?}")
        }
        _ => "is not in the model".to_owned(),
    }
}

impl Default for LayerConfig {
    fn default() -> LayerConfig {
        LayerConfig {
            quant_enable: true,
            dmq_balancer_param: None,
            activation_quant_params: ActivationConfig::default(),
            weight_quant_params: WeightConfig::default(),
        }
    }
}

impl LayerConfig {
    fn check(&self) -> Result<()> {
        if let Some(strength) = self.dmq_balancer_param
            && !(0.2..=0.8).contains(&strength)
        {
            return Err(Error::invalid_config(format!("must be in 0.2..=0.8, found {strength}"))
                .at("dmq_balancer_param"));
        }
        self.activation_quant_params.check().map_err(|error| error.at("activation_quant_params"))?;
        self.weight_quant_params.check().map_err(|error| error.at("weight_quant_params"))
    }

    fn check_for(&self, layer: &Layer) -> Result<()> {
        let wants_channels = self.weight_quant_params.channel_wise;
        if wants_channels && layer.weight.is_none_or(|weight| !weight.per_channel) {
            let message = format!("this {} can't have a scale for each channel; set it to false", layer.op);
            return Err(Error::invalid_config(message).at("channel_wise"));
        }
        Ok(())
    }
}
