//! The work of a node for one sample: the numbers that its time depends on. Nothing of a runtime is in it.

use crate::costs::n_elements;
use crate::linear_view::{LinearKind, LinearView, WeightLayout};
use crate::passes::average_as_convolution;
use intact8_ir::{Graph, GraphId, NodeId, ValueId, ValueRef};
use std::collections::BTreeMap;

/// The shapes of values.
pub(super) type Shapes = BTreeMap<ValueRef, Vec<usize>>;

/// The number of elements that a value of unknown shape is taken to have.
const UNKNOWN: usize = 4096;

/// The length that a dimension of unknown shape is taken to have.
const UNKNOWN_LENGTH: usize = 64;

/// The work of a node for one sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// Multiplications of an activation by a weight or by another activation. Kernels compute several outputs at a time, so their
    /// number is rounded up.
    pub(super) products: usize,
    /// Positions of the window times its elements in one channel; 0 without a window.
    pub(super) taps: usize,
    /// The same in all channels: the elements that are copied if windows become columns of a matrix.
    pub(super) columns: usize,
    /// Positions of the window in each group.
    pub(super) groups: usize,
    /// Elements of the first operand.
    pub(super) inputs: usize,
    /// Elements of the result.
    pub(super) outputs: usize,
    /// Elements of the weight.
    pub(super) weights: usize,
}

/// The kind of a node, where kernels of one operator differ in their speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Everything else.
    Any,
    /// A product of two activations.
    Activations,
    /// A sum with a constant.
    Constant,
    /// The Sigmoid of a value and its product with the value.
    Gate,
    /// A product with an activation of fewer elements.
    PerChannel,
    /// A transposition that moves the channels of images, dimension 1, to the end.
    ChannelsLast,
    /// A transposition that moves the channels of images to the end, and other dimensions too.
    ChannelsMoved,
    /// A transposition that does not move the last dimension.
    Rows,
    /// Another transposition that moves more than one block of adjacent dimensions.
    Shuffle,
    /// A convolution of at most 3 input channels over images.
    FewChannels,
    /// A convolution whose window is one element.
    Pointwise,
    /// A convolution over a window, or an average that stays one in int8.
    Window,
    /// A convolution over a window whose result has a last dimension of one element.
    Column,
    /// A convolution over sequences: runtimes have other layouts for images.
    Sequence,
    /// A convolution over volumes.
    Volume,
    /// A convolution of single channels, or an average that becomes one in int8.
    Depthwise,
    /// A convolution of single channels over sequences.
    DepthwiseSequence,
    /// Another convolution of groups of channels.
    Grouped,
}

/// The output channels that kernels compute at a time.
const LANES: usize = 16;

/// The input channels of which kernels compute several at a time.
const INPUT_LANES: usize = 4;

/// A node whose work is asked for.
#[derive(Clone, Copy)]
pub(super) struct Shaped<'a> {
    pub(super) graph: &'a Graph,
    pub(super) graph_id: GraphId,
    pub(super) shapes: &'a Shapes,
}

impl Shaped<'_> {
    /// The shape of a value, if it is known.
    pub(super) fn shape(&self, value: ValueId) -> Option<Vec<usize>> {
        let known = self.shapes.get(&ValueRef { graph: self.graph_id, value }).cloned();
        known.or_else(|| Some(self.graph.constant(value)?.shape().to_vec()))
    }

    /// The number of elements of a value.
    pub(super) fn elements(&self, value: ValueId) -> usize {
        self.shape(value).map_or(UNKNOWN, |shape| n_elements(&shape))
    }

    /// The work of a node.
    pub(super) fn work(&self, id: NodeId) -> Work {
        let first = self.graph.operand(id, 0);
        let inputs = first.map_or(0, |value| self.elements(value));
        let outputs = self.elements(id.into());
        let work = Work { inputs, outputs, ..Work::default() };
        let Some(op) = self.graph.node(id).as_op() else { return work };
        match LinearKind::of(op) {
            Some(kind @ (LinearKind::Conv | LinearKind::ConvTranspose)) => {
                let Some(layout) = self.layout(id) else { return work };
                let (groups, n_outputs) = (layout.groups().max(1), layout.n_outputs());
                let per_group = layout.n_inputs() / groups;
                // A transposed convolution slides over its result, and multiplies each element of its input.
                let positions = match kind {
                    LinearKind::Conv => outputs / n_outputs.max(1),
                    _ => inputs / layout.n_inputs().max(1),
                };
                let taps = positions.saturating_mul(layout.n_taps());
                let lanes = match n_outputs / groups {
                    1 => n_outputs,
                    n => n.next_multiple_of(LANES) * groups,
                };
                Work {
                    products: taps.saturating_mul(per_group).saturating_mul(lanes),
                    taps,
                    columns: taps.saturating_mul(layout.n_inputs()),
                    groups: positions.saturating_mul(groups),
                    weights: n_outputs * per_group * layout.n_taps(),
                    ..work
                }
            }
            Some(LinearKind::Gemm | LinearKind::MatMul) => {
                let last = |value: ValueId| self.shape(value)?.last().copied();
                let inner = first.and_then(last).unwrap_or(UNKNOWN_LENGTH);
                let columns = last(id.into()).unwrap_or(UNKNOWN_LENGTH).max(1);
                let lanes = outputs / columns * columns.next_multiple_of(LANES);
                let weights = self.graph.operand(id, 1).map_or(0, |value| self.elements(value));
                Work { products: lanes.saturating_mul(inner), weights, ..work }
            }
            None => {
                // Pooling over a window.
                let window = op.ints("kernel_shape").ok().flatten().unwrap_or_default();
                if window.is_empty() {
                    return work;
                }
                let taps: usize = window.iter().map(|&length| length.max(1) as usize).product();
                let channels =
                    self.shape(id.into()).and_then(|shape| shape.get(1).copied()).unwrap_or(1).max(1);
                let columns = outputs.saturating_mul(taps);
                Work { products: columns, taps: columns / channels, columns, groups: outputs, ..work }
            }
        }
    }

    /// The layout of the weight of a convolution.
    fn layout(&self, id: NodeId) -> Option<WeightLayout> {
        let op = self.graph.node(id).as_op()?;
        let weight = self.shape(self.graph.operand(id, 1)?)?;
        Some(LinearView::of(op, 1, &weight)?.layout)
    }

    /// The kind of a node.
    pub(super) fn kind(&self, id: NodeId) -> Shape {
        let Some(op) = self.graph.node(id).as_op() else { return Shape::Any };
        let operands: Vec<ValueId> = self.graph.operands(id).iter().copied().flatten().collect();
        let has_constant = || operands.iter().any(|&value| self.graph.constant(value).is_some());
        match op.name.as_str() {
            "Conv" => self.convolution_kind(id),
            "MatMul" | "Gemm" if !has_constant() => Shape::Activations,
            "Add" if has_constant() => Shape::Constant,
            "Sigmoid" if matches!(*self.graph.users(id.into()), [(user, _)] if self.is_gate(user)) => {
                Shape::Gate
            }
            "Mul" if self.is_gate(id) => Shape::Gate,
            "Mul" if operands.iter().any(|&value| self.elements(value) < self.elements(id.into())) => {
                Shape::PerChannel
            }
            "AveragePool" if average_as_convolution(self.graph, id).is_some() => Shape::Depthwise,
            "AveragePool" => Shape::Window,
            "Transpose" => transposition(op.ints("perm").ok().flatten().unwrap_or_default()),
            _ => Shape::Any,
        }
    }

    fn convolution_kind(&self, id: NodeId) -> Shape {
        let Some(layout) = self.layout(id) else { return Shape::Any };
        let shape = self.shape(id.into()).unwrap_or_default();
        let per_group = layout.n_inputs() / layout.groups().max(1);
        match (layout.groups() > 1, shape.len()) {
            (true, 3) if per_group == 1 => Shape::DepthwiseSequence,
            (true, _) if per_group == 1 => Shape::Depthwise,
            (true, _) => Shape::Grouped,
            (false, 3) => Shape::Sequence,
            (false, 5) => Shape::Volume,
            _ if layout.n_taps() > 1 && shape.last() == Some(&1) => Shape::Column,
            _ if per_group < INPUT_LANES => Shape::FewChannels,
            _ if layout.n_taps() == 1 => Shape::Pointwise,
            _ => Shape::Window,
        }
    }

    /// Whether a node multiplies a value by its own Sigmoid.
    fn is_gate(&self, id: NodeId) -> bool {
        let (Some(a), Some(b)) = (self.graph.operand(id, 0), self.graph.operand(id, 1)) else { return false };
        let is_sigmoid = |value: ValueId, of: ValueId| {
            self.graph.node(value.node).is("Sigmoid") && self.graph.operand(value.node, 0) == Some(of)
        };
        self.graph.node(id).is("Mul") && (is_sigmoid(a, b) || is_sigmoid(b, a))
    }
}

/// The kind of a transposition. A block of dimensions that changes places with the block after it is one matrix, or several.
fn transposition(perm: &[i64]) -> Shape {
    let n_breaks = perm.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    match perm {
        [.., 1] if perm.len() > 3 && n_breaks <= 2 => Shape::ChannelsLast,
        [.., 1] if perm.len() > 3 => Shape::ChannelsMoved,
        [.., last] if *last + 1 == perm.len() as i64 => Shape::Rows,
        _ if n_breaks <= 2 => Shape::Any,
        _ => Shape::Shuffle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transpositions_are_of_the_kinds_whose_kernels_differ() {
        let kinds: [(&[i64], Shape); 7] = [
            (&[0, 2, 1], Shape::Any),
            (&[0, 3, 1, 2], Shape::Any),
            (&[0, 2, 3, 1], Shape::ChannelsLast),
            (&[2, 0, 3, 1], Shape::ChannelsMoved),
            (&[0, 2, 1, 3], Shape::Rows),
            (&[0, 2, 1, 3, 4], Shape::Rows),
            (&[1, 3, 0, 2], Shape::Shuffle),
        ];
        for (perm, kind) in kinds {
            assert_eq!(transposition(perm), kind, "{perm:?}");
        }
    }
}
