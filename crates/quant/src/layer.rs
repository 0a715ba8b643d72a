//! Layers: the nodes that can be quantized, and why others can't.
//!
//! A layer has activation operands, which are computed, and weight operands, which are constant; either may be missing.

mod quantizable;

pub use quantizable::{Kind, QUANTIZABLE, QuantizableOp};

use crate::weight::Channels;
use intact8_ir::{Error, GraphId, Model, NodeId, Result, Tensor, ValueId, ValueRef};

/// A node that can be quantized.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// The node's name, by which configuration, record and reports know the layer.
    pub name: String,
    /// The operator.
    pub op: &'static str,
    /// The graph that the node is in.
    pub graph: GraphId,
    /// The node.
    pub node: NodeId,
    /// The input slots of the activations.
    pub activations: Vec<usize>,
    /// The weights.
    pub weights: Vec<Weight>,
}

/// A weight operand of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// The input slot.
    pub slot: usize,
    /// The dimension that counts output channels.
    pub axis: usize,
    /// Whether the channels along that axis can each have a scale of their own.
    pub per_channel: bool,
    /// Where the channels of the layer's first activation meet the weight; `None` for the weight of a recurrence.
    pub input: Option<InputChannels>,
}

/// The channels that activation and weight are multiplied along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputChannels {
    /// The dimension of the activation, from the end if negative.
    pub activation: isize,
    /// The dimension of the weight; it holds a group's channels.
    pub weight: usize,
    /// How many groups of output channels there are, each with channels of its own.
    pub groups: usize,
}

impl Weight {
    /// Calls `see` with the input channel of every element of the weight.
    pub(crate) fn for_each_input(&self, tensor: &Tensor, mut see: impl FnMut(usize, f32)) {
        let Some(input) = self.input else { return };
        let shape = tensor.shape();
        let (inputs, outputs) = (Channels::of(shape, input.weight), Channels::of(shape, self.axis));
        let per_group = (outputs.len / input.groups).max(1);
        let values = tensor.values::<f32>().expect("a layer's weights are f32");
        for (idx, &value) in values.iter().enumerate() {
            let group = if input.groups == 1 { 0 } else { outputs.of_element(idx) / per_group };
            see(group * inputs.len + inputs.of_element(idx), value);
        }
    }

    /// How many input channels there are.
    pub(crate) fn n_inputs(&self, tensor: &Tensor) -> usize {
        self.input.map_or(0, |input| tensor.shape()[input.weight] * input.groups)
    }
}

impl Layer {
    /// Where the values are made that the layer reads as its activations, in the order of [`Layer::activations`].
    pub fn inputs(&self, model: &Model) -> Vec<ValueRef> {
        let graph = model.graph(self.graph);
        let value = |&slot: &usize| graph.operand(self.node, slot).expect("a layer has its activations");
        self.activations
            .iter()
            .map(|slot| model.producer(ValueRef { graph: self.graph, value: value(slot) }))
            .collect()
    }

    /// The tensor of a weight.
    pub fn tensor<'a>(&self, model: &'a Model, weight: &Weight) -> &'a Tensor {
        let graph = model.graph(self.graph);
        let value = graph.operand(self.node, weight.slot).expect("a layer has its weights");
        graph.constant(value).expect("a layer's weights are constant")
    }

    /// One input of a node, as a layer without weights whose name is the node's and the input's number.
    pub(crate) fn of_one_input(model: &Model, name: &str, slot: usize) -> Result<Layer> {
        for (graph_id, graph) in model.graphs() {
            let Some(node) = graph.node_ids().find(|&id| graph.node(id).name == name) else { continue };
            let row = graph.node(node).as_op().and_then(|op| QUANTIZABLE.iter().find(|row| op.is(row.name)));
            let Some(row) = row else {
                return Err(Error::invalid_config("is no quantizable operator; remove it"));
            };
            return match quantizable::Site::of(graph, node).map(|site| site.activation(slot)) {
                Some(Ok(slot)) => Ok(Layer {
                    name: format!("{name}:{slot}"),
                    op: row.name,
                    graph: graph_id,
                    node,
                    activations: vec![slot],
                    weights: vec![],
                }),
                Some(Err(reason)) => {
                    Err(Error::invalid_config(format!("can't be quantized: {reason}; remove it")))
                }
                None => Err(Error::invalid_config("is no operator; remove it")),
            };
        }
        Err(Error::invalid_config("is not in the model"))
    }

    /// The weight that meets the channels of the first activation, and where.
    pub(crate) fn input_channels(&self) -> Option<(&Weight, InputChannels)> {
        self.weights.iter().find_map(|weight| Some((weight, weight.input?)))
    }

    /// The input slot of the bias, one value for each output channel, if the operator has one. It may be empty.
    pub(crate) fn bias_slot(&self) -> Option<usize> {
        let can_have_bias = ["Conv", "ConvTranspose", "Gemm"].contains(&self.op);
        (can_have_bias && !self.weights.is_empty()).then_some(2)
    }

    /// The dimension of the output that counts output channels, from the end if negative; `None` for layers without
    /// weights, for recurrent ones, and where it is not known.
    pub fn output_axis(&self) -> Option<isize> {
        let (weight, _) = self.input_channels()?;
        match self.op {
            "Conv" | "ConvTranspose" => Some(1),
            "Gemm" => Some(-1),
            "MatMul" => Some(if weight.slot == 1 { -1 } else { -2 }),
            _ => None,
        }
    }

    /// Whether the layer is a product of what it reads and one constant matrix, so that the rounding of its weight can be
    /// learned row by row: a Conv, a Gemm, or a MatMul whose right factor is the weight.
    pub fn can_learn_rounding(&self) -> bool {
        match &self.weights[..] {
            [weight] => match self.op {
                "Conv" | "Gemm" => true,
                "MatMul" => weight.slot == 1 && weight.per_channel,
                _ => false,
            },
            _ => false,
        }
    }

    /// The layer's row.
    pub fn quantizable(&self) -> &'static QuantizableOp {
        QUANTIZABLE.iter().find(|row| row.name == self.op).expect("a layer has a row")
    }

    /// Whether every output channel can have a scale of its own, in all weights.
    pub fn can_be_channel_wise(&self) -> bool {
        !self.weights.is_empty() && self.weights.iter().all(|weight| weight.per_channel)
    }
}

/// The layers of a model, graph by graph in topological order. Nodes without a name are none; see
/// [`NameNodes`](crate::NameNodes).
pub fn layers(model: &Model) -> Vec<Layer> {
    let graphs = model.graphs();
    graphs
        .flat_map(|(graph_id, graph)| {
            graph.topo().into_iter().filter_map(move |id| layer(model, graph_id, id)?.ok())
        })
        .collect()
}

/// Whether a node of one of the model's graphs is a layer: `None` for operators that are never one, and otherwise
/// the layer, or why it is none.
pub fn layer(model: &Model, graph_id: GraphId, id: NodeId) -> Option<std::result::Result<Layer, String>> {
    let graph = model.graph(graph_id);
    let node = graph.node(id);
    let site = quantizable::Site::of(graph, id)?;
    let row = QUANTIZABLE.iter().find(|row| site.op.is(row.name))?;
    if node.name.is_empty() {
        return Some(Err("the node has no name".to_owned()));
    }
    let computed = |operands: quantizable::Operands| {
        let activation = |&slot: &usize| Some((slot, graph.operand(id, slot)?));
        let mut activations = operands.activations.iter().filter_map(activation);
        match activations.find(|&(_, value)| is_captured_constant(model, graph_id, value)) {
            Some((slot, _)) => Err(format!("input {slot} is a constant that several subgraphs read")),
            None => Ok(operands),
        }
    };
    Some((row.operands)(&site).and_then(computed).map(|operands| Layer {
        name: node.name.clone(),
        op: row.name,
        graph: graph_id,
        node: id,
        activations: operands.activations,
        weights: operands.weights,
    }))
}

/// Whether a value is captured from a constant of a graph around it, so that no node ever makes it.
fn is_captured_constant(model: &Model, graph: GraphId, value: ValueId) -> bool {
    if !model.graph(graph).captures().contains(&value.node) {
        return false;
    }
    let origin = model.producer(ValueRef { graph, value });
    model.graph(origin.graph).constant(origin.value).is_some()
}
