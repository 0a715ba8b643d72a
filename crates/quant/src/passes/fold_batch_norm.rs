//! Batch normalization as part of the layer before it.

use crate::batch_norm::scale_and_shift;
use crate::linear::Linear;
use crate::names::Names;
use crate::rank::rank;
use intact8_ir::{Graph, Model, NodeId, Pass, Result};

/// Folds a BatchNormalization into the Conv, ConvTranspose, Gemm or MatMul that feeds it: the weight is scaled for each
/// output channel, and the bias takes the rest. A MatMul's bias is the Add behind it.
///
/// `W' = W·γ/√(σ²+ε)`, `b' = (b-μ)·γ/√(σ²+ε)+β`. Left alone: a layer whose result somebody else reads too, one that is
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
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for norm in graph.topo() {
                let Some(folded) = self.fold(graph, norm) else { continue };
                folded.replace(graph, norm, &mut names);
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
    /// The layer in front of a normalization with the normalization in it, if that can be.
    fn fold(&self, graph: &Graph, norm: NodeId) -> Option<Linear> {
        let (scale, shift) = scale_and_shift(graph, norm)?;
        let input = graph.operand(norm, 0)?;
        let linear = Linear::making(graph, input)?;
        let is_skipped = self.skip.contains(&graph.node(linear.node).name);
        // A normalization's channels are dimension 1, a product's the last.
        let is_aligned = !graph.node(linear.node).is("MatMul") || rank(graph, input) == Some(2);
        if is_skipped || !is_aligned || scale.len() != linear.layout.n_outputs() {
            return None;
        }
        linear.scaled(&scale, &shift)
    }
}
