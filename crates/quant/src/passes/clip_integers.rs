//! Clipping of integers.

use crate::names::Names;
use crate::new_nodes::constant;
use crate::qdq_params::{QdqParams, integer_tensor, quantized_as};
use crate::quantized_linear::quantized_value;
use crate::uses::detach;
use intact8_ir::{Graph, Model, Node, NodeId, Op, Pass, Result, ValueId};

/// Clips integers where a Clip or Relu of floats lies between a DequantizeLinear and a QuantizeLinear of the same
/// scale and zero point: the bounds are quantized too, and the integers are the same, bit by bit.
///
/// Left alone: bounds that are not constant, and operator sets before 12, whose Clip accepts floats alone. It uses
/// nothing but the graph, so it also works on models that another tool quantized.
///
/// ```qir before
/// model m opset 17
/// %q = input : u8[N,2]
/// %s = const [0.5] : f32[]
/// %o = const [3] : u8[]
/// %x = DequantizeLinear(%q, %s, %o)
/// %low = const [0.0] : f32[]
/// %high = const [6.0] : f32[]
/// %c = Clip(%x, %low, %high) @relu6
/// %r = QuantizeLinear(%c, %s, %o)
/// %y = Flatten(%r)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %q = input : u8[N,2]
/// %relu6.min = const [3] : u8[]
/// %relu6.max = const [15] : u8[]
/// %r = Clip(%q, %relu6.min, %relu6.max) @relu6
/// %y = Flatten(%r)
/// return %y
/// ```
pub struct ClipIntegers;

impl Pass for ClipIntegers {
    fn name(&self) -> &'static str {
        "clip-integers"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        if model.opset() < 12 {
            return Ok(false);
        }
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let Some((bytes, params, bounds)) = clipped(graph, id) else { continue };
                changed |= clip(graph, id, bytes, &params, bounds, &mut names).is_some();
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

/// The integers that a Clip's operand is dequantized from, their parameters, and the bounds in the same units.
fn clipped(graph: &Graph, id: NodeId) -> Option<(ValueId, QdqParams, [i32; 2])> {
    let (low, high) = super::drop_clipped_activations::bounds(graph, id, 12)?;
    let x = quantized_value(graph, graph.operand(id, 0)?)?;
    let params = quantized_as(graph, id.into()).filter(|params| *params == x.params)?;
    let (least, greatest) = params.range()?;
    let bound = |bound: f32| {
        let quantized = f64::from((bound / x.scale).round_ties_even()) + f64::from(x.offset);
        quantized.clamp(f64::from(least), f64::from(greatest)) as i32
    };
    Some((x.bytes, params, [bound(low), bound(high)]))
}

fn clip(
    graph: &mut Graph,
    id: NodeId,
    bytes: ValueId,
    params: &QdqParams,
    bounds: [i32; 2],
    names: &mut Names,
) -> Option<()> {
    let label = graph.node(id).label().to_owned();
    let mut operands = vec![Some(bytes)];
    for (what, bound) in ["min", "max"].into_iter().zip(bounds) {
        let bound = integer_tensor(params.dtype, &[], &[bound])?;
        operands.push(Some(constant(graph, names, &format!("{label}.{what}"), bound)));
    }
    let users: Vec<NodeId> = graph.users(id.into()).into_iter().map(|(user, _)| user).collect();
    let result = graph.node(*users.first()?).outputs[0].clone();
    let name = graph.node(id).name.clone();
    let clipped = graph.add(Node::op(&name, Op::new("Clip"), [result]), &operands);
    graph.add_origins(clipped, id);
    for user in users {
        graph.replace_uses(user.into(), clipped.into());
        detach(graph, user);
        graph.node_mut(user).outputs[0].name = String::new();
    }
    detach(graph, id);
    Some(())
}
