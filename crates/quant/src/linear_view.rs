//! The geometry of a layer that multiplies an activation by a constant weight: Conv, ConvTranspose, Gemm and MatMul.
//!
//! It holds no element and changes no graph. The same view is used for weights in float, see `linear_node.rs`, and weights
//! that are stored as integers, see `quantized_linear.rs`.

use crate::axis::Axis;
use crate::uses::constant_operand;
use intact8_ir::{Graph, NodeId, Op, Tensor};

/// An operator that multiplies by a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinearKind {
    /// A convolution.
    Conv,
    /// A transposed convolution.
    ConvTranspose,
    /// A product of matrices with an optional bias.
    Gemm,
    /// A product of matrices.
    MatMul,
}

impl LinearKind {
    const ALL: [LinearKind; 4] =
        [LinearKind::Conv, LinearKind::ConvTranspose, LinearKind::Gemm, LinearKind::MatMul];

    /// The operator's name in ONNX's own domain.
    pub fn name(self) -> &'static str {
        match self {
            LinearKind::Conv => "Conv",
            LinearKind::ConvTranspose => "ConvTranspose",
            LinearKind::Gemm => "Gemm",
            LinearKind::MatMul => "MatMul",
        }
    }

    /// The kind of that name in ONNX's own domain.
    pub fn named(name: &str) -> Option<LinearKind> {
        LinearKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind of an operator.
    pub fn of(op: &Op) -> Option<LinearKind> {
        LinearKind::named(&op.name).filter(|_| op.domain.is_empty())
    }

    /// Whether a window slides over spatial dimensions.
    pub fn is_convolution(self) -> bool {
        matches!(self, LinearKind::Conv | LinearKind::ConvTranspose)
    }

    /// The input slot of the bias, one value for each output channel, if the operator has one. The operand may be left out.
    pub fn bias_slot(self) -> Option<usize> {
        (self != LinearKind::MatMul).then_some(2)
    }

    /// The dimension of the activation that counts input channels, from the end if negative.
    pub fn input_axis(self, weight_slot: usize) -> isize {
        match (self.is_convolution(), weight_slot) {
            (true, _) => 1,
            (false, 0) => -2,
            (false, _) => -1,
        }
    }

    /// The dimension of the result that counts output channels, from the end if negative.
    pub fn output_axis(self, weight_slot: usize) -> isize {
        self.input_axis(weight_slot)
    }

    /// The number of dimensions of the result after that of the output channels, for a weight of that rank.
    pub fn dims_after_outputs(self, weight_slot: usize, weight_rank: usize) -> usize {
        // The result of a convolution has the rank of its weight.
        dims_after(self.output_axis(weight_slot), weight_rank)
    }
}

/// The number of dimensions after one of `rank` dimensions, which is counted from the end if negative.
pub(crate) fn dims_after(axis: isize, rank: usize) -> usize {
    match usize::try_from(axis) {
        Ok(axis) => rank.saturating_sub(1 + axis),
        Err(_) => axis.unsigned_abs() - 1,
    }
}

/// The assignment of the elements of a weight to input and output channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightLayout {
    output_axis: usize,
    input_axis: usize,
    groups: usize,
    outputs: Axis,
    inputs: Axis,
    /// The dimension that groups divide.
    grouped: Axis,
}

impl WeightLayout {
    /// The layout of a weight of that shape. Groups divide the first dimension, of output or of input channels; each
    /// group has its own channels of the other dimension.
    pub(crate) fn new(shape: &[usize], output_axis: usize, input_axis: usize, groups: usize) -> WeightLayout {
        WeightLayout {
            output_axis,
            input_axis,
            groups,
            outputs: Axis::of(shape, output_axis),
            inputs: Axis::of(shape, input_axis),
            grouped: Axis::of(shape, 0),
        }
    }

    /// The layout of the weight of an operation, if it has one: of a Conv or ConvTranspose of at least three dimensions,
    /// of a Gemm or MatMul of two, and none of them 0.
    fn of(op: &Op, kind: LinearKind, weight_slot: usize, shape: &[usize]) -> Option<WeightLayout> {
        let flag = |name: &str, default: i64| op.int(name).ok().map(|value| value.unwrap_or(default));
        let (groups, output_axis) = match (kind, weight_slot, shape.len()) {
            _ if shape.contains(&0) => return None,
            (LinearKind::Conv, 1, 3..) => (flag("group", 1)?, 0),
            (LinearKind::ConvTranspose, 1, 3..) => (flag("group", 1)?, 1),
            (LinearKind::Gemm, 1, 2) => (1, usize::from(flag("transB", 0)? == 0)),
            (LinearKind::MatMul, 1, 2) => (1, 1),
            (LinearKind::MatMul, 0, 2) => (1, 0),
            _ => return None,
        };
        let groups = usize::try_from(groups).ok().filter(|&n| n > 0 && shape[0].is_multiple_of(n))?;
        Some(WeightLayout::new(shape, output_axis, 1 - output_axis, groups))
    }

    /// The dimension of the weight that counts output channels; within a group if the first dimension counts inputs.
    pub fn output_axis(&self) -> usize {
        self.output_axis
    }

    /// The dimension of the weight that counts input channels; within a group if the first dimension counts outputs.
    pub fn input_axis(&self) -> usize {
        self.input_axis
    }

    /// The number of groups of channels: outputs of a group are computed only from inputs of the same group.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The number of output channels, over all groups.
    pub fn n_outputs(&self) -> usize {
        if self.output_axis == 0 { self.outputs.len } else { self.outputs.len * self.groups }
    }

    /// The number of input channels, over all groups.
    pub fn n_inputs(&self) -> usize {
        if self.output_axis == 0 { self.inputs.len * self.groups } else { self.inputs.len }
    }

    /// The number of elements of a pair of an input and an output channel: the size of the window.
    pub fn n_taps(&self) -> usize {
        self.outputs.inner.min(self.inputs.inner)
    }

    /// Whether each index of [`output_axis`](WeightLayout::output_axis) is one output channel, so that each can have a
    /// scale of its own.
    pub fn is_per_channel(&self) -> bool {
        self.output_axis == 0 || self.groups == 1
    }

    /// The output and the input channel of an element.
    pub fn channels_of_element(&self, element: usize) -> (usize, usize) {
        let (output, input) = (self.outputs.index_of(element), self.inputs.index_of(element));
        if self.groups == 1 {
            return (output, input);
        }
        let group = self.grouped.index_of(element) / (self.grouped.len / self.groups);
        if self.output_axis == 0 {
            (output, group * self.inputs.len + input)
        } else {
            (group * self.outputs.len + output, input)
        }
    }
}

/// The geometry of an operation that multiplies by a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearView {
    /// The operator.
    pub kind: LinearKind,
    /// The input slot of the weight: 1, or 0 for a MatMul whose left factor is the weight. The activation has the other.
    pub weight_slot: usize,
    /// The assignment of the elements of the weight to channels.
    pub layout: WeightLayout,
    weight_rank: usize,
}

impl LinearView {
    /// The view of an operation whose weight is in that slot and has that shape. `None` for other operators, and for
    /// weights without input and output channels along one dimension each, such as stacks of matrices.
    pub fn of(op: &Op, weight_slot: usize, shape: &[usize]) -> Option<LinearView> {
        let kind = LinearKind::of(op)?;
        let layout = WeightLayout::of(op, kind, weight_slot, shape)?;
        Some(LinearView { kind, weight_slot, layout, weight_rank: shape.len() })
    }

    /// The number of dimensions of the result after that of the output channels.
    pub fn dims_after_outputs(&self) -> usize {
        self.kind.dims_after_outputs(self.weight_slot, self.weight_rank)
    }

    /// The number of dimensions of the weight after that of the output channels.
    pub(crate) fn dims_of_weight_after_outputs(&self) -> usize {
        self.weight_rank - 1 - self.layout.output_axis
    }

    /// The shape with which a value for each output channel is broadcast to the result; that of a scalar for one value.
    pub fn channel_shape(&self, n_values: usize) -> Vec<usize> {
        if n_values == 1 {
            return vec![];
        }
        let mut shape = vec![n_values];
        shape.resize(1 + self.dims_after_outputs(), 1);
        shape
    }
}

/// The constant that is added to a result instead of a bias operand: the Add, the slot of the constant, and the constant.
/// The Add must be the one use of the result.
pub(crate) fn added_constant(graph: &Graph, node: NodeId) -> Option<(NodeId, usize, &Tensor)> {
    let [(add, _)] = graph.users(node.into())[..] else { return None };
    let (slot, tensor) = constant_operand(graph, add).filter(|_| graph.node(add).is("Add"))?;
    Some((add, slot, tensor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Attr;

    fn layout(op: &Op, slot: usize, shape: &[usize]) -> WeightLayout {
        LinearView::of(op, slot, shape).unwrap().layout
    }

    fn grouped(name: &str) -> Op {
        Op::new(name).with("group", Attr::Int(2))
    }

    /// Two groups; each of two outputs and one input, or of one output and two inputs.
    #[test]
    fn groups_divide_the_first_dimension() {
        let conv = layout(&grouped("Conv"), 1, &[4, 1, 1]);
        assert_eq!((conv.n_outputs(), conv.n_inputs()), (4, 2));
        let channels =
            |layout: WeightLayout| (0..4).map(|idx| layout.channels_of_element(idx)).collect::<Vec<_>>();
        assert_eq!(channels(conv), [(0, 0), (1, 0), (2, 1), (3, 1)]);
        let transposed = layout(&grouped("ConvTranspose"), 1, &[4, 1, 1]);
        assert_eq!((transposed.n_outputs(), transposed.n_inputs()), (2, 4));
        assert_eq!(channels(transposed), [(0, 0), (0, 1), (1, 2), (1, 3)]);
        assert!(conv.is_per_channel() && !transposed.is_per_channel());
        assert_eq!(LinearView::of(&grouped("Conv"), 1, &[3, 1, 1]), None);
    }

    #[test]
    fn channels_lie_where_the_operator_has_them() {
        let after = |name: &str, slot: usize, rank: usize| {
            LinearKind::named(name).unwrap().dims_after_outputs(slot, rank)
        };
        assert_eq!([after("Conv", 1, 4), after("Gemm", 1, 2)], [2, 0]);
        assert_eq!([after("MatMul", 1, 2), after("MatMul", 0, 2)], [0, 1]);
        assert_eq!(LinearView::of(&Op::new("Conv"), 1, &[2, 1, 3, 3]).unwrap().channel_shape(2), [2, 1, 1]);
        assert_eq!(LinearView::of(&Op::new("MatMul"), 1, &[2, 2, 3]), None);
        assert_eq!(LinearView::of(&Op::new("Gemm"), 1, &[2, 0]), None);
    }
}
