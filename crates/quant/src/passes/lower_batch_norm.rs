//! Batch normalization that no layer before it can absorb.

use crate::batch_norm::scale_and_shift;
use crate::linear_node::LinearNode;
use crate::names::Names;
use crate::ranks::{GraphRanks, Ranks};
use crate::uses::{detach, has_one_use};
use intact8_ir::{Graph, Model, Node, NodeId, Op, Pass, Result, Tensor, Value, ValueId, WindowAttributes};

/// Replaces a BatchNormalization: by other weights and bias of the one Conv or Gemm that uses its result, or else
/// by a Mul and an Add.
///
/// A convolution that pads can't absorb it, since zeros are padded after the normalization. Left alone:
/// normalizations in training mode or of a value whose rank is unknown, and factors that are not finite. Run
/// `fold-batch-norm` first, which folds normalizations into the layer before them.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2,4,4]
/// %gamma = const [2.0, 3.0] : f32[2]
/// %beta = const [0.5, 0.25] : f32[2]
/// %mean = const [1.0, 0.0] : f32[2]
/// %var = const [4.0, 1.0] : f32[2]
/// %n = BatchNormalization(%x, %gamma, %beta, %mean, %var) {epsilon = 0.0} @bn
/// %y = Relu(%n)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2,4,4]
/// %bn.scale = const [1.0, 3.0] : f32[2,1,1]
/// %bn.scaled = Mul(%x, %bn.scale)
/// %bn.shift = const [-0.5, 0.25] : f32[2,1,1]
/// %n = Add(%bn.scaled, %bn.shift) @bn
/// %y = Relu(%n)
/// return %y
/// ```
pub struct LowerBatchNorm<'a> {
    /// The layers that must not absorb a normalization, by name.
    pub skip: &'a [String],
    /// Whether any layer absorbs a normalization, and reads another activation from then on.
    pub into_next: bool,
}

impl Pass for LowerBatchNorm<'_> {
    fn name(&self) -> &'static str {
        "lower-batch-norm"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let (mut names, ranks) = (Names::of(model), Ranks::of(model));
        let mut changed = false;
        model.try_for_each_graph(|graph_id, graph| {
            let ranks = ranks.in_graph(graph_id);
            // Users first, so that of two in a row the first finds the layer that has absorbed the second.
            for norm in graph.topo().into_iter().rev() {
                let Some((scale, shift)) = scale_and_shift(graph, norm) else { continue };
                if let Some(folded) = self.fold_into_user(graph, ranks, norm, &scale, &shift) {
                    let (input, user) = (graph.operand(norm, 0), folded.node);
                    folded.write(graph, &mut names);
                    graph.set_operand(user, 0, input);
                    graph.add_origins(user, norm);
                    detach(graph, norm);
                    changed = true;
                } else {
                    changed |= lower(graph, ranks, norm, (&scale, &shift), &mut names).is_some();
                }
            }
            Ok(())
        })?;
        if changed {
            model.remove_dead();
        }
        Ok(changed)
    }
}

impl LowerBatchNorm<'_> {
    /// The layer that uses the result, with the normalization folded in, if that is possible.
    fn fold_into_user(
        &self,
        graph: &Graph,
        ranks: GraphRanks<'_>,
        norm: NodeId,
        scale: &[f64],
        shift: &[f64],
    ) -> Option<LinearNode> {
        let &[(user, 0)] = graph.users(norm.into()).as_slice() else { return None };
        let op = graph.node(user).as_op()?;
        let is_able = op.is("Conv") && WindowAttributes::of(op).is_ok_and(|window| window.never_pads())
            || op.is("Gemm") && op.int("transA").ok()?.unwrap_or(0) == 0;
        let linear = LinearNode::at(graph, ranks, user)?;
        if !self.into_next
            || !is_able
            || !has_one_use(graph, norm.into())
            || self.skip.contains(&graph.node(user).name)
            || linear.view.layout.n_inputs() != scale.len()
        {
            return None;
        }
        linear.fed_unscaled(scale, shift)
    }
}

/// Replaces a normalization by Mul and Add.
fn lower(
    graph: &mut Graph,
    ranks: GraphRanks<'_>,
    norm: NodeId,
    (scale, shift): (&[f64], &[f64]),
    names: &mut Names,
) -> Option<()> {
    let input = graph.operand(norm, 0)?;
    let rank = ranks.rank(graph, input).filter(|&rank| rank >= 2)?;
    let is_finite = |values: &[f64]| values.iter().all(|&value| (value as f32).is_finite());
    if !is_finite(scale) || !is_finite(shift) {
        return None;
    }
    let node = graph.node(norm);
    let (label, name, result) = (node.label().to_owned(), node.name.clone(), node.outputs[0].clone());
    let mut shape = vec![1; rank - 1];
    shape[0] = scale.len();
    let mut constant = |graph: &mut Graph, what: &str, values: &[f64]| {
        let values = values.iter().map(|&value| value as f32).collect();
        let value_name = names.fresh(&format!("{label}.{what}"));
        Some(ValueId::from(graph.add(Node::constant(value_name, Tensor::new(&shape, values)), &[])))
    };
    let (scale, shift) = (constant(graph, "scale", scale), constant(graph, "shift", shift));
    let scaled = Value { name: names.fresh(&format!("{label}.scaled")), ..result.clone() };
    let mul_name = scaled.name.clone();
    let mul = graph.add(Node::op(&mul_name, Op::new("Mul"), [scaled]), &[Some(input), scale]);
    let add = graph.add(Node::op(&name, Op::new("Add"), [result]), &[Some(mul.into()), shift]);
    graph.add_origins(mul, norm);
    graph.replace_uses(norm.into(), add.into());
    detach(graph, norm);
    Some(())
}
