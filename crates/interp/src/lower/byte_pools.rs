//! Pooling of quantized operands.

use super::quantized::{Coded, sole_quantizer};
use super::transposes::{from_channels_last, rank, to_channels_last};
use super::{lowered_op, replace, rewrite};
use intact8_ir::{Graph, Model, NodeId, Pass, Result};

/// Merges a pooling of a DequantizeLinear, and the QuantizeLinear after it, into a pooling of bytes with channels last. An average
/// without a QuantizeLinear returns floats; a maximum needs one of the same scale and zero point.
///
/// ```qir before
/// model m opset 17
/// %q = input : u8[1,4,8,8]
/// %s = const [0.5] : f32[]
/// %z = const [128] : u8[]
/// %x = DequantizeLinear(%q, %s, %z)
/// %y = AveragePool(%x) {kernel_shape = [2, 2]} @pool
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17, intact8.lowered 1
/// %q = input : u8[1,4,8,8]
/// %s = const [0.5] : f32[]
/// %z = const [128] : u8[]
/// %"q [0, 2, 3, 1]" = Transpose(%q) {perm = [0, 2, 3, 1]} @q
/// %"y [0, 3, 1, 2]" = intact8.lowered::AveragePool(%"q [0, 2, 3, 1]", %s, %z) {kernel_shape = [2, 2]} @pool
/// %y = Transpose(%"y [0, 3, 1, 2]") {perm = [0, 3, 1, 2]} @pool
/// return %y
/// ```
pub(super) struct FuseBytePools;

impl Pass for FuseBytePools {
    fn name(&self) -> &'static str {
        "fuse-byte-pools"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        rewrite(model, |graph, id| fuse(graph, id).is_some())
    }
}

fn fuse(graph: &mut Graph, id: NodeId) -> Option<()> {
    let op = graph.node(id).as_op().filter(|op| op.domain.is_empty())?;
    let x = Coded::of(graph, graph.operand(id, 0)?, None)?;
    let result = sole_quantizer(graph, id.into());
    let has_one_output = graph.node(id).outputs.iter().filter(|value| !value.name.is_empty()).count() == 1;
    let rank = op.ints("kernel_shape").ok()?.map(|kernel| kernel.len() + 2);
    let rank = rank.or_else(|| rank_of(graph, x)).filter(|rank| (3..=5).contains(rank) && has_one_output)?;
    let lowered = match op.name.as_str() {
        "AveragePool" | "GlobalAveragePool" => lowered_op(&op.name),
        "MaxPool" => {
            let (_, coding) = result?;
            let is_same = coding.is_like(&x, graph) && coding.dtype(graph) == x.dtype(graph);
            is_same.then(|| lowered_op("MaxPool"))?
        }
        _ => return None,
    };
    let is_maximum = op.is("MaxPool");
    let lowered = intact8_ir::Op { attrs: op.attrs.clone(), ..lowered };
    let bytes = to_channels_last(graph, x.bytes, rank);
    let mut operands = vec![Some(bytes)];
    if !is_maximum {
        operands.extend([Some(x.scale), x.zero]);
        operands.extend(result.into_iter().flat_map(|(_, coding)| [Some(coding.scale), coding.zero]));
    }
    let value = result.map_or(id, |(quantizer, _)| quantizer).into();
    let pool = replace(graph, value, id, lowered, &operands);
    from_channels_last(graph, pool.into(), rank);
    Some(())
}

/// The number of dimensions, if it is known.
fn rank_of(graph: &Graph, x: Coded) -> Option<usize> {
    let declared = graph.value(x.bytes).tensor_type().and_then(|ty| ty.shape.as_ref());
    declared.map(Vec::len).or_else(|| rank(graph, x.bytes))
}
