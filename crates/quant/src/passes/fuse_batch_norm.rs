//! A factor and a summand for each channel, as one batch normalization.

use crate::names::Names;
use crate::new_nodes::constant;
use crate::uses::{constant_operand, detach, has_one_use};
use intact8_ir::{Attr, Graph, Model, Node, NodeId, Op, Pass, Result, Tensor, ValueId};

/// Writes a Mul and the Add after it, each of one constant for each channel, as one BatchNormalization, which takes half the
/// time. Its mean is 0 and its variance 1, so it computes the same numbers.
///
/// Such pairs are what `lower-batch-norm` makes of a normalization that no layer absorbs: as two operations, their constants
/// can be folded and smoothed one by one. Left alone: sums with other uses, values of less than three dimensions, and
/// constants that are not one for each element of dimension 1.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2,4,4]
/// %scale = const [1.0, 3.0] : f32[2,1,1]
/// %m = Mul(%x, %scale) : f32[N,2,4,4]
/// %shift = const [-0.5, 0.25] : f32[2,1,1]
/// %y = Add(%m, %shift) @bn : f32[N,2,4,4]
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2,4,4]
/// %bn.scale = const [1.0, 3.0] : f32[2]
/// %bn.shift = const [-0.5, 0.25] : f32[2]
/// %bn.mean = const splat(0.0) : f32[2]
/// %bn.var = const splat(1.0) : f32[2]
/// %y = BatchNormalization(%x, %bn.scale, %bn.shift, %bn.mean, %bn.var) {epsilon = 0.0} @bn : f32[N,2,4,4]
/// return %y
/// ```
pub struct FuseBatchNorm;

/// The oldest operator set whose BatchNormalization has no other outputs outside of training.
const OPSET: i64 = 14;

impl Pass for FuseBatchNorm {
    fn name(&self) -> &'static str {
        "fuse-batch-norm"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        if model.opset() < OPSET {
            return Ok(false);
        }
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let Some((product, values)) = fused(graph, id) else { continue };
                fuse(graph, (id, product.node), values, &mut names);
                changed = true;
            }
            Ok(())
        })?;
        if changed {
            model.remove_dead();
        }
        Ok(changed)
    }
}

/// Of an Add after a Mul: the product, and the factors and summands of the channels.
fn fused(graph: &Graph, id: NodeId) -> Option<(ValueId, [Vec<f32>; 2])> {
    if !graph.node(id).is("Add") {
        return None;
    }
    let (slot, shift) = constant_operand(graph, id)?;
    let product = graph.operand(id, 1 - slot).filter(|&product| has_one_use(graph, product))?;
    let (slot, scale) =
        constant_operand(graph, product.node).filter(|_| graph.node(product.node).is("Mul"))?;
    let input = graph.operand(product.node, 1 - slot)?;
    let dims = graph.value(input).tensor_type()?.shape.as_ref()?;
    let n_channels = dims.get(1)?.known().filter(|_| dims.len() > 2)?;
    let of_channels = |tensor: &Tensor| {
        let mut expected = vec![n_channels];
        expected.resize(dims.len() - 1, 1);
        let shape = tensor.shape();
        let is_per_channel =
            shape == expected || shape.len() == dims.len() && shape[0] == 1 && shape[1..] == expected;
        Some(tensor.values::<f32>().ok().filter(|_| is_per_channel)?.to_vec())
    };
    Some((product, [of_channels(scale)?, of_channels(shift)?]))
}

fn fuse(
    graph: &mut Graph,
    (sum, product): (NodeId, NodeId),
    [scale, shift]: [Vec<f32>; 2],
    names: &mut Names,
) {
    let input =
        (0..2).find_map(|slot| graph.operand(product, slot).filter(|&value| graph.constant(value).is_none()));
    let node = graph.node(sum);
    let (label, name, result) = (node.label().to_owned(), node.name.clone(), node.outputs[0].clone());
    let n = scale.len();
    let parts = [("scale", scale), ("shift", shift), ("mean", vec![0.0; n]), ("var", vec![1.0; n])];
    let parts = parts.map(|(part, values)| {
        Some(constant(graph, names, &format!("{label}.{part}"), Tensor::new(&[n], values)))
    });
    let op = Op::new("BatchNormalization").with("epsilon", Attr::Float(0.0));
    let operands: Vec<Option<ValueId>> = [input].into_iter().chain(parts).collect();
    let norm = graph.add(Node::op(&name, op, [result]), &operands);
    graph.add_origins(norm, product);
    graph.replace_uses(sum.into(), norm.into());
    detach(graph, sum);
}
