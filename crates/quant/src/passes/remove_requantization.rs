//! Quantization of what has just been dequantized.

use crate::qdq_params::QdqParams;
use intact8_ir::{Graph, Model, NodeId, Pass, Result, ValueId};

/// Removes a DequantizeLinear followed by a QuantizeLinear of the same scale and zero point, which return the same
/// integers.
///
/// It uses nothing but the graph, so it also works on models that another tool quantized.
///
/// ```qir before
/// model m opset 17
/// %q = input : i8[N,2]
/// %scale = const [0.5] : f32[]
/// %offset = const [3] : i8[]
/// %x = DequantizeLinear(%q, %scale, %offset)
/// %r = QuantizeLinear(%x, %scale, %offset)
/// %y = Flatten(%r)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %q = input : i8[N,2]
/// %y = Flatten(%q)
/// return %y
/// ```
pub struct RemoveRequantization;

impl Pass for RemoveRequantization {
    fn name(&self) -> &'static str {
        "remove-requantization"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let Some(integers) = restored(graph, id) else { continue };
                graph.replace_uses(id.into(), integers);
                changed = true;
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

/// The integers that a QuantizeLinear restores, if it follows a DequantizeLinear with equal parameters.
fn restored(graph: &Graph, id: NodeId) -> Option<ValueId> {
    let params = QdqParams::of_quantize(graph, id).filter(|params| params.range().is_some())?;
    let value = graph.operand(id, 0)?;
    let is_output = graph.outputs().contains(&id.into());
    let is_used = !graph.users(id.into()).is_empty();
    let same = QdqParams::of_dequantized(graph, value).is_some_and(|other| other == params);
    (same && is_used && !is_output).then(|| graph.operand(value.node, 0)).flatten()
}
