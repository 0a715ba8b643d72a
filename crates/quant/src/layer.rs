//! Layers: the nodes that can be quantized, and the reasons why others can't.
//!
//! A layer has activation operands, which are computed, and weight operands, which are constant; either may be missing.

mod quantizable;

pub use crate::layer_table::{LayerId, LayerSet, LayerTable};
pub use crate::linear_view::{LinearKind, LinearView, WeightLayout};
pub use quantizable::{LayerKind, QUANTIZABLE, QuantizableOp};

use intact8_ir::{
    Error, GraphId, Model, NodeId, Op, OperatorTrait, Result, Tensor, ValueId, ValueRef, WindowAttributes,
};
use std::collections::BTreeMap;

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
    /// Whether the first result of the node is quantized, for all of its uses: an entry of the record of its own, see
    /// [`LayerConfig::quantize_output`](crate::LayerConfig::quantize_output). Never for the layers of a model.
    pub quantizes_result: bool,
}

/// A weight operand of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// The input slot.
    pub slot: usize,
    /// The dimension that counts output channels.
    pub axis: usize,
    /// Whether each index along that dimension can have its own scale (per-channel granularity).
    pub per_channel: bool,
    /// The input channels, which the weight and the layer's first activation are multiplied along; `None` for the weight of a
    /// recurrence and if one dimension does not determine them.
    pub input: Option<InputChannels>,
}

/// The channels that activation and weight are multiplied along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputChannels {
    /// The dimension of the activation, from the end if negative.
    pub activation: isize,
    /// The dimension of the weight; it holds a group's channels.
    pub weight: usize,
    /// The number of groups of output channels, each with its own input channels.
    pub groups: usize,
}

impl Weight {
    /// The assignment of the elements of the weight, of that shape, to channels; `None` for the weight of a recurrence.
    pub fn layout(&self, shape: &[usize]) -> Option<WeightLayout> {
        let input = self.input?;
        Some(WeightLayout::new(shape, self.axis, input.weight, input.groups))
    }

    /// Calls `see` with the input channel and the value of every element of the weight.
    pub(crate) fn for_each_input(&self, tensor: &Tensor, mut see: impl FnMut(usize, f32)) {
        let Some(layout) = self.layout(tensor.shape()) else { return };
        let values = tensor.values::<f32>().expect("a layer's weights are f32");
        values.iter().enumerate().for_each(|(idx, &value)| see(layout.channels_of_element(idx).1, value));
    }

    /// The number of input channels.
    pub(crate) fn n_inputs(&self, tensor: &Tensor) -> usize {
        self.layout(tensor.shape()).map_or(0, |layout| layout.n_inputs())
    }
}

impl Layer {
    /// The layer's first output that is present: a recurrence may omit the sequence, and return only its last state.
    pub fn output(&self, model: &Model) -> ValueRef {
        let outputs = &model.graph(self.graph).node(self.node).outputs;
        let slot = outputs.iter().position(|value| !value.name.is_empty()).unwrap_or(0);
        ValueRef { graph: self.graph, value: ValueId { node: self.node, slot } }
    }

    /// The values that are quantized for the layer: its activations, in the order of [`Layer::activations`], or its result.
    pub fn inputs(&self, model: &Model) -> Vec<ValueRef> {
        let graph = model.graph(self.graph);
        let value = |&slot: &usize| graph.operand(self.node, slot).expect("a layer has its activations");
        let activations = self
            .activations
            .iter()
            .map(|slot| model.producer(ValueRef { graph: self.graph, value: value(slot) }));
        let result = self.quantizes_result.then_some(ValueRef { graph: self.graph, value: self.node.into() });
        activations.chain(result).collect()
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
            let maps = quantizable::FeatureMaps::default();
            let candidate = quantizable::Candidate::of(graph, node, &maps);
            return match candidate.map(|candidate| candidate.activation(slot)) {
                Some(Ok(slot)) => Ok(Layer {
                    name: format!("{name}:{slot}"),
                    op: row.name,
                    graph: graph_id,
                    node,
                    activations: vec![slot],
                    weights: vec![],
                    quantizes_result: false,
                }),
                Some(Err(reason)) => {
                    Err(Error::invalid_config(format!("can't be quantized: {reason}; remove it")))
                }
                None => Err(Error::invalid_config("is no operator; remove it")),
            };
        }
        Err(Error::invalid_config("is not in the model"))
    }

    /// The result of a layer, as an entry of the record with the layer's name and `:output`. If the only use of a result is a Relu
    /// or a Clip, it is the result of that.
    pub(crate) fn of_output(&self, model: &Model) -> Layer {
        let graph = model.graph(self.graph);
        let mut node = self.node;
        while let &[(user, 0)] = graph.users(node.into()).as_slice()
            && !graph.outputs().contains(&node.into())
            && graph.node(user).as_op().is_some_and(|op| op.is("Relu") || op.is("Clip"))
        {
            node = user;
        }
        Layer {
            name: format!("{}:output", self.name),
            node,
            activations: vec![],
            weights: vec![],
            quantizes_result: true,
            ..*self
        }
    }

    /// The weight that the first activation is multiplied by, and the channels along which they are multiplied.
    pub(crate) fn input_channels(&self) -> Option<(&Weight, InputChannels)> {
        self.weights.iter().find_map(|weight| Some((weight, weight.input?)))
    }

    /// The kind of product that the layer is, if it has a weight and is no recurrence.
    pub fn linear_kind(&self) -> Option<LinearKind> {
        LinearKind::named(self.op).filter(|_| !self.weights.is_empty())
    }

    /// The geometry of the layer, if it multiplies an activation by one constant weight with two kinds of channels.
    pub fn linear_view(&self, model: &Model) -> Option<LinearView> {
        let [weight] = &self.weights[..] else { return None };
        let op = model.graph(self.graph).node(self.node).as_op()?;
        LinearView::of(op, weight.slot, self.tensor(model, weight).shape())
    }

    /// The window of a Conv or ConvTranspose; `None` for other layers. An error if the attributes are wrong.
    pub fn window(&self, model: &Model) -> Result<Option<WindowAttributes>> {
        let is_convolution = self.linear_kind().is_some_and(LinearKind::is_convolution);
        let op = model.graph(self.graph).node(self.node).as_op().filter(|_| is_convolution);
        op.map(WindowAttributes::of).transpose().map_err(|error| error.at(&self.name))
    }

    /// The input slot of the bias, one value for each output channel, if the operator has one. It may be empty.
    pub(crate) fn bias_slot(&self) -> Option<usize> {
        self.linear_kind()?.bias_slot()
    }

    /// The dimension of the output that counts output channels, from the end if negative; `None` for layers without
    /// weights, for recurrent ones, and where it is not known.
    pub fn output_axis(&self) -> Option<isize> {
        let (weight, _) = self.input_channels()?;
        Some(self.linear_kind()?.output_axis(weight.slot))
    }

    /// The number of dimensions of the output after that of the output channels, for a weight of that rank.
    pub(crate) fn dims_after_outputs(&self, weight_rank: usize) -> usize {
        let weight = self.weights.first().zip(self.linear_kind());
        weight.map_or(0, |(weight, kind)| kind.dims_after_outputs(weight.slot, weight_rank))
    }

    /// Whether the layer is a product of its input and one constant matrix, so that the rounding of its weight can be
    /// learned row by row: a Conv, a Gemm, or a MatMul whose right factor is the weight.
    pub fn can_learn_rounding(&self) -> bool {
        match (self.linear_kind(), &self.weights[..]) {
            (Some(LinearKind::Conv | LinearKind::Gemm), [_]) => true,
            (Some(LinearKind::MatMul), [weight]) => weight.slot == 1 && weight.per_channel,
            _ => false,
        }
    }

    /// Whether the layer looks rows up in a table.
    pub fn is_lookup(&self) -> bool {
        self.quantizable().kind == LayerKind::Lookup
    }

    /// Whether the layer runs over a sequence with a state.
    pub(crate) fn is_recurrent(&self) -> bool {
        Op::new(self.op).has(OperatorTrait::Recurrent)
    }

    /// The layer's row.
    pub fn quantizable(&self) -> &'static QuantizableOp {
        QUANTIZABLE.iter().find(|row| row.name == self.op).expect("a layer has a row")
    }

    /// Whether all weights can be quantized per channel.
    pub fn can_be_channel_wise(&self) -> bool {
        !self.weights.is_empty() && self.weights.iter().all(|weight| weight.per_channel)
    }
}

/// The layers of a model, graph by graph in topological order. Nodes without a name are none; see
/// [`NameNodes`](crate::passes::NameNodes).
pub fn layers(model: &Model) -> Vec<Layer> {
    model.graph_ids().flat_map(|id| nodes(model, id)).filter_map(|(_, found)| found?.ok()).collect()
}

/// The nodes of a graph in topological order, each with what [`layer`] returns of it.
pub fn nodes(model: &Model, graph: GraphId) -> Vec<(NodeId, Option<std::result::Result<Layer, String>>)> {
    let maps = quantizable::FeatureMaps::default();
    let of_node = |id| (id, recognized(model, graph, id, &maps));
    model.graph(graph).topo().into_iter().map(of_node).collect()
}

/// Items by the graph that each belongs to, in their order.
pub(crate) fn by_graph<T>(items: &[T], graph: impl Fn(&T) -> GraphId) -> BTreeMap<GraphId, Vec<&T>> {
    let mut by_graph: BTreeMap<GraphId, Vec<&T>> = BTreeMap::new();
    items.iter().for_each(|item| by_graph.entry(graph(item)).or_default().push(item));
    by_graph
}

/// Whether a node of one of the model's graphs is a layer: `None` for operators that are never one, and otherwise
/// the layer, or why it is none. For all nodes of a graph, [`nodes`] is faster.
pub fn layer(model: &Model, graph_id: GraphId, id: NodeId) -> Option<std::result::Result<Layer, String>> {
    recognized(model, graph_id, id, &quantizable::FeatureMaps::default())
}

fn recognized(
    model: &Model,
    graph_id: GraphId,
    id: NodeId,
    feature_maps: &quantizable::FeatureMaps,
) -> Option<std::result::Result<Layer, String>> {
    let graph = model.graph(graph_id);
    let node = graph.node(id);
    let candidate = quantizable::Candidate::of(graph, id, feature_maps)?;
    let row = QUANTIZABLE.iter().find(|row| candidate.op.is(row.name))?;
    // Most Gathers select dimensions or values; they are never layers.
    if row.kind == LayerKind::Lookup && !candidate.has_table() {
        return None;
    }
    if node.name.is_empty() {
        return Some(Err("the node has no name".to_owned()));
    }
    let computed = |operands: quantizable::QuantizedOperands| {
        let activation = |&slot: &usize| Some((slot, graph.operand(id, slot)?));
        let mut activations = operands.activations.iter().filter_map(activation);
        match activations.find(|&(_, value)| is_captured_constant(model, graph_id, value)) {
            Some((slot, _)) => Err(format!("input {slot} is a constant that several subgraphs use")),
            None => Ok(operands),
        }
    };
    Some((row.operands)(&candidate).and_then(computed).map(|operands| Layer {
        name: node.name.clone(),
        op: row.name,
        graph: graph_id,
        node: id,
        activations: operands.activations,
        weights: operands.weights,
        quantizes_result: false,
    }))
}

/// Whether a value is captured from a constant of an outer graph, so that no operation produces it.
fn is_captured_constant(model: &Model, graph: GraphId, value: ValueId) -> bool {
    if !model.graph(graph).captures().contains(&value.node) {
        return false;
    }
    let origin = model.producer(ValueRef { graph, value });
    model.graph(origin.graph).constant(origin.value).is_some()
}
