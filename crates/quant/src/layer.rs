//! Layers: the nodes that can be quantized, and why others can't.
//!
//! A layer has one activation operand and, an average pooling apart, one constant weight operand.

use quantfit_ir::{DType, Graph, Model, NodeId, Op, Place, Tensor, ValueId};

/// A node that can be quantized.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// The node's name, by which configuration, record and reports know the layer.
    pub name: String,
    /// The operator.
    pub op: String,
    /// The position of the graph that the node is in, among [`Model::graphs`].
    pub graph: usize,
    /// The node.
    pub node: NodeId,
    /// The input slot of the activation.
    pub activation: usize,
    /// The weight, if the operator has one.
    pub weight: Option<Weight>,
}

/// The weight operand of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// The input slot.
    pub slot: usize,
    /// The dimension that counts output channels.
    pub axis: usize,
    /// Whether the channels along that axis can each have a scale of their own.
    pub per_channel: bool,
}

/// An operator that can be quantized.
pub struct QuantizableOp {
    /// The operator's name, in ONNX's own domain.
    pub name: &'static str,
    /// Whether AMCT's default gives each output channel a weight scale of its own.
    pub channel_wise: bool,
    /// The weight operand, or why a node can't be quantized. The weight's tensor is given where it is constant.
    weight: fn(&Op, Option<&Tensor>) -> Result<Option<Weight>, String>,
}

/// The operators that can be quantized. Supporting another one is adding a row.
pub static QUANTIZABLE: &[QuantizableOp] = &[
    QuantizableOp { name: "Conv", channel_wise: true, weight: conv },
    QuantizableOp { name: "ConvTranspose", channel_wise: true, weight: conv_transpose },
    QuantizableOp { name: "Gemm", channel_wise: false, weight: gemm },
    QuantizableOp { name: "MatMul", channel_wise: false, weight: mat_mul },
    QuantizableOp { name: "AveragePool", channel_wise: false, weight: |_, _| Ok(None) },
];

impl Layer {
    /// The value that the layer reads as its activation.
    pub fn input(&self, model: &Model) -> Place {
        let value = model.graphs()[self.graph].operand(self.node, self.activation);
        Place { graph: self.graph, value: value.expect("a layer has an activation") }
    }

    /// The layer's row.
    pub fn quantizable(&self) -> &'static QuantizableOp {
        QUANTIZABLE.iter().find(|row| row.name == self.op).expect("a layer has a row")
    }
}

/// The layers of a model, graph by graph in topological order. Nodes without a name are none; see
/// [`NameNodes`](crate::NameNodes).
pub fn layers(model: &Model) -> Vec<Layer> {
    let graphs = model.graphs().into_iter().enumerate();
    graphs
        .flat_map(|(position, graph)| {
            graph.topo().into_iter().filter_map(move |id| layer(graph, position, id)?.ok())
        })
        .collect()
}

/// Whether a node is a layer: `None` for operators that are never one, and otherwise the layer, or why it is none.
pub fn layer(graph: &Graph, position: usize, id: NodeId) -> Option<Result<Layer, String>> {
    let node = graph.node(id);
    let op = node.as_op()?;
    let row = QUANTIZABLE.iter().find(|row| op.is(row.name))?;
    let weight = || {
        if node.name.is_empty() {
            return Err("the node has no name".to_owned());
        }
        if graph.operand(id, 0).is_none() {
            return Err("the activation is missing".to_owned());
        }
        let operand = graph.operand(id, 1);
        let tensor = operand.and_then(|value| graph.constant(value));
        let weight = (row.weight)(op, tensor)?;
        match (weight, operand, tensor) {
            (None, ..) => Ok(None),
            (Some(weight), _, Some(tensor)) if tensor.dtype() == DType::F32 => Ok(Some(weight)),
            (_, _, Some(tensor)) => Err(format!("the weight is {}, and must be f32", tensor.dtype())),
            (_, Some(value), None) => Err(format!("the weight must be constant, {}", origin(graph, value))),
            (_, None, None) => Err("the weight is missing".to_owned()),
        }
    };
    let (name, op) = (node.name.clone(), row.name.to_owned());
    Some(weight().map(|weight| Layer { name, op, graph: position, node: id, activation: 0, weight }))
}

/// Who makes a value, for messages.
fn origin(graph: &Graph, value: ValueId) -> String {
    let node = graph.node(value.node);
    match node.as_op() {
        Some(_) => format!("it is made by {:?}", node.label()),
        None => format!("it is the input {:?}", graph.value(value).name),
    }
}

fn int(op: &Op, name: &str, default: i64) -> Result<i64, String> {
    op.int(name).map(|v| v.unwrap_or(default)).map_err(|error| error.message)
}

fn conv(_: &Op, _: Option<&Tensor>) -> Result<Option<Weight>, String> {
    Ok(Some(Weight { slot: 1, axis: 0, per_channel: true }))
}

fn conv_transpose(op: &Op, _: Option<&Tensor>) -> Result<Option<Weight>, String> {
    // The weight is [in, out / groups, …]: with groups, an index of axis 1 is several output channels.
    let per_channel = int(op, "group", 1)? == 1;
    Ok(Some(Weight { slot: 1, axis: 1, per_channel }))
}

fn gemm(op: &Op, _: Option<&Tensor>) -> Result<Option<Weight>, String> {
    let factor = |name| op.float(name).map(|v| v.unwrap_or(1.0)).map_err(|error| error.message);
    if int(op, "transA", 0)? != 0 {
        return Err("transA must be 0".to_owned());
    }
    if factor("alpha")? != 1.0 || factor("beta")? != 1.0 {
        return Err("alpha and beta must be 1".to_owned());
    }
    let axis = if int(op, "transB", 0)? == 0 { 1 } else { 0 };
    Ok(Some(Weight { slot: 1, axis, per_channel: true }))
}

fn mat_mul(_: &Op, tensor: Option<&Tensor>) -> Result<Option<Weight>, String> {
    match tensor.map(|tensor| tensor.shape().len()) {
        None | Some(2) => Ok(Some(Weight { slot: 1, axis: 1, per_channel: true })),
        Some(rank) => Err(format!("the weight has {rank} dimensions, and must have 2")),
    }
}
