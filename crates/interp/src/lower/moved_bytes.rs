//! Operations that move quantized elements.

use super::quantized::{Coded, sole_quantizer};
use super::{replace, rewrite};
use intact8_ir::{Graph, Model, NodeId, Pass, Result};

/// Moves the bytes themselves where a DequantizeLinear is before an operation that moves elements, and a QuantizeLinear of the same
/// scale and zero point after it.
///
/// ```qir before
/// model m opset 17
/// %q = input : u8[N,4]
/// %s = const [0.5] : f32[]
/// %z = const [0] : u8[]
/// %x = DequantizeLinear(%q, %s, %z)
/// %t = Transpose(%x) {perm = [1, 0]}
/// %y = QuantizeLinear(%t, %s, %z)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17, intact8.lowered 1
/// %q = input : u8[N,4]
/// %y = Transpose(%q) {perm = [1, 0]} @t
/// return %y
/// ```
pub(super) struct MoveBytes;

/// The operators, whose kernels take bytes.
const MOVING: &[&str] = &[
    "Concat",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

impl Pass for MoveBytes {
    fn name(&self) -> &'static str {
        "move-bytes"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        rewrite(model, |graph, id| move_bytes(graph, id).is_some())
    }
}

fn move_bytes(graph: &mut Graph, id: NodeId) -> Option<()> {
    let op = graph.node(id).as_op().filter(|op| MOVING.iter().any(|name| op.is(name)))?.clone();
    let (quantizer, result) = sole_quantizer(graph, id.into())?;
    let n_data = if op.is("Concat") { graph.operands(id).len() } else { 1 };
    let mut operands = graph.operands(id).to_vec();
    for operand in &mut operands[..n_data] {
        let coded = Coded::of(graph, (*operand)?, None).filter(|coded| coded.is_like(&result, graph))?;
        if coded.dtype(graph) != result.dtype(graph) {
            return None;
        }
        *operand = Some(coded.bytes);
    }
    replace(graph, quantizer.into(), id, op, &operands);
    Some(())
}
