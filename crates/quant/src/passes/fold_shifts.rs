//! Addition of constants in the biases of the layers after it, instead of before them.

use super::shift_after_pool::added_to_channels;
use crate::linear_node::LinearNode;
use crate::names::Names;
use crate::ranks::{GraphRanks, Ranks};
use crate::uses::detach;
use intact8_ir::{Graph, Model, NodeId, Pass, Result, ValueId, WindowAttributes};

/// Removes the addition of a constant, one value or one for each channel, if all layers that use the sum can add it, times their
/// weights, to their biases: convolutions that do not pad, and Gemms.
///
/// A batch normalization after an activation function leaves such an addition, and runtimes compute it in float, with the
/// conversions around it. Left alone: sums with other uses, and what a convolution pads, since zeros are padded after the
/// addition. Run `shift-after-pool` first, which moves additions through poolings.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2,4,4]
/// %r = Relu(%x) : f32[N,2,4,4]
/// %shift = const [0.5, 0.25] : f32[2,1,1]
/// %a = Add(%r, %shift) : f32[N,2,4,4]
/// %w = const [2.0, 4.0] : f32[1,2,1,1]
/// %y = Conv(%a, %w) @conv : f32[N,1,4,4]
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2,4,4]
/// %r = Relu(%x) : f32[N,2,4,4]
/// %conv.w = const [2.0, 4.0] : f32[1,2,1,1]
/// %conv.b = const [2.0] : f32[1]
/// %y = Conv(%r, %conv.w, %conv.b) @conv : f32[N,1,4,4]
/// return %y
/// ```
pub struct FoldShifts<'a> {
    /// The layers that must not absorb an addition, by name.
    pub skip: &'a [String],
}

impl Pass for FoldShifts<'_> {
    fn name(&self) -> &'static str {
        "fold-shifts"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let (mut names, ranks) = (Names::of(model), Ranks::of(model));
        let mut changed = false;
        model.try_for_each_graph(|graph_id, graph| {
            let ranks = ranks.in_graph(graph_id);
            // Users first, so that of two additions in a row both are absorbed.
            for addition in graph.topo().into_iter().rev() {
                let Some((input, layers)) = self.absorbed(graph, ranks, addition) else { continue };
                for layer in layers {
                    let node = layer.node;
                    layer.write(graph, &mut names);
                    graph.set_operand(node, 0, Some(input));
                    graph.add_origins(node, addition);
                }
                detach(graph, addition);
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

impl FoldShifts<'_> {
    /// The value to which a constant is added, and all layers that use the sum, with the constant in their biases.
    fn absorbed(
        &self,
        graph: &Graph,
        ranks: GraphRanks<'_>,
        addition: NodeId,
    ) -> Option<(ValueId, Vec<LinearNode>)> {
        let (slot, constant) = added_to_channels(graph, addition)?;
        let shift: Vec<f64> = constant.values::<f32>().ok()?.iter().map(|&value| f64::from(value)).collect();
        let users = graph.users(addition.into());
        if users.is_empty() || graph.outputs().contains(&addition.into()) {
            return None;
        }
        let layer = |(user, slot): (NodeId, usize)| {
            let layer = self.absorbing(graph, ranks, user).filter(|_| slot == 0)?;
            let n_inputs = layer.view.layout.n_inputs();
            let shift = if shift.len() == 1 { &vec![shift[0]; n_inputs] } else { &shift };
            layer.fed_unscaled(&vec![1.0; n_inputs], shift).filter(|_| shift.len() == n_inputs)
        };
        let layers = users.into_iter().map(layer).collect::<Option<Vec<LinearNode>>>()?;
        Some((graph.operand(addition, 1 - slot)?, layers))
    }

    /// A layer that can absorb what is added to its input channels.
    fn absorbing(&self, graph: &Graph, ranks: GraphRanks<'_>, node: NodeId) -> Option<LinearNode> {
        let op = graph.node(node).as_op()?;
        let is_able = op.is("Conv") && WindowAttributes::of(op).is_ok_and(|window| window.never_pads())
            || op.is("Gemm") && op.int("transA").ok()?.unwrap_or(0) == 0;
        let is_allowed = is_able && !self.skip.contains(&graph.node(node).name);
        LinearNode::at(graph, ranks, node).filter(|_| is_allowed)
    }
}
