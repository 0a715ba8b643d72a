//! Shapes of integers, instead of shapes of the floats that they stand for.

use intact8_ir::{Graph, Model, NodeId, Pass, Result, ValueId};

/// Makes Shape and Size use the integers of a value that is quantized.
///
/// ONNX Runtime runs an operator in int8 only if nothing uses its result in float, and a Shape would be such a use.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2,4,4]
/// %s = const [0.5] : f32[]
/// %o = const [0] : i8[]
/// %r = Relu(%x) : f32[N,2,4,4]
/// %shape = Shape(%r)
/// %q = QuantizeLinear(%r, %s, %o) : i8[N,2,4,4]
/// return %shape, %q
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2,4,4]
/// %s = const [0.5] : f32[]
/// %o = const [0] : i8[]
/// %r = Relu(%x) : f32[N,2,4,4]
/// %q = QuantizeLinear(%r, %s, %o) : i8[N,2,4,4]
/// %shape = Shape(%q)
/// return %shape, %q
/// ```
pub struct ShapeOfIntegers;

impl Pass for ShapeOfIntegers {
    fn name(&self) -> &'static str {
        "shape-of-integers"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let Some(integers) = integers(graph, id) else { continue };
                graph.set_operand(id, 0, Some(integers));
                changed = true;
            }
            Ok(())
        })?;
        if changed {
            model.remove_dead();
        }
        Ok(changed)
    }
}

/// The integers of the value that a Shape or Size uses: what a DequantizeLinear makes it of, or what a QuantizeLinear makes
/// of it.
fn integers(graph: &Graph, id: NodeId) -> Option<ValueId> {
    let node = graph.node(id);
    if !node.is("Shape") && !node.is("Size") {
        return None;
    }
    let value = graph.operand(id, 0)?;
    if graph.node(value.node).is("DequantizeLinear") {
        return graph.operand(value.node, 0);
    }
    let users = graph.users(value);
    let quantize = users.iter().find(|&&(user, slot)| slot == 0 && graph.node(user).is("QuantizeLinear"))?;
    Some(quantize.0.into())
}
