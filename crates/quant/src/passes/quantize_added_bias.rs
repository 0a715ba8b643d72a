//! The bias of a product of matrices, as integers.

use super::widen_added_bias::has_known_shape;
use crate::linear_view::LinearKind;
use crate::names::Names;
use crate::new_nodes::{constant, operation};
use crate::quantized_linear::QuantizedLinear;
use crate::ranks::{GraphRanks, Ranks};
use crate::uses::{constant_operand, has_one_use};
use intact8_ir::{Attr, Graph, Model, NodeId, Op, Pass, Result, Tensor};

/// Stores the constant that is added to a MatMul as 32-bit integers in units of the products, as the bias of a Gemm:
/// runtimes that fuse the two to a Gemm then compute it with integers.
///
/// Left alone: products of more than two dimensions with a symbolic one, which are not fused, or from opset 21 on (see
/// `widen-added-bias`), and biases beyond 32-bit integers. It uses nothing but the graph, so it also works on models
/// that another tool quantized.
///
/// ```qir before
/// model m opset 17
/// %q = input : i8[N,2]
/// %s = const [0.5] : f32[]
/// %o = const [3] : i8[]
/// %x = DequantizeLinear(%q, %s, %o) : f32[N,2]
/// %w.q = const [2, -2, 6, 127] : i8[2,2]
/// %w.s = const [0.5, 1.0] : f32[2]
/// %w = DequantizeLinear(%w.q, %w.s) {axis = 1}
/// %fc = MatMul(%x, %w) : f32[N,2]
/// %b = const [1.0, -2.0] : f32[2]
/// %y = Add(%fc, %b) @add
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %q = input : i8[N,2]
/// %s = const [0.5] : f32[]
/// %o = const [3] : i8[]
/// %x = DequantizeLinear(%q, %s, %o) : f32[N,2]
/// %w.q = const [2, -2, 6, 127] : i8[2,2]
/// %w.s = const [0.5, 1.0] : f32[2]
/// %w = DequantizeLinear(%w.q, %w.s) {axis = 1}
/// %fc = MatMul(%x, %w) : f32[N,2]
/// %add.b.q = const [4, -4] : i32[2]
/// %add.b.scale = const [0.25, 0.5] : f32[2]
/// %add.b = DequantizeLinear(%add.b.q, %add.b.scale) {axis = 0}
/// %y = Add(%fc, %add.b) @add
/// return %y
/// ```
pub struct QuantizeAddedBias;

/// The greatest magnitude of an integer bias: half of the range of 32 bits, so that sums with the products fit.
const MAX_BIAS: f64 = (1u32 << 30) as f64;

impl Pass for QuantizeAddedBias {
    fn name(&self) -> &'static str {
        "quantize-added-bias"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let (mut names, ranks) = (Names::of(model), Ranks::of(model));
        let (mut changed, opset) = (false, model.opset());
        model.try_for_each_graph(|graph_id, graph| {
            let ranks = ranks.in_graph(graph_id);
            for id in graph.topo() {
                let Some((slot, bias, scales)) = bias(graph, (ranks, opset), id) else { continue };
                let label = graph.node(id).label().to_owned();
                let shape: &[usize] = if scales.len() == 1 { &[] } else { &[scales.len()] };
                let bias = Tensor::new(&[bias.len()], bias);
                let bias = constant(graph, &mut names, &format!("{label}.b.q"), bias);
                let op = Op::new("DequantizeLinear");
                let op = if shape.is_empty() { op } else { op.with("axis", Attr::Int(0)) };
                let scale =
                    constant(graph, &mut names, &format!("{label}.b.scale"), Tensor::new(shape, scales));
                let bias = operation(graph, &mut names, &format!("{label}.b"), op, None, &[bias, scale]);
                graph.set_operand(id, slot, Some(bias));
                changed = true;
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

/// Of an Add after a MatMul: the slot of the bias, its integers, and their scales.
fn bias(
    graph: &Graph,
    (ranks, opset): (GraphRanks<'_>, i64),
    id: NodeId,
) -> Option<(usize, Vec<i32>, Vec<f32>)> {
    if !graph.node(id).is("Add") {
        return None;
    }
    let (slot, tensor) = constant_operand(graph, id)?;
    let sum = graph.operand(id, 1 - slot).filter(|&sum| has_one_use(graph, sum))?;
    let product =
        QuantizedLinear::at(graph, sum.node).filter(|product| product.view.kind == LinearKind::MatMul)?;
    let n_channels = product.weight.shape()[1];
    let values = tensor.values::<f32>().ok()?;
    let is_fused = match ranks.rank(graph, sum)? {
        2 => true,
        rank => rank > 2 && opset < 21 && has_known_shape(graph, sum) && tensor.shape().len() == 1,
    };
    if !is_fused || ![&[n_channels][..], &[1, n_channels]].contains(&tensor.shape()) {
        return None;
    }
    let scales = product.scales();
    let integer = |(channel, value): (usize, &f32)| {
        let scale = scales[if scales.len() == 1 { 0 } else { channel }];
        let integer = (f64::from(*value) / f64::from(scale)).round_ties_even();
        (integer.abs() <= MAX_BIAS).then_some(integer as i32)
    };
    let integers = values.iter().enumerate().map(integer).collect::<Option<_>>()?;
    Some((slot, integers, scales))
}
