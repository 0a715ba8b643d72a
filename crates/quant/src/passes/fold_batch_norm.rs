//! Batch normalization as part of the layer before it.

use crate::batch_norm::scale_and_shift;
use crate::linear_node::LinearNode;
use crate::linear_view::LinearKind;
use crate::names::Names;
use crate::ranks::{GraphRanks, Ranks};
use intact8_ir::{Graph, Model, NodeId, Pass, Result};

/// Folds a BatchNormalization into the Conv, ConvTranspose, Gemm or MatMul before it: the weight is scaled per
/// output channel, and the bias is adapted. The bias of a MatMul is the Add after it.
///
/// `W' = W·γ/√(σ²+ε)`, `b' = (b-μ)·γ/√(σ²+ε)+β`. Left alone: a layer whose result has other uses, one that is
/// named in `skip`, a normalization in training mode, and factors that are not finite.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,1,4,4]
/// %w = const [1.0, 3.0] : f32[2,1,1,1]
/// %c = Conv(%x, %w) @conv
/// %gamma = const [2.0, 1.0] : f32[2]
/// %beta = const [0.5, 0.25] : f32[2]
/// %mean = const [1.0, 0.0] : f32[2]
/// %var = const [4.0, 1.0] : f32[2]
/// %y = BatchNormalization(%c, %gamma, %beta, %mean, %var) {epsilon = 0.0} @bn
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,1,4,4]
/// %conv.w = const [1.0, 3.0] : f32[2,1,1,1]
/// %conv.b = const [-0.5, 0.25] : f32[2]
/// %y = Conv(%x, %conv.w, %conv.b) @conv
/// return %y
/// ```
pub struct FoldBatchNorm<'a> {
    /// Layers to leave alone, by name.
    pub skip: &'a [String],
}

impl Pass for FoldBatchNorm<'_> {
    fn name(&self) -> &'static str {
        "fold-batch-norm"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let (mut names, mut ranks) = (Names::of(model), Ranks::of(model));
        let mut changed = false;
        model.try_for_each_graph(|graph_id, graph| {
            for norm in graph.topo() {
                let Some(folded) = self.fold(graph, ranks.in_graph(graph_id), norm) else { continue };
                let result = folded.replace(graph, norm, &mut names);
                ranks.replace(graph_id, norm.into(), result);
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

impl FoldBatchNorm<'_> {
    /// The layer before a normalization with the normalization folded in, if that is possible.
    fn fold(&self, graph: &Graph, ranks: GraphRanks<'_>, norm: NodeId) -> Option<LinearNode> {
        let (scale, shift) = scale_and_shift(graph, norm)?;
        let input = graph.operand(norm, 0)?;
        let linear = LinearNode::making(graph, ranks, input)?;
        let is_skipped = self.skip.contains(&graph.node(linear.node).name);
        // A normalization's channels are dimension 1, a product's the last.
        let is_aligned = linear.view.kind != LinearKind::MatMul || ranks.rank(graph, input) == Some(2);
        if is_skipped || !is_aligned || scale.len() != linear.view.layout.n_outputs() {
            return None;
        }
        linear.scaled(&scale, &shift)
    }
}
