//! The activation after a value, if that is its only use.

use super::byte_products::bounds;
use super::quantized::sole_user;
use intact8_ir::{Attr, Graph, NodeId, Op, ValueId};

/// An activation that a kernel applies to its results.
pub(super) struct Activation {
    /// The operator; `Silu` is `x·sigmoid(x)`.
    pub(super) name: &'static str,
    /// The slope, or the bounds.
    pub(super) parameters: Vec<f32>,
}

impl Activation {
    /// States it in the attributes of a lowered operator: `activation`, and `alpha` and `beta` for the parameters.
    pub(super) fn state(self, op: &mut Op) {
        op.attrs.insert("activation".to_owned(), Attr::Str(self.name.as_bytes().to_vec()));
        for (name, number) in ["alpha", "beta"].into_iter().zip(self.parameters) {
            op.attrs.insert(name.to_owned(), Attr::Float(number));
        }
    }
}

/// The activation of a value, and its result.
pub(super) fn activation(graph: &Graph, value: ValueId) -> Option<(ValueId, Activation)> {
    if let Some(product) = silu(graph, value) {
        return Some((product.into(), Activation { name: "Silu", parameters: vec![] }));
    }
    let user = sole_user(graph, value)?;
    let op = graph.node(user).as_op().filter(|op| op.domain.is_empty())?;
    let of = |name: &str, default: f32| op.float(name).ok().map(|number| number.unwrap_or(default));
    let (name, parameters) = match op.name.as_str() {
        "Relu" => ("Relu", vec![]),
        "Sigmoid" => ("Sigmoid", vec![]),
        "Tanh" => ("Tanh", vec![]),
        "HardSwish" => ("HardSwish", vec![]),
        "LeakyRelu" => ("LeakyRelu", vec![of("alpha", 0.01)?]),
        "HardSigmoid" => ("HardSigmoid", vec![of("alpha", 0.2)?, of("beta", 0.5)?]),
        "Clip" => ("Clip", clip_bounds(graph, user)?.to_vec()),
        _ => return None,
    };
    Some((user.into(), Activation { name, parameters }))
}

/// The Mul of a value and its Sigmoid, if both have no other use.
fn silu(graph: &Graph, value: ValueId) -> Option<NodeId> {
    let [(first, _), (second, _)] = graph.users(value)[..] else { return None };
    let sigmoid = [first, second].into_iter().find(|&user| graph.node(user).is("Sigmoid"))?;
    let product = if sigmoid == first { second } else { first };
    let [(user, _)] = graph.users(sigmoid.into())[..] else { return None };
    let is_inner = |value: ValueId| !graph.outputs().contains(&value);
    let is_product = user == product && graph.node(product).is("Mul");
    (is_product && is_inner(value) && is_inner(sigmoid.into())).then_some(product)
}

fn clip_bounds(graph: &Graph, id: NodeId) -> Option<[f32; 2]> {
    let [low, high] = bounds(graph, id)?;
    Some([low.unwrap_or(f32::NEG_INFINITY), high.unwrap_or(f32::INFINITY)])
}
