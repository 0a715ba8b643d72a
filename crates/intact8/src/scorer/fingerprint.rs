//! Fingerprints of values: hashes of the operators, attributes and constants from which a value is computed. Values of different
//! models with the same fingerprint are equal bit for bit.

use intact8_ir::{Attr, Model, NodeKind, Op, OperatorTrait, Tensor, ValueId};
use std::collections::HashMap;
use std::hash::Hash;
use xxhash_rust::xxh3::Xxh3;

/// A hash of 128 bits, with which accidental collisions are negligible.
pub(super) type Fingerprint = u128;

/// The fingerprints of the values of a model's main graph that depend on its inputs.
#[derive(Default)]
pub(super) struct Fingerprints(pub(super) HashMap<ValueId, Fingerprint>);

impl Fingerprints {
    /// The fingerprints of a model. `n_unknown` counts, over all models, the nodes whose results are unknown: those with
    /// subgraphs or random results, and calls of functions. Their fingerprints are equal to no other.
    pub(super) fn of(model: &Model, n_unknown: &mut u64, constants: &mut Constants) -> Fingerprints {
        constants.begin();
        let graph = model.main();
        let mut all: HashMap<ValueId, Fingerprint> = HashMap::new();
        let mut computed = HashMap::new();
        for id in graph.topo() {
            let node = graph.node(id);
            let operands = graph.operands(id);
            let node_hash = match &node.kind {
                NodeKind::Input(_) | NodeKind::Capture => hashed(("input", &node.outputs[0].name)),
                NodeKind::Const(tensor) => hashed(("constant", constants.fingerprint(tensor))),
                NodeKind::Op(op) => match operator_hash(model, op) {
                    Some(operator) => {
                        let operands: Vec<Option<Fingerprint>> =
                            operands.iter().map(|value| value.map(|value| all[&value])).collect();
                        hashed(("node", operator, operands, node.outputs.len()))
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
                let (value, fingerprint) = (ValueId { node: id, slot }, hashed((node_hash, slot)));
                all.insert(value, fingerprint);
                if is_computed {
                    computed.insert(value, fingerprint);
                }
            }
        }
        constants.end();
        Fingerprints(computed)
    }
}

/// The fingerprints of the latest model's constants, so that a tensor shared by several models is hashed once.
#[derive(Default)]
pub(super) struct Constants {
    /// By address: the tensor, which is stored so that its address is not reused, its fingerprint, and whether the current model
    /// has it.
    known: HashMap<usize, (Tensor, Fingerprint, bool)>,
}

impl Constants {
    fn begin(&mut self) {
        self.known.values_mut().for_each(|(.., is_used)| *is_used = false);
    }

    /// Forgets the constants of earlier models.
    fn end(&mut self) {
        self.known.retain(|_, (.., is_used)| *is_used);
    }

    fn fingerprint(&mut self, tensor: &Tensor) -> Fingerprint {
        let address = tensor.address();
        if let Some((known, fingerprint, is_used)) = self.known.get_mut(&address)
            && (known.dtype(), known.shape()) == (tensor.dtype(), tensor.shape())
        {
            *is_used = true;
            return *fingerprint;
        }
        let fingerprint = hashed(TensorBytes(tensor));
        self.known.insert(address, (tensor.clone(), fingerprint, true));
        fingerprint
    }
}

/// A tensor that is hashed by its type, shape and bytes.
struct TensorBytes<'a>(&'a Tensor);

impl Hash for TensorBytes<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.0.dtype().name(), self.0.shape()).hash(state);
        match self.0.as_bytes() {
            Some(bytes) => state.write(bytes),
            None => state.write(&self.0.to_le_bytes()),
        }
    }
}

fn hashed(what: impl Hash) -> Fingerprint {
    let mut hasher = Xxh3::new();
    what.hash(&mut hasher);
    hasher.digest128()
}

/// The hash of an operator with its attributes; `None` if its results are not determined by it.
fn operator_hash(model: &Model, op: &Op) -> Option<Fingerprint> {
    if op.has(OperatorTrait::Random) || model.function(&op.domain, &op.name, &op.overload).is_some() {
        return None;
    }
    let attrs = op.attrs.iter().map(|(name, attr)| Some((name, attribute_hash(attr)?)));
    let attrs: Vec<(&String, Fingerprint)> = attrs.collect::<Option<_>>()?;
    Some(hashed((&op.domain, &op.name, &op.overload, attrs)))
}

fn attribute_hash(attr: &Attr) -> Option<Fingerprint> {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let value = match attr {
        Attr::Int(value) => hashed(value),
        Attr::Float(value) => hashed(value.to_bits()),
        Attr::Str(value) => hashed(value),
        Attr::Ints(values) => hashed(values),
        Attr::Floats(values) => hashed(bits(values)),
        Attr::Strs(values) => hashed(values),
        Attr::Tensor(tensor) => hashed(TensorBytes(tensor)),
        _ => return None,
    };
    Some(hashed((attr.kind().name(), value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprints(text: &str) -> impl Fn(&str) -> Fingerprint + use<> {
        let model: Model = text.parse().unwrap();
        let all = Fingerprints::of(&model, &mut 0, &mut Constants::default());
        move |name| all.0[&model.main().value_named(name).unwrap()]
    }

    const HEAD: &str = "model m opset 17\n%x = input : f32[N,2]\n";

    #[test]
    fn fingerprints_differ_from_the_first_different_constant_on() {
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
    fn a_constant_is_hashed_once_and_dropped_with_its_model() {
        let model: Model =
            format!("{HEAD}%c = const [1.0, 2.0] : f32[2]\n%y = Add(%x, %c)\nreturn %y\n").parse().unwrap();
        let mut constants = Constants::default();
        let first = Fingerprints::of(&model, &mut 0, &mut constants).0;
        let addresses: Vec<usize> = constants.known.keys().copied().collect();
        assert_eq!(Fingerprints::of(&model.clone(), &mut 0, &mut constants).0, first);
        assert_eq!((constants.known.len(), constants.known.contains_key(&addresses[0])), (1, true));
        let other: Model = format!("{HEAD}%y = Neg(%x)\nreturn %y\n").parse().unwrap();
        Fingerprints::of(&other, &mut 0, &mut constants);
        assert!(constants.known.is_empty());
    }

    #[test]
    fn attributes_output_slots_and_randomness_change_a_fingerprint() {
        let text = format!(
            "{HEAD}%a, %b = Split(%x) {{axis = 1}}\n%c = Softmax(%a) {{axis = 0}}\n%d = Softmax(%a) {{axis = 1}}\n\
             %e = RandomNormalLike(%a)\n%f = RandomNormalLike(%a)\nreturn %b, %c, %d, %e, %f\n"
        );
        let of = fingerprints(&text);
        assert!(of("a") != of("b") && of("c") != of("d") && of("e") != of("f"));
    }
}
