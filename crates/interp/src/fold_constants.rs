//! Constant folding as a pass: what depends on constants alone becomes constant.

use crate::context::Limits;
use crate::session::Session;
use intact8_ir::{Graph, GraphId, Model, Node, NodeId, Op, Pass, Result, Tensor, isolate};

/// Computes operations all of whose operands are constant, once and for all: so weights behind a Reshape, Transpose or
/// Identity, shapes and tables become constants that other passes see.
///
/// Left alone: quantization and dequantization, which is how a graph says what is quantized; operators that draw random
/// numbers or own subgraphs; functions of the model; what can't be computed, which is an error only if it runs; and
/// results that would make the model much larger: more than 1 MiB and more than eight times what they are made of, or
/// more than 64 MiB in all.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2]
/// %flat = const [1.0, 2.0, 3.0, 4.0] : f32[4]
/// %two = const [2] : i64[1]
/// %shape = Concat(%two, %two) {axis = 0}
/// %w = Reshape(%flat, %shape)
/// %y = MatMul(%x, %w)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2]
/// %w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
/// %y = MatMul(%x, %w)
/// return %y
/// ```
pub struct FoldConstants;

/// Results up to that many bytes are always taken.
const SMALL: u64 = 1 << 20;

/// Larger results are at most so many times as large as their operands.
const MAX_GROWTH: u64 = 8;

/// How much larger than their operands all results together may be.
const MAX_TOTAL_GROWTH: u64 = 64 << 20;

/// What a single operation takes at most in steps.
const MAX_STEPS: u64 = 1_000_000;

/// Operators that are not a function of their operands, or that mean more than they compute.
const EXCLUDED: &[&str] = &[
    "Bernoulli",
    "DequantizeLinear",
    "Dropout",
    "DynamicQuantizeLinear",
    "Multinomial",
    "QuantizeLinear",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
];

impl Pass for FoldConstants {
    fn name(&self) -> &'static str {
        "fold-constants"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut grown = 0;
        let mut changed = false;
        for graph in model.inner_first() {
            for id in model.graph(graph).topo() {
                let op = model.graph(graph).node(id).as_op();
                if !op.is_some_and(|op| !is_function(model, op) && is_foldable(op)) {
                    continue;
                }
                let Some(results) = results(model, graph, id, &mut grown) else { continue };
                for (slot, tensor) in results {
                    replace(model.graph_mut(graph), id, slot, tensor);
                }
                changed = true;
            }
        }
        if changed {
            model.remove_dead();
        }
        Ok(changed)
    }
}

fn is_function(model: &Model, op: &Op) -> bool {
    model.functions.iter().any(|function| function.domain == op.domain && function.name == op.name)
}

fn is_foldable(op: &Op) -> bool {
    let is_excluded = op.domain.is_empty() && EXCLUDED.contains(&op.name.as_str());
    !is_excluded && op.subgraphs().next().is_none()
}

/// What a node gives in each slot that has a name, if everything that it reads is constant.
fn results(model: &Model, within: GraphId, id: NodeId, grown: &mut u64) -> Option<Vec<(usize, Tensor)>> {
    let graph = model.graph(within);
    let operands = graph.operands(id).iter().flatten();
    let sizes: Option<Vec<u64>> =
        operands.map(|&value| graph.constant(value).map(|tensor| tensor.byte_size() as u64)).collect();
    let sizes = sizes.filter(|sizes| !sizes.is_empty() || graph.node(id).is("Constant"))?;
    let n_read: u64 = sizes.iter().sum();
    let most = SMALL.max(n_read.saturating_mul(MAX_GROWTH));
    // Kernels may want room beside their result.
    let limits = Limits { memory: most.saturating_mul(4), steps: MAX_STEPS };
    let session = Session::with_limits(&isolate(model, within, id), limits).ok()?;
    let items = session.run_data(vec![], None).ok()?;
    let tensors: Option<Vec<Tensor>> = items.into_iter().map(|item| item.into_tensor().ok()).collect();
    let tensors = tensors?;
    let n_made: u64 = tensors.iter().map(|tensor| tensor.byte_size() as u64).sum();
    let total = *grown + n_made.saturating_sub(n_read);
    if n_made > most || total > MAX_TOTAL_GROWTH {
        return None;
    }
    *grown = total;
    let values = graph.node(id).outputs.iter().enumerate();
    let named = values.filter(|(_, value)| !value.name.is_empty()).map(|(slot, _)| slot);
    Some(named.zip(tensors).collect())
}

/// Puts a constant in the place of what a node gives in a slot, under its name.
fn replace(graph: &mut Graph, id: NodeId, slot: usize, tensor: Tensor) {
    let result = graph.node(id).outputs[slot].clone();
    let mut node = Node::constant(result.name, tensor);
    node.outputs[0].notes = result.notes;
    let constant = graph.add(node, &[]);
    graph.replace_uses(intact8_ir::ValueId { node: id, slot }, constant.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> (bool, String) {
        let mut model: Model = text.parse().unwrap();
        let changed = FoldConstants.run(&mut model).unwrap();
        intact8_ir::verify(&model).unwrap();
        assert!(!FoldConstants.run(&mut model).unwrap(), "the pass is not idempotent");
        (changed, model.to_string())
    }

    fn stays(lines: &str) {
        let text = format!("model m opset 17\n{lines}");
        assert_eq!(folded(&text), (false, text));
    }

    #[test]
    fn results_that_are_much_larger_stay() {
        stays("%n = const [1048576] : i64[1]\n%y = ConstantOfShape(%n)\nreturn %y\n");
        let (changed, _) =
            folded("model m opset 17\n%n = const [1024] : i64[1]\n%y = ConstantOfShape(%n)\nreturn %y\n");
        assert!(changed);
    }

    #[test]
    fn what_fails_fails_when_it_runs() {
        stays("%x = const [1.0, 2.0] : f32[2]\n%n = const [3] : i64[1]\n%y = Reshape(%x, %n)\nreturn %y\n");
    }

    #[test]
    fn quantization_and_chance_stay() {
        stays(
            "%x = const [1.0] : f32[1]\n%s = const [0.5] : f32[]\n%y = QuantizeLinear(%x, %s)\n\
             %z = RandomNormalLike(%x)\nreturn %y, %z\n",
        );
    }

    #[test]
    fn several_outputs_and_subgraphs_are_folded() {
        let (_, text) = folded(
            "model m opset 17\n%c = input : bool[]\n%y = If(%c) {else_branch = graph {\n  %e = const [0.0] : f32[1]\n  \
             return %e\n}, then_branch = graph {\n  %t = const [1.0, 2.0] : f32[2]\n  %a, %b = Split(%t)\n  return %b\n\
             }}\nreturn %y\n",
        );
        assert!(text.contains("%b = const [2.0] : f32[1]") && !text.contains("Split"), "{text}");
    }
}
