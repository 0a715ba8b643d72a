//! What a value is computed by, as a number: values of different models that have the same are equal, bit for bit.

use intact8_ir::{Attr, Model, NodeKind, Op, OperatorTrait, Tensor, ValueId};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Two hashes of 64 bits, so that nobody meets two values that share them by chance.
pub(super) type Fingerprint = [u64; 2];

/// The fingerprints of those values of a model's graph that its inputs have a part in.
#[derive(Default)]
pub(super) struct Fingerprints(pub(super) HashMap<ValueId, Fingerprint>);

impl Fingerprints {
    /// Those of a model. `n_unknown` counts, over all models, nodes that nothing is known of: those with subgraphs, with
    /// chance, and calls of functions. They are equal to nothing.
    pub(super) fn of(model: &Model, n_unknown: &mut u64) -> Fingerprints {
        let graph = model.main();
        let mut all: HashMap<ValueId, Fingerprint> = HashMap::new();
        let mut computed = HashMap::new();
        for id in graph.topo() {
            let node = graph.node(id);
            let operands = graph.operands(id);
            let of_node = match &node.kind {
                NodeKind::Input(_) | NodeKind::Capture => hashed(("input", &node.outputs[0].name)),
                NodeKind::Const(tensor) => hashed(("constant", Exact(tensor))),
                NodeKind::Op(op) => match of_op(model, op) {
                    Some(of_op) => {
                        let operands: Vec<Option<Fingerprint>> =
                            operands.iter().map(|value| value.map(|value| all[&value])).collect();
                        hashed(("node", of_op, operands, node.outputs.len()))
                    }
                    None => {
                        *n_unknown += 1;
                        hashed(("unknown", *n_unknown))
                    }
                },
            };
            let is_computed = matches!(node.kind, NodeKind::Input(_))
                || operands.iter().flatten().any(|value| computed.contains_key(value));
            for slot in 0..node.outputs.len() {
                let (value, fingerprint) = (ValueId { node: id, slot }, hashed((of_node, slot)));
                all.insert(value, fingerprint);
                if is_computed {
                    computed.insert(value, fingerprint);
                }
            }
        }
        Fingerprints(computed)
    }
}

/// A tensor by its bytes.
struct Exact<'a>(&'a Tensor);

impl Hash for Exact<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.dtype().name(), self.0.shape(), self.0.to_le_bytes()).hash(state);
    }
}

fn hashed(what: impl Hash) -> Fingerprint {
    [0u8, 1].map(|seed| {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        what.hash(&mut hasher);
        hasher.finish()
    })
}

fn of_op(model: &Model, op: &Op) -> Option<Fingerprint> {
    if op.has(OperatorTrait::Random) || model.function(&op.domain, &op.name, &op.overload).is_some() {
        return None;
    }
    let attrs = op.attrs.iter().map(|(name, attr)| Some((name, of_attr(attr)?)));
    let attrs: Vec<(&String, Fingerprint)> = attrs.collect::<Option<_>>()?;
    Some(hashed((&op.domain, &op.name, &op.overload, attrs)))
}

fn of_attr(attr: &Attr) -> Option<Fingerprint> {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let of_value = match attr {
        Attr::Int(value) => hashed(value),
        Attr::Float(value) => hashed(value.to_bits()),
        Attr::Str(value) => hashed(value),
        Attr::Ints(values) => hashed(values),
        Attr::Floats(values) => hashed(bits(values)),
        Attr::Strs(values) => hashed(values),
        Attr::Tensor(tensor) => hashed(Exact(tensor)),
        _ => return None,
    };
    Some(hashed((attr.kind().name(), of_value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprints(text: &str) -> impl Fn(&str) -> Fingerprint + use<> {
        let model: Model = text.parse().unwrap();
        let all = Fingerprints::of(&model, &mut 0);
        move |name| all.0[&model.main().value_named(name).unwrap()]
    }

    const HEAD: &str = "model m opset 17\n%x = input : f32[N,2]\n";

    #[test]
    fn values_are_alike_up_to_what_differs() {
        let model = |c: f32, name: &str| {
            fingerprints(&format!(
                "{HEAD}%c = const [{c:?}] : f32[1]\n%{name} = Relu(%x)\n%b = Add(%{name}, %c)\n%y = Neg(%b)\nreturn %y\n"
            ))
        };
        let (one, same, other) = (model(1.0, "a"), model(1.0, "renamed"), model(2.0, "a"));
        assert_eq!((one("a"), one("b"), one("y")), (same("renamed"), same("b"), same("y")));
        assert_eq!(one("a"), other("a"));
        assert!(one("b") != other("b") && one("y") != other("y"));
    }

    #[test]
    fn attributes_slots_and_chance_count() {
        let text = format!(
            "{HEAD}%a, %b = Split(%x) {{axis = 1}}\n%c = Softmax(%a) {{axis = 0}}\n%d = Softmax(%a) {{axis = 1}}\n\
             %e = RandomNormalLike(%a)\n%f = RandomNormalLike(%a)\nreturn %b, %c, %d, %e, %f\n"
        );
        let given = fingerprints(&text);
        assert!(given("a") != given("b") && given("c") != given("d") && given("e") != given("f"));
    }
}
