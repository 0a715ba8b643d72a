//! The rules of operators for the dimension of samples: a table of groups of operators whose rule is the same. An operator without a
//! rule, or outside of its rule, ends the search: its samples may influence each other.

use super::dims;
use super::walk::{Node, Reached, by_type_of_result};
use crate::axes;
use intact8_ir::{Dim, Op, OperatorTrait};

/// The dimension of samples of the results, with that of the first operand that has one.
type Rule = fn(&Reached<'_>, &Node<'_>) -> Option<usize>;

/// A row is the rule of some operators.
const RULES: &[(&[&str], Rule)] = &[
    (
        &[
            "Add",
            "And",
            "Cast",
            "Div",
            "Equal",
            "Greater",
            "GreaterOrEqual",
            "Less",
            "LessOrEqual",
            "Max",
            "Mean",
            "Min",
            "Mod",
            "Mul",
            "Not",
            "Or",
            "PRelu",
            "Pow",
            "Sub",
            "Sum",
            "Where",
            "Xor",
            "Abs",
            "Ceil",
            "Cos",
            "Erf",
            "Exp",
            "Floor",
            "IsInf",
            "IsNaN",
            "Log",
            "Neg",
            "Reciprocal",
            "Round",
            "Sign",
            "Sin",
            "Sqrt",
            "Clip",
        ],
        broadcast,
    ),
    (&["DequantizeLinear", "QuantizeLinear"], quantized),
    (
        &[
            "AveragePool",
            "Conv",
            "ConvTranspose",
            "DepthToSpace",
            "GlobalAveragePool",
            "GlobalMaxPool",
            "InstanceNormalization",
            "LRN",
            "LpPool",
            "MaxPool",
            "SpaceToDepth",
        ],
        image,
    ),
    (&["BatchNormalization"], normalized),
    (&["Dropout"], dropout),
    (&["Gemm"], gemm),
    (&["MatMul"], matrix_product),
    (&["Softmax", "LogSoftmax"], softmax),
    (&["LayerNormalization"], layer_norm),
    (
        &["ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare", "ReduceProd"],
        reduction,
    ),
    (&["ArgMax", "ArgMin", "CumSum", "LpNormalization"], along_an_axis),
    (&["Transpose"], transposition),
    (&["Reshape", "Resize", "Expand"], by_type),
    (&["Flatten"], flatten),
    (&["Squeeze", "Unsqueeze"], by_type),
    (&["Concat"], concatenation),
    (&["Split"], split),
    (&["Slice"], slice),
    (&["Gather"], gather),
    (&["Pad"], pad),
    (&["GRU", "LSTM", "RNN"], recurrence),
];

/// The rule of an operator.
pub(super) fn rule_of(op: &Op) -> Option<Rule> {
    if op.has(OperatorTrait::Elementwise) {
        return Some(broadcast);
    }
    let row = RULES.iter().find(|(names, _)| names.contains(&op.name.as_str()))?;
    op.domain.is_empty().then_some(row.1)
}

/// Operands are aligned at their last dimension. Those without samples must not have another element for each sample.
fn broadcast(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let rank = dims(rules.graph, node.id.into())?.len();
    let from_end = rules.dims(node, node.slot)?.len() - node.axis;
    for slot in 0..rules.graph.operands(node.id).len() {
        if rules.graph.operand(node.id, slot).is_none() {
            continue;
        }
        let dims = rules.dims(node, slot)?;
        match rules.axis(node, slot) {
            Some(axis) if dims.len() - axis == from_end => {}
            None if dims.len() < from_end || dims[dims.len() - from_end] == Dim::Known(1) => {}
            _ => return None,
        }
    }
    rank.checked_sub(from_end)
}

fn quantized(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let rank = rules.dims(node, 0)?.len();
    let scale = rules.dims(node, 1)?;
    let is_one = scale.iter().all(|dim| *dim == Dim::Known(1));
    let has_blocks = node.op.int("block_size").ok()?.unwrap_or(0) != 0;
    let along = if is_one { None } else { Some(rules.axis_attribute(node, rank, 1)?) };
    (rules.is_first_alone(node) && !has_blocks && along != Some(node.axis)).then_some(node.axis)
}

/// Samples are the first dimension of images.
fn image(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    // The indices of a MaxPool count the elements of all samples.
    let n_results = rules.graph.node(node.id).outputs.iter().filter(|value| !value.name.is_empty()).count();
    (rules.is_first_alone(node) && node.axis == 0 && n_results == 1).then_some(0)
}

fn normalized(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let is_training = node.op.int("training_mode").ok()?.unwrap_or(0) != 0;
    image(rules, node).filter(|_| !is_training)
}

fn dropout(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let is_training = rules.graph.operand(node.id, 2).is_some();
    (rules.is_first_alone(node) && !is_training).then_some(node.axis)
}

fn gemm(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let is_transposed = node.op.int("transA").ok()?.unwrap_or(0) != 0;
    let is_shared = rules.graph.operand(node.id, 2).is_none()
        || rules.dims(node, 2).is_some_and(|dims| dims.len() < 2 || dims[0] == Dim::Known(1));
    (rules.is_first_alone(node) && !is_transposed && is_shared && node.axis == 0).then_some(0)
}

fn matrix_product(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let [a, b] = [rules.dims(node, 0)?, rules.dims(node, 1)?];
    let rank = dims(rules.graph, node.id.into())?.len();
    let from_end = |slot: usize, dims: &[Dim]| rules.axis(node, slot).map(|axis| dims.len() - axis);
    let is_absent =
        |dims: &[Dim], from_end: usize| dims.len() < from_end || dims[dims.len() - from_end] == Dim::Known(1);
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    match (from_end(0, a), from_end(1, b)) {
        // Rows of a matrix.
        (Some(2), None) if b.len() == 2 => rank.checked_sub(2),
        (Some(end), None) if end > 2 && is_absent(b, end) => rank.checked_sub(end),
        (None, Some(end)) if end > 2 && is_absent(a, end) => rank.checked_sub(end),
        (Some(end), Some(other)) if end > 2 && end == other => rank.checked_sub(end),
        _ => None,
    }
}

fn softmax(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let rank = rules.dims(node, 0)?.len();
    let (default, is_one) = if rules.opset < 13 { (1, false) } else { (-1, true) };
    let axis = rules.axis_attribute(node, rank, default)?;
    (if is_one { axis != node.axis } else { node.axis < axis }).then_some(node.axis)
}

fn layer_norm(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let first = rules.axis_attribute(node, rules.dims(node, 0)?.len(), -1)?;
    (rules.is_first_alone(node) && node.axis < first).then_some(node.axis)
}

fn reduction(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let reduced = axes::axes(&rules.integers(node, "axes", 1)??, rules.dims(node, 0)?.len()).ok()?;
    let keeps = node.op.int("keepdims").ok()?.unwrap_or(1) != 0;
    let n_before = reduced.iter().filter(|&&axis| axis < node.axis).count();
    let is_separate = !reduced.is_empty() && !reduced.contains(&node.axis) && rules.is_first_alone(node);
    is_separate.then_some(if keeps { node.axis } else { node.axis - n_before })
}

/// The operand is changed along one other dimension.
fn along_an_axis(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let rank = rules.dims(node, 0)?.len();
    let axis = match node.op.name.as_str() {
        "CumSum" => axes::axis(*rules.integers(node, "", 1)??.first()?, rank).ok()?,
        "LpNormalization" => rules.axis_attribute(node, rank, -1)?,
        _ => rules.axis_attribute(node, rank, 0)?,
    };
    let keeps = node.op.int("keepdims").ok()?.unwrap_or(1) != 0;
    let moved = if !keeps && axis < node.axis { 1 } else { 0 };
    (rules.is_first_alone(node) && axis != node.axis).then_some(node.axis - moved)
}

fn transposition(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let rank = rules.dims(node, 0)?.len();
    match node.op.ints("perm").ok()? {
        Some(perm) => perm.iter().position(|&dim| dim == node.axis as i64),
        None => Some(rank - 1 - node.axis),
    }
}

/// If samples are the first dimension before and after, the elements of each stay together.
fn by_type(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let axis = by_type_of_result(rules, node.id)?;
    let is_first = node.axis == 0 && axis == 0;
    let keeps_place = matches!(node.op.name.as_str(), "Squeeze" | "Unsqueeze" | "Resize" | "Expand");
    (rules.is_first_alone(node) && (is_first || keeps_place)).then_some(axis)
}

fn flatten(_: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let axis = node.op.int("axis").ok()?.unwrap_or(1);
    (node.axis == 0 && axis == 1).then_some(0)
}

fn concatenation(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let rank = rules.dims(node, node.slot)?.len();
    let axis = axes::axis(node.op.int("axis").ok()??, rank).ok()?;
    let n_operands = rules.graph.operands(node.id).len();
    let are_alike = (0..n_operands).all(|slot| rules.axis(node, slot) == Some(node.axis));
    (are_alike && axis != node.axis).then_some(node.axis)
}

fn split(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let axis = rules.axis_attribute(node, rules.dims(node, 0)?.len(), 0)?;
    (rules.is_first_alone(node) && axis != node.axis).then_some(node.axis)
}

fn slice(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let rank = rules.dims(node, 0)?.len();
    let n_sliced = match node.op.ints("starts").ok()? {
        Some(starts) => starts.len(),
        None => rules.graph.fixed(rules.graph.operand(node.id, 1)?)?.len(),
    };
    let sliced = match rules.integers(node, "axes", 3)? {
        Some(list) => axes::axes(&list, rank).ok()?,
        None => (0..n_sliced).collect(),
    };
    (rules.is_first_alone(node) && !sliced.contains(&node.axis)).then_some(node.axis)
}

/// Of rows of a table, or along another dimension.
fn gather(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let axis = rules.axis_attribute(node, rules.dims(node, 0)?.len(), 0)?;
    match (rules.axis(node, 0), rules.axis(node, 1)) {
        (None, Some(of_index)) => Some(axis + of_index),
        (Some(of_data), None) if of_data < axis => Some(of_data),
        (Some(of_data), None) if of_data > axis => Some(of_data + rules.dims(node, 1)?.len() - 1),
        _ => None,
    }
}

fn pad(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let rank = rules.dims(node, 0)?.len();
    let pads = rules.integers(node, "pads", 1)??;
    let has_axes = rules.graph.operand(node.id, 3).is_some();
    let is_kept = !has_axes && pads.len() == 2 * rank && pads[node.axis] == 0 && pads[node.axis + rank] == 0;
    (rules.is_first_alone(node) && is_kept).then_some(node.axis)
}

/// Samples are the dimension after the steps; all states have them too.
fn recurrence(rules: &Reached<'_>, node: &Node<'_>) -> Option<usize> {
    let is_usual = node.op.int("layout").ok()?.unwrap_or(0) == 0 && node.slot == 0 && node.axis == 1;
    let has_samples =
        |slot: usize| rules.graph.operand(node.id, slot).is_none() || rules.axis(node, slot) == Some(1);
    let lengths = rules.graph.operand(node.id, 4).is_none() || rules.axis(node, 4) == Some(0);
    // Weights, biases and peepholes are shared.
    let are_shared = [1, 2, 3, 7].into_iter().all(|slot| rules.axis(node, slot).is_none());
    (is_usual && has_samples(5) && has_samples(6) && lengths && are_shared).then_some(2)
}
