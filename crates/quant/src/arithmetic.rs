//! The arithmetic of layers on a target, read from the deploy model: a layer with quantized operands may still run in float.

use crate::config::QuantConfig;
use crate::deploy_format::DeployFormat;
use crate::layer::{LayerId, LayerKind, LayerTable};
use crate::qdq_params::{QdqParams, quantized_as};
use crate::stages::Deployed;
use intact8_ir::{Graph, Model, NodeId, OperatorTrait, ValueId};
use std::collections::{BTreeMap, HashMap};

/// The arithmetic in which a layer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arithmetic {
    /// Products and sums of 8-bit integers.
    Int8,
    /// Activations are quantized to 16 bits.
    Int16,
    /// The weights are stored as integers, and the layer computes in float.
    WeightsOnly,
    /// Nothing of the layer is in integers.
    Float,
}

impl Arithmetic {
    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            Arithmetic::Int8 => "int8",
            Arithmetic::Int16 => "int16",
            Arithmetic::WeightsOnly => "weights only",
            Arithmetic::Float => "float",
        }
    }
}

/// The arithmetic of each layer that is quantized by default or named in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerArithmetic(pub BTreeMap<LayerId, Arithmetic>);

/// The number of layers in each arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LayerCounts {
    /// Layers in int8.
    pub int8: usize,
    /// Layers with 16-bit activations.
    pub int16: usize,
    /// Layers that compute in float, with integer weights.
    pub weights_only: usize,
    /// Layers in float.
    pub float: usize,
}

impl LayerCounts {
    /// The number of all layers.
    pub fn total(&self) -> usize {
        self.int8 + self.int16 + self.weights_only + self.float
    }
}

impl LayerArithmetic {
    /// The arithmetic of the layers of a prepared model that was quantized with `config`. Without a deploy model it is that of
    /// the configuration, as if the runtime had every layer in integers.
    pub fn of(table: &LayerTable, config: &QuantConfig, deployed: Option<&Deployed>) -> LayerArithmetic {
        let deployed = deployed.map(DeployedLayers::new);
        let is_counted =
            |name: &str, kind: LayerKind| kind != LayerKind::Other || config.layers.contains_key(name);
        let counted = table.iter().filter(|(_, layer)| is_counted(&layer.name, layer.quantizable().kind));
        let arithmetic = counted.map(|(id, layer)| {
            let found = match config.layers.get(&layer.name).filter(|of_layer| of_layer.quant_enable) {
                None => Arithmetic::Float,
                Some(of_layer) => {
                    let wanted = match of_layer.activation_quant_params.num_bits {
                        _ if of_layer.weights_only => Arithmetic::WeightsOnly,
                        16 => Arithmetic::Int16,
                        _ => Arithmetic::Int8,
                    };
                    let has_weights = !layer.weights.is_empty();
                    deployed
                        .as_ref()
                        .map_or(wanted, |deployed| deployed.arithmetic(&layer.name, has_weights, wanted))
                }
            };
            (id, found)
        });
        LayerArithmetic(arithmetic.collect())
    }

    /// The arithmetic of a layer.
    pub fn get(&self, layer: LayerId) -> Arithmetic {
        self.0.get(&layer).copied().unwrap_or(Arithmetic::Float)
    }

    /// The number of layers in each arithmetic.
    pub fn counts(&self) -> LayerCounts {
        let count = |wanted: Arithmetic| self.0.values().filter(|found| **found == wanted).count();
        LayerCounts {
            int8: count(Arithmetic::Int8),
            int16: count(Arithmetic::Int16),
            weights_only: count(Arithmetic::WeightsOnly),
            float: count(Arithmetic::Float),
        }
    }
}

/// The nodes of a deploy model by their names, which are those of the layers.
struct DeployedLayers<'a> {
    deployed: &'a Deployed,
    nodes: HashMap<&'a str, (&'a Graph, NodeId)>,
}

impl<'a> DeployedLayers<'a> {
    fn new(deployed: &'a Deployed) -> DeployedLayers<'a> {
        let model: &'a Model = deployed.model();
        let graphs = model.graphs().map(|(_, graph)| graph);
        let nodes = graphs.flat_map(|graph| graph.node_ids().map(move |id| (graph, id)));
        let named = nodes.filter(|(graph, id)| graph.node(*id).as_op().is_some());
        DeployedLayers {
            deployed,
            nodes: named.map(|(graph, id)| (graph.node(id).name.as_str(), (graph, id))).collect(),
        }
    }

    /// The arithmetic of a layer, of which the configuration wants `wanted`. A layer without a node of its own was absorbed by
    /// the integer operator of another.
    fn arithmetic(&self, name: &str, has_weights: bool, wanted: Arithmetic) -> Arithmetic {
        let is_in_integers = || self.nodes.get(name).is_none_or(|&(graph, id)| self.is_in_int8(graph, id));
        match wanted {
            Arithmetic::Int8 if is_in_integers() => Arithmetic::Int8,
            Arithmetic::Int16 => Arithmetic::Int16,
            // The format of Ascend has no integer weights of layers in float.
            Arithmetic::Int8 | Arithmetic::WeightsOnly
                if has_weights && self.deployed.format() != DeployFormat::Ascend =>
            {
                Arithmetic::WeightsOnly
            }
            _ => Arithmetic::Float,
        }
    }

    fn is_in_int8(&self, graph: &Graph, id: NodeId) -> bool {
        is_integer_operator(graph, id)
            || reads_ascend_quant(graph, id)
            || self.deployed.emission().target.runs_in_int8(graph, id)
            || self.passes_integers_on(graph, id)
    }

    /// Whether an operator moves integers from a DequantizeLinear to a QuantizeLinear, which the target does on integers.
    fn passes_integers_on(&self, graph: &Graph, id: NodeId) -> bool {
        let Some(op) = graph.node(id).as_op() else { return false };
        let target = self.deployed.emission().target;
        let from_bytes =
            |value: ValueId| QdqParams::of_dequantized(graph, value).is_some_and(|params| params.is_byte());
        target.carrying.contains(op)
            && graph.operand(id, 0).is_some_and(from_bytes)
            && quantized_as(graph, id.into()).is_some_and(|params| params.is_byte())
    }
}

/// Whether a node is an operator on integers, of ONNX or of ONNX Runtime.
fn is_integer_operator(graph: &Graph, id: NodeId) -> bool {
    let Some(op) = graph.node(id).as_op() else { return false };
    match op.domain.as_str() {
        "" => op.name.starts_with("QLinear") || ["ConvInteger", "MatMulInteger"].contains(&op.name.as_str()),
        domain => domain == "com.microsoft" && (op.name.starts_with("QLinear") || op.name == "QGemm"),
    }
}

/// Whether the first operand of a node is an AscendQuant, directly or through operators that move data.
fn reads_ascend_quant(graph: &Graph, id: NodeId) -> bool {
    let mut operand = graph.operand(id, 0);
    while let Some(value) = operand {
        let Some(op) = graph.node(value.node).as_op() else { return false };
        if op.is("AscendQuant") {
            return true;
        }
        if !op.has(OperatorTrait::MovesData) {
            return false;
        }
        operand = graph.operand(value.node, 0);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy_format::Emission;

    /// Two products, and a deploy model with the operands of only the first quantized.
    fn found(format: Option<DeployFormat>, change: impl Fn(&mut QuantConfig)) -> Vec<Arithmetic> {
        let head = "model m opset 17\n%x = input : f32[N,2]\n";
        let products =
            "%w = const splat(1.0) : f32[2,2]\n%y = MatMul(%x, %w) @a\n%z = MatMul(%y, %w) @b\nreturn %z\n";
        let float: Model = format!("{head}{products}").parse().unwrap();
        let quantized = "%s = const [0.5] : f32[]\n%o = const [0] : u8[]\n%x.q = QuantizeLinear(%x, %s, %o)\n\
                         %x.dq = DequantizeLinear(%x.q, %s, %o)\n%w = const [1, 2, 3, 4] : i8[2,2]\n\
                         %w.dq = DequantizeLinear(%w, %s)\n%y = MatMul(%x.dq, %w.dq) @a\n\
                         %z = MatMul(%y, %w.dq) @b\nreturn %z\n";
        let model: Model = format!("{head}{quantized}").parse().unwrap();
        let deployed = format.map(|format| Deployed::read_back(model, format, &Emission::default()));
        let mut config = QuantConfig::for_model(&float);
        change(&mut config);
        let arithmetic = LayerArithmetic::of(&LayerTable::of(&float), &config, deployed.as_ref());
        assert_eq!(arithmetic.counts().total(), 2);
        arithmetic.0.into_values().collect()
    }

    #[test]
    fn a_layer_without_quantized_operands_is_not_in_int8() {
        use Arithmetic::{Float, Int8, Int16, WeightsOnly};
        let qdq = Some(DeployFormat::Qdq);
        assert_eq!(found(qdq, |_| ()), [Int8, WeightsOnly]);
        assert_eq!(found(None, |_| ()), [Int8, Int8]);
        // Ascend's format has no integer weights of layers in float.
        assert_eq!(found(Some(DeployFormat::Ascend), |_| ()), [Int8, Float]);
        let skip = |config: &mut QuantConfig| config.skip(&["a".to_owned()]).unwrap();
        assert_eq!(found(qdq, skip), [Float, WeightsOnly]);
        let sixteen = |config: &mut QuantConfig| {
            config.layers.get_mut("b").unwrap().activation_quant_params.num_bits = 16;
        };
        assert_eq!(found(qdq, sixteen), [Int8, Int16]);
        let weights = |config: &mut QuantConfig| config.layers.get_mut("a").unwrap().weights_only = true;
        assert_eq!(found(None, weights), [WeightsOnly, Int8]);
    }
}
