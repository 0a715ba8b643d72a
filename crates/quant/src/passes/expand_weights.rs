//! Weights of layers that run in float.

use crate::names::Names;
use crate::new_nodes::{constant, operation, type_with};
use crate::profile::Profile;
use crate::qdq_params::stored_constant;
use intact8_ir::{Attr, DType, Graph, Model, NodeId, Op, Pass, Result, Tensor, ValueId};

/// Replaces the DequantizeLinear of a constant by Cast and Mul if all its uses run in float on the target.
///
/// Runtimes keep a DequantizeLinear for the layer after it and compute it in each run if that layer does not run
/// in int8; Cast and Mul of constants are computed once, when the model is loaded. The numbers are the same, and
/// the file holds the same integers. Left alone: zero points that are not 0, and constants that are added to a product
/// that runs in int8.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2]
/// %w = const [2, -2, 6, 127] : i8[2,2]
/// %scale = const [0.5, 1.0] : f32[2]
/// %w.dq = DequantizeLinear(%w, %scale) {axis = 1}
/// %y = MatMul(%x, %w.dq)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2]
/// %w = const [2, -2, 6, 127] : i8[2,2]
/// %w.dq.float = Cast(%w) {to = 1} : f32[2,2]
/// %w.dq.scale = const [0.5, 1.0] : f32[1,2]
/// %w.dq.mul = Mul(%w.dq.float, %w.dq.scale) : f32[2,2]
/// %y = MatMul(%x, %w.dq.mul)
/// return %y
/// ```
pub struct ExpandWeights {
    /// Determines which layers run in int8.
    pub target: &'static Profile,
}

impl Pass for ExpandWeights {
    fn name(&self) -> &'static str {
        "expand-weights"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                if !self.is_for_floats(graph, id) {
                    continue;
                }
                changed |= expand(graph, id, &mut names).is_some();
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

impl ExpandWeights {
    fn is_for_floats(&self, graph: &Graph, id: NodeId) -> bool {
        let users = graph.users(id.into());
        let stored = stored_constant(graph, id.into());
        let has_no_offset =
            stored.is_some_and(|stored| stored.params.offset.iter().all(|&offset| offset == 0));
        has_no_offset
            && !users.is_empty()
            && !graph.outputs().contains(&id.into())
            && !users.iter().any(|&(user, _)| self.runs_in_int8(graph, user))
    }

    /// Whether a node runs in int8. An Add that is the bias of such a MatMul does, too: runtimes merge both to one Gemm.
    fn runs_in_int8(&self, graph: &Graph, id: NodeId) -> bool {
        let is_int8_product = |value: &ValueId| {
            graph.node(value.node).is("MatMul") && self.target.runs_in_int8(graph, value.node)
        };
        self.target.runs_in_int8(graph, id)
            || (graph.node(id).is("Add") && graph.operands(id).iter().flatten().any(is_int8_product))
    }
}

fn expand(graph: &mut Graph, id: NodeId, names: &mut Names) -> Option<()> {
    let stored = stored_constant(graph, id.into())?;
    let (shape, params) = (stored.integers.shape().to_vec(), stored.params.clone());
    let mut scale_shape = vec![1; if params.axis.is_some() { shape.len() } else { 0 }];
    if let Some(axis) = params.axis {
        let axis = usize::try_from(if axis < 0 { axis + shape.len() as i64 } else { axis }).ok()?;
        *scale_shape.get_mut(axis)? = params.scale.len();
    }
    let integers = graph.operand(id, 0)?;
    let name = graph.node(id).outputs[0].name.clone();
    let ty = type_with(graph, integers, DType::F32);
    let cast = Op::new("Cast").with("to", Attr::Int(DType::F32.number()));
    let floats = operation(graph, names, &format!("{name}.float"), cast, ty.clone(), &[integers]);
    let scale = constant(graph, names, &format!("{name}.scale"), Tensor::new(&scale_shape, params.scale));
    let scaled = operation(graph, names, &format!("{name}.mul"), Op::new("Mul"), ty, &[floats, scale]);
    graph.replace_uses(id.into(), scaled);
    Some(())
}
