//! Batch normalization as part of the convolution before it.

use crate::names::Names;
use crate::weight::Channels;
use quantfit_ir::{Graph, Model, Node, NodeId, Pass, Result, Tensor, ValueId};

/// Folds a BatchNormalization into the Conv that feeds it: the weight is scaled for each output channel, and the bias
/// takes the rest.
///
/// `W' = W·γ/√(σ²+ε)`, `b' = (b-μ)·γ/√(σ²+ε)+β`. Left alone: a convolution whose result somebody else reads too, one
/// that is named in `skip`, a normalization in training mode, and factors that are not finite.
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
    /// Convolutions to leave alone, by name.
    pub skip: &'a [String],
}

impl Pass for FoldBatchNorm<'_> {
    fn name(&self) -> &'static str {
        "fold-batch-norm"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of_values(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for norm in graph.topo() {
                let Some((conv, folded)) = self.fold(graph, norm) else { continue };
                apply(graph, conv, norm, folded, &mut names);
                changed = true;
            }
            Ok(())
        })?;
        Ok(changed)
    }
}

/// A convolution's new weight and bias.
struct Folded {
    weight: Tensor,
    bias: Tensor,
}

impl FoldBatchNorm<'_> {
    /// The convolution in front of a normalization, and what it becomes, if they can be folded.
    fn fold(&self, graph: &Graph, norm: NodeId) -> Option<(NodeId, Folded)> {
        let op = graph.node(norm).as_op().filter(|op| op.is("BatchNormalization"))?;
        let is_training = op.int("training_mode").ok()?.unwrap_or(0) != 0;
        let more_outputs = graph.node(norm).outputs.iter().skip(1).any(|value| !value.name.is_empty());
        let is_spatial = op.int("spatial").ok()?.unwrap_or(1) == 1;
        let input = graph.operand(norm, 0)?;
        let conv = graph.node(input.node);
        let is_shared = graph.users(input).len() > 1 || graph.outputs().contains(&input);
        if is_training
            || more_outputs
            || !is_spatial
            || is_shared
            || !conv.is("Conv")
            || self.skip.contains(&conv.name)
        {
            return None;
        }
        let constant =
            |node: NodeId, slot: usize| graph.constant(graph.operand(node, slot)?)?.values::<f32>().ok();
        let weight = graph.constant(graph.operand(input.node, 1)?)?;
        let channels = Channels::of(weight.shape(), 0);
        let bias = match graph.operand(input.node, 2) {
            Some(_) => constant(input.node, 2)?.to_vec(),
            None => vec![0.0; channels.len],
        };
        let [gamma, beta, mean, var] = [1, 2, 3, 4].map(|slot| constant(norm, slot));
        let (gamma, beta, mean, var) = (gamma?, beta?, mean?, var?);
        let epsilon = f64::from(op.float("epsilon").ok()?.unwrap_or(1e-5));
        if [bias.len(), gamma.len(), beta.len(), mean.len(), var.len()] != [channels.len; 5] {
            return None;
        }
        let factors: Vec<f64> =
            gamma.iter().zip(var).map(|(&g, &v)| f64::from(g) / (f64::from(v) + epsilon).sqrt()).collect();
        let weights = weight.values::<f32>().ok()?.iter().enumerate();
        let weights: Vec<f32> =
            weights.map(|(idx, &w)| (f64::from(w) * factors[channels.of_element(idx)]) as f32).collect();
        let shifted = |c: usize| (f64::from(bias[c]) - f64::from(mean[c])) * factors[c] + f64::from(beta[c]);
        let bias: Vec<f32> = (0..channels.len).map(|c| shifted(c) as f32).collect();
        if !weights.iter().chain(&bias).all(|v| v.is_finite()) {
            return None;
        }
        let folded =
            Folded { weight: Tensor::new(weight.shape(), weights), bias: Tensor::new(&[channels.len], bias) };
        Some((input.node, folded))
    }
}

fn apply(graph: &mut Graph, conv: NodeId, norm: NodeId, folded: Folded, names: &mut Names) {
    let layer = graph.node(conv).name.clone();
    for (slot, what, tensor) in [(1, "w", folded.weight), (2, "b", folded.bias)] {
        let constant = graph.add(Node::constant(names.fresh(&format!("{layer}.{what}")), tensor), &[]);
        graph.set_operand(conv, slot, Some(constant.into()));
    }
    graph.replace_uses(norm.into(), conv.into());
    let result = graph.value(ValueId::from(norm)).clone();
    graph.remove_dead();
    graph.node_mut(conv).outputs[0] = result;
}
