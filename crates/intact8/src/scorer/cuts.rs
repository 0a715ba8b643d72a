//! Where to cut a graph, so that what crosses the cuts takes little memory and saves much time.

use super::fingerprint::Fingerprints;
use intact8_ir::{Graph, NodeId, ValueId};
use std::collections::{BTreeSet, HashMap};

/// What a value takes, on a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) n_bytes: usize,
    pub(super) seconds: f64,
}

/// As many cuts as are worth looking for.
const MOST_CUTS: usize = 32;

/// A cut behind a node: what crosses it, and how long everything before it takes.
struct Cut {
    position: usize,
    values: Vec<(ValueId, usize)>,
    seconds: f64,
}

/// The values that cross the best cuts, in at most `memory` bytes. Values without a cost can't be kept.
///
/// The next model differs from this one at some quantization, and may start from the last cut before it. So each time
/// the cut is taken that saves most time for its bytes, the mean over all quantizations.
pub(super) fn cuts(
    graph: &Graph,
    fingerprints: &Fingerprints,
    costs: &HashMap<String, Cost>,
    memory: usize,
) -> BTreeSet<ValueId> {
    let is_computed = |id: &NodeId| fingerprints.0.contains_key(&ValueId::from(*id));
    let order: Vec<NodeId> = graph.topo().into_iter().filter(is_computed).collect();
    let is_quantization = |position: &usize| graph.node(order[*position]).is("QuantizeLinear");
    // For each quantization: its position, and the time that is saved so far if the next model differs there.
    let mut saved: Vec<(usize, f64)> =
        (0..order.len()).filter(is_quantization).map(|position| (position, 0.0)).collect();
    let cuts = all_cuts(graph, &order, costs);
    let mut taken: BTreeSet<ValueId> = BTreeSet::new();
    let mut n_left = memory;
    for _ in 0..MOST_CUTS {
        let n_bytes = |cut: &Cut| -> usize {
            cut.values.iter().filter(|(value, _)| !taken.contains(value)).map(|(_, n_bytes)| n_bytes).sum()
        };
        let gain = |cut: &Cut| -> f64 {
            let behind = saved.iter().filter(|(position, _)| *position > cut.position);
            behind.map(|(_, saved)| (cut.seconds - saved).max(0.0)).sum()
        };
        let rated = cuts.iter().map(|cut| (cut, n_bytes(cut), gain(cut)));
        let fitting = rated.filter(|(_, n_bytes, gain)| *n_bytes <= n_left && *gain > 0.0);
        let worth = |n_bytes: usize, gain: f64| gain / (n_bytes + 1) as f64;
        let Some((best, n_bytes, _)) = fitting.max_by(|a, b| worth(a.1, a.2).total_cmp(&worth(b.1, b.2)))
        else {
            break;
        };
        n_left -= n_bytes;
        taken.extend(best.values.iter().map(|(value, _)| *value));
        let behind = saved.iter_mut().filter(|(position, _)| *position > best.position);
        behind.for_each(|(_, saved)| *saved = saved.max(best.seconds));
    }
    taken
}

/// The cuts behind each node that only values with a cost cross. The model's inputs need not be kept.
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
        for (slot, made) in node.outputs.iter().enumerate().filter(|_| node.as_op().is_some()) {
            let (value, cost) = (ValueId { node: id, slot }, costs.get(&made.name));
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
    fn what_crosses_a_cut_is_kept_whole_or_not_at_all() {
        // One value in front of the last quantization, then the two in front of the first.
        assert_eq!(names(39), [""; 0]);
        assert_eq!(names(40), ["c"]);
        assert_eq!(names(120), ["a", "b", "c"]);
        // What lies behind the last quantization is never started from.
        assert_eq!(names(1000), ["a", "b", "c"]);
    }
}
