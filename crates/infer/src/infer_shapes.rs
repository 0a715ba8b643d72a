//! The pass, which writes the inferred types into the model.

use crate::finding::Inference;
use crate::names::Names;
use crate::walk::{Shared, Walked, Walker};
use intact8_ir::{Dim, GraphId, Model, NodeId, Pass, Result, TensorType, Type, ValueId, verify};

/// Sets the type of every value, as far as it is known before the model runs.
///
/// A stated type stays if it is more specific than the inferred one; if the two contradict each other, the inferred one
/// replaces it. The outputs of an unknown operator keep their stated types. The types in a function's body depend on
/// the call, so they stay unchanged. The function `infer` does the same and also reports the unknown types.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,16,4,4]
/// %r = Relu(%x)
/// %shape = Shape(%r)
/// %zero = const [0] : i64[]
/// %n = Gather(%shape, %zero)
/// %axes = const [0] : i64[1]
/// %n.1 = Unsqueeze(%n, %axes)
/// %rest = const [-1] : i64[1]
/// %target = Concat(%n.1, %rest) {axis = 0}
/// %y = Reshape(%r, %target)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,16,4,4]
/// %r = Relu(%x) : f32[N,16,4,4]
/// %shape = Shape(%r) : i64[4]
/// %zero = const [0] : i64[]
/// %n = Gather(%shape, %zero) : i64[]
/// %axes = const [0] : i64[1]
/// %n.1 = Unsqueeze(%n, %axes) : i64[1]
/// %rest = const [-1] : i64[1]
/// %target = Concat(%n.1, %rest) {axis = 0} : i64[2]
/// %y = Reshape(%r, %target) : f32[N,256]
/// return %y
/// ```
pub struct InferShapes;

impl Pass for InferShapes {
    fn name(&self) -> &'static str {
        "infer-shapes"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        Ok(infer(model)?.changed)
    }
}

/// Sets the types of all values, and lists unknown types and contradictions.
///
/// Returns an error only if the model does not pass [`verify`](intact8_ir::verify()).
pub fn infer(model: &mut Model) -> Result<Inference> {
    verify(model)?;
    let shared = Shared::default();
    let mut walked = Walker::of(model, &shared).graph(GraphId::MAIN, &[], &[]);
    let findings = std::mem::take(&mut walked.findings);
    let changed = write(model, GraphId::MAIN, &walked, &shared.names);
    Ok(Inference { changed, findings })
}

/// Writes the types of a graph and its subgraphs, and returns whether any type changed.
fn write(model: &mut Model, graph: GraphId, walked: &Walked, names: &Names) -> bool {
    let mut changed = false;
    for (&inner, walked) in &walked.inner {
        changed |= write(model, inner, walked, names);
    }
    let graph = model.graph_mut(graph);
    let node_ids: Vec<NodeId> = graph.node_ids().collect();
    for id in node_ids {
        let node = graph.node_mut(id);
        for (slot, value) in node.outputs.iter_mut().enumerate() {
            let fact = walked.facts.get(&ValueId { node: id, slot }).filter(|_| !value.name.is_empty());
            let Some(inferred) = fact.and_then(|fact| fact.to_type(names)) else { continue };
            let ty = match &value.ty {
                Some(stated) => refined(stated, inferred),
                None => inferred,
            };
            changed |= value.ty.as_ref() != Some(&ty);
            value.ty = Some(ty);
        }
    }
    changed
}

/// The inferred type, or the parts of the stated one that are more specific.
fn refined(stated: &Type, inferred: Type) -> Type {
    let inner = |stated: &Type, inferred: Type| Box::new(refined(stated, inferred));
    match (stated, inferred) {
        (Type::Tensor(stated), Type::Tensor(inferred)) => Type::Tensor(refined_tensor(stated, inferred)),
        (Type::Sparse(stated), Type::Sparse(inferred)) => Type::Sparse(refined_tensor(stated, inferred)),
        (Type::Sequence(stated), Type::Sequence(inferred)) => Type::Sequence(inner(stated, *inferred)),
        (Type::Optional(stated), Type::Optional(inferred)) => Type::Optional(inner(stated, *inferred)),
        (Type::Map(_, stated), Type::Map(key, inferred)) => Type::Map(key, inner(stated, *inferred)),
        (_, inferred) => inferred,
    }
}

fn refined_tensor(stated: &TensorType, inferred: TensorType) -> TensorType {
    let conflicts = |(stated, inferred): (&Dim, &Dim)| {
        stated.known().zip(inferred.known()).is_some_and(|(stated, inferred)| stated != inferred)
    };
    let is_wrong = stated.dtype != inferred.dtype
        || stated.shape.as_ref().zip(inferred.shape.as_ref()).is_some_and(|(stated, inferred)| {
            stated.len() != inferred.len() || stated.iter().zip(inferred).any(conflicts)
        });
    if is_wrong {
        return inferred;
    }
    let dim =
        |(stated, inferred): (&Dim, Dim)| if inferred == Dim::Unknown { stated.clone() } else { inferred };
    let shape = match (&stated.shape, inferred.shape) {
        (Some(stated), Some(inferred)) => Some(stated.iter().zip(inferred).map(dim).collect()),
        (stated, inferred) => inferred.or_else(|| stated.clone()),
    };
    TensorType { dtype: inferred.dtype, shape }
}
