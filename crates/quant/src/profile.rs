//! What runtimes accept and what they run in int8: one row each.
//!
//! The facts, and where they are from, are in `docs/runtimes.md`. Passes and configuration look only at the row.

use crate::coding::{Coding, quantized_as, stored};
use crate::config::{LayerConfig, QuantConfig};
use crate::layer::{Layer, layers};
use crate::useful::{without_gain, without_use};
use intact8_ir::{DType, Error, Graph, Model, NodeId, Result};

/// A runtime, as far as the files that are written for it depend on it.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// The name that `--target` takes.
    pub name: &'static str,
    /// Whether 8-bit activations are unsigned in the files.
    pub unsigned: bool,
    /// Whether every offset must be 0.
    pub symmetric: bool,
    /// Whether a bias may be 32-bit integers with a DequantizeLinear.
    pub integer_bias: bool,
    /// Whether balancing may put a Mul between layers: it keeps the layer in front from giving integers.
    pub explicit_balance: bool,
    /// The operators that are quantized; empty: whatever can be.
    pub quantized: &'static [&'static str],
    /// The operators that run in int8 as soon as their operands are quantized.
    pub int8: &'static [&'static str],
    /// Those that do if their result is quantized too.
    pub int8_throughout: &'static [&'static str],
    /// How many products, input times output channels, a Conv of one group must make at each position of its window to be
    /// faster in int8, for which windows are copied.
    pub least_products: usize,
    /// What quantizing what a layer reads costs, where that is known.
    pub overhead: Option<Overhead>,
    /// The operators whose weights may have a scale for each output channel.
    pub per_channel: &'static [&'static str],
    /// The functions in front of which a layer's result is quantized too, so that the layer gives integers.
    pub clipping: &'static [&'static str],
    /// The operators between two layers that pass integers on.
    pub carrying: &'static [&'static str],
}

/// What it costs to quantize a value for layers, in multiply-adds that int8 must save.
#[derive(Debug, PartialEq, Eq)]
pub struct Overhead {
    /// Of a value.
    pub fixed: usize,
    /// Of each of its elements.
    pub each_value: usize,
    /// Of each of its elements besides, if bytes go through a MaxPool then, as floats would through a faster one.
    pub each_pooled: usize,
}

/// What moves numbers without changing any.
const MOVING: &[&str] = &[
    "Concat",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "MaxPool",
    "Reshape",
    "Resize",
    "Slice",
    "SpaceToDepth",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

const WITH_CHANNELS: &[&str] = &["Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"];

/// Whatever can be quantized but LSTM, GRU and RNN.
const WITHOUT_RECURRENCES: &[&str] = &[
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Gelu",
    "Gemm",
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

/// Every runtime that there is a row for; the first is the default.
pub static PROFILES: &[Profile] = &[
    Profile {
        name: "onnxruntime-x86",
        unsigned: true,
        symmetric: false,
        integer_bias: true,
        explicit_balance: false,
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
        least_products: 16,
        overhead: Some(Overhead { fixed: 100_000, each_value: 20, each_pooled: 120 }),
        per_channel: WITH_CHANNELS,
        clipping: &["Clip", "Relu"],
        carrying: &[
            "Concat",
            "Expand",
            "Flatten",
            "Gather",
            "MaxPool",
            "Reshape",
            "Resize",
            "Slice",
            "Squeeze",
            "Transpose",
            "Unsqueeze",
        ],
    },
    Profile {
        name: "onnxruntime-arm",
        unsigned: false,
        symmetric: false,
        integer_bias: true,
        explicit_balance: false,
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
        least_products: 0,
        overhead: None,
        per_channel: WITH_CHANNELS,
        clipping: &["Clip", "Relu"],
        carrying: &[
            "Concat",
            "Expand",
            "Flatten",
            "Gather",
            "MaxPool",
            "Reshape",
            "Resize",
            "Slice",
            "Squeeze",
            "Transpose",
            "Unsqueeze",
        ],
    },
    Profile {
        name: "tensorrt",
        unsigned: false,
        symmetric: true,
        integer_bias: false,
        explicit_balance: true,
        quantized: &["Add", "AveragePool", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "MatMul"],
        int8: &["Add", "AveragePool", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "MatMul"],
        int8_throughout: &[],
        least_products: 0,
        overhead: None,
        per_channel: &["Conv", "ConvTranspose", "Gemm", "MatMul"],
        clipping: &[],
        carrying: MOVING,
    },
    Profile {
        name: "openvino",
        unsigned: true,
        symmetric: false,
        integer_bias: true,
        explicit_balance: true,
        quantized: WITHOUT_RECURRENCES,
        int8: &["Add", "AveragePool", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "MatMul", "Mul"],
        int8_throughout: &[],
        least_products: 0,
        overhead: None,
        per_channel: &["Conv", "ConvTranspose", "Gemm", "MatMul"],
        clipping: &[],
        carrying: MOVING,
    },
    Profile {
        name: "ascend",
        unsigned: false,
        symmetric: false,
        integer_bias: true,
        explicit_balance: true,
        quantized: &["AveragePool", "Conv", "ConvTranspose", "Gemm", "MatMul"],
        int8: &["AveragePool", "Conv", "ConvTranspose", "Gemm", "MatMul"],
        int8_throughout: &[],
        least_products: 0,
        overhead: None,
        per_channel: &["Conv", "ConvTranspose"],
        clipping: &[],
        carrying: &[],
    },
    Profile {
        name: "generic",
        unsigned: false,
        symmetric: false,
        integer_bias: true,
        explicit_balance: true,
        quantized: &[],
        int8: WITH_CHANNELS,
        int8_throughout: &[],
        least_products: 0,
        overhead: None,
        per_channel: WITH_CHANNELS,
        clipping: &[],
        carrying: MOVING,
    },
];

impl Profile {
    /// The row of that name.
    pub fn named(name: &str) -> Result<&'static Profile> {
        PROFILES.iter().find(|row| row.name == name).ok_or_else(|| {
            let names: Vec<&str> = PROFILES.iter().map(|row| row.name).collect();
            Error::invalid_config(format!("there is no target {name:?}; use one of {}", names.join(", ")))
        })
    }

    /// Checks that a configuration asks for nothing that the runtime refuses.
    pub fn check_config(&self, config: &QuantConfig) -> Result<()> {
        let has_offset = |layer: &&LayerConfig| layer.quant_enable && config.is_asymmetric(layer);
        if !self.symmetric || !config.layers.values().any(|layer| has_offset(&layer)) {
            return Ok(());
        }
        let message = format!(
            "{} takes no offsets; set activation_offset to false, or make the file with `intact8 config --target {}`",
            self.name, self.name
        );
        Err(Error::invalid_config(message))
    }

    /// Checks that a quantized model has nothing that the runtime refuses.
    pub fn check_model(&self, model: &Model) -> Result<()> {
        for (_, graph) in model.graphs().filter(|_| self.symmetric) {
            for id in graph.topo() {
                let Some(coding) = Coding::of_quantize(graph, id) else { continue };
                let middle = if coding.dtype == DType::U8 { 128 } else { 0 };
                if coding.offset.iter().any(|&offset| offset != middle) {
                    let message = format!("has an offset, and {} takes none; quantize without", self.name);
                    return Err(Error::invalid_model(message).at(graph.node(id).label()));
                }
            }
        }
        Ok(())
    }

    /// Turns off in a configuration what the runtime does not take, and says what and why, one line each.
    pub fn restrict(&self, config: &mut QuantConfig, model: &Model) -> Vec<String> {
        let mut lines = Vec::new();
        if self.symmetric && config.activation_offset {
            config.activation_offset = false;
            lines.push(format!("activations have no offset: {} takes none", self.name));
        }
        if !self.explicit_balance && config.auto_balance {
            config.balance_nodes = false;
        }
        for layer in layers(model) {
            let Some(of_layer) = config.layers.get_mut(&layer.name) else { continue };
            if of_layer.quant_enable && !self.quantized.is_empty() && !self.quantized.contains(&layer.op) {
                of_layer.quant_enable = false;
                lines.push(format!("{} stays float: {} has no int8 {}", layer.name, self.name, layer.op));
            }
            if self.symmetric && of_layer.activation_quant_params.asymmetric == Some(true) {
                of_layer.activation_quant_params.asymmetric = Some(false);
            }
            let per_channel = self.per_channel.contains(&layer.op);
            if !layer.weights.is_empty() && !per_channel && of_layer.weight_quant_params.channel_wise {
                of_layer.weight_quant_params.channel_wise = false;
                let line = format!(
                    "{} has one scale for its weight: {} takes no more for {}",
                    layer.name, self.name, layer.op
                );
                lines.push(line);
            }
        }
        let small: Vec<Layer> =
            layers(model).into_iter().filter(|layer| self.is_small(layer, model)).collect();
        let why = |_: &Layer| format!("{} runs a Conv of so few channels faster in float", self.name);
        lines.extend(config.leave_weights(&small, why));
        let why = |layer: &Layer| format!("{} runs {} in int8 only between int8 layers", self.name, layer.op);
        lines.extend(config.leave_weights(&without_use(model, config, self), why));
        if let Some(overhead) = &self.overhead {
            let why =
                |_: &Layer| format!("{} would take longer to quantize its inputs than int8 saves", self.name);
            lines.extend(config.leave_weights(&without_gain(model, config, self, overhead), why));
        }
        lines
    }

    /// Whether a layer is a Conv that makes too few products.
    fn is_small(&self, layer: &Layer, model: &Model) -> bool {
        let Some(weight) = layer.weights.first().filter(|_| layer.op == "Conv") else { return false };
        let op = model.graph(layer.graph).node(layer.node).as_op();
        let groups = op.and_then(|op| op.int("group").ok()).flatten().unwrap_or(1);
        let products = layer.tensor(model, weight).shape().iter().take(2).product::<usize>();
        groups == 1 && products < self.least_products
    }

    /// Whether the runtime runs a node of a quantized model in int8.
    pub(crate) fn runs_in_int8(&self, graph: &Graph, id: NodeId) -> bool {
        let Some(op) = graph.node(id).as_op().filter(|op| op.domain.is_empty()) else { return false };
        let throughout = self.int8_throughout.contains(&op.name.as_str());
        if !throughout && !self.int8.contains(&op.name.as_str()) {
            return false;
        }
        let operands = graph.operands(id).iter().flatten().enumerate();
        let are_coded = operands.take(2).all(|(_, &value)| {
            stored(graph, value).is_some()
                || Coding::of_dequantized(graph, value).is_some_and(|coding| coding.is_byte())
        });
        are_coded && (!throughout || quantized_as(graph, id.into()).is_some_and(|coding| coding.is_byte()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openvino_keeps_recurrences_and_nothing_else_in_float() {
        let openvino = Profile::named("openvino").unwrap();
        for row in crate::layer::QUANTIZABLE {
            let is_recurrent = ["LSTM", "GRU", "RNN"].contains(&row.name);
            assert_eq!(openvino.quantized.contains(&row.name), !is_recurrent, "{}", row.name);
        }
    }

    #[test]
    fn offsets_are_refused_where_none_are_taken() {
        let tensorrt = Profile::named("tensorrt").unwrap();
        let mut config = QuantConfig::default();
        config.layers.insert("conv".to_owned(), LayerConfig::default());
        assert!(
            tensorrt.check_config(&config).unwrap_err().to_string().starts_with("tensorrt takes no offsets")
        );
        config.activation_offset = false;
        tensorrt.check_config(&config).unwrap();
        let model = |offset: &str| {
            let text = format!(
                "model m opset 17\n%x = input : f32[2]\n%s = const [0.5] : f32[]\n%o = const [{offset}] : i8[]\n\
                 %q = QuantizeLinear(%x, %s, %o)\nreturn %q\n"
            );
            text.parse::<Model>().unwrap()
        };
        tensorrt.check_model(&model("0")).unwrap();
        let refused = tensorrt.check_model(&model("3")).unwrap_err().to_string();
        assert_eq!(refused, "q: has an offset, and tensorrt takes none; quantize without");
        PROFILES[0].check_model(&model("3")).unwrap();
    }

    #[test]
    fn a_conv_of_few_channels_is_left_to_floats_where_that_is_faster() {
        let model = |channels: usize, groups: usize| {
            let text = format!(
                "model m opset 17\n%x = input : f32[1,{},8,8]\n%w = const splat(1.0) : f32[{channels},1,3,3]\n\
                 %y = Conv(%x, %w) {{group = {groups}}} @first\n%v = const splat(1.0) : f32[32,{channels},3,3]\n\
                 %z = Conv(%y, %v) @second\n%u = const splat(1.0) : f32[4,32,1,1]\n%a = Conv(%z, %u) @third\n\
                 return %a\n",
                groups
            );
            text.parse::<Model>().unwrap()
        };
        let lines = |target: &str, channels: usize, groups: usize| {
            let model = model(channels, groups);
            let mut config = QuantConfig::for_model(&model);
            Profile::named(target).unwrap().restrict(&mut config, &model).join("\n")
        };
        let why = "onnxruntime-x86 runs a Conv of so few channels faster in float";
        let first = format!("first has only its weights in int8: {why}");
        assert!(lines("onnxruntime-x86", 8, 1).starts_with(&first));
        for other in [lines("onnxruntime-x86", 16, 1), lines("onnxruntime-x86", 8, 8), lines("generic", 8, 1)]
        {
            assert!(!other.contains(why), "{other}");
        }
    }
}
