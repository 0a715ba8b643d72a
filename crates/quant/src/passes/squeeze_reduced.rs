//! Reductions whose result is quantized, for runtimes that fuse the two.

use crate::names::Names;
use crate::new_nodes::{constant, operation, pair};
use crate::qdq_params::QdqParams;
use crate::ranks::{GraphRanks, Ranks};
use intact8_ir::{
    Attr, Dim, Graph, Model, Node, NodeId, NodeKind, Op, OperatorTrait, Pass, Result, Tensor, TensorType,
    Type, Value, ValueId,
};
use std::collections::BTreeSet;

/// Puts a Squeeze between a reduction and the QuantizeLinear of its result.
///
/// OpenVINO fuses a reduction and the quantization after it, with functions and factors of channels between them. It
/// then reads the factors along the wrong dimension, and its maxima and minima are wrong in any case; a Squeeze keeps
/// the two apart. A reduction that keeps its dimensions is quantized without them, and once more with them, which
/// changes nothing. Left alone: results that no QuantizeLinear follows, and reductions of unknown dimensions.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,4,2]
/// %mean = ReduceMean(%x) {axes = [1], keepdims = 0} : f32[N,2]
/// %factors = const [0.5, 2.0] : f32[2]
/// %m = Mul(%mean, %factors) : f32[N,2]
/// %scale = const [0.5] : f32[]
/// %offset = const [0] : u8[]
/// %q = QuantizeLinear(%m, %scale, %offset)
/// %y = DequantizeLinear(%q, %scale, %offset)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,4,2]
/// %mean.kept = ReduceMean(%x) {axes = [1], keepdims = 1} @mean : f32[N,1,2]
/// %factors = const [0.5, 2.0] : f32[2]
/// %mean.axes = const [1] : i64[1]
/// %mean = Squeeze(%mean.kept, %mean.axes) @mean.squeezed : f32[N,2]
/// %m = Mul(%mean, %factors) : f32[N,2]
/// %scale = const [0.5] : f32[]
/// %offset = const [0] : u8[]
/// %q = QuantizeLinear(%m, %scale, %offset)
/// %y = DequantizeLinear(%q, %scale, %offset)
/// return %y
/// ```
pub struct SqueezeReduced;

impl Pass for SqueezeReduced {
    fn name(&self) -> &'static str {
        "squeeze-reduced"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let opset = model.opset();
        let (mut names, ranks) = (Names::of(model), Ranks::of(model));
        let mut changed = false;
        model.try_for_each_graph(|graph_id, graph| {
            for id in graph.topo() {
                let Some(reduction) = Reduction::at(graph, ranks.in_graph(graph_id), id) else { continue };
                let quantizers = reduction.quantizers(graph, id);
                if !reduction.keeps {
                    if !quantizers.is_empty() {
                        reduction.keep(graph, id, opset, &mut names);
                        changed = true;
                    }
                    continue;
                }
                for quantizer in quantizers {
                    changed |= reduction.quantize_squeezed(graph, quantizer, opset, &mut names).is_some();
                }
            }
            Ok(())
        })?;
        Ok(changed)
    }
}

/// A reduction over known dimensions.
struct Reduction {
    /// The dimensions that are reduced.
    axes: Vec<usize>,
    /// The number of dimensions of the operand.
    rank: usize,
    /// Whether the result has these dimensions, of length 1.
    keeps: bool,
}

impl Reduction {
    /// The node, if it is one.
    fn at(graph: &Graph, ranks: GraphRanks<'_>, id: NodeId) -> Option<Reduction> {
        let op = graph.node(id).as_op().filter(|op| op.domain.is_empty())?;
        let rank = ranks.rank(graph, graph.operand(id, 0)?)?;
        if op.name == "GlobalAveragePool" || op.name == "GlobalMaxPool" {
            return Some(Reduction { axes: (2..rank).collect(), rank, keeps: true });
        }
        if !op.name.starts_with("Reduce") {
            return None;
        }
        let axes = match graph.operand(id, 1) {
            Some(axes) => graph.constant(axes)?.values::<i64>().ok()?,
            None => op.ints("axes").ok()??,
        };
        let from_front = |&axis: &i64| {
            let axis = if axis < 0 { axis + rank as i64 } else { axis };
            usize::try_from(axis).ok().filter(|&axis| axis < rank)
        };
        let axes: BTreeSet<usize> = axes.iter().map(from_front).collect::<Option<_>>()?;
        let keeps = op.int("keepdims").ok()?.unwrap_or(1) != 0;
        (!axes.is_empty()).then(|| Reduction { axes: axes.into_iter().collect(), rank, keeps })
    }

    /// Each QuantizeLinear of the result, or of what functions of single elements and operations with constants make of it.
    fn quantizers(&self, graph: &Graph, id: NodeId) -> BTreeSet<NodeId> {
        let (mut found, mut pending, mut seen) = (BTreeSet::new(), vec![ValueId::from(id)], BTreeSet::new());
        while let Some(value) = pending.pop() {
            for (user, slot) in graph.users(value) {
                if graph.node(user).is("QuantizeLinear") && slot == 0 {
                    found.insert(user);
                } else if self.keeps_shape(graph, user, slot) && seen.insert(user) {
                    pending.push(user.into());
                }
            }
        }
        found
    }

    /// Whether an operation of one activation is computed element by element, and its constants make none of the reduced
    /// dimensions longer.
    fn keeps_shape(&self, graph: &Graph, user: NodeId, slot: usize) -> bool {
        let Some(op) = graph.node(user).as_op() else { return false };
        let is_binary = ["Add", "Div", "Mul", "Sub"].iter().any(|name| op.is(name));
        let rank = if self.keeps { self.rank } else { self.rank - self.axes.len() };
        let fits = |(other, value): (usize, &Option<ValueId>)| {
            let Some(value) = value.filter(|_| other != slot) else { return true };
            graph.constant(value).is_some_and(|tensor| {
                let shape = tensor.shape();
                let is_one = |&axis: &usize| {
                    (axis + shape.len()).checked_sub(rank).is_none_or(|axis| shape[axis] == 1)
                };
                shape.len() <= rank && (!self.keeps || self.axes.iter().all(is_one))
            })
        };
        let is_function = op.has(OperatorTrait::Elementwise) || op.is("BatchNormalization");
        (is_binary || (is_function && slot == 0))
            && (op.is("BatchNormalization") || graph.operands(user).iter().enumerate().all(fits))
    }

    /// Keeps the dimensions, and removes them after the reduction.
    fn keep(&self, graph: &mut Graph, id: NodeId, opset: i64, names: &mut Names) {
        let result = graph.node(id).outputs[0].clone();
        let kept = result.tensor_type().map(|ty| TensorType {
            shape: ty.shape.as_ref().map(|dims| {
                let mut dims = dims.clone();
                self.axes.iter().for_each(|&axis| dims.insert(axis.min(dims.len()), Dim::Known(1)));
                dims
            }),
            ..ty.clone()
        });
        let name = names.fresh(&format!("{}.kept", result.name));
        let node = graph.node_mut(id);
        if node.name.is_empty() {
            node.name = result.name.clone();
        }
        node.outputs[0] = Value { ty: kept.map(Type::Tensor), ..Value::new(name) };
        if let NodeKind::Op(op) = &mut node.kind {
            op.attrs.insert("keepdims".to_owned(), Attr::Int(1));
        }
        let axes = self.axes_operand(graph, &result.name, opset, names);
        let name = names.fresh(&format!("{}.squeezed", result.name));
        let operands: Vec<_> =
            [Some(ValueId::from(id)), axes].into_iter().take_while(Option::is_some).collect();
        let squeezed = graph.add(Node::op(&name, self.with_axes("Squeeze", axes), [result]), &operands);
        graph.replace_uses(id.into(), squeezed.into());
    }

    /// Quantizes the operand of a QuantizeLinear without the reduced dimensions first.
    fn quantize_squeezed(
        &self,
        graph: &mut Graph,
        quantizer: NodeId,
        opset: i64,
        names: &mut Names,
    ) -> Option<()> {
        let params =
            QdqParams::of_quantize(graph, quantizer).filter(|params| params.per_tensor().is_some())?;
        let value = graph.operand(quantizer, 0)?;
        let (name, ty) = (graph.value(value).name.clone(), graph.value(value).tensor_type().cloned());
        let squeezed_type = ty.clone().map(|ty| TensorType {
            shape: ty.shape.map(|dims| {
                let kept = dims.into_iter().enumerate().filter(|(axis, _)| !self.axes.contains(axis));
                kept.map(|(_, dim)| dim).collect()
            }),
            ..ty
        });
        let axes = self.axes_operand(graph, &name, opset, names);
        let operands = |value: ValueId| [Some(value), axes].into_iter().flatten().collect::<Vec<_>>();
        let (squeezed, restored) = (format!("{name}.squeezed"), format!("{name}.restored"));
        let op = self.with_axes("Squeeze", axes);
        let value = operation(graph, names, &squeezed, op, squeezed_type, &operands(value));
        let value = pair(graph, names, &squeezed, value, &params)?;
        let op = self.with_axes("Unsqueeze", axes);
        let value = operation(graph, names, &restored, op, ty, &operands(value));
        graph.set_operand(quantizer, 0, Some(value));
        Some(())
    }

    /// The axes as a constant, which Squeeze and Unsqueeze read from opset 13 on.
    fn axes_operand(&self, graph: &mut Graph, value: &str, opset: i64, names: &mut Names) -> Option<ValueId> {
        let axes = Tensor::new(&[self.axes.len()], self.axes.iter().map(|&axis| axis as i64).collect());
        (opset >= 13).then(|| constant(graph, names, &format!("{value}.axes"), axes))
    }

    /// An operator, with the axes as an attribute unless it reads them.
    fn with_axes(&self, name: &str, operand: Option<ValueId>) -> Op {
        let axes = || Attr::Ints(self.axes.iter().map(|&axis| axis as i64).collect());
        if operand.is_some() { Op::new(name) } else { Op::new(name).with("axes", axes()) }
    }
}
