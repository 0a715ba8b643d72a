//! The configuration: which layers are quantized, and how. Its JSON is AMCT's, so that existing files load.
//!
//! Global keys and layers stand side by side in one JSON object; a layer's key is its name.
//! A quantizable layer that the file does not mention is not quantized. `docs/config.md` lists every key.

mod activation;
mod bounds;
mod definition;
mod layers;
mod weight;

pub use activation::{ActivationConfig, ActivationMethod, Ifmr};
pub use weight::{AdaRound, WeightConfig, WeightMethod};

use crate::layer::{Kind, Layer, layers};
use crate::passes::opset_for;
use crate::record::{LayerRecord, Record};
use intact8_ir::{Error, Model, Result};
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
    /// Whether the inputs of an Add share one scale and offset, and those of a Concat that is quantized.
    #[serde(default, skip_serializing_if = "is_off")]
    pub joint_quant: bool,
    /// Whether batch normalizations, scales and shifts are folded into the layers before them.
    #[serde(default = "yes")]
    pub do_fusion: bool,
    /// How faithful the simulation is to a device's arithmetic.
    #[serde(default, skip_serializing_if = "Precision::is_default")]
    pub fakequant_precision_mode: Precision,
    /// Layers that nothing is folded into.
    #[serde(default)]
    pub skip_fusion_layers: Vec<String>,
    /// Single inputs that are quantized, of nodes that need not be layers of this configuration. Never rolled back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensor_quantize: Vec<TensorConfig>,
    /// Whether the ranges of channels are made equal between neighbouring layers, which changes no result in float.
    #[serde(default, skip_serializing_if = "is_off")]
    pub equalize: bool,
    /// Whether ranges are moved from activations to weights wherever that makes the error of a layer smaller.
    #[serde(default, skip_serializing_if = "is_off")]
    pub auto_balance: bool,
    /// Whether `auto_balance` may put a Mul in front of a layer, where no layer before it can take the factors.
    #[serde(default = "yes", skip_serializing_if = "is_on")]
    pub balance_nodes: bool,
    /// Whether the mean of the error that quantization makes in each output channel goes into the bias.
    #[serde(default, skip_serializing_if = "is_off")]
    pub correct_bias: bool,
    /// Whether weights that can be are rounded so that their layer's output changes least, and not to nearest.
    #[serde(default, skip_serializing_if = "is_off")]
    pub fit_rounding: bool,
    /// The layers, by name.
    #[serde(flatten, deserialize_with = "layers::deserialize")]
    pub layers: BTreeMap<String, LayerConfig>,
}

/// How faithful the simulation is to a device's arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Precision {
    /// Scales are 32-bit floats.
    #[default]
    #[serde(rename = "DEFAULT")]
    Default,
    /// Scales of activations are 16-bit floats.
    #[serde(rename = "FORCE_FP16_QUANT")]
    ForceFp16Quant,
}

impl Precision {
    fn is_default(&self) -> bool {
        *self == Precision::Default
    }
}

/// How one layer is quantized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a layer, as there is no global key of that name")]
pub struct LayerConfig {
    /// Whether it is quantized at all.
    #[serde(default = "yes")]
    pub quant_enable: bool,
    /// Whether only the weights are quantized, and the layer computes with floats.
    #[serde(default, skip_serializing_if = "is_off")]
    pub weights_only: bool,
    /// How strongly ranges are moved from activation to weight, 0.2 to 0.8; absent: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dmq_balancer_param: Option<f64>,
    /// The activations.
    #[serde(default)]
    pub activation_quant_params: ActivationConfig,
    /// The weights.
    #[serde(default)]
    pub weight_quant_params: WeightConfig,
}

/// How one input of a node is quantized, whatever becomes of the node's other inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorConfig {
    /// The node's name.
    pub layer_name: String,
    /// The input, from 0.
    pub input_index: usize,
    /// How.
    #[serde(default)]
    pub activation_quant_params: ActivationConfig,
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

fn is_off(flag: &bool) -> bool {
    !flag
}

fn is_on(flag: &bool) -> bool {
    *flag
}

impl QuantConfig {
    /// The default configuration of a prepared model: products and joins quantized, and everything that helps.
    pub fn for_model(model: &Model) -> QuantConfig {
        let usual = layers(model).into_iter().filter(|layer| layer.quantizable().kind != Kind::Other);
        let layers = usual.map(|layer| (layer.name.clone(), LayerConfig::for_layer(&layer))).collect();
        QuantConfig { layers, ..QuantConfig::default() }
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

    /// Leaves of layers only the weights in int8, and those without in float, and says so and why, one line each.
    pub fn leave_weights(&mut self, layers: &[Layer], why: impl Fn(&Layer) -> String) -> Vec<String> {
        let mut lines = Vec::new();
        for layer in layers {
            let Some(of_layer) = self.layers.get_mut(&layer.name).filter(|of_layer| of_layer.quant_enable)
            else {
                continue;
            };
            let what = if layer.weights.is_empty() {
                of_layer.quant_enable = false;
                "stays float"
            } else {
                of_layer.weights_only = true;
                "has only its weights in int8"
            };
            lines.push(format!("{} {what}: {}", layer.name, why(layer)));
        }
        lines
    }

    /// The single inputs that are to be quantized, each as a layer of its own with a name like `pool:0`.
    pub fn tensors(&self, model: &Model) -> Result<Vec<(Layer, LayerConfig)>> {
        let tensor = |tensor: &TensorConfig| {
            let TensorConfig { layer_name, input_index, activation_quant_params } = tensor;
            let layer = Layer::of_one_input(model, layer_name, *input_index);
            let layer = layer.map_err(|error| error.at(format!("tensor_quantize: {layer_name}")))?;
            let activation_quant_params = activation_quant_params.clone();
            Ok((layer, LayerConfig { activation_quant_params, ..LayerConfig::default() }))
        };
        self.tensor_quantize.iter().map(tensor).collect()
    }

    /// The oldest operator set that can say what is to be quantized, and that with these scales.
    pub fn min_opset(&self, record: &Record) -> i64 {
        let layers = || self.layers.iter().filter(|(_, layer)| layer.quant_enable);
        let tensors = self.tensor_quantize.iter().map(|tensor| &tensor.activation_quant_params);
        let activations = layers().map(|(_, layer)| &layer.activation_quant_params).chain(tensors);
        let bits = activations.map(|activation| activation.num_bits).max().unwrap_or(8);
        let mut entries = layers().filter_map(|(name, _)| record.layers.get(name));
        opset_for(bits, entries.any(LayerRecord::has_blocks))
    }

    /// Whether a layer's activation has an offset.
    pub fn is_asymmetric(&self, layer: &LayerConfig) -> bool {
        layer.activation_quant_params.asymmetric.unwrap_or(self.activation_offset)
    }

    /// Reads the JSON form and checks every value's range, but not yet the names of layers.
    pub fn from_json(json: &str) -> Result<QuantConfig> {
        let mut from = serde_json::Deserializer::from_str(json);
        let config: QuantConfig = serde_path_to_error::deserialize(&mut from)
            .map_err(|error| Error::invalid_config(layers::message(&error)))?;
        from.end().map_err(|error| Error::invalid_config(error.to_string()))?;
        if config.version != 1 {
            return Err(Error::invalid_config(format!("version must be 1, found {}", config.version)));
        }
        if config.batch_num == 0 {
            return Err(Error::invalid_config("batch_num must be at least 1"));
        }
        config.layers.iter().try_for_each(|(name, layer)| layer.check().map_err(|error| error.at(name)))?;
        config.tensor_quantize.iter().try_for_each(|tensor| {
            tensor.activation_quant_params.check().map_err(|error| error.at(&tensor.layer_name))
        })?;
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
        self.tensors(model).map(drop)
    }
}

/// Why there is no layer of that name, and what might have been meant.
fn unknown_layer(name: &str, model: &Model, layers: &[Layer]) -> String {
    for (graph_id, graph) in model.graphs() {
        let mut named =
            graph.node_ids().filter(|&id| graph.node(id).name == name && graph.node(id).as_op().is_some());
        if let Some(id) = named.next() {
            return match crate::layer::layer(model, graph_id, id) {
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

/// What a new configuration says before it names layers.
impl Default for QuantConfig {
    fn default() -> QuantConfig {
        QuantConfig {
            version: 1,
            batch_num: 1,
            activation_offset: true,
            joint_quant: false,
            do_fusion: true,
            fakequant_precision_mode: Precision::Default,
            skip_fusion_layers: Vec::new(),
            tensor_quantize: Vec::new(),
            equalize: true,
            auto_balance: true,
            balance_nodes: true,
            correct_bias: true,
            fit_rounding: true,
            layers: BTreeMap::new(),
        }
    }
}

impl Default for LayerConfig {
    fn default() -> LayerConfig {
        LayerConfig {
            quant_enable: true,
            weights_only: false,
            dmq_balancer_param: None,
            activation_quant_params: ActivationConfig::default(),
            weight_quant_params: WeightConfig::default(),
        }
    }
}

impl LayerConfig {
    /// The default configuration of a layer.
    pub fn for_layer(layer: &Layer) -> LayerConfig {
        let mut config = LayerConfig::default();
        config.activation_quant_params.method = ActivationMethod::Auto;
        config.weight_quant_params.channel_wise =
            layer.quantizable().channel_wise && layer.can_be_channel_wise();
        config
    }

    fn check(&self) -> Result<()> {
        if let Some(strength) = self.dmq_balancer_param {
            bounds::within("dmq_balancer_param", (0.2..=0.8).contains(&strength), "in 0.2..=0.8", strength)?;
        }
        self.activation_quant_params.check().map_err(|error| error.at("activation_quant_params"))?;
        self.weight_quant_params.check().map_err(|error| error.at("weight_quant_params"))
    }

    fn check_for(&self, layer: &Layer) -> Result<()> {
        let wants_channels = self.weight_quant_params.channel_wise && !layer.weights.is_empty();
        if wants_channels && !layer.can_be_channel_wise() {
            let message = format!("this {} can't have a scale for each channel; set it to false", layer.op);
            return Err(Error::invalid_config(message).at("channel_wise"));
        }
        if self.weights_only && layer.weights.is_empty() {
            return Err(Error::invalid_config(format!("this {} has no weights; set it to false", layer.op))
                .at("weights_only"));
        }
        let learns = matches!(self.weight_quant_params.method, WeightMethod::AdaRound(_));
        if learns && !layer.weights.is_empty() && !layer.can_learn_rounding() {
            let message = format!(
                "\"ada_quantize\" is for Conv, Gemm, and MatMul with a constant matrix on the right, not for this {}; use \
                 \"mse_quantize\"",
                layer.op
            );
            return Err(Error::invalid_config(message).at("wts_algo"));
        }
        if self.dmq_balancer_param.is_some() && layer.input_channels().is_none() {
            let message = format!("this {} has no weight to move ranges to; remove it", layer.op);
            return Err(Error::invalid_config(message).at("dmq_balancer_param"));
        }
        Ok(())
    }
}
