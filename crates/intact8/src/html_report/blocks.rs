//! The nodes of a graph in blocks, so that a drawing of a large model has few boxes: first operations join the layer before them, and
//! if that is not enough, stretches of the topological order become blocks, cut where few edges cross.

use crate::layer_graph::LayerGraph;
use std::collections::BTreeSet;

/// The number of blocks that stretches of the order are cut into, about.
const N_STRETCHES: usize = 150;

/// Some blocks with the edges between them; each block is after all that it uses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    /// The positions of the nodes of each block, ascending.
    pub(super) members: Vec<Vec<usize>>,
    /// Pairs of blocks, ascending and each once.
    pub(super) edges: Vec<(usize, usize)>,
}

impl Blocks {
    /// At most about `most` blocks. `is_layer` tells which nodes are layers.
    pub(super) fn of(graph: &LayerGraph, is_layer: impl Fn(usize) -> bool, most: usize) -> Blocks {
        let each: Vec<usize> = (0..graph.nodes.len()).collect();
        let mut blocks = Blocks::numbered(graph, &each);
        if blocks.members.len() > most {
            let numbers = followers_joined(graph, is_layer);
            blocks = Blocks::numbered(graph, &numbers);
        }
        if blocks.members.len() > most {
            blocks = blocks.cut_into_stretches(N_STRETCHES.min(most));
        }
        blocks
    }

    /// Nodes with the same number are a block; numbers are positions of the first nodes of blocks.
    fn numbered(graph: &LayerGraph, numbers: &[usize]) -> Blocks {
        let firsts: BTreeSet<usize> = numbers.iter().copied().collect();
        let order: Vec<usize> = firsts.into_iter().collect();
        let block_of = |node: usize| order.binary_search(&numbers[node]).unwrap_or(0);
        let mut members = vec![vec![]; order.len()];
        (0..numbers.len()).for_each(|node| members[block_of(node)].push(node));
        Blocks { members, edges: between(graph.edges.iter().map(|&(a, b)| (block_of(a), block_of(b)))) }
    }

    /// Joins neighbours in the order. Edges lead forward in it, so those between stretches do too.
    fn cut_into_stretches(self, n_stretches: usize) -> Blocks {
        let n = self.members.len();
        // The number of edges that cross the place before each block.
        let mut crossing = vec![0isize; n + 1];
        for &(from, to) in &self.edges {
            crossing[from + 1] += 1;
            crossing[to + 1] -= 1;
        }
        (1..=n).for_each(|at| crossing[at] += crossing[at - 1]);
        let length = n.div_ceil(n_stretches).max(1);
        let mut starts = vec![0];
        loop {
            let start = starts[starts.len() - 1];
            let (least, most) = (start + length.div_ceil(2), start + length + length / 2);
            if most >= n {
                break;
            }
            let cut = (least..=most).min_by_key(|&at| (crossing[at], at.abs_diff(start + length)));
            starts.push(cut.unwrap_or(most));
        }
        let stretch_of = |block: usize| starts.partition_point(|&start| start <= block) - 1;
        let mut members = vec![vec![]; starts.len()];
        for (block, nodes) in self.members.into_iter().enumerate() {
            members[stretch_of(block)].extend(nodes);
        }
        members.iter_mut().for_each(|nodes| nodes.sort_unstable());
        Blocks { members, edges: between(self.edges.iter().map(|&(a, b)| (stretch_of(a), stretch_of(b)))) }
    }
}

/// The edges that leave a block, each once.
fn between(edges: impl Iterator<Item = (usize, usize)>) -> Vec<(usize, usize)> {
    let edges: BTreeSet<(usize, usize)> = edges.filter(|(from, to)| from != to).collect();
    edges.into_iter().collect()
}

/// For each node the first node of its block: operations that use the results of one block alone belong to it.
fn followers_joined(graph: &LayerGraph, is_layer: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..graph.nodes.len()).collect();
    let mut sources: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); graph.nodes.len()];
    graph.edges.iter().for_each(|&(from, to)| _ = sources[to].insert(from));
    for node in 0..numbers.len() {
        let blocks: BTreeSet<usize> = sources[node].iter().map(|&source| numbers[source]).collect();
        if let (false, [block]) = (is_layer(node), &blocks.into_iter().collect::<Vec<_>>()[..]) {
            numbers[node] = *block;
        }
    }
    numbers
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::layer_graph::GraphNode;

    /// A chain of `n` layers, each followed by an activation; every third layer also uses the activation two before.
    pub(in super::super) fn residual(n: usize) -> LayerGraph {
        let node = |idx: usize| GraphNode {
            name: format!(
                "stage{}.layer{}{}",
                idx / 40,
                idx / 2,
                if idx.is_multiple_of(2) { "" } else { ".act" }
            ),
            operator: if idx.is_multiple_of(2) { "Conv" } else { "Relu" }.to_owned(),
        };
        let chain = (1..2 * n).map(|idx| (idx - 1, idx));
        let skips = (0..n).filter(|layer| layer % 3 == 2).map(|layer| (2 * layer - 3, 2 * layer));
        let mut edges: Vec<(usize, usize)> = chain.chain(skips).collect();
        edges.sort_unstable();
        LayerGraph { nodes: (0..2 * n).map(node).collect(), edges }
    }

    #[test]
    fn small_graphs_keep_their_nodes_and_larger_ones_their_layers() {
        let graph = residual(100);
        let is_layer = |node: usize| node.is_multiple_of(2);
        assert_eq!(Blocks::of(&graph, is_layer, 400).members.len(), 200);
        let layers = Blocks::of(&graph, is_layer, 150);
        assert_eq!((layers.members.len(), &layers.members[1][..]), (100, &[2, 3][..]));
    }

    #[test]
    fn stretches_hold_every_node_once_and_edges_lead_forward() {
        let graph = residual(2000);
        let blocks = Blocks::of(&graph, |node| node.is_multiple_of(2), 400);
        assert!((100..=400).contains(&blocks.members.len()), "{}", blocks.members.len());
        let mut all: Vec<usize> = blocks.members.concat();
        all.sort_unstable();
        assert_eq!(all, (0..4000).collect::<Vec<_>>());
        assert!(blocks.edges.iter().all(|(from, to)| from < to));
        // Cuts lie between the skips wherever there is a choice.
        assert_eq!(blocks.edges.len(), blocks.members.len() - 1);
    }
}
