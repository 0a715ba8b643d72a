//! The table of operators that can be quantized, and what each requires of its operands.

use super::{InputChannels, Weight};
use crate::linear_view::LinearView;
use intact8_ir::{DType, Graph, NodeId, Op, OperatorTrait, Tensor, TensorType, ValueId};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// An operator that can be quantized.
pub struct QuantizableOp {
    /// The operator's name, in ONNX's own domain.
    pub name: &'static str,
    /// The kind, which decides whether it is quantized by default.
    pub kind: LayerKind,
    /// Whether its weights are quantized per channel by default.
    pub channel_wise: bool,
    /// The operands to quantize, or the reason why a node can't be quantized.
    pub(super) operands: fn(&Candidate<'_>) -> Result<QuantizedOperands, String>,
}

/// The kind of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerKind {
    /// Multiplies and adds, nearly always with constant weights: most of a model's time.
    Linear,
    /// Adds feature maps, or averages them: cheap, but between linear layers that could otherwise not stay in integers.
    Join,
    /// Looks rows up in a constant table, whose integers are scaled after that.
    Lookup,
    /// A function of single elements, or a selection of them; in float by default.
    Other,
}

/// The operators that can be quantized. Supporting another one is adding a row.
pub static QUANTIZABLE: &[QuantizableOp] = &[
    QuantizableOp { name: "Conv", kind: LayerKind::Linear, channel_wise: true, operands: conv },
    QuantizableOp {
        name: "ConvTranspose",
        kind: LayerKind::Linear,
        channel_wise: true,
        operands: conv_transpose,
    },
    QuantizableOp { name: "Gemm", kind: LayerKind::Linear, channel_wise: true, operands: gemm },
    QuantizableOp { name: "MatMul", kind: LayerKind::Linear, channel_wise: true, operands: mat_mul },
    QuantizableOp { name: "LSTM", kind: LayerKind::Linear, channel_wise: true, operands: recurrent },
    QuantizableOp { name: "GRU", kind: LayerKind::Linear, channel_wise: true, operands: recurrent },
    QuantizableOp { name: "RNN", kind: LayerKind::Linear, channel_wise: true, operands: recurrent },
    QuantizableOp { name: "Gather", kind: LayerKind::Lookup, channel_wise: true, operands: lookup },
    QuantizableOp {
        name: "AveragePool",
        kind: LayerKind::Join,
        channel_wise: false,
        operands: one_activation,
    },
    QuantizableOp {
        name: "GlobalAveragePool",
        kind: LayerKind::Join,
        channel_wise: false,
        operands: one_activation,
    },
    QuantizableOp { name: "Add", kind: LayerKind::Join, channel_wise: false, operands: add },
    QuantizableOp { name: "Mul", kind: LayerKind::Other, channel_wise: false, operands: two_activations },
    QuantizableOp { name: "Concat", kind: LayerKind::Other, channel_wise: false, operands: all_activations },
    QuantizableOp { name: "MaxPool", kind: LayerKind::Other, channel_wise: false, operands: one_activation },
    QuantizableOp { name: "Resize", kind: LayerKind::Other, channel_wise: false, operands: one_activation },
    QuantizableOp { name: "Relu", kind: LayerKind::Other, channel_wise: false, operands: one_activation },
    QuantizableOp {
        name: "LeakyRelu",
        kind: LayerKind::Other,
        channel_wise: false,
        operands: one_activation,
    },
    QuantizableOp { name: "Clip", kind: LayerKind::Other, channel_wise: false, operands: one_activation },
    QuantizableOp { name: "Sigmoid", kind: LayerKind::Other, channel_wise: false, operands: one_activation },
    QuantizableOp {
        name: "HardSwish",
        kind: LayerKind::Other,
        channel_wise: false,
        operands: one_activation,
    },
    QuantizableOp { name: "Gelu", kind: LayerKind::Other, channel_wise: false, operands: one_activation },
    QuantizableOp { name: "Softmax", kind: LayerKind::Other, channel_wise: false, operands: one_activation },
];

/// The number of elements of a table that is worth three more operations.
const LEAST_TABLE: usize = 1 << 12;

/// A node whose operator is in the table.
pub(super) struct Candidate<'a> {
    pub(super) graph: &'a Graph,
    pub(super) id: NodeId,
    pub(super) op: &'a Op,
    pub(super) feature_maps: &'a FeatureMaps,
}

/// Of the values of one graph that were asked for, which ones are feature maps; so that a chain of Adds is followed once.
#[derive(Default)]
pub(super) struct FeatureMaps(RefCell<HashMap<ValueId, bool>>);

/// The operands to quantize.
pub(super) struct QuantizedOperands {
    pub(super) activations: Vec<usize>,
    pub(super) weights: Vec<Weight>,
}

impl<'a> Candidate<'a> {
    /// The node, if it is an operation.
    pub(super) fn of(graph: &'a Graph, id: NodeId, feature_maps: &'a FeatureMaps) -> Option<Candidate<'a>> {
        Some(Candidate { graph, id, op: graph.node(id).as_op()?, feature_maps })
    }

    fn operand(&self, slot: usize) -> Option<ValueId> {
        self.graph.operand(self.id, slot)
    }

    fn constant(&self, slot: usize) -> Option<&'a Tensor> {
        self.graph.constant(self.operand(slot)?)
    }

    fn int(&self, name: &str, default: i64) -> Result<i64, String> {
        self.op.int(name).map(|v| v.unwrap_or(default)).map_err(|error| error.message)
    }

    fn ty(&self, slot: usize) -> Option<&'a TensorType> {
        self.graph.value(self.operand(slot)?).tensor_type()
    }

    /// Whether the first operand is a constant of f32 with several dimensions.
    pub(super) fn has_table(&self) -> bool {
        self.constant(0).is_some_and(|tensor| tensor.dtype() == DType::F32 && tensor.shape().len() > 1)
    }

    /// The slot, if it holds a computed value that is not known to be anything but f32.
    pub(super) fn activation(&self, slot: usize) -> Result<usize, String> {
        let value = self.operand(slot).ok_or_else(|| format!("input {slot} is missing"))?;
        if self.graph.constant(value).is_some() {
            return Err(format!("input {slot} is constant"));
        }
        match self.ty(slot).map(|ty| ty.dtype) {
            None | Some(DType::F32) => Ok(slot),
            Some(dtype) => Err(format!("input {slot} is {dtype}, and must be f32")),
        }
    }

    /// The weight in a slot: it must be a constant of f32.
    fn weight_tensor(&self, slot: usize) -> Result<&'a Tensor, String> {
        let value = self.operand(slot).ok_or("the weight is missing")?;
        let Some(tensor) = self.graph.constant(value) else {
            return Err(format!("the weight must be constant, {}", self.origin(value)));
        };
        if tensor.dtype() != DType::F32 {
            return Err(format!("the weight is {}, and must be f32", tensor.dtype()));
        }
        Ok(tensor)
    }

    /// The weight in a slot, whose output channels are along that dimension.
    fn weight(&self, slot: usize, axis: usize, input: Option<InputChannels>) -> Result<Weight, String> {
        let tensor = self.weight_tensor(slot)?;
        if axis >= tensor.shape().len() || tensor.is_empty() {
            return Err(format!("the weight has the shape {:?}", tensor.shape()));
        }
        Ok(Weight { slot, axis, per_channel: true, input })
    }

    /// The producer of a value, for messages.
    fn origin(&self, value: ValueId) -> String {
        let node = self.graph.node(value.node);
        match node.as_op() {
            Some(_) => format!("it is produced by {:?}", node.label()),
            None => format!("it is the input {:?}", self.graph.value(value).name),
        }
    }
}

fn of_activations(activations: Vec<usize>) -> Result<QuantizedOperands, String> {
    Ok(QuantizedOperands { activations, weights: vec![] })
}

fn with_weight(activation: usize, weight: Weight) -> Result<QuantizedOperands, String> {
    Ok(QuantizedOperands { activations: vec![activation], weights: vec![weight] })
}

fn conv(candidate: &Candidate<'_>) -> Result<QuantizedOperands, String> {
    let groups = groups(candidate)?;
    if let Some(n_outputs) = candidate.constant(1).and_then(|weight| weight.shape().first().copied())
        && n_outputs % groups != 0
    {
        return Err(format!("{n_outputs} output channels can't be cut into {groups} groups"));
    }
    linear(candidate, 0, 1)
}

fn conv_transpose(candidate: &Candidate<'_>) -> Result<QuantizedOperands, String> {
    groups(candidate)?;
    linear(candidate, 0, 1)
}

/// An activation and a weight with channels as in the view of the operator. Where groups divide the input
/// channels, an index of the other dimension is several output channels.
fn linear(
    candidate: &Candidate<'_>,
    activation: usize,
    weight_slot: usize,
) -> Result<QuantizedOperands, String> {
    let activation = candidate.activation(activation)?;
    let tensor = candidate.weight_tensor(weight_slot)?;
    let view = LinearView::of(candidate.op, weight_slot, tensor.shape());
    let view = view.ok_or_else(|| format!("the weight has the shape {:?}", tensor.shape()))?;
    let (layout, per_channel) = (view.layout, view.layout.is_per_channel());
    let input = InputChannels {
        activation: view.kind.input_axis(weight_slot),
        weight: layout.input_axis(),
        groups: layout.groups(),
    };
    let input = per_channel.then_some(input);
    with_weight(activation, Weight { slot: weight_slot, axis: layout.output_axis(), per_channel, input })
}

fn groups(candidate: &Candidate<'_>) -> Result<usize, String> {
    let groups = candidate.int("group", 1)?;
    usize::try_from(groups).ok().filter(|&groups| groups > 0).ok_or_else(|| format!("group is {groups}"))
}

fn gemm(candidate: &Candidate<'_>) -> Result<QuantizedOperands, String> {
    let factor = |name| candidate.op.float(name).map(|v| v.unwrap_or(1.0)).map_err(|error| error.message);
    if candidate.int("transA", 0)? != 0 {
        return Err("transA must be 0".to_owned());
    }
    if factor("alpha")? != 1.0 || factor("beta")? != 1.0 {
        return Err("alpha and beta must be 1".to_owned());
    }
    if candidate.constant(1).is_none() {
        return of_activations(vec![candidate.activation(0)?, candidate.activation(1)?]);
    }
    candidate.int("transB", 0)?;
    linear(candidate, 0, 1)
}

/// Either factor may be the weight. Of a stack of matrices, one axis does not determine the channels.
fn mat_mul(candidate: &Candidate<'_>) -> Result<QuantizedOperands, String> {
    let (slot, weight) = match (candidate.constant(0), candidate.constant(1)) {
        (None, None) => return of_activations(vec![candidate.activation(0)?, candidate.activation(1)?]),
        (Some(_), Some(_)) => return Err("both inputs are constant".to_owned()),
        (None, Some(right)) => (1, right),
        (Some(left), None) => (0, left),
    };
    // A vector on the right has no dimension before its last; where the rank is not known, it may be one.
    let shape = || candidate.ty(1 - slot)?.shape.as_ref();
    let is_vector = slot == 0 && shape().is_none_or(|dims| dims.len() < 2);
    let is_matrix = weight.shape().len() == 2;
    if is_matrix && !is_vector {
        return linear(candidate, 1 - slot, slot);
    }
    let axis = match (slot, weight.shape().len()) {
        (1, 0) => return Err("the weight has no dimensions".to_owned()),
        (0, 0 | 1) => return Err("the weight is no matrix".to_owned()),
        (1, rank) => rank - 1,
        (_, rank) => rank - 2,
    };
    let weight = candidate.weight(slot, axis, None)?;
    with_weight(candidate.activation(1 - slot)?, Weight { per_channel: is_matrix, ..weight })
}

/// The weights of the input and of the recurrence, `[directions, gates · hidden, …]`. The state stays float.
fn recurrent(candidate: &Candidate<'_>) -> Result<QuantizedOperands, String> {
    let input = InputChannels { activation: -1, weight: 2, groups: 1 };
    for slot in [1, 2] {
        let shape = candidate.weight_tensor(slot)?.shape();
        if shape.len() != 3 {
            return Err(format!("the weight has the shape {shape:?}, and must have 3 dimensions"));
        }
    }
    let weights = vec![candidate.weight(1, 1, Some(input))?, candidate.weight(2, 1, None)?];
    Ok(QuantizedOperands { activations: vec![candidate.activation(0)?], weights })
}

/// The rows of a constant table: each has a scale of its own, and nothing else is quantized.
fn lookup(candidate: &Candidate<'_>) -> Result<QuantizedOperands, String> {
    let tensor = candidate.weight_tensor(0)?;
    let axis = candidate.int("axis", 0)?;
    if ![0, -(tensor.shape().len() as i64)].contains(&axis) {
        return Err(format!("it selects along dimension {axis} of the table, and must along 0"));
    }
    if tensor.len() < LEAST_TABLE {
        return Err(format!(
            "the table has {} elements, and gains nothing below {LEAST_TABLE}",
            tensor.len()
        ));
    }
    Ok(QuantizedOperands { activations: vec![], weights: vec![candidate.weight(0, 0, None)?] })
}

fn one_activation(candidate: &Candidate<'_>) -> Result<QuantizedOperands, String> {
    of_activations(vec![candidate.activation(0)?])
}

fn two_activations(candidate: &Candidate<'_>) -> Result<QuantizedOperands, String> {
    of_activations(vec![candidate.activation(0)?, candidate.activation(1)?])
}

fn all_activations(candidate: &Candidate<'_>) -> Result<QuantizedOperands, String> {
    let n_inputs = candidate.graph.operands(candidate.id).len();
    of_activations((0..n_inputs).map(|slot| candidate.activation(slot)).collect::<Result<_, _>>()?)
}

/// The sum of two feature maps of one shape. A sum with a constant is a bias, one that broadcasts is a mask or a
/// shift, one not known to be of f32 may be arithmetic on shapes, and one whose operands are not produced by layers is part
/// of a function that is written out, as Gelu often is: they stay in float. So does an operand of a Softmax: one side is a
/// mask or a bias of attention, whose -3.4e38 leaves no integers for the other where both share a scale.
fn add(candidate: &Candidate<'_>) -> Result<QuantizedOperands, String> {
    let operands = two_activations(candidate)?;
    match (candidate.ty(0), candidate.ty(1)) {
        (Some(a), Some(b)) if a.shape.is_some() && a.shape == b.shape => {}
        (Some(a), Some(b)) => return Err(format!("the inputs are {a} and {b}, and must have one shape")),
        _ => return Err("the inputs' types are not known".to_owned()),
    }
    let users = candidate.graph.users(candidate.id.into());
    if users.iter().any(|&(user, _)| candidate.graph.node(user).is("Softmax")) {
        return Err("its result goes into a Softmax, so one input is a mask".to_owned());
    }
    let is_feature_map = |slot| candidate.feature_maps.contains(candidate.graph, candidate.operand(slot));
    match operands.activations.iter().find(|&&slot| !is_feature_map(slot)) {
        Some(slot) => Err(format!("input {slot} is not produced by a layer")),
        None => Ok(operands),
    }
}

impl FeatureMaps {
    fn contains(&self, graph: &Graph, value: Option<ValueId>) -> bool {
        let Some(value) = value else { return false };
        let mut known = self.0.borrow_mut();
        let mut visited = HashSet::new();
        let is_one = is_feature_map(graph, value, &known, &mut visited);
        // What a feature map is made of are feature maps; of what no feature map is made of, only some are none.
        if is_one {
            known.extend(visited.into_iter().map(|value| (value, true)));
        }
        known.insert(value, is_one);
        is_one
    }
}

/// Whether a value is an input of the graph, or the result of a linear layer or a join, as it is or normalized, activated,
/// shifted or scaled by constants, or gated by a function of itself. Of a sum, both sides must be.
fn is_feature_map(
    graph: &Graph,
    value: ValueId,
    known: &HashMap<ValueId, bool>,
    seen: &mut HashSet<ValueId>,
) -> bool {
    let mut pending = vec![Some(value)];
    while let Some(value) = pending.pop() {
        let Some(value) = value else { return false };
        match known.get(&value) {
            Some(true) => continue,
            Some(false) => return false,
            None => {}
        }
        let node = graph.node(value.node);
        let Some(op) = node.as_op().filter(|_| seen.insert(value)) else { continue };
        let operand = |slot: usize| graph.operand(value.node, slot);
        let is_constant = |slot: usize| operand(slot).is_some_and(|value| graph.constant(value).is_some());
        match op.name.as_str() {
            _ if !op.domain.is_empty() => return false,
            "Add" | "Mul" | "Sub" | "Div" if is_constant(1) => pending.push(operand(0)),
            "Add" | "Mul" if is_constant(0) => pending.push(operand(1)),
            "Cast" if is_float(graph, operand(0)) => pending.push(operand(0)),
            "Add" => pending.extend([operand(0), operand(1)]),
            "Mul" if is_gate(graph, operand(0), operand(1)) => pending.push(operand(0)),
            "Mul" if is_gate(graph, operand(1), operand(0)) => pending.push(operand(1)),
            _ if op.has(OperatorTrait::PassesFeatureMap) => pending.push(operand(0)),
            name if QUANTIZABLE
                .iter()
                .any(|row| row.name == name && matches!(row.kind, LayerKind::Linear | LayerKind::Join)) => {}
            _ => return false,
        }
    }
    true
}

/// Whether a value is known to be of floats.
fn is_float(graph: &Graph, value: Option<ValueId>) -> bool {
    value.is_some_and(|value| graph.value(value).tensor_type().is_some_and(|ty| ty.dtype.is_float()))
}

/// Whether `gate` is a squashed `value`: together they are SiLU or HardSwish written out.
fn is_gate(graph: &Graph, value: Option<ValueId>, gate: Option<ValueId>) -> bool {
    let Some(gate) = gate else { return false };
    let node = graph.node(gate.node);
    (node.is("Sigmoid") || node.is("HardSigmoid")) && graph.operand(gate.node, 0) == value
}
