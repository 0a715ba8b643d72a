//! The configuration: the layers to quantize, and the methods and parameters of each. Its JSON is AMCT's, so that existing
//! files load.
//!
//! Global keys and layers share one JSON object; a layer's key is its name.
//! A quantizable layer that the file does not mention is not quantized. `docs/config.md` lists every key.

mod activation;
#[cfg(feature = "config-files")]
mod activation_keys;
mod bounds;
mod changes;
#[cfg(feature = "config-files")]
mod definition;
#[cfg(feature = "config-files")]
mod json;
#[cfg(feature = "config-files")]
mod layers;
mod unknown_layer;
mod weight;
#[cfg(feature = "config-files")]
mod weight_keys;

pub use activation::{ActivationConfig, ActivationMethod, Ifmr};
pub(crate) use changes::STAYS_FLOAT;
pub use changes::restricted_layer;
pub use weight::{AdaRound, WeightConfig, WeightMethod};

use crate::layer::{Layer, LayerKind, layers};
use crate::passes::opset_for;
use crate::record::Record;
use intact8_ir::{Error, Model, Result};
#[cfg(feature = "config-files")]
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use unknown_layer::unknown_layer;

/// The largest [`QuantConfig::batch_num`]: that of AMCT's field, a `uint32`.
const MAX_BATCH_NUM: usize = u32::MAX as usize;

/// The layers to quantize, and the configuration of each.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "config-files", derive(Serialize, Deserialize))]
pub struct QuantConfig {
    /// The version of the format: 1.
    #[cfg_attr(feature = "config-files", serde(default = "json::one"))]
    pub version: u32,
    /// The number of batches of calibration data that are used, in `1..2^32`; `None` is all.
    #[cfg_attr(feature = "config-files", serde(default, skip_serializing_if = "Option::is_none"))]
    pub batch_num: Option<usize>,
    /// Whether activations have an offset, for layers without such a setting.
    #[cfg_attr(feature = "config-files", serde(default = "json::yes"))]
    pub activation_offset: bool,
    /// Whether the inputs of an Add share one scale and offset, and those of a Concat that is quantized.
    #[cfg_attr(feature = "config-files", serde(default, skip_serializing_if = "json::is_off"))]
    pub joint_quant: bool,
    /// Whether batch normalizations, scales and shifts are folded into the layers before them.
    #[cfg_attr(feature = "config-files", serde(default = "json::yes"))]
    pub do_fusion: bool,
    /// The arithmetic of a device that the fake-quant model follows.
    #[cfg_attr(feature = "config-files", serde(default, skip_serializing_if = "json::is_default"))]
    pub fakequant_precision_mode: Precision,
    /// Layers that nothing is folded into.
    #[cfg_attr(feature = "config-files", serde(default))]
    pub skip_fusion_layers: Vec<String>,
    /// Single inputs that are quantized, of nodes that need not be layers of this configuration. Never rolled back.
    #[cfg_attr(feature = "config-files", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub tensor_quantize: Vec<TensorConfig>,
    /// Whether cross-layer equalization is applied, which changes no result in float.
    #[cfg_attr(feature = "config-files", serde(default, skip_serializing_if = "json::is_off"))]
    pub equalize: bool,
    /// Whether layers are smoothed (SmoothQuant) if that makes their error smaller.
    #[cfg_attr(feature = "config-files", serde(default, skip_serializing_if = "json::is_off"))]
    pub auto_balance: bool,
    /// Whether `auto_balance` may put a Mul before a layer, where no layer before it can absorb the factors.
    #[cfg_attr(feature = "config-files", serde(default = "json::yes", skip_serializing_if = "json::is_on"))]
    pub balance_nodes: bool,
    /// Whether biases are corrected by the mean error that quantization causes in each output channel.
    #[cfg_attr(feature = "config-files", serde(default, skip_serializing_if = "json::is_off"))]
    pub correct_bias: bool,
    /// Whether `correct_bias` may put an Add after a layer that has no bias.
    #[cfg_attr(feature = "config-files", serde(default = "json::yes", skip_serializing_if = "json::is_on"))]
    pub bias_nodes: bool,
    /// Whether the rounding of weights is fitted, so that the layer's output changes least, if the layer allows it.
    #[cfg_attr(feature = "config-files", serde(default, skip_serializing_if = "json::is_off"))]
    pub fit_rounding: bool,
    /// The layers, by name.
    #[cfg_attr(feature = "config-files", serde(flatten, deserialize_with = "layers::deserialize"))]
    pub layers: BTreeMap<String, LayerConfig>,
}

/// The arithmetic of a device that the fake-quant model follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "config-files", derive(Serialize, Deserialize))]
pub enum Precision {
    /// Scales are 32-bit floats.
    #[default]
    #[cfg_attr(feature = "config-files", serde(rename = "DEFAULT"))]
    Default,
    /// Scales of activations are 16-bit floats.
    #[cfg_attr(feature = "config-files", serde(rename = "FORCE_FP16_QUANT"))]
    ForceFp16Quant,
}

/// The configuration of one layer.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "config-files", derive(Serialize, Deserialize))]
#[cfg_attr(
    feature = "config-files",
    serde(deny_unknown_fields, expecting = "the keys of a layer, as there is no global key of that name")
)]
pub struct LayerConfig {
    /// Whether it is quantized at all.
    #[cfg_attr(feature = "config-files", serde(default = "json::yes"))]
    pub quant_enable: bool,
    /// Whether only the weights are quantized, and the layer computes with floats.
    #[cfg_attr(feature = "config-files", serde(default, skip_serializing_if = "json::is_off"))]
    pub weights_only: bool,
    /// Whether the result is quantized too, after a Relu or Clip that is its only use, for all of its uses. Runtimes that run an
    /// operator in int8 only if its result is quantized require it where the result is used in float.
    #[cfg_attr(feature = "config-files", serde(default, skip_serializing_if = "json::is_off"))]
    pub quantize_output: bool,
    /// The migration strength of smoothing, 0.2 to 0.8; absent: no smoothing.
    #[cfg_attr(feature = "config-files", serde(default, skip_serializing_if = "Option::is_none"))]
    pub dmq_balancer_param: Option<f64>,
    /// The activations.
    #[cfg_attr(feature = "config-files", serde(default))]
    pub activation_quant_params: ActivationConfig,
    /// The weights.
    #[cfg_attr(feature = "config-files", serde(default))]
    pub weight_quant_params: WeightConfig,
}

/// The configuration of one input of a node, independent of the node's other inputs.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "config-files", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "config-files", serde(deny_unknown_fields))]
pub struct TensorConfig {
    /// The node's name.
    pub layer_name: String,
    /// The input, from 0.
    pub input_index: usize,
    /// The configuration of its quantization.
    #[cfg_attr(feature = "config-files", serde(default))]
    pub activation_quant_params: ActivationConfig,
}

impl TensorConfig {
    /// The name of the input in a record.
    fn name(&self) -> String {
        format!("{}:{}", self.layer_name, self.input_index)
    }
}

impl QuantConfig {
    /// The default configuration of a prepared model: linear layers and joins quantized, and all methods that reduce the error
    /// turned on.
    pub fn for_model(model: &Model) -> QuantConfig {
        let usual = layers(model).into_iter().filter(|layer| layer.quantizable().kind != LayerKind::Other);
        let layers = usual.map(|layer| (layer.name.clone(), LayerConfig::for_layer(&layer))).collect();
        QuantConfig { layers, ..QuantConfig::default() }
    }

    /// The layers of a model that are to be quantized.
    pub fn enabled(&self, model: &Model) -> Vec<(Layer, &LayerConfig)> {
        let config = |layer: Layer| {
            let config = self.layers.get(&layer.name).filter(|config| config.quant_enable)?;
            Some((layer, config))
        };
        layers(model).into_iter().filter_map(config).collect()
    }

    /// The single values that are to be quantized, each as a layer of its own: inputs with a name like `pool:0`, and then results of
    /// layers with a name like `conv:output`.
    pub fn tensors(&self, model: &Model) -> Result<Vec<(Layer, LayerConfig)>> {
        let tensor = |tensor: &TensorConfig| {
            let TensorConfig { layer_name, input_index, activation_quant_params } = tensor;
            let layer = Layer::of_one_input(model, layer_name, *input_index);
            let layer = layer.map_err(|error| error.at(format!("tensor_quantize: {layer_name}")))?;
            let activation_quant_params = activation_quant_params.clone();
            Ok((layer, LayerConfig { activation_quant_params, ..LayerConfig::default() }))
        };
        let outputs = self.enabled(model).into_iter().filter(|(_, of_layer)| of_layer.quantizes_output());
        let output = |(layer, of_layer): (Layer, &LayerConfig)| {
            let asymmetric = of_layer.activation_quant_params.asymmetric;
            let mut config = LayerConfig::default();
            config.activation_quant_params.method = ActivationMethod::Auto;
            config.activation_quant_params.asymmetric = asymmetric;
            Ok((layer.of_output(model), config))
        };
        self.tensor_quantize.iter().map(tensor).chain(outputs.map(output)).collect()
    }

    /// The names of the entries that a record must have: the enabled layers, and the single values.
    pub fn record_names(&self, model: &Model) -> Result<BTreeSet<String>> {
        let enabled = self.layers.iter().filter(|(_, layer)| layer.quant_enable);
        let tensors = self.tensors(model)?.into_iter().map(|(layer, _)| layer.name);
        Ok(enabled.map(|(name, _)| name.clone()).chain(tensors).collect())
    }

    /// The oldest operator set with the quantizers that the enabled layers and single inputs need, with the parameters of a record
    /// or, without an entry, those that the configuration requires.
    pub fn min_opset(&self, record: &Record) -> i64 {
        let layers = self.layers.iter().filter(|(_, layer)| layer.quant_enable);
        let layers = layers.map(|(name, layer)| (name.clone(), &layer.activation_quant_params));
        let inputs = self.tensor_quantize.iter().map(|input| (input.name(), &input.activation_quant_params));
        let needed = layers.chain(inputs).map(|(name, activation)| match record.layers.get(&name) {
            Some(entry) => entry.min_opset(),
            None => opset_for(activation.num_bits, false),
        });
        needed.max().unwrap_or_else(|| opset_for(8, false))
    }

    /// Whether a layer's activation has an offset.
    pub fn is_asymmetric(&self, layer: &LayerConfig) -> bool {
        layer.activation_quant_params.asymmetric.unwrap_or(self.activation_offset)
    }

    /// Checks the range of every value, but not the names of layers.
    pub(crate) fn check_values(&self) -> Result<()> {
        if self.version != 1 {
            return Err(Error::invalid_config(format!("version must be 1, found {}", self.version)));
        }
        let batch_num = match self.batch_num {
            Some(0) => Err("at least 1".to_owned()),
            Some(n) if n > MAX_BATCH_NUM => Err(format!("at most {MAX_BATCH_NUM}")),
            _ => Ok(()),
        };
        batch_num.map_err(|bound| {
            Error::invalid_config(format!("batch_num must be {bound}; omit it to use all batches"))
        })?;
        self.layers.iter().try_for_each(|(name, layer)| layer.check().map_err(|error| error.at(name)))?;
        self.tensor_quantize.iter().try_for_each(|tensor| {
            tensor.activation_quant_params.check().map_err(|error| error.at(&tensor.layer_name))
        })
    }

    /// Checks the range of every value, and that every layer named is a layer of the model and can be quantized as
    /// required.
    pub fn check(&self, model: &Model) -> Result<()> {
        self.check_values()?;
        let layers = layers(model);
        let names: HashSet<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        for name in self.layers.keys().chain(&self.skip_fusion_layers) {
            if !names.contains(name.as_str()) {
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

/// A new configuration, without layers.
impl Default for QuantConfig {
    fn default() -> QuantConfig {
        QuantConfig {
            version: 1,
            batch_num: None,
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
            bias_nodes: true,
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
            quantize_output: false,
            dmq_balancer_param: None,
            activation_quant_params: ActivationConfig::default(),
            weight_quant_params: WeightConfig::default(),
        }
    }
}

impl LayerConfig {
    /// The default configuration of a layer.
    pub fn for_layer(layer: &Layer) -> LayerConfig {
        let mut config = LayerConfig { weights_only: layer.activations.is_empty(), ..LayerConfig::default() };
        config.activation_quant_params.method = ActivationMethod::Auto;
        config.weight_quant_params.channel_wise =
            layer.quantizable().channel_wise && layer.can_be_channel_wise();
        config
    }

    /// Whether the result is quantized, which needs quantized activations.
    fn quantizes_output(&self) -> bool {
        self.quantize_output && !self.weights_only
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
        if self.quantize_output && (self.weights_only || layer.is_recurrent()) {
            let message =
                "only a layer of quantized activations, with one result, can have it; set it to false";
            return Err(Error::invalid_config(message).at("quantize_output"));
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

#[cfg(test)]
mod tests;
