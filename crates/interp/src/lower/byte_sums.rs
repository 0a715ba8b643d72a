//! Sums and products of two quantized operands, element by element.

use super::byte_products::{bounds, with_bounds};
use super::quantized::{Coded, sole_quantizer, sole_user};
use super::{lowered_op, replace, rewrite};
use intact8_ir::{Graph, Model, NodeId, Op, Pass, Result};

/// Merges an Add or Mul of two DequantizeLinears, a Relu or Clip after it, and the QuantizeLinear after that, into one operation on
/// bytes.
///
/// The operands of `Sum` and `Scaled` are `a`, its scale and zero point, `b`, its scale and zero point, and the scale and zero
/// point of the result; the attributes `low` and `high` are the range of the function after it.
///
/// ```qir before
/// model m opset 17
/// %p = input : u8[N,3]
/// %q = input : u8[N,3]
/// %s = const [0.5] : f32[]
/// %z = const [128] : u8[]
/// %a = DequantizeLinear(%p, %s, %z)
/// %b = DequantizeLinear(%q, %s, %z)
/// %c = Add(%a, %b) @add
/// %r = Relu(%c)
/// %y = QuantizeLinear(%r, %s, %z)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17, intact8.lowered 1
/// %p = input : u8[N,3]
/// %q = input : u8[N,3]
/// %s = const [0.5] : f32[]
/// %z = const [128] : u8[]
/// %y = intact8.lowered::Sum(%p, %s, %z, %q, %s, %z, %s, %z) {low = 0.0} @add
/// return %y
/// ```
pub(super) struct FuseByteSums;

impl Pass for FuseByteSums {
    fn name(&self) -> &'static str {
        "fuse-byte-sums"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        rewrite(model, |graph, id| fuse(graph, id).is_some())
    }
}

fn fuse(graph: &mut Graph, id: NodeId) -> Option<()> {
    let op = graph.node(id).as_op()?;
    let name = match (op.is("Add"), op.is("Mul")) {
        (true, _) => "Sum",
        (_, true) => "Scaled",
        _ => return None,
    };
    let [a, b] = [graph.operand(id, 0)?, graph.operand(id, 1)?];
    let [a, b] = [Coded::of(graph, a, None)?, Coded::of(graph, b, None)?];
    let bounds = sole_user(graph, id.into()).and_then(|user| Some((user, bounds(graph, user)?)));
    let (quantizer, result) = sole_quantizer(graph, bounds.map_or(id, |(user, _)| user).into())?;
    let dtype = a.dtype(graph);
    if b.dtype(graph) != dtype || result.dtype(graph) != dtype {
        return None;
    }
    let op: Op = with_bounds(lowered_op(name), bounds.map(|(_, bounds)| bounds));
    let of = |coded: Coded| [Some(coded.bytes), Some(coded.scale), coded.zero];
    let operands = [&of(a)[..], &of(b), &of(result)[1..]].concat();
    replace(graph, quantizer.into(), id, op, &operands);
    Some(())
}
