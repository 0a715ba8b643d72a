//! Fused products of `com.microsoft`.

use super::{Follower, Rewriter};
use intact8_ir::{Attr, DType, Op, Tensor, ValueId};

/// A Conv, an optional summand of the result's shape, and an activation.
pub(super) fn conv(node: &mut Rewriter<'_>) -> Option<()> {
    const OWN: [&str; 6] = ["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
    let product = product(node, "Conv", &OWN, &["activation", "activation_params"])?;
    let params = node.op().floats("activation_params").ok()?.unwrap_or_default().to_vec();
    let names =
        if node.op().str("activation").ok()? == Some("Clip") { ["min", "max"] } else { ["alpha", "beta"] };
    let activation = activation(node, names.into_iter().zip(params).collect())?;
    let summand =
        node.operand(3).map(|value| Follower { name: "sum", op: Op::new("Add"), others: vec![value] });
    let operands = operands(node, 3);
    node.replace(product, &operands, summand.into_iter().chain(activation).collect());
    Some(())
}

/// A Gemm and an activation.
pub(super) fn gemm(node: &mut Rewriter<'_>) -> Option<()> {
    const PARAMS: [(&str, &str); 3] =
        [("activation_alpha", "alpha"), ("activation_beta", "beta"), ("activation_gamma", "gamma")];
    let others = ["activation", PARAMS[0].0, PARAMS[1].0, PARAMS[2].0];
    let product = product(node, "Gemm", &["alpha", "beta", "transA", "transB"], &others)?;
    let mut params = vec![];
    for (attribute, name) in PARAMS {
        params.extend(node.op().float(attribute).ok()?.map(|value| (name, value)));
    }
    let activation = activation(node, params)?;
    let operands = operands(node, 3);
    node.replace(product, &operands, activation.into_iter().collect());
    Some(())
}

/// A product of matrices, which may be transposed, and a factor.
pub(super) fn mat_mul(node: &mut Rewriter<'_>) -> Option<()> {
    const BATCHES: [&str; 2] = ["transBatchA", "transBatchB"];
    product(node, "MatMul", &[], &["alpha", "transA", "transB", BATCHES[0], BATCHES[1]])?;
    for attribute in BATCHES {
        node.op().int(attribute).ok().filter(|flag| flag.unwrap_or(0) == 0)?;
    }
    let alpha = node.op().float("alpha").ok()?.unwrap_or(1.0);
    let mut orders = vec![];
    for (slot, attribute) in ["transA", "transB"].into_iter().enumerate() {
        let (value, is_transposed) = (node.operand(slot)?, node.op().int(attribute).ok()?.unwrap_or(0) != 0);
        let rank = if is_transposed { node.rank(value)? } else { 0 };
        let mut order: Vec<usize> = (0..rank).collect();
        if rank > 1 {
            order.swap(rank - 2, rank - 1);
        }
        orders.push((value, order));
    }
    let factor = if alpha == 1.0 { None } else { Some(number(node, alpha)?) };
    let names = ["left", "right"].into_iter().zip(orders);
    let operands: Vec<Option<ValueId>> =
        names.map(|(name, (value, order))| Some(node.transposed(name, value, &order))).collect();
    let factor = factor.map(|alpha| node.constant("alpha", alpha));
    let scaled = factor.map(|alpha| Follower { name: "scaled", op: Op::new("Mul"), others: vec![alpha] });
    node.replace(Op::new("MatMul"), &operands, scaled.into_iter().collect());
    Some(())
}

/// The product with the attributes that it has in ONNX too; `None` if the node has attributes of which neither the
/// product nor the fusion knows.
fn product(node: &Rewriter<'_>, name: &str, own: &[&str], others: &[&str]) -> Option<Op> {
    let attrs = &node.op().attrs;
    let is_known = |name: &String| own.iter().chain(others).any(|known| known == name);
    let own = attrs.iter().filter(|(name, _)| own.contains(&&***name));
    let own = own.map(|(name, attr)| (name.clone(), attr.clone())).collect();
    attrs.keys().all(is_known).then(|| Op { attrs: own, ..Op::new(name) })
}

fn operands(node: &Rewriter<'_>, n_operands: usize) -> Vec<Option<ValueId>> {
    let mut operands: Vec<_> = (0..n_operands).map(|slot| node.operand(slot)).collect();
    operands.truncate(operands.iter().rposition(Option::is_some).map_or(0, |last| last + 1));
    operands
}

/// The activation of the attribute, if there is one, with these parameters; `None` if it is none of those that ONNX
/// Runtime fuses.
fn activation(node: &mut Rewriter<'_>, params: Vec<(&'static str, f32)>) -> Option<Option<Follower>> {
    let name = node.op().str("activation").ok()?.unwrap_or_default();
    let known: &[&str] = match name {
        "" => return Some(None),
        "Relu" | "Sigmoid" | "Tanh" => &[],
        "LeakyRelu" | "Elu" => &["alpha"],
        "HardSigmoid" => &["alpha", "beta"],
        "Clip" => &["min", "max"],
        _ => return None,
    };
    let op = Op::new(name);
    let params: Vec<_> = params.into_iter().filter(|(name, _)| known.contains(name)).collect();
    if op.is("Clip") && node.opset >= 11 {
        let [(_, min), (_, max)] = params[..] else { return None };
        let (min, max) = (number(node, min)?, number(node, max)?);
        let others = vec![node.constant("min", min), node.constant("max", max)];
        return Some(Some(Follower { name: "activation", op, others }));
    }
    let op = params.into_iter().fold(op, |op, (name, value)| op.with(name, Attr::Float(value)));
    Some(Some(Follower { name: "activation", op, others: vec![] }))
}

/// A number of the type of the node's first two operands, which may not be known of both.
fn number(node: &Rewriter<'_>, value: f32) -> Option<Tensor> {
    let dtype = |slot: usize| Some(node.graph.value(node.operand(slot)?).tensor_type()?.dtype);
    Tensor::of_floats(dtype(1).or_else(|| dtype(0)).unwrap_or(DType::F32), &[], vec![value])
}
