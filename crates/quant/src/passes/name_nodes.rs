//! Names for all nodes.

use crate::names::Names;
use intact8_ir::{Model, NodeKind, Pass, Result};

/// Gives every operation a unique name, by which configuration, record and reports refer to it.
///
/// An unnamed node becomes `<op>_<n>`, the n-th node of its graph; a name that occurred before gets a number.
/// Names in the bodies of functions stay.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[2]
/// %a = Relu(%x) @""
/// %b = Neg(%a) @same
/// %c = Neg(%b) @same
/// return %c
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[2]
/// %a = Relu(%x) @Relu_0
/// %b = Neg(%a) @same
/// %c = Neg(%b) @same_1
/// return %c
/// ```
pub struct NameNodes;

impl Pass for NameNodes {
    fn name(&self) -> &'static str {
        "name-nodes"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::none();
        let mut changed = false;
        // The first node with a name keeps it, so all existing names are reserved before any new one is made.
        let graphs = model.graphs();
        let operations = graphs
            .flat_map(|(_, graph)| graph.node_ids().map(|id| graph.node(id)))
            .filter(|node| node.as_op().is_some());
        let mut taken: Vec<String> =
            operations.map(|node| node.name.clone()).filter(|name| !name.is_empty()).collect();
        taken.sort_unstable();
        taken.dedup();
        taken.iter().for_each(|name| drop(names.fresh(name)));
        let mut seen = std::collections::HashSet::new();
        model.try_for_each_graph(|_, graph| {
            let ops: Vec<_> =
                graph.topo().into_iter().filter(|&id| graph.node(id).as_op().is_some()).collect();
            for (idx, id) in ops.into_iter().enumerate() {
                let node = graph.node_mut(id);
                let NodeKind::Op(op) = &node.kind else { continue };
                if node.name.is_empty() {
                    node.name = names.fresh(&format!("{}_{idx}", op.name));
                } else if !seen.insert(node.name.clone()) {
                    node.name = names.fresh(&node.name);
                } else {
                    continue;
                }
                changed = true;
            }
            Ok(())
        })?;
        Ok(changed)
    }
}
