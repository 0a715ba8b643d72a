//! Batch normalization where no layer in front can take it.

use crate::batch_norm::scale_and_shift;
use crate::linear::{Linear, detach, is_read_once};
use crate::names::Names;
use crate::rank::rank;
use intact8_ir::{Graph, Model, Node, NodeId, Op, Pass, Result, Tensor, Value, ValueId};

/// Takes a BatchNormalization apart: into the weight and bias of the one Conv or Gemm that reads its result, or else
/// into a Mul and an Add.
///
/// A convolution that pads can't take it, since zeros are padded behind the normalization. Left alone: normalizations
/// in training mode or of a value whose rank is unknown, and factors that are not finite. What can be folded into the
/// layer in front should be before this runs; see `fold-batch-norm`.
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
    /// Layers that are not to take a normalization, by name.
    pub skip: &'a [String],
}

impl Pass for LowerBatchNorm<'_> {
    fn name(&self) -> &'static str {
        "lower-batch-norm"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            // Readers first, so that of two in a row the first finds what the second leaves.
            for norm in graph.topo().into_iter().rev() {
                let Some((scale, shift)) = scale_and_shift(graph, norm) else { continue };
                if let Some(folded) = self.fold_into_reader(graph, norm, &scale, &shift) {
                    let (input, reader) = (graph.operand(norm, 0), folded.node);
                    folded.write(graph, &mut names);
                    graph.set_operand(reader, 0, input);
                    graph.add_origins(reader, norm);
                    detach(graph, norm);
                    changed = true;
                } else {
                    changed |= lower(graph, norm, &scale, &shift, &mut names).is_some();
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
    /// The one reader with the normalization in it, if that can be.
    fn fold_into_reader(&self, graph: &Graph, norm: NodeId, scale: &[f64], shift: &[f64]) -> Option<Linear> {
        let &[(reader, 0)] = graph.users(norm.into()).as_slice() else { return None };
        let op = graph.node(reader).as_op()?;
        let is_able =
            op.is("Conv") && never_pads(op) || op.is("Gemm") && op.int("transA").ok()?.unwrap_or(0) == 0;
        let linear = Linear::at(graph, reader)?;
        if !is_able
            || !is_read_once(graph, norm.into())
            || self.skip.contains(&graph.node(reader).name)
            || linear.layout.n_inputs() != scale.len()
        {
            return None;
        }
        linear.fed_unscaled(scale, shift)
    }
}

fn never_pads(op: &Op) -> bool {
    let auto_pad = op.str("auto_pad");
    let pads = op.ints("pads");
    matches!(auto_pad, Ok(None | Some("NOTSET" | "VALID")))
        && matches!(pads, Ok(pads) if pads.is_none_or(|pads| pads.iter().all(|&n| n == 0)))
}

/// Puts Mul and Add in the place of a normalization.
fn lower(graph: &mut Graph, norm: NodeId, scale: &[f64], shift: &[f64], names: &mut Names) -> Option<()> {
    let input = graph.operand(norm, 0)?;
    let rank = rank(graph, input).filter(|&rank| rank >= 2)?;
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
