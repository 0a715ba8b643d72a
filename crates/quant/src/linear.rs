//! Nodes that multiply by a constant weight and add a constant bias, and what a scale and a shift of their channels
//! make of both.
//!
//! This is algebra alone: which of these nodes are quantized is the business of layers.

use crate::names::Names;
use intact8_ir::{Graph, Node, NodeId, NodeKind, Op, Tensor, Value, ValueId};

/// How the elements of a weight belong to channels: it is a matrix of `rows` by `columns` with `inner` neighbours in
/// each cell, and groups of rows that each have columns of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) inner: usize,
    groups: usize,
    rows_are_outputs: bool,
}

impl Layout {
    fn of(op: &Op, shape: &[usize]) -> Option<Layout> {
        let flag = |name: &str, default: i64| op.int(name).ok().map(|value| value.unwrap_or(default));
        let (groups, rows_are_outputs) = match (op.name.as_str(), shape.len()) {
            _ if !op.domain.is_empty() || shape.contains(&0) => return None,
            ("Conv", 3..) => (flag("group", 1)?, true),
            ("ConvTranspose", 3..) => (flag("group", 1)?, false),
            ("Gemm", 2) => (1, flag("transB", 0)? != 0),
            ("MatMul", 2) => (1, false),
            _ => return None,
        };
        let groups = usize::try_from(groups).ok().filter(|&n| n > 0 && shape[0].is_multiple_of(n))?;
        let inner = shape[2..].iter().product();
        Some(Layout { rows: shape[0], columns: shape[1], inner, groups, rows_are_outputs })
    }

    pub(crate) fn n_outputs(&self) -> usize {
        if self.rows_are_outputs { self.rows } else { self.columns * self.groups }
    }

    pub(crate) fn n_inputs(&self) -> usize {
        if self.rows_are_outputs { self.columns * self.groups } else { self.rows }
    }

    /// The output and the input channel of a cell.
    pub(crate) fn channels(&self, row: usize, column: usize) -> (usize, usize) {
        let across = row / (self.rows / self.groups) * self.columns + column;
        if self.rows_are_outputs { (row, across) } else { (across, row) }
    }

    /// The output and the input channel of an element.
    pub(crate) fn channels_of_element(&self, idx: usize) -> (usize, usize) {
        self.channels(idx / (self.columns * self.inner), idx / self.inner % self.columns)
    }
}

/// A Conv, ConvTranspose, Gemm or MatMul with constant weight and bias, and the Add that holds a MatMul's bias.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    /// The node that multiplies.
    pub(crate) node: NodeId,
    /// The Add behind a MatMul, and which of its operands is the bias.
    add: Option<(NodeId, usize)>,
    pub(crate) layout: Layout,
    /// The shape of the weight.
    shape: Vec<usize>,
    pub(crate) weight: Vec<f32>,
    /// One value for each output channel.
    pub(crate) bias: Option<Vec<f32>>,
    /// Gemm's factors of weight and bias, not yet part of them.
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
}

impl Linear {
    /// The node, if it is one and its weight and bias are constant.
    pub(crate) fn at(graph: &Graph, node: NodeId) -> Option<Linear> {
        let op = graph.node(node).as_op()?;
        let tensor = graph.constant(graph.operand(node, 1)?)?;
        let layout = Layout::of(op, tensor.shape())?;
        graph.operand(node, 0)?;
        let factor = |name: &str| op.float(name).ok().map(|value| value.unwrap_or(1.0));
        let (alpha, beta) = if op.is("Gemm") { (factor("alpha")?, factor("beta")?) } else { (1.0, 1.0) };
        let (shape, weight) = (tensor.shape().to_vec(), tensor.values::<f32>().ok()?.to_vec());
        let mut linear = Linear { node, add: None, layout, shape, weight, bias: None, alpha, beta };
        if !op.is("MatMul")
            && let Some(value) = graph.operand(node, 2)
        {
            let tensor = graph.constant(value)?;
            let bias = tensor.values::<f32>().ok()?;
            linear.bias = Some(match tensor.shape() {
                _ if op.is("Gemm") => linear.per_channel(graph, tensor)?,
                [n] if *n == layout.n_outputs() => bias.to_vec(),
                _ => return None,
            });
        }
        Some(linear)
    }

    /// What makes a value that nobody reads but one reader; for a MatMul with bias, that is the Add behind it.
    pub(crate) fn making(graph: &Graph, value: ValueId) -> Option<Linear> {
        if !is_read_once(graph, value) {
            return None;
        }
        if !graph.node(value.node).is("Add") {
            return Linear::at(graph, value.node);
        }
        let (slot, tensor) = constant_operand(graph, value.node)?;
        let product = graph.operand(value.node, 1 - slot).filter(|&product| is_read_once(graph, product))?;
        let mut linear = Linear::at(graph, product.node).filter(|_| graph.node(product.node).is("MatMul"))?;
        linear.bias = Some(linear.per_channel(graph, tensor)?);
        linear.add = Some((value.node, slot));
        Some(linear)
    }

    /// What the one Add that reads a MatMul of two dimensions adds to each output channel, if that is constant.
    pub(crate) fn added_bias(graph: &Graph, node: NodeId) -> Option<Vec<f32>> {
        let linear = Linear::at(graph, node).filter(|_| graph.node(node).is("MatMul"))?;
        let [(add, _)] = graph.users(node.into())[..] else { return None };
        let (_, tensor) = constant_operand(graph, add).filter(|_| graph.node(add).is("Add"))?;
        let is_matrix = crate::rank::rank(graph, node.into()) == Some(2);
        is_matrix.then(|| linear.per_channel(graph, tensor))?
    }

    /// Whether it is a MatMul and has no bias yet.
    pub(crate) fn lacks_bias_operand(&self, graph: &Graph) -> bool {
        graph.node(self.node).is("MatMul") && self.add.is_none()
    }

    /// What a constant that is broadcast to the result holds for each output channel, if it holds one value for each
    /// and does not make the result larger.
    pub(crate) fn per_channel(&self, graph: &Graph, tensor: &Tensor) -> Option<Vec<f32>> {
        let n_channels = self.layout.n_outputs();
        // The result's rank at least, and how many dimensions come after that of the channels.
        let (rank, after) = match graph.node(self.node).is("MatMul") {
            true => (crate::rank::rank(graph, self.node.into()).unwrap_or(1), 0),
            false => (self.shape.len(), self.shape.len() - 2),
        };
        let fits = |(idx, &len): (usize, &usize)| len == 1 || (idx == after && len == n_channels);
        if tensor.shape().len() > rank || !tensor.shape().iter().rev().enumerate().all(fits) {
            return None;
        }
        let values = tensor.values::<f32>().ok()?;
        Some(if values.len() == 1 { vec![values[0]; n_channels] } else { values.to_vec() })
    }

    /// Its channels' results times `scale` plus `shift`; `None` if a number becomes infinite.
    pub(crate) fn scaled(mut self, scale: &[f64], shift: &[f64]) -> Option<Linear> {
        let (layout, alpha, beta) = (self.layout, f64::from(self.alpha), f64::from(self.beta));
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

    /// The same, given that its input channels' operands come without the scale and shift that they had.
    pub(crate) fn fed_unscaled(mut self, scale: &[f64], shift: &[f64]) -> Option<Linear> {
        let layout = self.layout;
        let mut added = vec![0.0; layout.n_outputs()];
        for (idx, weight) in self.weight.iter_mut().enumerate() {
            let (output, input) = layout.channels_of_element(idx);
            added[output] += f64::from(*weight) * f64::from(self.alpha) * shift[input];
            *weight = (f64::from(*weight) * scale[input]) as f32;
        }
        self.scaled(&vec![1.0; added.len()], &added)
    }

    fn finite(self) -> Option<Linear> {
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
            let (holder, slot) = self.add.unwrap_or((self.node, 2));
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

    /// Puts weight and bias into the graph and lets the result take the place of `last`, the one node that reads it.
    pub(crate) fn replace(mut self, graph: &mut Graph, last: NodeId, names: &mut Names) {
        let result = graph.node(last).outputs[0].clone();
        if self.bias.is_some() && self.lacks_bias_operand(graph) {
            let add = Node::op(&graph.node(last).name, Op::new("Add"), [Value::default()]);
            self.add = Some((graph.add(add, &[Some(self.node.into())]), 1));
        }
        let (node, end) = (self.node, self.add.map_or(self.node, |(add, _)| add));
        self.write(graph, names);
        graph.add_origins(node, last);
        graph.replace_uses(last.into(), end.into());
        detach(graph, last);
        graph.node_mut(end).outputs[0] = result;
    }
}

/// Whether a value is read by one node, once, and is no output of the graph.
pub(crate) fn is_read_once(graph: &Graph, value: ValueId) -> bool {
    graph.users(value).len() == 1 && !graph.outputs().contains(&value)
}

/// Of a node with two operands: the constant one, if there is exactly one.
pub(crate) fn constant_operand(graph: &Graph, node: NodeId) -> Option<(usize, &Tensor)> {
    let [Some(left), Some(right)] = *graph.operands(node) else { return None };
    match (graph.constant(left), graph.constant(right)) {
        (Some(tensor), None) => Some((0, tensor)),
        (None, Some(tensor)) => Some((1, tensor)),
        _ => None,
    }
}

/// Makes a node that is about to be removed read nothing, so that it counts as nobody's reader.
pub(crate) fn detach(graph: &mut Graph, node: NodeId) {
    (0..graph.operands(node).len()).for_each(|slot| graph.set_operand(node, slot, None));
}
