//! Tables of integers whose rows are scaled after they are looked up.

use crate::names::Names;
use crate::new_nodes::{constant, operation};
use crate::qdq_params::stored_constant;
use intact8_ir::{Attr, DType, Graph, Model, NodeId, NodeKind, Op, Pass, Result, Tensor, TensorType};

/// Looks rows up in a table of integers, and then scales them: a Gather after the DequantizeLinear of a constant becomes a
/// Gather of the integers, a Cast, and a Mul by the scale, or by a Gather of the scales of the rows.
///
/// Runtimes compute a DequantizeLinear of a table in every run, or store the table as floats. The numbers are the same,
/// bit by bit. Left alone: zero points that are not 0, and scales along another dimension than that of the Gather. It
/// uses nothing but the graph, so it also works on models that another tool quantized.
///
/// ```qir before
/// model m opset 17
/// %ids = input : i64[N]
/// %w = const [2, -2, 6, 127] : i8[2,2]
/// %scale = const [0.5, 1.0] : f32[2]
/// %w.dq = DequantizeLinear(%w, %scale) {axis = 0}
/// %y = Gather(%w.dq, %ids)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %ids = input : i64[N]
/// %w = const [2, -2, 6, 127] : i8[2,2]
/// %y.rows = Gather(%w, %ids)
/// %y.float = Cast(%y.rows) {to = 1}
/// %y.scales = const [0.5, 1.0] : f32[2,1]
/// %y.scale = Gather(%y.scales, %ids)
/// %y = Mul(%y.float, %y.scale)
/// return %y
/// ```
pub struct GatherIntegers;

impl Pass for GatherIntegers {
    fn name(&self) -> &'static str {
        "gather-integers"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                changed |= gather(graph, id, &mut names).is_some();
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

fn gather(graph: &mut Graph, id: NodeId, names: &mut Names) -> Option<()> {
    let node = graph.node(id);
    let op = node.as_op().filter(|op| op.is("Gather"))?.clone();
    let (table, indices) = (graph.operand(id, 0)?, graph.operand(id, 1)?);
    let stored = stored_constant(graph, table)?;
    let (shape, params) = (stored.integers.shape().to_vec(), stored.params.clone());
    let along = |axis: i64| usize::try_from(if axis < 0 { axis + shape.len() as i64 } else { axis }).ok();
    let axis = along(op.int("axis").ok()?.unwrap_or(0))?;
    let is_of_rows = params.axis.is_some();
    if params.offset.iter().any(|&offset| offset != 0) || is_of_rows && along(params.axis?) != Some(axis) {
        return None;
    }
    let mut scale_shape = vec![1; if is_of_rows { shape.len() } else { 0 }];
    if is_of_rows {
        *scale_shape.get_mut(axis)? = params.scale.len();
    }
    let integers = graph.operand(table.node, 0)?;
    let name = node.outputs[0].name.clone();
    let ty = node.outputs[0].tensor_type().cloned();
    let row_type = ty.clone().map(|ty| TensorType { dtype: params.dtype, ..ty });
    let rows = operation(graph, names, &format!("{name}.rows"), op.clone(), row_type, &[integers, indices]);
    let cast = Op::new("Cast").with("to", Attr::Int(DType::F32.number()));
    let floats = operation(graph, names, &format!("{name}.float"), cast, ty, &[rows]);
    let scale_name = format!("{name}.{}", if is_of_rows { "scales" } else { "scale" });
    let mut scale = constant(graph, names, &scale_name, Tensor::new(&scale_shape, params.scale));
    if is_of_rows {
        scale = operation(graph, names, &format!("{name}.scale"), op, None, &[scale, indices]);
    }
    // The Gather itself becomes the Mul, so that it keeps the names of value and node.
    graph.node_mut(id).kind = NodeKind::Op(Op::new("Mul"));
    graph.set_operand(id, 0, Some(floats));
    graph.set_operand(id, 1, Some(scale));
    Some(())
}
