//! The choice of cuts through a graph at which activations are cached: those that save the most time for their memory.

use super::fingerprint::Fingerprints;
use intact8_ir::{Graph, NodeId, ValueId};
use std::collections::{BTreeSet, HashMap};

/// The cost of a value on one batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// Its size.
    pub(super) n_bytes: usize,
    /// The time to compute it.
    pub(super) seconds: f64,
}

/// The largest number of cuts.
const MAX_CUTS: usize = 32;

/// A cut after the node at a position in topological order: the values that cross it with their sizes, and the time to compute
/// everything before it.
struct Cut {
    position: usize,
    values: Vec<(ValueId, usize)>,
    seconds: f64,
}

/// The values that cross the best cuts, in at most `memory` bytes. Values without a cost can't be cached.
///
/// The next model differs from this one at some QuantizeLinear, and may start from the last cut before it. So the choice is
/// greedy: each time the cut that saves the most time for its bytes, on average over all QuantizeLinear nodes.
pub(super) fn cuts(
    graph: &Graph,
    fingerprints: &Fingerprints,
    costs: &HashMap<String, Cost>,
    memory: usize,
) -> BTreeSet<ValueId> {
    let is_computed = |id: &NodeId| fingerprints.0.contains_key(&ValueId::from(*id));
    let order: Vec<NodeId> = graph.topo().into_iter().filter(is_computed).collect();
    let is_quantization = |position: &usize| graph.node(order[*position]).is("QuantizeLinear");
    // For each QuantizeLinear: its position, and the time that the chosen cuts save if the next model differs there.
    let mut saved: Vec<(usize, f64)> =
        (0..order.len()).filter(is_quantization).map(|position| (position, 0.0)).collect();
    let cuts = all_cuts(graph, &order, costs);
    let mut chosen: BTreeSet<ValueId> = BTreeSet::new();
    let mut n_free = memory;
    for _ in 0..MAX_CUTS {
        let n_bytes = |cut: &Cut| -> usize {
            cut.values.iter().filter(|(value, _)| !chosen.contains(value)).map(|(_, n_bytes)| n_bytes).sum()
        };
        let gain = |cut: &Cut| -> f64 {
            let after = saved.iter().filter(|(position, _)| *position > cut.position);
            after.map(|(_, saved)| (cut.seconds - saved).max(0.0)).sum()
        };
        let rated = cuts.iter().map(|cut| (cut, n_bytes(cut), gain(cut)));
        let fitting = rated.filter(|(_, n_bytes, gain)| *n_bytes <= n_free && *gain > 0.0);
        let gain_per_byte = |n_bytes: usize, gain: f64| gain / (n_bytes + 1) as f64;
        let Some((best, n_bytes, _)) =
            fitting.max_by(|a, b| gain_per_byte(a.1, a.2).total_cmp(&gain_per_byte(b.1, b.2)))
        else {
            break;
        };
        n_free -= n_bytes;
        chosen.extend(best.values.iter().map(|(value, _)| *value));
        let after = saved.iter_mut().filter(|(position, _)| *position > best.position);
        after.for_each(|(_, saved)| *saved = saved.max(best.seconds));
    }
    chosen
}

/// The cuts after each node that only values with a cost cross. The model's inputs need not be cached.
fn all_cuts(graph: &Graph, order: &[NodeId], costs: &HashMap<String, Cost>) -> Vec<Cut> {
    let positions: HashMap<NodeId, usize> =
        order.iter().enumerate().map(|(position, &id)| (id, position)).collect();
    let last_use = |value: ValueId| {
        let users = graph.users(value).into_iter().filter_map(|(user, _)| positions.get(&user).copied());
        if graph.outputs().contains(&value) { Some(usize::MAX) } else { users.max() }
    };
    let mut alive: Vec<(ValueId, Option<usize>, usize)> = Vec::new();
    let mut seconds = 0.0;
    let mut cuts = Vec::new();
    for (position, &id) in order.iter().enumerate() {
        let node = graph.node(id);
        for (slot, output) in node.outputs.iter().enumerate().filter(|_| node.as_op().is_some()) {
            let (value, cost) = (ValueId { node: id, slot }, costs.get(&output.name));
            seconds += cost.map_or(0.0, |cost| cost.seconds);
            alive.extend(last_use(value).map(|last| (value, cost.map(|cost| cost.n_bytes), last)));
        }
        alive.retain(|(_, _, last)| *last > position);
        let values: Option<Vec<(ValueId, usize)>> =
            alive.iter().map(|&(value, n_bytes, _)| Some((value, n_bytes?))).collect();
        cuts.extend(values.map(|values| Cut { position, values, seconds }));
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scorer::fingerprint::Constants;
    use intact8_ir::Model;

    const MODEL: &str = "model m opset 17
%x = input : f32[N]
%s = const [0.5] : f32[]
%a = Exp(%x)
%b = Neg(%a)
%q = QuantizeLinear(%b, %s)
%d = DequantizeLinear(%q, %s)
%c = Add(%d, %a)
%r = QuantizeLinear(%c, %s)
%y = DequantizeLinear(%r, %s)
return %y
";

    fn names(memory: usize) -> Vec<String> {
        let model: Model = MODEL.parse().unwrap();
        let cost = |name: &str, n_bytes, seconds| (name.to_owned(), Cost { n_bytes, seconds });
        let costs = HashMap::from([
            cost("a", 40, 1.0),
            cost("b", 40, 1.0),
            cost("q", 10, 0.1),
            cost("d", 40, 0.1),
            cost("c", 40, 0.1),
            cost("r", 10, 0.1),
            cost("y", 40, 0.1),
        ]);
        let cuts =
            cuts(model.main(), &Fingerprints::of(&model, &mut 0, &mut Constants::default()), &costs, memory);
        cuts.into_iter().map(|value| model.main().value(value).name.clone()).collect()
    }

    #[test]
    fn the_values_of_a_cut_are_chosen_together() {
        // One value before the last QuantizeLinear, then the two before the first.
        assert_eq!(names(39), [""; 0]);
        assert_eq!(names(40), ["c"]);
        assert_eq!(names(120), ["a", "b", "c"]);
        // No model starts after the last QuantizeLinear.
        assert_eq!(names(1000), ["a", "b", "c"]);
    }
}
