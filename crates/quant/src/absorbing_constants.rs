//! The constants that can absorb positive factors of a value's channels: weights and biases of the layers that produce it,
//! if all operations between are homogeneous.

use crate::linear_view::LinearView;
use crate::qdq_params::stored_constant;
use crate::ranks::GraphRanks;
use crate::uses::has_one_use;
use intact8_ir::{DType, Graph, NodeId, OperatorTrait, ValueId};

/// A constant whose elements belong to some of a value's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AbsorbingConstant {
    /// The node that uses it, directly or through a DequantizeLinear.
    pub(crate) node: NodeId,
    /// The input slot.
    pub(crate) slot: usize,
    /// The dimension that counts its channels, from the end.
    pub(crate) after: usize,
    /// The first of the value's channels that belong to the constant, and their number.
    pub(crate) first: usize,
    pub(crate) len: usize,
}

/// The constants that can absorb factors of a value's `len` channels; `None` if other values would change too, or a part of
/// the value has no such constant. `after` is the number of dimensions after that of the channels.
pub(crate) fn absorbing_constants(
    graph: &Graph,
    ranks: GraphRanks<'_>,
    value: ValueId,
    after: usize,
    len: usize,
) -> Option<Vec<AbsorbingConstant>> {
    let mut found = Vec::new();
    find(graph, ranks, value, after, (0, len), &mut found)?;
    Some(found)
}

fn find(
    graph: &Graph,
    ranks: GraphRanks<'_>,
    value: ValueId,
    after: usize,
    (first, len): (usize, usize),
    found: &mut Vec<AbsorbingConstant>,
) -> Option<()> {
    let (id, node) = (value.node, graph.node(value.node));
    let op = node.as_op().filter(|op| op.domain.is_empty() && value.slot == 0)?;
    if !node.outputs.iter().skip(1).all(|value| value.name.is_empty()) {
        return None;
    }
    let mut take = |slot: usize, after: usize| {
        let source = AbsorbingConstant { node: id, slot, after, first, len };
        let fits = channels_of_constant(graph, source) == Some(len);
        fits.then(|| found.push(source))
    };
    let go_on = |slot: usize, range: (usize, usize), found: &mut Vec<AbsorbingConstant>| {
        let input = graph.operand(id, slot).filter(|&input| has_one_use(graph, input))?;
        find(graph, ranks, input, after, range, found)
    };
    let weight = graph.operand(id, 1).and_then(|value| constant_shape(graph, value));
    if let Some(view) = weight.and_then(|shape| LinearView::of(op, 1, &shape)) {
        if after != view.dims_after_outputs() || !view.layout.is_per_channel() {
            return None;
        }
        take(1, view.dims_of_weight_after_outputs())?;
        let bias = view.kind.bias_slot().filter(|&slot| graph.operand(id, slot).is_some());
        return bias.map_or(Some(()), |slot| take(slot, 0));
    }
    match op.name.as_str() {
        "Add" => {
            let constant =
                (0..2).find(|&slot| graph.operand(id, slot).is_some_and(|v| graph.constant(v).is_some()))?;
            take(constant, after)?;
            go_on(1 - constant, (first, len), found)
        }
        _ if op.has(OperatorTrait::Homogeneous) && graph.operands(id).len() == 1 => {
            let has_channels = after > 0 || op.has(OperatorTrait::Elementwise);
            has_channels.then(|| go_on(0, (first, len), found))?
        }
        "Concat" => {
            let rank = ranks.rank(graph, value)?;
            let axis = op.int("axis").ok()??;
            let axis = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok()?;
            if axis + after + 1 != rank {
                return None;
            }
            let mut at = first;
            for slot in 0..graph.operands(id).len() {
                let dims = graph.value(graph.operand(id, slot)?).tensor_type()?.shape.as_ref()?;
                let n_channels = dims.get(axis)?.known()?;
                go_on(slot, (at, n_channels), found)?;
                at += n_channels;
            }
            (at == first + len).then_some(())
        }
        _ => None,
    }
}

/// The shape of a constant, as it is or before a DequantizeLinear.
fn constant_shape(graph: &Graph, value: ValueId) -> Option<Vec<usize>> {
    let tensor =
        stored_constant(graph, value).map(|stored| stored.integers).or_else(|| graph.constant(value))?;
    Some(tensor.shape().to_vec())
}

/// The number of channels of a constant along its dimension. For integers the scale must be along that dimension or per
/// tensor.
fn channels_of_constant(graph: &Graph, source: AbsorbingConstant) -> Option<usize> {
    let value = graph.operand(source.node, source.slot)?;
    if let Some(stored) = stored_constant(graph, value) {
        let shape = stored.integers.shape();
        let axis = shape.len().checked_sub(1 + source.after)?;
        let along = |at: i64| at == axis as i64 || at + shape.len() as i64 == axis as i64;
        return stored.params.axis.is_none_or(along).then(|| shape[axis]);
    }
    let tensor = graph.constant(value).filter(|tensor| tensor.dtype() == DType::F32)?;
    let axis = tensor.shape().len().checked_sub(1 + source.after)?;
    // An added constant must have no other dimension than that of the channels.
    let is_flat =
        tensor.len() == tensor.shape()[axis] || source.slot == 1 && !graph.node(source.node).is("Add");
    is_flat.then(|| tensor.shape()[axis])
}
