//! Operators that fuse a product with its neighbours, written as the product and the neighbours.

mod contrib;
mod einsum;
mod summand;

use crate::names::Names;
use crate::new_nodes::{constant, operation};
use crate::ranks::{GraphRanks, Ranks};
use crate::uses::detach;
use intact8_ir::{Attr, Graph, Model, Node, NodeId, Op, Pass, Result, Tensor, Value, ValueId};

/// Writes operators that fuse a product with its neighbours as Conv, Gemm or MatMul and the neighbours, so that the
/// product can be quantized: FusedConv, FusedGemm and FusedMatMul of `com.microsoft`, and an Einsum that is a product
/// with a constant matrix. The product keeps the name of the node, the last operation the name of the value. What a
/// Gemm adds becomes a bias of one dimension, or else an Add: runtimes compute a Gemm of integers with no other.
///
/// Left alone: a Gemm with factors or a transposed activation, an Einsum with other than two operands, without a constant one, with dimensions that both operands and
/// the result share, or that only one operand has, and a product whose ranks are not known where it is transposed.
///
/// ```qir before
/// model m opset 17, com.microsoft 1
/// %x = input : f32[N,4,2]
/// %w = const [1.0, 2.0, 3.0, 4.0, 5.0, 6.0] : f32[3,2]
/// %p = Einsum(%x, %w) {equation = "nsc,oc->nso"} @proj
/// %v = const [1.0, 2.0, 3.0] : f32[3,1]
/// %y = com.microsoft::FusedMatMul(%p, %v) {alpha = 0.5} @scaled
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17, com.microsoft 1
/// %x = input : f32[N,4,2]
/// %w = const [1.0, 2.0, 3.0, 4.0, 5.0, 6.0] : f32[3,2]
/// %v = const [1.0, 2.0, 3.0] : f32[3,1]
/// %proj.weight = Transpose(%w) {perm = [1, 0]}
/// %p = MatMul(%x, %proj.weight) @proj
/// %scaled.alpha = const [0.5] : f32[]
/// %scaled.product = MatMul(%p, %v) @scaled
/// %y = Mul(%scaled.product, %scaled.alpha) @scaled.scaled
/// return %y
/// ```
pub struct Unfuse;

/// An operator that is rewritten.
struct Fused {
    domain: &'static str,
    name: &'static str,
    /// Rewrites a node, if it can.
    rewrite: fn(&mut Rewriter<'_>) -> Option<()>,
}

/// The operators that are rewritten, in this order: one row may produce the operators of a later one. Supporting another one
/// is adding a row.
const FUSED: &[Fused] = &[
    Fused { domain: "", name: "Einsum", rewrite: einsum::product },
    Fused { domain: "com.microsoft", name: "FusedConv", rewrite: contrib::conv },
    Fused { domain: "com.microsoft", name: "FusedGemm", rewrite: contrib::gemm },
    Fused { domain: "com.microsoft", name: "FusedMatMul", rewrite: contrib::mat_mul },
    Fused { domain: "", name: "Gemm", rewrite: summand::of_gemm },
];

impl Pass for Unfuse {
    fn name(&self) -> &'static str {
        "unfuse"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let is_of = |row: &Fused, graph: &Graph, id: NodeId| {
            graph.node(id).as_op().is_some_and(|op| row.domain == op.domain && row.name == op.name)
        };
        let is_any = |graph: &Graph, id: NodeId| FUSED.iter().any(|row| is_of(row, graph, id));
        if !model.graphs().any(|(_, graph)| graph.node_ids().any(|id| is_any(graph, id))) {
            return Ok(false);
        }
        let (opset, ranks, mut names) = (model.opset(), Ranks::of(model), Names::of(model));
        let mut changed = false;
        model.try_for_each_graph(|graph_id, graph| {
            let ranks = ranks.in_graph(graph_id);
            for row in FUSED {
                for id in graph.topo() {
                    if !is_of(row, graph, id) {
                        continue;
                    }
                    let label = graph.node(id).label().to_owned();
                    let mut rewriter = Rewriter { graph, id, label, ranks, opset, names: &mut names };
                    changed |= (row.rewrite)(&mut rewriter).is_some();
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

/// A node to rewrite.
struct Rewriter<'a> {
    graph: &'a mut Graph,
    id: NodeId,
    label: String,
    ranks: GraphRanks<'a>,
    opset: i64,
    names: &'a mut Names,
}

impl Rewriter<'_> {
    fn op(&self) -> &Op {
        self.graph.node(self.id).as_op().expect("only operations are rewritten")
    }

    fn operand(&self, slot: usize) -> Option<ValueId> {
        self.graph.operand(self.id, slot)
    }

    fn rank(&self, value: ValueId) -> Option<usize> {
        self.ranks.rank(self.graph, value)
    }

    /// A new constant, named after the node.
    fn constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        constant(self.graph, self.names, &format!("{}.{name}", self.label), tensor)
    }

    /// A new operation, named after the node.
    fn operation(&mut self, name: &str, op: Op, operands: &[ValueId]) -> ValueId {
        operation(self.graph, self.names, &format!("{}.{name}", self.label), op, None, operands)
    }

    /// A value with its dimensions in another order.
    fn transposed(&mut self, name: &str, value: ValueId, order: &[usize]) -> ValueId {
        if order.is_sorted() {
            return value;
        }
        let perm = order.iter().map(|&axis| axis as i64).collect();
        self.operation(name, Op::new("Transpose").with("perm", Attr::Ints(perm)), &[value])
    }

    /// A value with another shape: 0 stands for the length of the same dimension.
    fn reshaped(&mut self, name: &str, value: ValueId, shape: &[i64]) -> ValueId {
        let shape = Tensor::new(&[shape.len()], shape.to_vec());
        let shape = self.constant(&format!("{name}.shape"), shape);
        self.operation(name, Op::new("Reshape"), &[value, shape])
    }

    /// Replaces the node by a product and the operations after it, each a function of the result before it. The
    /// product has the node's name, and the last result the name of the node's.
    fn replace(&mut self, product: Op, operands: &[Option<ValueId>], followers: Vec<Follower>) {
        let given = ValueId::from(self.id);
        let node = self.graph.node_mut(self.id);
        let (name, notes) = (node.name.clone(), node.notes.clone());
        let result = std::mem::take(&mut node.outputs[0]);
        let value = match followers.is_empty() {
            true => String::new(),
            false => self.names.fresh(&format!("{}.product", self.label)),
        };
        let product = self.graph.add(Node::op(&name, product, [Value::new(value)]), operands);
        self.graph.node_mut(product).notes = notes;
        self.graph.add_origins(product, self.id);
        let mut last = ValueId::from(product);
        for Follower { name, op, others } in followers {
            last = self.operation(name, op, &[&[last], &others[..]].concat());
            self.graph.add_origins(last.node, self.id);
        }
        self.graph.node_mut(last.node).outputs[0] = result;
        self.graph.replace_uses(given, last);
        detach(self.graph, self.id);
    }
}

/// An operation after a product.
struct Follower {
    /// What is appended to the node's name.
    name: &'static str,
    op: Op,
    /// The operands after the first, which is the result before.
    others: Vec<ValueId>,
}
