//! Integer constants as floats, for runtimes that do not dequantize their type.

use crate::axis::Axis;
use crate::names::Names;
use crate::new_nodes::constant;
use crate::qdq_params::{integers, stored_constant};
use intact8_ir::{DType, Graph, Model, NodeId, Pass, Result, Tensor};

/// Computes the DequantizeLinear of constants of some integer types, such as that of a bias of 32 bits.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,1,4,4]
/// %w = input : f32[2,1,1,1]
/// %b = const [3, -4] : i32[2]
/// %scale = const [0.5, 0.25] : f32[2]
/// %b.dq = DequantizeLinear(%b, %scale) {axis = 0}
/// %y = Conv(%x, %w, %b.dq)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,1,4,4]
/// %w = input : f32[2,1,1,1]
/// %b.dq.float = const [1.5, -1.0] : f32[2]
/// %y = Conv(%x, %w, %b.dq.float)
/// return %y
/// ```
pub struct FloatConstants {
    /// The integer types.
    pub dtypes: &'static [DType],
}

impl Pass for FloatConstants {
    fn name(&self) -> &'static str {
        "float-constants"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let Some(floats) = self.floats(graph, id) else { continue };
                let name = format!("{}.float", graph.node(id).outputs[0].name);
                let floats = constant(graph, &mut names, &name, floats);
                graph.replace_uses(id.into(), floats);
                changed = true;
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

impl FloatConstants {
    fn floats(&self, graph: &Graph, id: NodeId) -> Option<Tensor> {
        let stored =
            stored_constant(graph, id.into()).filter(|stored| self.dtypes.contains(&stored.params.dtype))?;
        let (shape, params) = (stored.integers.shape(), &stored.params);
        let channels = match params.axis {
            None => Axis::one(stored.integers.len()),
            Some(axis) => {
                let axis = usize::try_from(if axis < 0 { axis + shape.len() as i64 } else { axis }).ok()?;
                Axis::of(shape, Some(axis).filter(|&axis| axis < shape.len())?)
            }
        };
        let float = |(idx, q): (usize, i32)| {
            let channel = channels.index_of(idx);
            (q - params.offset[channel]) as f32 * params.scale[channel]
        };
        let floats = integers(stored.integers)?.into_iter().enumerate().map(float).collect();
        Some(Tensor::new(shape, floats))
    }
}
