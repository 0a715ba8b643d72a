//! The summand of a Gemm.

use super::{Follower, Rewriter};
use crate::linear_view::LinearView;
use intact8_ir::{Op, Tensor, ValueId};

/// Makes the summand of a Gemm its bias, one value for each output channel, or an Add after the product.
pub(super) fn of_gemm(node: &mut Rewriter<'_>) -> Option<()> {
    let summand = node.operand(2)?;
    let factor = |name: &str| node.op().float(name).ok().map(|factor| factor.unwrap_or(1.0));
    let has_factors = factor("alpha")? != 1.0 || factor("beta")? != 1.0;
    if has_factors || node.op().int("transA").ok()?.unwrap_or(0) != 0 {
        return None;
    }
    if let Some(bias) = per_channel(node, summand) {
        let bias = node.constant("b", bias);
        node.graph.set_operand(node.id, 2, Some(bias));
        return Some(());
    }
    // One dimension is that of the channels.
    if node.rank(summand)? < 2 {
        return None;
    }
    let operands = [node.operand(0), node.operand(1)];
    let sum = Follower { name: "sum", op: Op::new("Add"), others: vec![summand] };
    node.replace(node.op().clone(), &operands, vec![sum]);
    Some(())
}

/// A constant that all rows share, with one value for each output channel; `None` if it is one already.
fn per_channel(node: &Rewriter<'_>, summand: ValueId) -> Option<Tensor> {
    let tensor = node.graph.constant(summand)?;
    if tensor.len() != 1 {
        let &[1, n_channels] = tensor.shape() else { return None };
        return tensor.reshaped(&[n_channels]);
    }
    let weight = node.graph.constant(node.operand(1)?)?;
    let n_channels = LinearView::of(node.op(), 1, weight.shape())?.layout.n_outputs();
    let value = tensor.values::<f32>().ok()?[0];
    (tensor.shape() != [n_channels]).then(|| Tensor::new(&[n_channels], vec![value; n_channels]))
}
