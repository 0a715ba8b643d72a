//! The bias of a product of integers, in a shape that no runtime fuses.

use crate::between_integers::is_dequantized;
use crate::names::Names;
use crate::new_nodes::constant;
use crate::ranks::{GraphRanks, Ranks};
use crate::uses::{constant_operand, has_one_use};
use intact8_ir::{Graph, Model, NodeId, Pass, Result, Tensor, ValueId};

/// Gives the floats that are added to a MatMul of a dequantized activation the shape `[1, n]`.
///
/// ONNX Runtime makes one Gemm of a MatMul and the Add of a constant `[n]`, with a Reshape before and after it if
/// the activation has more than two dimensions and a known shape. That Gemm runs in float if its bias is floats,
/// where the MatMul would have run in int8; if its weights are floats, it quantizes them
/// (`keep-float-weights`); and from opset 21 on it fails to load the Reshape of signed bytes (`carry-forward`).
///
/// Left alone: products that are vectors, or of an unknown number of dimensions, and those of more than two dimensions with
/// a symbolic one, which stay a MatMul; its bias may become part of a function or a normalization after it.
///
/// ```qir before
/// model m opset 17
/// %q = input : i8[1,4,2]
/// %s = const [0.5] : f32[]
/// %x = DequantizeLinear(%q, %s) : f32[1,4,2]
/// %w.q = const [2, -2, 6, 127] : i8[2,2]
/// %w = DequantizeLinear(%w.q, %s)
/// %fc = MatMul(%x, %w) : f32[1,4,2]
/// %b = const [1.0, -2.0] : f32[2]
/// %y = Add(%fc, %b) @add
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %q = input : i8[1,4,2]
/// %s = const [0.5] : f32[]
/// %x = DequantizeLinear(%q, %s) : f32[1,4,2]
/// %w.q = const [2, -2, 6, 127] : i8[2,2]
/// %w = DequantizeLinear(%w.q, %s)
/// %fc = MatMul(%x, %w) : f32[1,4,2]
/// %add.bias = const [1.0, -2.0] : f32[1,2]
/// %y = Add(%fc, %add.bias) @add
/// return %y
/// ```
pub struct WidenAddedBias;

impl Pass for WidenAddedBias {
    fn name(&self) -> &'static str {
        "widen-added-bias"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let (mut names, ranks) = (Names::of(model), Ranks::of(model));
        let mut changed = false;
        model.try_for_each_graph(|graph_id, graph| {
            for id in graph.topo() {
                let Some((slot, row)) = row(graph, ranks.in_graph(graph_id), id) else { continue };
                let name = format!("{}.bias", graph.node(id).label());
                let row = constant(graph, &mut names, &name, row);
                graph.set_operand(id, slot, Some(row));
                changed = true;
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

/// Of an Add after such a MatMul: the slot of the bias, and the bias as a row.
fn row(graph: &Graph, ranks: GraphRanks<'_>, id: NodeId) -> Option<(usize, Tensor)> {
    if !graph.node(id).is("Add") {
        return None;
    }
    let (slot, bias) = constant_operand(graph, id)?;
    let product = graph.operand(id, 1 - slot).filter(|&product| has_one_use(graph, product))?;
    let is_of_integers = graph.node(product.node).is("MatMul")
        && graph.operand(product.node, 0).is_some_and(|x| is_dequantized(graph, x));
    let &[n] = bias.shape() else { return None };
    let rank = ranks.rank(graph, product).unwrap_or(0);
    let fits = is_of_integers && (rank == 2 || rank > 2 && has_known_shape(graph, product));
    fits.then(|| bias.reshaped(&[1, n])).flatten().map(|row| (slot, row))
}

/// Whether every dimension of a product is known, so that ONNX Runtime can make it one of two dimensions.
pub(super) fn has_known_shape(graph: &Graph, product: ValueId) -> bool {
    graph.value(product).tensor_type().is_some_and(|ty| ty.known_shape().is_some())
}
