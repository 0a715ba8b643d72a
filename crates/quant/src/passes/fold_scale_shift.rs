//! Multiplication by constants and addition of constants as part of the layer before them.

use crate::linear::{Linear, constant_operand};
use crate::names::Names;
use intact8_ir::{Graph, Model, NodeId, Pass, Result};

/// Folds Mul, Div, Add and Sub by a constant, the same for all or one for each output channel, into the weight and bias
/// of the Conv, ConvTranspose, Gemm or MatMul in front; and a Gemm's own factors `alpha` and `beta`.
///
/// A MatMul's bias is the Add behind it, which stays. Left alone: a layer whose result somebody else reads too, one that
/// is named in `skip`, constants that make the result larger, and numbers that are not finite.
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
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                if let Some(folded) = self.own_factors(graph, id) {
                    folded.write(graph, &mut names);
                } else if let Some(folded) = self.fold(graph, id) {
                    folded.replace(graph, id, &mut names);
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
    /// A Gemm with its own factors in weight and bias.
    fn own_factors(&self, graph: &Graph, id: NodeId) -> Option<Linear> {
        let op = graph.node(id).as_op().filter(|op| op.is("Gemm"))?;
        let is_factor =
            |name: &str| op.float(name).is_ok_and(|factor| factor.is_some_and(|factor| factor != 1.0));
        if !is_factor("alpha") && !is_factor("beta") {
            return None;
        }
        let linear = Linear::at(graph, id)?;
        let n_channels = linear.layout.n_outputs();
        let is_skipped = self.skip.contains(&graph.node(id).name);
        linear.scaled(&vec![1.0; n_channels], &vec![0.0; n_channels]).filter(|_| !is_skipped)
    }

    /// The layer in front of an operation with the operation in it, if that can be.
    fn fold(&self, graph: &Graph, id: NodeId) -> Option<Linear> {
        let op = graph.node(id).as_op().filter(|op| op.domain.is_empty() && op.attrs.is_empty())?;
        if !["Mul", "Div", "Add", "Sub"].contains(&op.name.as_str()) {
            return None;
        }
        let (slot, tensor) = constant_operand(graph, id)?;
        let linear = Linear::making(graph, graph.operand(id, 1 - slot)?)?;
        let is_skipped = self.skip.contains(&graph.node(linear.node).name);
        let is_bias_operand = op.is("Add") && linear.lacks_bias_operand(graph);
        if is_skipped || is_bias_operand {
            return None;
        }
        let constants: Vec<f64> = linear.per_channel(graph, tensor)?.into_iter().map(f64::from).collect();
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
