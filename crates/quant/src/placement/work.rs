//! The work of a node for one sample: the numbers that its time depends on. Nothing of a runtime is in it.

use crate::costs::n_elements;
use crate::linear_view::{LinearKind, LinearView};
use crate::passes::average_as_convolution;
use intact8_ir::{Graph, GraphId, NodeId, ValueId, ValueRef};
use std::collections::BTreeMap;

/// The shapes of values.
pub(super) type Shapes = BTreeMap<ValueRef, Vec<usize>>;

/// The number of elements that a value of unknown shape is taken to have.
const UNKNOWN: usize = 4096;

/// The work of a node for one sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// Multiplications of an activation by a weight or by another activation.
    pub(super) products: usize,
    /// Positions of the window times its elements in one channel; 0 without a window.
    pub(super) taps: usize,
    /// The same in all channels of a group: the elements that are copied if windows become columns of a matrix.
    pub(super) columns: usize,
    /// Elements of the first operand.
    pub(super) inputs: usize,
    /// Elements of the result.
    pub(super) outputs: usize,
    /// Elements of the weight.
    pub(super) weights: usize,
}

/// The kind of a convolution or a transposition, since kernels differ in their speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Everything else.
    Any,
    /// A transposition that moves the channels, dimension 1, to the end, and other dimensions too.
    ChannelsLast,
    /// Another transposition that moves more than one block of adjacent dimensions.
    Shuffle,
    /// A convolution whose window is one element.
    Pointwise,
    /// A convolution over a window.
    Window,
    /// A convolution over a window whose result has a last dimension of one element.
    Column,
    /// A convolution over anything but images: runtimes have other layouts for images.
    Sequence,
    /// A convolution of single channels.
    Depthwise,
}

/// A node whose work is asked for.
#[derive(Clone, Copy)]
pub(super) struct Measured<'a> {
    pub(super) graph: &'a Graph,
    pub(super) graph_id: GraphId,
    pub(super) shapes: &'a Shapes,
}

impl Measured<'_> {
    /// The shape of a value, if it is known.
    pub(super) fn shape(&self, value: ValueId) -> Option<Vec<usize>> {
        let known = self.shapes.get(&ValueRef { graph: self.graph_id, value }).cloned();
        known.or_else(|| Some(self.graph.constant(value)?.shape().to_vec()))
    }

    /// The number of elements of a value.
    pub(super) fn elements(&self, value: ValueId) -> usize {
        self.shape(value).map_or(UNKNOWN, |shape| n_elements(&shape))
    }

    /// The work of a node, and the kind of its product.
    pub(super) fn work(&self, id: NodeId) -> (Work, Shape) {
        let first = self.graph.operand(id, 0);
        let inputs = first.map_or(0, |value| self.elements(value));
        let outputs = self.elements(id.into());
        let work = Work { inputs, outputs, ..Work::default() };
        let Some(op) = self.graph.node(id).as_op() else { return (work, Shape::Any) };
        match LinearKind::of(op) {
            Some(kind @ (LinearKind::Conv | LinearKind::ConvTranspose)) => {
                let weight =
                    self.graph.operand(id, 1).and_then(|value| self.shape(value)).unwrap_or_default();
                let Some(view) = LinearView::of(op, 1, &weight) else { return (work, Shape::Any) };
                let layout = view.layout;
                let per_group = layout.n_inputs() / layout.groups().max(1);
                // A transposed convolution slides over its result, and multiplies each element of its input.
                let positions = match kind {
                    LinearKind::Conv => outputs / layout.n_outputs().max(1),
                    _ => inputs / layout.n_inputs().max(1),
                };
                let taps = positions.saturating_mul(layout.n_taps());
                let columns = taps.saturating_mul(per_group);
                let products = columns.saturating_mul(layout.n_outputs());
                let work = Work { products, taps, columns, weights: n_elements(&weight), ..work };
                let is_column = self.shape(id.into()).is_some_and(|shape| shape.last() == Some(&1));
                let shape = match () {
                    () if per_group == 1 && layout.groups() > 1 => Shape::Depthwise,
                    () if weight.len() != 4 => Shape::Sequence,
                    () if layout.n_taps() == 1 => Shape::Pointwise,
                    () if is_column => Shape::Column,
                    () => Shape::Window,
                };
                (work, shape)
            }
            Some(LinearKind::Gemm | LinearKind::MatMul) => {
                let inner = first.and_then(|value| self.shape(value)).and_then(|shape| shape.last().copied());
                let right = self.graph.operand(id, 1);
                let weights = right.map_or(0, |value| self.elements(value));
                (Work { products: outputs.saturating_mul(inner.unwrap_or(64)), weights, ..work }, Shape::Any)
            }
            None if op.is("AveragePool") => {
                let convolution = average_as_convolution(self.graph, id);
                let window = convolution.as_ref().map_or(9, |(_, kernel)| kernel.iter().product());
                let shape = if convolution.is_some() { Shape::Depthwise } else { Shape::Window };
                (Work { products: outputs.saturating_mul(window), ..work }, shape)
            }
            None if op.is("Transpose") => {
                (work, transposition(op.ints("perm").ok().flatten().unwrap_or_default()))
            }
            None => (work, Shape::Any),
        }
    }
}

/// The kind of a transposition. A block of dimensions that changes places with the block after it is one matrix, or several.
fn transposition(perm: &[i64]) -> Shape {
    let n_breaks = perm.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    match perm {
        _ if n_breaks <= 2 => Shape::Any,
        [.., 1] if perm.len() > 2 => Shape::ChannelsLast,
        _ => Shape::Shuffle,
    }
}
