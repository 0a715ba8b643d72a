//! Nodes that multiply by a constant weight in float and add a constant bias, and the changes of both by a scale and a
//! shift of their channels.
//!
//! This is algebra alone: `layer.rs` decides which of these nodes are quantized, and `linear_view.rs` finds their
//! channels.

use crate::linear_view::{LinearKind, LinearView, added_constant};
use crate::names::Names;
use crate::ranks::GraphRanks;
use crate::uses::{constant_operand, detach, has_one_use};
use intact8_ir::{Graph, Node, NodeId, NodeKind, Op, Tensor, Value, ValueId};

/// A Conv, ConvTranspose, Gemm or MatMul with constant weight and bias, and the Add that holds a MatMul's bias. The weight
/// is the second operand.
#[derive(Debug, Clone)]
pub(crate) struct LinearNode {
    /// The node that multiplies.
    pub(crate) node: NodeId,
    /// The Add after a MatMul, and the slot of its operand that is the bias.
    add: Option<(NodeId, usize)>,
    pub(crate) view: LinearView,
    /// The shape of the weight.
    shape: Vec<usize>,
    /// The elements of the weight.
    pub(crate) weight: Vec<f32>,
    /// One value for each output channel.
    pub(crate) bias: Option<Vec<f32>>,
    /// Gemm's factor of the weight, not yet part of it.
    pub(crate) alpha: f32,
    /// Gemm's factor of the bias, not yet part of it.
    pub(crate) beta: f32,
}

impl LinearNode {
    /// The node, if it is such a node with constant weight and bias. `ranks` are those of its graph.
    pub(crate) fn at(graph: &Graph, ranks: GraphRanks<'_>, node: NodeId) -> Option<LinearNode> {
        let op = graph.node(node).as_op()?;
        let tensor = graph.constant(graph.operand(node, 1)?)?;
        let view = LinearView::of(op, 1, tensor.shape())?;
        graph.operand(node, 0)?;
        let factor = |name: &str| op.float(name).ok().map(|value| value.unwrap_or(1.0));
        let is_gemm = view.kind == LinearKind::Gemm;
        let (alpha, beta) = if is_gemm { (factor("alpha")?, factor("beta")?) } else { (1.0, 1.0) };
        let (shape, weight) = (tensor.shape().to_vec(), tensor.values::<f32>().ok()?.to_vec());
        let mut linear = LinearNode { node, add: None, view, shape, weight, bias: None, alpha, beta };
        if let Some(value) = view.kind.bias_slot().and_then(|slot| graph.operand(node, slot)) {
            let tensor = graph.constant(value)?;
            let bias = tensor.values::<f32>().ok()?;
            linear.bias = Some(match tensor.shape() {
                _ if is_gemm => linear.per_channel(graph, ranks, tensor)?,
                [n] if *n == view.layout.n_outputs() => bias.to_vec(),
                _ => return None,
            });
        }
        Some(linear)
    }

    /// The producer of a value that has one use; for a MatMul with bias, the Add after it produces the value.
    pub(crate) fn making(graph: &Graph, ranks: GraphRanks<'_>, value: ValueId) -> Option<LinearNode> {
        if !has_one_use(graph, value) {
            return None;
        }
        if !graph.node(value.node).is("Add") {
            return LinearNode::at(graph, ranks, value.node);
        }
        let (slot, tensor) = constant_operand(graph, value.node)?;
        let product = graph.operand(value.node, 1 - slot).filter(|&product| has_one_use(graph, product))?;
        let linear = LinearNode::at(graph, ranks, product.node);
        let mut linear = linear.filter(|linear| linear.view.kind == LinearKind::MatMul)?;
        linear.bias = Some(linear.per_channel(graph, ranks, tensor)?);
        linear.add = Some((value.node, slot));
        Some(linear)
    }

    /// The constant bias of the one Add that uses the result of a MatMul of two dimensions, per output channel.
    pub(crate) fn added_bias(graph: &Graph, ranks: GraphRanks<'_>, node: NodeId) -> Option<Vec<f32>> {
        let linear = LinearNode::at(graph, ranks, node)?;
        let (_, _, tensor) = added_constant(graph, node)?;
        let is_matrix = linear.view.kind == LinearKind::MatMul && ranks.rank(graph, node.into()) == Some(2);
        is_matrix.then(|| linear.per_channel(graph, ranks, tensor))?
    }

    /// Whether it is a MatMul and has no bias yet.
    pub(crate) fn lacks_bias_operand(&self) -> bool {
        self.view.kind == LinearKind::MatMul && self.add.is_none()
    }

    /// The elements of a constant that is broadcast to the result, one per output channel; `None` if it has others or makes
    /// the result larger.
    pub(crate) fn per_channel(
        &self,
        graph: &Graph,
        ranks: GraphRanks<'_>,
        tensor: &Tensor,
    ) -> Option<Vec<f32>> {
        let (n_channels, after) = (self.view.layout.n_outputs(), self.view.dims_after_outputs());
        // The rank of the result, or the least that it can be.
        let rank = match self.view.kind {
            LinearKind::MatMul => ranks.rank(graph, self.node.into()).unwrap_or(1),
            _ => self.shape.len(),
        };
        let fits = |(idx, &len): (usize, &usize)| len == 1 || (idx == after && len == n_channels);
        if tensor.shape().len() > rank || !tensor.shape().iter().rev().enumerate().all(fits) {
            return None;
        }
        let values = tensor.values::<f32>().ok()?;
        Some(if values.len() == 1 { vec![values[0]; n_channels] } else { values.to_vec() })
    }

    /// The node whose result is that of this one times `scale` plus `shift` per output channel; `None` if a number becomes
    /// infinite.
    pub(crate) fn scaled(mut self, scale: &[f64], shift: &[f64]) -> Option<LinearNode> {
        let (layout, alpha, beta) = (self.view.layout, f64::from(self.alpha), f64::from(self.beta));
        for (idx, weight) in self.weight.iter_mut().enumerate() {
            let (output, _) = layout.channels_of_element(idx);
            *weight = (f64::from(*weight) * alpha * scale[output]) as f32;
        }
        if self.bias.is_some() || shift.iter().any(|&shift| shift != 0.0) {
            let old = self.bias.take().unwrap_or_else(|| vec![0.0; layout.n_outputs()]);
            let bias = old.iter().zip(scale).zip(shift).map(|((&b, s), t)| f64::from(b) * beta * s + t);
            self.bias = Some(bias.map(|bias| bias as f32).collect());
        }
        (self.alpha, self.beta) = (1.0, 1.0);
        self.finite()
    }

    /// The same, for an activation that is no longer scaled and shifted per input channel.
    pub(crate) fn fed_unscaled(mut self, scale: &[f64], shift: &[f64]) -> Option<LinearNode> {
        let layout = self.view.layout;
        let mut added = vec![0.0; layout.n_outputs()];
        for (idx, weight) in self.weight.iter_mut().enumerate() {
            let (output, input) = layout.channels_of_element(idx);
            added[output] += f64::from(*weight) * f64::from(self.alpha) * shift[input];
            *weight = (f64::from(*weight) * scale[input]) as f32;
        }
        self.scaled(&vec![1.0; added.len()], &added)
    }

    fn finite(self) -> Option<LinearNode> {
        let is_finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        let bias = self.bias.as_deref().unwrap_or_default();
        if is_finite(&self.weight) && is_finite(bias) { Some(self) } else { None }
    }

    /// Puts weight and bias into the graph. A MatMul can't get its first bias this way.
    pub(crate) fn write(self, graph: &mut Graph, names: &mut Names) {
        let label = graph.node(self.node).label().to_owned();
        let mut constant = |graph: &mut Graph, what: &str, shape: &[usize], values: Vec<f32>| {
            let name = names.fresh(&format!("{label}.{what}"));
            Some(ValueId::from(graph.add(Node::constant(name, Tensor::new(shape, values)), &[])))
        };
        let weight = constant(graph, "w", &self.shape, self.weight);
        graph.set_operand(self.node, 1, weight);
        if let Some(bias) = self.bias {
            let bias = constant(graph, "b", &[bias.len()], bias);
            let (holder, slot) = self.add.unwrap_or((self.node, self.view.kind.bias_slot().unwrap_or(2)));
            graph.set_operand(holder, slot, bias);
        }
        if let NodeKind::Op(op) = &mut graph.node_mut(self.node).kind
            && op.is("Gemm")
        {
            let of_old =
                |name: &str| name == "alpha" && self.alpha == 1.0 || name == "beta" && self.beta == 1.0;
            op.attrs.retain(|name, _| !of_old(name));
        }
    }

    /// Puts weight and bias into the graph and replaces `last`, the one use of its result, by the result, which is returned.
    pub(crate) fn replace(mut self, graph: &mut Graph, last: NodeId, names: &mut Names) -> ValueId {
        let result = graph.node(last).outputs[0].clone();
        if self.bias.is_some() && self.lacks_bias_operand() {
            let add = Node::op(&graph.node(last).name, Op::new("Add"), [Value::default()]);
            self.add = Some((graph.add(add, &[Some(self.node.into())]), 1));
        }
        let (node, end) = (self.node, self.add.map_or(self.node, |(add, _)| add));
        self.write(graph, names);
        graph.replace_uses(last.into(), end.into());
        detach(graph, last);
        graph.add_origins(node, last);
        graph.node_mut(end).outputs[0] = result;
        end.into()
    }
}
