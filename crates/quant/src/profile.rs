//! Profiles of runtimes: the formats and operators that each accepts, and those that it runs in int8; one row each.
//!
//! The facts and their sources are in `docs/runtimes.md`. Passes and configuration use only the row.

use crate::config::{LayerConfig, QuantConfig, STAYS_FLOAT};
use crate::deploy_format::DeployFormat;
use crate::integer_products;
use crate::layer::{Layer, layers};
use crate::placement::{LayerTimes, ONNXRUNTIME_X86, OPENVINO_X86, Placement, RuntimeCosts};
use crate::preference::Preference;
use crate::qdq_params::{QdqParams, quantized_as, stored_constant};
use crate::unprofitable_layers::without_int8_neighbours;
use intact8_ir::{DType, Error, Graph, Model, NodeId, OperatorSet, OperatorTrait, Result, did_you_mean};

/// The properties of a runtime on which the files for it depend.
#[derive(Debug)]
pub struct Profile {
    /// The name, which is the value of `--target`.
    pub name: &'static str,
    /// The deploy formats that the runtime reads.
    pub formats: &'static [DeployFormat],
    /// Whether 8-bit activations are unsigned in the files.
    pub unsigned: bool,
    /// Whether every offset must be 0.
    pub symmetric: bool,
    /// Whether a quantized layer must be a product of bytes, since the files hold no other.
    pub only_products: bool,
    /// Whether a bias may be 32-bit integers with a DequantizeLinear.
    pub integer_bias: bool,
    /// Whether smoothing may insert a Mul between layers; the layer before a Mul returns floats.
    pub explicit_smoothing: bool,
    /// The operators that are quantized; empty: all that can be.
    pub quantized: &'static [&'static str],
    /// The operators that run in int8 as soon as their operands are quantized.
    pub int8: &'static [&'static str],
    /// The operators that run in int8 if their result is quantized too.
    pub int8_throughout: &'static [&'static str],
    /// The times of its operators, from which the fastest placement of int8 is found, if they are measured.
    pub costs: Option<&'static RuntimeCosts>,
    /// The operators whose weights may have a scale for each output channel.
    pub per_channel: &'static [&'static str],
    /// The functions before which a layer's result is quantized too, so that the layer returns integers.
    pub clipping: OperatorSet,
    /// The operators between two layers that pass integers on.
    pub carrying: OperatorSet,
    /// Whether an average pooling in int8 is faster as a convolution of single channels.
    pub pools_by_convolution: bool,
    /// Whether a reduction and the QuantizeLinear of its result, and products of matrices of fixed shapes, are fused, with wrong results.
    pub fuses_wrongly: bool,
    /// Whether zero points are subtracted after average pooling, whose padding then counts as other numbers than 0.0.
    pub moves_zero_points: bool,
}

/// The operators that ONNX Runtime passes integers through, on every processor.
const CARRIED_BY_ONNX_RUNTIME: OperatorSet = OperatorSet::Named(&[
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "MaxPool",
    "Reshape",
    "Resize",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
]);

/// The operators that move numbers without a change.
const MOVING: OperatorSet = OperatorSet::With(OperatorTrait::MovesData);

const WITH_CHANNELS: &[&str] = &["Conv", "ConvTranspose", "Gather", "Gemm", "MatMul", "LSTM", "GRU", "RNN"];

/// All operators that can be quantized but LSTM, GRU and RNN.
const WITHOUT_RECURRENCES: &[&str] = &[
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Gelu",
    "Gemm",
    "Gather",
    "GlobalAveragePool",
    "HardSwish",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "Mul",
    "Relu",
    "Resize",
    "Sigmoid",
    "Softmax",
];

/// The runtimes; the first is the default.
pub static PROFILES: &[Profile] = &[
    Profile {
        name: "onnxruntime-x86",
        formats: &[DeployFormat::Qdq, DeployFormat::QOperator, DeployFormat::Integer],
        unsigned: true,
        symmetric: false,
        only_products: false,
        integer_bias: true,
        explicit_smoothing: false,
        quantized: &[],
        int8: &["Gemm", "MatMul"],
        int8_throughout: &[
            "Add",
            "AveragePool",
            "Concat",
            "Conv",
            "GlobalAveragePool",
            "LeakyRelu",
            "Mul",
            "Sigmoid",
            "Softmax",
        ],
        costs: Some(&ONNXRUNTIME_X86),
        per_channel: WITH_CHANNELS,
        clipping: OperatorSet::Named(&["Clip", "Relu"]),
        carrying: CARRIED_BY_ONNX_RUNTIME,
        pools_by_convolution: true,
        fuses_wrongly: false,
        moves_zero_points: false,
    },
    Profile {
        name: "onnxruntime-arm",
        formats: &[DeployFormat::Qdq, DeployFormat::QOperator, DeployFormat::Integer],
        unsigned: false,
        symmetric: false,
        only_products: false,
        integer_bias: true,
        explicit_smoothing: false,
        quantized: &[],
        int8: &["Gemm", "MatMul"],
        int8_throughout: &[
            "Add",
            "AveragePool",
            "Concat",
            "Conv",
            "GlobalAveragePool",
            "LeakyRelu",
            "Mul",
            "Sigmoid",
            "Softmax",
        ],
        costs: None,
        per_channel: WITH_CHANNELS,
        clipping: OperatorSet::Named(&["Clip", "Relu"]),
        carrying: CARRIED_BY_ONNX_RUNTIME,
        pools_by_convolution: false,
        fuses_wrongly: false,
        moves_zero_points: false,
    },
    Profile {
        name: "tensorrt",
        formats: &[DeployFormat::Qdq],
        unsigned: false,
        symmetric: true,
        only_products: false,
        integer_bias: false,
        explicit_smoothing: true,
        quantized: &["Add", "AveragePool", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "MatMul"],
        int8: &["Add", "AveragePool", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "MatMul"],
        int8_throughout: &[],
        costs: None,
        per_channel: &["Conv", "ConvTranspose", "Gemm", "MatMul"],
        clipping: OperatorSet::Named(&[]),
        carrying: MOVING,
        pools_by_convolution: false,
        fuses_wrongly: false,
        moves_zero_points: false,
    },
    Profile {
        name: "openvino",
        formats: &[DeployFormat::Qdq, DeployFormat::QOperator, DeployFormat::Integer],
        unsigned: true,
        symmetric: false,
        only_products: false,
        integer_bias: true,
        explicit_smoothing: true,
        quantized: WITHOUT_RECURRENCES,
        int8: &["Add", "AveragePool", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "MatMul", "Mul"],
        int8_throughout: &[],
        costs: Some(&OPENVINO_X86),
        per_channel: &["Conv", "ConvTranspose", "Gather", "Gemm", "MatMul"],
        clipping: OperatorSet::Named(&[]),
        carrying: MOVING,
        pools_by_convolution: false,
        fuses_wrongly: true,
        moves_zero_points: true,
    },
    Profile {
        name: "ascend",
        formats: &[DeployFormat::Qdq, DeployFormat::Ascend],
        unsigned: false,
        symmetric: false,
        only_products: true,
        integer_bias: true,
        explicit_smoothing: true,
        quantized: &["AveragePool", "Conv", "ConvTranspose", "Gemm", "MatMul"],
        int8: &["AveragePool", "Conv", "ConvTranspose", "Gemm", "MatMul"],
        int8_throughout: &[],
        costs: None,
        per_channel: &["Conv", "ConvTranspose"],
        clipping: OperatorSet::Named(&[]),
        carrying: OperatorSet::Named(&[]),
        pools_by_convolution: false,
        fuses_wrongly: false,
        moves_zero_points: false,
    },
    Profile {
        name: "generic",
        formats: DeployFormat::ALL,
        unsigned: false,
        symmetric: false,
        only_products: false,
        integer_bias: true,
        explicit_smoothing: true,
        quantized: &[],
        int8: WITH_CHANNELS,
        int8_throughout: &[],
        costs: None,
        per_channel: WITH_CHANNELS,
        clipping: OperatorSet::Named(&[]),
        carrying: MOVING,
        pools_by_convolution: false,
        fuses_wrongly: false,
        moves_zero_points: false,
    },
];

/// Rows of one name are one row.
impl PartialEq for Profile {
    fn eq(&self, other: &Profile) -> bool {
        self.name == other.name
    }
}

impl Eq for Profile {}

impl Profile {
    /// The row of that name.
    pub fn named(name: &str) -> Result<&'static Profile> {
        PROFILES.iter().find(|row| row.name == name).ok_or_else(|| {
            let names: Vec<&str> = PROFILES.iter().map(|row| row.name).collect();
            let meant = did_you_mean(name, names.iter().copied());
            let names = names.join(", ");
            Error::invalid_config(format!("there is no target {name:?}{meant}; use one of {names}"))
        })
    }

    /// Checks that a configuration requires nothing that the runtime refuses.
    pub fn check_config(&self, config: &QuantConfig) -> Result<()> {
        let has_offset = |layer: &&LayerConfig| layer.quant_enable && config.is_asymmetric(layer);
        if !self.symmetric || !config.layers.values().any(|layer| has_offset(&layer)) {
            return Ok(());
        }
        let message = format!(
            "{} supports no offsets; set activation_offset to false, or make the file with `intact8 config --target {}`",
            self.name, self.name
        );
        Err(Error::invalid_config(message))
    }

    /// Checks that the runtime reads a deploy format.
    pub fn check_format(&self, format: DeployFormat) -> Result<()> {
        if self.formats.contains(&format) {
            return Ok(());
        }
        let mut names: Vec<&str> = self.formats.iter().map(|format| format.name()).collect();
        let last = names.pop().unwrap_or_default();
        let names =
            if names.is_empty() { last.to_owned() } else { format!("{} or {last}", names.join(", ")) };
        let name = format.name();
        let readers: Vec<&str> =
            PROFILES.iter().filter(|row| row.formats.contains(&format)).map(|row| row.name).collect();
        Err(Error::invalid_config(format!(
            "{} does not read the deploy format {name:?}; use {names}, or one of the targets {}",
            self.name,
            readers.join(", ")
        )))
    }

    /// Checks that a quantized model has nothing that the runtime refuses.
    pub fn check_model(&self, model: &Model) -> Result<()> {
        for (_, graph) in model.graphs().filter(|_| self.symmetric) {
            for id in graph.topo() {
                let Some(params) = QdqParams::of_quantize(graph, id) else { continue };
                let middle = if params.dtype == DType::U8 { 128 } else { 0 };
                if params.offset.iter().any(|&offset| offset != middle) {
                    let message =
                        format!("has an offset, and {} supports none; quantize without offsets", self.name);
                    return Err(Error::invalid_model(message).at(graph.node(id).label()));
                }
            }
        }
        Ok(())
    }

    /// Leaves the layers of a configuration in float that the runtime's files can't hold, and reports each with its reason in a line.
    pub fn leave_float(&self, config: &mut QuantConfig, model: &Model) -> Vec<String> {
        if !self.only_products {
            return vec![];
        }
        let lines = self.leave_unquantized(config, model);
        [lines, integer_products::require(config, model, self.name)].concat()
    }

    /// Leaves the layers in float whose operators the runtime does not quantize.
    fn leave_unquantized(&self, config: &mut QuantConfig, model: &Model) -> Vec<String> {
        let mut lines = Vec::new();
        for layer in layers(model) {
            let Some(of_layer) = config.layers.get_mut(&layer.name) else { continue };
            if of_layer.quant_enable && !self.quantized.is_empty() && !self.quantized.contains(&layer.op) {
                of_layer.quant_enable = false;
                lines.push(format!("{} {STAYS_FLOAT}: {} has no int8 {}", layer.name, self.name, layer.op));
            }
        }
        lines
    }

    /// Turns off the settings of a new configuration that the runtime does not support, leaves layers in float where that is
    /// preferred, and reports each with its reason in a line.
    pub fn restrict(&self, config: &mut QuantConfig, model: &Model, prefer: Preference) -> Vec<String> {
        self.restrict_measured(config, model, prefer, &LayerTimes::new())
    }

    /// The same, where times of layers are measured, which count in place of estimates.
    pub fn restrict_measured(
        &self,
        config: &mut QuantConfig,
        model: &Model,
        prefer: Preference,
        measured: &LayerTimes,
    ) -> Vec<String> {
        let mut lines = self.leave_unquantized(config, model);
        lines.extend(self.leave_float(config, model));
        if self.symmetric && config.activation_offset {
            config.activation_offset = false;
            lines.push(format!("activations have no offset: {} supports none", self.name));
        }
        if !self.explicit_smoothing && config.auto_balance {
            config.balance_nodes = false;
        }
        for layer in layers(model) {
            let Some(of_layer) = config.layers.get_mut(&layer.name) else { continue };
            if self.symmetric && of_layer.activation_quant_params.asymmetric == Some(true) {
                of_layer.activation_quant_params.asymmetric = Some(false);
            }
            let per_channel = self.per_channel.contains(&layer.op);
            if !layer.weights.is_empty() && !per_channel && of_layer.weight_quant_params.channel_wise {
                of_layer.weight_quant_params.channel_wise = false;
                let line = format!(
                    "{} has one scale for its weight: {} supports no more for {}",
                    layer.name, self.name, layer.op
                );
                lines.extend(of_layer.quant_enable.then_some(line));
            }
        }
        if self.costs.is_some_and(|costs| !costs.fuses_biases) && prefer != Preference::MostInt8 {
            config.bias_nodes = false;
        }
        let faster = |layer: &Layer| format!("{} runs this {} faster in float here", self.name, layer.op);
        let between =
            |layer: &Layer| format!("{} runs {} in int8 only between int8 layers", self.name, layer.op);
        lines.extend(match self.costs.filter(|_| prefer != Preference::MostInt8) {
            Some(costs) => {
                let products = prefer == Preference::Int8Products;
                Placement::fastest(model, config, costs, products, measured).apply(config, faster)
            }
            None => config.leave_weights(&without_int8_neighbours(model, config, self), between),
        });
        lines
    }

    /// Whether the runtime runs a node of a quantized model in int8.
    pub(crate) fn runs_in_int8(&self, graph: &Graph, id: NodeId) -> bool {
        let Some(op) = graph.node(id).as_op().filter(|op| op.domain.is_empty()) else { return false };
        let throughout = self.int8_throughout.contains(&op.name.as_str());
        if !throughout && !self.int8.contains(&op.name.as_str()) {
            return false;
        }
        let operands = graph.operands(id).iter().flatten().enumerate();
        let are_quantized = operands.take(2).all(|(_, &value)| {
            stored_constant(graph, value).is_some()
                || QdqParams::of_dequantized(graph, value).is_some_and(|params| params.is_byte())
        });
        are_quantized
            && (!throughout || quantized_as(graph, id.into()).is_some_and(|params| params.is_byte()))
    }
}

#[cfg(test)]
mod tests;
