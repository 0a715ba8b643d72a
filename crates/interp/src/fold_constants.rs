//! Constant folding as a pass: values that depend only on constants become constants.

use crate::context::Limits;
use crate::session::Session;
use intact8_ir::{
    Graph, GraphId, Model, Node, NodeId, Op, OperatorTrait, Pass, Result, Tensor, ValueId, isolate,
};

/// Replaces operations with constant operands by their results, so that weights after a Reshape, Transpose or Identity,
/// shapes and tables become constants for other passes.
///
/// Not folded: quantization and dequantization, which represent quantized values; operators with random results or with
/// subgraphs; functions of the model; operations that fail, which is an error only if they run; and results that would
/// make the file larger than computing them costs when it is loaded: more than 64 KiB and more than four times their
/// operands, as the table of a Fourier transform, or more than 1 MiB in total.
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

/// Results up to this number of bytes are always folded: shapes and what they are computed from.
const TINY: u64 = 1 << 12;

/// Results up to this number of bytes are folded, whatever the size of their operands.
const SMALL: u64 = 1 << 16;

/// The largest ratio of the sizes of larger results and their operands: that of floats and bytes.
const MAX_GROWTH: u64 = 4;

/// The largest total growth of all results but the tiny ones over their operands, in bytes.
const MAX_TOTAL_GROWTH: u64 = 1 << 20;

/// The largest number of steps of one operation.
const MAX_STEPS: u64 = 1_000_000;

impl Pass for FoldConstants {
    fn name(&self) -> &'static str {
        "fold-constants"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let is_foldable = |op: &Op| is_foldable(op) && !op.has(OperatorTrait::Quantizes);
        Ok(fold(model, &Rules { is_foldable, constant: Graph::constant, max_total_growth: MAX_TOTAL_GROWTH }))
    }
}

/// As [`FoldConstants`], also dequantization, without a limit of the total, and without the defaults of inputs: for what is
/// compiled, which holds the results in any case.
pub(crate) struct FoldCompiled;

impl Pass for FoldCompiled {
    fn name(&self) -> &'static str {
        "fold-constants"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        Ok(fold(model, &Rules { is_foldable, constant: Graph::fixed, max_total_growth: u64::MAX }))
    }
}

/// Folds quantization alone: weights that a simulation quantizes when it runs are integers then, and their products are those of
/// integers.
pub(crate) struct QuantizeConstants;

impl Pass for QuantizeConstants {
    fn name(&self) -> &'static str {
        "quantize-constants"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let is_foldable = |op: &Op| op.is("QuantizeLinear");
        Ok(fold(model, &Rules { is_foldable, constant: Graph::fixed, max_total_growth: u64::MAX }))
    }
}

/// What is folded.
struct Rules {
    is_foldable: fn(&Op) -> bool,
    constant: fn(&Graph, ValueId) -> Option<&Tensor>,
    max_total_growth: u64,
}

/// Folds the operations that may be; returns whether there are any.
fn fold(model: &mut Model, rules: &Rules) -> bool {
    let mut grown = 0;
    let mut changed = false;
    for graph in model.inner_first() {
        for id in model.graph(graph).topo() {
            let op = model.graph(graph).node(id).as_op();
            if !op.is_some_and(|op| !is_function(model, op) && (rules.is_foldable)(op)) {
                continue;
            }
            let Some(results) = results(model, graph, id, &mut grown, rules) else { continue };
            for (slot, tensor) in results {
                replace(model.graph_mut(graph), id, slot, tensor);
            }
            changed = true;
        }
    }
    if changed {
        model.remove_dead();
    }
    changed
}

fn is_function(model: &Model, op: &Op) -> bool {
    model.functions.iter().any(|function| function.domain == op.domain && function.name == op.name)
}

fn is_foldable(op: &Op) -> bool {
    !op.has(OperatorTrait::Random) && op.subgraphs().next().is_none()
}

/// The outputs of a node in its named slots, if all its operands are constant.
fn results(
    model: &Model,
    within: GraphId,
    id: NodeId,
    grown: &mut u64,
    rules: &Rules,
) -> Option<Vec<(usize, Tensor)>> {
    let graph = model.graph(within);
    let operands = graph.operands(id).iter().flatten();
    let sizes: Option<Vec<u64>> = operands
        .map(|&value| (rules.constant)(graph, value).map(|tensor| tensor.byte_size() as u64))
        .collect();
    let sizes = sizes.filter(|sizes| !sizes.is_empty() || graph.node(id).is("Constant"))?;
    let n_operand_bytes: u64 = sizes.iter().sum();
    let most = SMALL.max(n_operand_bytes.saturating_mul(MAX_GROWTH));
    // Kernels may need memory in addition to the result.
    let limits = Limits { memory: most.saturating_mul(4), steps: MAX_STEPS };
    let session = Session::as_written(&isolate(model, within, id), limits).ok()?;
    let items = session.run_data(vec![], None).ok()?;
    let tensors: Option<Vec<Tensor>> = items.into_iter().map(|item| item.into_tensor().ok()).collect();
    let tensors = tensors?;
    let n_result_bytes: u64 = tensors.iter().map(|tensor| tensor.byte_size() as u64).sum();
    if n_result_bytes > TINY {
        let total = *grown + n_result_bytes.saturating_sub(n_operand_bytes);
        if n_result_bytes > most || total > rules.max_total_growth {
            return None;
        }
        *grown = total;
    }
    let values = graph.node(id).outputs.iter().enumerate();
    let named = values.filter(|(_, value)| !value.name.is_empty()).map(|(slot, _)| slot);
    Some(named.zip(tensors).collect())
}

/// Replaces an output of a node by a constant with the same name.
fn replace(graph: &mut Graph, id: NodeId, slot: usize, tensor: Tensor) {
    let result = graph.node(id).outputs[slot].clone();
    let mut node = Node::constant(result.name, tensor);
    node.outputs[0].notes = result.notes;
    let constant = graph.add(node, &[]);
    graph.replace_uses(ValueId { node: id, slot }, constant.into());
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
    fn much_larger_results_are_not_folded() {
        stays("%n = const [1048576] : i64[1]\n%y = ConstantOfShape(%n)\nreturn %y\n");
        let (changed, _) =
            folded("model m opset 17\n%n = const [1024] : i64[1]\n%y = ConstantOfShape(%n)\nreturn %y\n");
        assert!(changed);
        // 256 KiB of 2 KiB, as in the table of a Fourier transform, and floats of bytes.
        stays(
            "%a = const splat(1.0) : f32[256,1]\n%b = const splat(2.0) : f32[1,256]\n%y = Mul(%a, %b)\nreturn %y\n",
        );
        let bytes = "model m opset 17\n%a = const splat(3) : i8[100000]\n%y = Cast(%a) {to = 1}\nreturn %y\n";
        assert!(folded(bytes).0);
    }

    #[test]
    fn many_results_are_folded_up_to_a_total() {
        let lines = |n: usize| {
            let table =
                |idx| format!("%n{idx} = const [12288] : i64[1]\n%t{idx} = ConstantOfShape(%n{idx})\n");
            let names: Vec<String> = (0..n).map(|idx| format!("%t{idx}")).collect();
            let tables: String = (0..n).map(table).collect();
            format!(
                "model m opset 17\n{tables}%y = Concat({}) {{axis = 0}}\n%s = Shape(%y)\nreturn %y, %s\n",
                names.join(", ")
            )
        };
        // 48 KiB each.
        let n_left = |n: usize| {
            let mut model: Model = lines(n).parse().unwrap();
            FoldConstants.run(&mut model).unwrap();
            model.to_string().matches("ConstantOfShape(").count()
        };
        assert_eq!([2, 30].map(n_left), [0, 9]);
    }

    #[test]
    fn failing_operations_are_not_folded() {
        stays("%x = const [1.0, 2.0] : f32[2]\n%n = const [3] : i64[1]\n%y = Reshape(%x, %n)\nreturn %y\n");
    }

    #[test]
    fn quantization_and_random_operators_are_not_folded() {
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
