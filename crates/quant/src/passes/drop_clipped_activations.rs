//! Relu and Clip before a quantization that clips alike.

use crate::qdq_params::QdqParams;
use intact8_ir::{Graph, Model, NodeId, Pass, Result, ValueId};

/// Removes a Relu or Clip if all uses of its result are QuantizeLinear that saturate wherever it clips: where 0,
/// or the lower bound, becomes the least integer, everything below does too, and likewise above. The integers stay
/// the same, bit by bit.
///
/// Left alone: quantization to 16 bits, which OpenVINO leaves out, and with it the clipping. It uses nothing but the
/// graph, so it also works on models that another tool quantized.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2]
/// %low = const [0.0] : f32[]
/// %high = const [6.0] : f32[]
/// %r = Clip(%x, %low, %high)
/// %scale = const [0.0234375] : f32[]
/// %offset = const [-128] : i8[]
/// %q = QuantizeLinear(%r, %scale, %offset)
/// return %q
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2]
/// %scale = const [0.0234375] : f32[]
/// %offset = const [-128] : i8[]
/// %q = QuantizeLinear(%x, %scale, %offset)
/// return %q
/// ```
pub struct DropClippedActivations;

impl Pass for DropClippedActivations {
    fn name(&self) -> &'static str {
        "drop-clipped-activations"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let opset = model.opset();
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let Some(input) = redundant(graph, id, opset) else { continue };
                graph.replace_uses(id.into(), input);
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

/// The operand of a Relu or Clip, if the quantization of its result clips as much.
fn redundant(graph: &Graph, id: NodeId, opset: i64) -> Option<ValueId> {
    let bounds = bounds(graph, id, opset)?;
    let users = graph.users(id.into());
    let is_output = graph.outputs().contains(&id.into());
    let saturates =
        |&(user, slot): &(NodeId, usize)| slot == 0 && saturates(graph, user, bounds).unwrap_or(false);
    if is_output || users.is_empty() || !users.iter().all(saturates) {
        return None;
    }
    graph.operand(id, 0)
}

/// The lower and the upper bound of a node's result; no bound is infinite.
pub(super) fn bounds(graph: &Graph, id: NodeId, opset: i64) -> Option<(f32, f32)> {
    let op = graph.node(id).as_op()?;
    let (low, high) = if op.is("Relu") {
        (0.0, f32::INFINITY)
    } else if op.is("Clip") {
        let bound = |name: &str, slot: usize, none: f32| match graph.operand(id, slot) {
            _ if opset < 11 => op.float(name).ok().map(|bound| bound.unwrap_or(none)),
            Some(value) => graph.constant(value)?.values::<f32>().ok()?.first().copied(),
            None => Some(none),
        };
        (bound("min", 1, f32::NEG_INFINITY)?, bound("max", 2, f32::INFINITY)?)
    } else {
        return None;
    };
    (low <= high).then_some((low, high))
}

/// Whether a QuantizeLinear results in the least integer at the lower bound, and the greatest at the upper.
fn saturates(graph: &Graph, id: NodeId, (low, high): (f32, f32)) -> Option<bool> {
    let params = QdqParams::of_quantize(graph, id).filter(QdqParams::is_byte)?;
    let (qmin, qmax) = params.range()?;
    let clips = |(&scale, &offset): (&f32, &i32)| {
        let quantized = |bound: f32| (bound / scale).round_ties_even() + offset as f32;
        (low == f32::NEG_INFINITY || quantized(low) <= qmin as f32)
            && (high == f32::INFINITY || quantized(high) >= qmax as f32)
    };
    Some(params.scale.iter().zip(&params.offset).all(clips))
}
