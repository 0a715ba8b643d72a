//! Lowered models of which some values are watched: they keep these values, and are lowered between them.
//!
//! A watched value is an output of the model while it is lowered, so no pass removes it or computes it together with what uses it.

use crate::lower::lower;
use intact8_ir::{Graph, GraphId, Model, NodeId, NodeKind, Result, ValueId, ValueRef};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Values of the main graph of a lowered model that a tap receives, each with the value of the model as it is written that it is.
pub(crate) type Watched = HashMap<ValueId, ValueRef>;

/// The lowered form of a verified model with the values that are watched; `None` if there is nothing to lower, or a tap would not
/// receive them all: values are in subgraphs, become constants, or are the same one.
///
/// # Errors
/// As [`lower`].
pub(crate) fn lower_watched(model: &Model, watched: &BTreeSet<ValueRef>) -> Result<Option<(Model, Watched)>> {
    if watched.iter().any(|value| value.graph != GraphId::MAIN) {
        return Ok(None);
    }
    let graph = model.main();
    let (of_inputs, computed): (Vec<&ValueRef>, Vec<&ValueRef>) =
        watched.iter().partition(|value| graph.inputs().contains(&value.value.node));
    let mut with_outputs = model.clone();
    let outputs = graph.outputs().iter().copied();
    with_outputs.main_mut().set_outputs(outputs.chain(computed.iter().map(|value| value.value)).collect());
    let Some(mut lowered) = lower(&with_outputs)? else { return Ok(None) };
    let graph = lowered.main_mut();
    let n_outputs = graph.outputs().len() - computed.len();
    let mut outputs = graph.outputs().to_vec();
    let kept = outputs.split_off(n_outputs);
    graph.set_outputs(outputs);
    let input = |value: &ValueRef| {
        let name = &model.main().value(value.value).name;
        let is_it = |id: &&NodeId| graph.node(**id).outputs[0].name == *name;
        graph.inputs().iter().find(is_it).map(|&id| ValueId::from(id))
    };
    let inputs = of_inputs.into_iter().filter_map(|value| Some((input(value)?, *value)));
    let found: Watched = inputs.chain(kept.into_iter().zip(computed.into_iter().copied())).collect();
    let is_constant = |value: &ValueId| matches!(graph.node(value.node).kind, NodeKind::Const(_));
    let is_whole = found.len() == watched.len() && !found.keys().any(is_constant);
    Ok(is_whole.then_some((lowered, found)))
}

/// The nodes in topological order. Those that nothing needs but a tap come as soon as their operands are computed, so that a tap
/// receives an input of a node before its output, and no value lives longer for it.
pub(crate) fn order(graph: &Graph) -> Vec<NodeId> {
    let topo = graph.topo();
    let users = |id: NodeId| {
        let values = (0..graph.node(id).outputs.len()).map(move |slot| ValueId { node: id, slot });
        values.flat_map(|value| graph.users(value)).map(|(user, _)| user)
    };
    let mut only_watched: HashSet<NodeId> = HashSet::new();
    for &id in topo.iter().rev() {
        let is_output = graph.outputs().iter().any(|value| value.node == id);
        let has_operands = graph.operands(id).iter().flatten().next().is_some();
        if has_operands && !is_output && users(id).all(|user| only_watched.contains(&user)) {
            only_watched.insert(id);
        }
    }
    let (mut order, mut done) = (Vec::with_capacity(topo.len()), HashSet::new());
    for id in topo {
        let mut pending = if only_watched.contains(&id) { vec![] } else { vec![id] };
        while let Some(id) = pending.pop() {
            order.push(id);
            done.insert(id);
            let is_ready = |user: &NodeId| {
                let operands = graph.operands(*user);
                only_watched.contains(user)
                    && !done.contains(user)
                    && operands.iter().flatten().all(|value| done.contains(&value.node))
            };
            let ready: BTreeSet<NodeId> = users(id).filter(is_ready).collect();
            pending.extend(ready);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Interpreter, Session};
    use intact8_ir::{Runtime, Tensor};

    const TEXT: &str = "model m opset 17\n%x = input : f32[N,3,8,8]\n%w = const splat(0.05) : f32[16,3,3,3]\n\
        %v = const splat(0.02) : f32[16,16,1,1]\n%a = Conv(%x, %w) {pads = [1, 1, 1, 1]}\n%r = Relu(%a)\n\
        %b = Conv(%r, %v)\n%s = Add(%b, %r)\n%c = Conv(%s, %v)\n%t = Sigmoid(%c)\n%p = GlobalAveragePool(%t)\n\
        %f = Flatten(%p)\nreturn %f\n";

    fn values(model: &Model, names: &[&str]) -> BTreeSet<ValueRef> {
        let value = |name: &&str| model.main().value_named(name).unwrap();
        names.iter().map(|name| ValueRef { graph: GraphId::MAIN, value: value(name) }).collect()
    }

    /// The values that a tap receives, in order, with the outputs of the run.
    fn tapped(executor: &dyn intact8_ir::Executor, input: &Tensor) -> (Vec<(ValueRef, Tensor)>, Vec<Tensor>) {
        let mut found = Vec::new();
        let mut tap = |value, tensor: &Tensor| {
            found.push((value, tensor.clone()));
            Ok(())
        };
        let outputs = executor.run_tapped(std::slice::from_ref(input), &mut tap).unwrap();
        (found, outputs)
    }

    #[test]
    fn watched_values_are_those_of_the_model_as_it_is_written_in_its_order() {
        let model: Model = TEXT.parse().unwrap();
        let input =
            Tensor::new(&[2, 3, 8, 8], (0..384).map(|idx| (idx * 37 % 101) as f32 / 50.0 - 1.0).collect());
        let (all, expected_outputs) =
            tapped(&Session::as_written(&model, Default::default()).unwrap(), &input);
        for names in [&["x", "r", "s"][..], &["x", "a", "b", "c"], &["t"], &["r", "f"], &["p"], &["x"], &[]] {
            let watched = values(&model, names);
            let interpreter = Interpreter::default();
            let executor = interpreter.compile_watched(&model, &watched).unwrap();
            let (found, outputs) = tapped(&*executor, &input);
            let expected: Vec<_> = all.iter().filter(|(value, _)| watched.contains(value)).collect();
            assert!(
                found.iter().map(|(value, _)| value).eq(expected.iter().map(|(value, _)| value)),
                "{names:?}"
            );
            let pairs = found.iter().zip(expected).map(|((_, found), (_, expected))| (found, expected));
            for (found, expected) in pairs.chain(outputs.iter().zip(&expected_outputs)) {
                assert_eq!(found.shape(), expected.shape());
                let values = found.values::<f32>().unwrap().iter().zip(expected.values::<f32>().unwrap());
                values.for_each(|(found, expected)| {
                    assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{names:?}");
                });
            }
        }
    }

    #[test]
    fn a_model_is_lowered_between_watched_values() {
        let model: Model = TEXT.parse().unwrap();
        let (lowered, watched) = lower_watched(&model, &values(&model, &["x", "r", "s"])).unwrap().unwrap();
        assert_eq!(watched.len(), 3);
        let text = lowered.to_string();
        assert!(text.contains("BlockedConv") && !text.contains(" = Sigmoid("), "{text}");
    }

    #[test]
    fn a_model_of_which_values_in_subgraphs_are_watched_runs_as_it_is_written() {
        let text = "model m opset 17\n%c = input : bool[]\n%x = input : f32[2]\n\
            %y = If(%c; %x, %x) {else_branch = graph {\n  %x.1 = capture\n  %n = Neg(%x.1)\n  return %n\n}, \
            then_branch = graph {\n  %x.2 = capture\n  return %x.2\n}}\nreturn %y\n";
        let model: Model = text.parse().unwrap();
        let (graph, value) =
            model.graphs().find_map(|(id, graph)| Some((id, graph.value_named("n")?))).unwrap();
        assert!(lower_watched(&model, &[ValueRef { graph, value }].into()).unwrap().is_none());
    }
}
