//! Multiplication by constants and addition of constants as part of the layer before them.

use crate::linear_node::LinearNode;
use crate::names::Names;
use crate::ranks::{GraphRanks, Ranks};
use crate::uses::constant_operand;
use intact8_ir::{Graph, Model, NodeId, Pass, Result};

/// Folds Mul, Div, Add and Sub by a constant, the same for all or one per output channel, into the weight and bias
/// of the Conv, ConvTranspose, Gemm or MatMul before it; and the factors `alpha` and `beta` of a Gemm into its
/// own.
///
/// The bias of a MatMul is the Add after it, which stays. Left alone: a layer whose result has other uses, one
/// that is named in `skip`, constants that make the result larger, and numbers that are not finite.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,1,4,4]
/// %w = const [1.0, 3.0] : f32[2,1,1,1]
/// %c = Conv(%x, %w) @conv
/// %scale = const [2.0] : f32[]
/// %m = Mul(%c, %scale)
/// %bias = const [0.5, 0.25] : f32[1,2,1,1]
/// %y = Add(%m, %bias)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,1,4,4]
/// %conv.w_1 = const [2.0, 6.0] : f32[2,1,1,1]
/// %conv.b = const [0.5, 0.25] : f32[2]
/// %y = Conv(%x, %conv.w_1, %conv.b) @conv
/// return %y
/// ```
pub struct FoldScaleShift<'a> {
    /// Layers to leave alone, by name.
    pub skip: &'a [String],
}

impl Pass for FoldScaleShift<'_> {
    fn name(&self) -> &'static str {
        "fold-scale-shift"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let (mut names, mut ranks) = (Names::of(model), Ranks::of(model));
        let mut changed = false;
        model.try_for_each_graph(|graph_id, graph| {
            for id in graph.topo() {
                let in_graph = ranks.in_graph(graph_id);
                if let Some(folded) = self.own_factors(graph, in_graph, id) {
                    folded.write(graph, &mut names);
                } else if let Some(folded) = self.fold(graph, in_graph, id) {
                    let result = folded.replace(graph, id, &mut names);
                    ranks.replace(graph_id, id.into(), result);
                } else {
                    continue;
                }
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

impl FoldScaleShift<'_> {
    /// A Gemm with its own factors folded into weight and bias.
    fn own_factors(&self, graph: &Graph, ranks: GraphRanks<'_>, id: NodeId) -> Option<LinearNode> {
        let op = graph.node(id).as_op().filter(|op| op.is("Gemm"))?;
        let is_factor =
            |name: &str| op.float(name).is_ok_and(|factor| factor.is_some_and(|factor| factor != 1.0));
        if !is_factor("alpha") && !is_factor("beta") {
            return None;
        }
        let linear = LinearNode::at(graph, ranks, id)?;
        let n_channels = linear.view.layout.n_outputs();
        let is_skipped = self.skip.contains(&graph.node(id).name);
        linear.scaled(&vec![1.0; n_channels], &vec![0.0; n_channels]).filter(|_| !is_skipped)
    }

    /// The layer before an operation with the operation folded in, if that is possible.
    fn fold(&self, graph: &Graph, ranks: GraphRanks<'_>, id: NodeId) -> Option<LinearNode> {
        let op = graph.node(id).as_op().filter(|op| op.domain.is_empty() && op.attrs.is_empty())?;
        if !["Mul", "Div", "Add", "Sub"].contains(&op.name.as_str()) {
            return None;
        }
        let (slot, tensor) = constant_operand(graph, id)?;
        let linear = LinearNode::making(graph, ranks, graph.operand(id, 1 - slot)?)?;
        let is_skipped = self.skip.contains(&graph.node(linear.node).name);
        let is_bias_operand = op.is("Add") && linear.lacks_bias_operand();
        if is_skipped || is_bias_operand {
            return None;
        }
        let constants: Vec<f64> =
            linear.per_channel(graph, ranks, tensor)?.into_iter().map(f64::from).collect();
        let same = |value: f64| vec![value; constants.len()];
        let (scale, shift) = match (op.name.as_str(), slot) {
            ("Mul", _) => (constants.clone(), same(0.0)),
            ("Div", 1) => (constants.iter().map(|c| 1.0 / c).collect(), same(0.0)),
            ("Add", _) => (same(1.0), constants.clone()),
            ("Sub", 1) => (same(1.0), constants.iter().map(|c| -c).collect()),
            ("Sub", _) => (same(-1.0), constants.clone()),
            _ => return None,
        };
        linear.scaled(&scale, &shift)
    }
}
