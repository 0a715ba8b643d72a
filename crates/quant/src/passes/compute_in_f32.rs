//! Networks of 16-bit and 64-bit floats, computed in f32.

use crate::layer::{LayerKind, QUANTIZABLE};
use crate::names::Names;
use crate::new_nodes::{constant, operation, type_with};
use intact8_ir::{
    Attr, DType, Graph, GraphId, Model, NodeId, NodeKind, Op, Pass, Result, Tensor, Type, ValueId,
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Computes a network of f16, bf16 or f64 in f32, so that its layers can be quantized. Inputs and outputs keep their
/// names and types, with a Cast beside each; constants, types and the attributes that hold a type become f32.
///
/// A type is converted everywhere if a linear layer computes in it. Constants of f64 that f32 can't hold become the
/// nearest finite number that is not 0; inputs with a default become f32.
///
/// Operators of other domains, functions of the model, and BitCast compute in their own type, between Casts. Left
/// alone: a model with sequences or optional values of such a type among its inputs and outputs, or whose outputs
/// have types that are not known.
///
/// ```qir before
/// model m opset 17
/// %x = input : f16[N,2]
/// %w = const [1.0, 2.0] : f16[2,1]
/// %y = MatMul(%x, %w) @fc : f16[N,1]
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f16[N,2]
/// %w = const [1.0, 2.0] : f32[2,1]
/// %x.f32 = Cast(%x) {to = 1} : f32[N,2]
/// %y.f32 = MatMul(%x.f32, %w) @fc : f32[N,1]
/// %y = Cast(%y.f32) {to = 10} @y.cast : f16[N,1]
/// return %y
/// ```
pub struct ComputeInF32;

/// The types that are converted.
const OTHER_FLOATS: [DType; 3] = [DType::F16, DType::Bf16, DType::F64];

/// The attributes of ONNX's operators that hold the number of a type.
const TYPE_ATTRIBUTES: [&str; 7] =
    ["dtype", "output_datatype", "output_dtype", "precision", "softmax_precision", "stash_type", "to"];

impl Pass for ComputeInF32 {
    fn name(&self) -> &'static str {
        "compute-in-f32"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let dtypes = other_floats_of_layers(model);
        let functions = model.functions.iter();
        let functions = functions.map(|function| (function.domain.clone(), function.name.clone())).collect();
        let mut conversion = Conversion { dtypes, functions, names: Names::of(model) };
        if conversion.dtypes.is_empty() || !conversion.can_convert(model) {
            return Ok(false);
        }
        model.try_for_each_graph(|id, graph| {
            conversion.convert(graph, id == GraphId::MAIN);
            Ok(())
        })?;
        model.remove_dead();
        Ok(true)
    }
}

/// The types other than f32 that the linear layers of a model compute in, as far as its types and constants state it.
pub fn other_floats_of_layers(model: &Model) -> BTreeSet<DType> {
    let is_linear = |op: &Op| QUANTIZABLE.iter().any(|row| row.kind == LayerKind::Linear && op.is(row.name));
    let of_graph = |(_, graph): (GraphId, &Graph)| {
        let layers = graph.node_ids().filter(|&id| graph.node(id).as_op().is_some_and(is_linear));
        let operands = layers.flat_map(|id| graph.operands(id).iter().take(2).flatten());
        let dtypes = operands.filter_map(|&value| Some(graph.value(value).tensor_type()?.dtype));
        dtypes.filter(|dtype| OTHER_FLOATS.contains(dtype)).collect::<Vec<_>>()
    };
    model.graphs().flat_map(of_graph).collect()
}

/// The conversion of all graphs of a model.
struct Conversion {
    dtypes: BTreeSet<DType>,
    /// The domains and names of the model's functions.
    functions: HashSet<(String, String)>,
    names: Names,
}

impl Conversion {
    /// Whether Casts are possible at all ends.
    fn can_convert(&self, model: &Model) -> bool {
        let graph = model.main();
        let inputs = graph.inputs().iter().map(|&id| ValueId::from(id));
        let ends: Vec<ValueId> = inputs.chain(graph.outputs().iter().copied()).collect();
        let has_kept_values = |graph: &Graph| {
            let kept = graph.node_ids().filter(|&id| self.is_foreign(graph, id));
            let values: Vec<ValueId> = kept
                .flat_map(|node| (0..graph.node(node).outputs.len()).map(move |slot| ValueId { node, slot }))
                .collect();
            self.can_cast(graph, &values)
        };
        self.can_cast(graph, &ends) && model.graphs().all(|(_, graph)| has_kept_values(graph))
    }

    fn can_cast(&self, graph: &Graph, values: &[ValueId]) -> bool {
        values.iter().filter(|&&value| !graph.value(value).name.is_empty()).all(|&value| {
            match &graph.value(value).ty {
                Some(Type::Tensor(_)) => true,
                Some(other) => !self.has(other),
                None => false,
            }
        })
    }

    /// Whether a type is converted.
    fn has(&self, ty: &Type) -> bool {
        match ty {
            Type::Tensor(ty) | Type::Sparse(ty) => self.dtypes.contains(&ty.dtype),
            Type::Sequence(inner) | Type::Optional(inner) | Type::Map(_, inner) => self.has(inner),
        }
    }

    /// The type of a value, if it is a tensor that is converted.
    fn dtype(&self, graph: &Graph, value: ValueId) -> Option<DType> {
        Some(graph.value(value).tensor_type()?.dtype).filter(|dtype| self.dtypes.contains(dtype))
    }

    /// Whether a node is an operation that computes in its own type.
    fn is_foreign(&self, graph: &Graph, id: NodeId) -> bool {
        graph.node(id).as_op().is_some_and(|op| {
            !["", "com.microsoft"].contains(&&*op.domain)
                || op.is("BitCast")
                || self.functions.contains(&(op.domain.clone(), op.name.clone()))
        })
    }

    fn convert(&mut self, graph: &mut Graph, is_main: bool) {
        let order = graph.topo();
        let outputs = graph.outputs().to_vec();
        let given: Vec<Option<DType>> = outputs.iter().map(|&value| self.dtype(graph, value)).collect();
        let foreign: Vec<NodeId> = order.iter().copied().filter(|&id| self.is_foreign(graph, id)).collect();
        let operands = foreign.iter().flat_map(|&id| self.operands(graph, id)).collect::<Vec<_>>();
        // The values of the original types that Casts to f32 read.
        let mut sources = HashMap::new();
        for &id in &order {
            let is_end = is_main && matches!(graph.node(id).kind, NodeKind::Input(None));
            match is_end || foreign.contains(&id) {
                true => self.cast_results(graph, id, &mut sources),
                false => self.convert_node(graph, id),
            }
        }
        for (id, slot, dtype, tensor) in operands {
            let Some(value) = graph.operand(id, slot) else { continue };
            let kept = match (tensor, sources.get(&value)) {
                (Some(tensor), _) => {
                    constant(graph, &mut self.names, &graph.value(value).name.clone(), tensor)
                }
                (None, Some(&source)) => source,
                (None, None) => {
                    self.cast(graph, value, dtype, &format!("{}.{dtype}", graph.value(value).name.clone()))
                }
            };
            graph.set_operand(id, slot, Some(kept));
        }
        if is_main {
            self.cast_outputs(graph, &given, &mut sources);
        }
    }

    /// The operands of a node of types that are converted, with the tensors of those that are constant.
    fn operands(&self, graph: &Graph, id: NodeId) -> Vec<(NodeId, usize, DType, Option<Tensor>)> {
        let operands = graph.formal_operands(id).iter().enumerate();
        let converted = operands.filter_map(|(slot, &value)| {
            let value = value?;
            Some((id, slot, self.dtype(graph, value)?, graph.constant(value).cloned()))
        });
        converted.collect()
    }

    /// Puts a Cast to f32 after each result of a node that keeps its types.
    fn cast_results(&mut self, graph: &mut Graph, node: NodeId, sources: &mut HashMap<ValueId, ValueId>) {
        for slot in 0..graph.node(node).outputs.len() {
            let value = ValueId { node, slot };
            let is_used = !graph.users(value).is_empty() || graph.outputs().contains(&value);
            if self.dtype(graph, value).is_none() || !is_used {
                continue;
            }
            let name = format!("{}.f32", graph.value(value).name);
            let cast = self.cast(graph, value, DType::F32, &name);
            graph.replace_uses(value, cast);
            sources.insert(cast, value);
        }
    }

    /// Returns the values that a graph returned before, each of the type that it had.
    fn cast_outputs(
        &mut self,
        graph: &mut Graph,
        given: &[Option<DType>],
        sources: &mut HashMap<ValueId, ValueId>,
    ) {
        let mut outputs = graph.outputs().to_vec();
        for (output, dtype) in outputs.iter_mut().zip(given) {
            let (value, Some(dtype)) = (*output, *dtype) else { continue };
            *output = *sources.entry(value).or_insert_with(|| {
                let result = &mut graph.node_mut(value.node).outputs[value.slot];
                let (name, notes) = (result.name.clone(), std::mem::take(&mut result.notes));
                result.name = self.names.fresh(&format!("{name}.f32"));
                let cast = self.cast(graph, value, dtype, &format!("{name}.cast"));
                let result = &mut graph.node_mut(cast.node).outputs[0];
                (result.name, result.notes) = (name, notes);
                cast
            });
        }
        graph.set_outputs(outputs);
    }

    fn cast(&mut self, graph: &mut Graph, value: ValueId, dtype: DType, name: &str) -> ValueId {
        let op = Op::new("Cast").with("to", Attr::Int(dtype.number()));
        let ty = type_with(graph, value, dtype);
        operation(graph, &mut self.names, name, op, ty, &[value])
    }

    /// Makes the types of a node's results, its tensor, and the types and tensors in its attributes f32.
    fn convert_node(&self, graph: &mut Graph, id: NodeId) {
        let node = graph.node_mut(id);
        node.outputs.iter_mut().filter_map(|value| value.ty.as_mut()).for_each(|ty| self.convert_type(ty));
        match &mut node.kind {
            NodeKind::Const(tensor) | NodeKind::Input(Some(tensor)) => self.convert_tensor(tensor),
            NodeKind::Input(None) | NodeKind::Capture => {}
            NodeKind::Op(op) => {
                for (name, attr) in &mut op.attrs {
                    self.convert_attribute(name, attr);
                }
            }
        }
    }

    fn convert_attribute(&self, name: &str, attr: &mut Attr) {
        match attr {
            Attr::Int(number)
                if TYPE_ATTRIBUTES.contains(&name)
                    && DType::from_number(*number).is_some_and(|dtype| self.dtypes.contains(&dtype)) =>
            {
                *number = DType::F32.number();
            }
            Attr::Tensor(tensor) => self.convert_tensor(tensor),
            Attr::Type(ty) => self.convert_type(ty),
            _ => {}
        }
    }

    fn convert_type(&self, ty: &mut Type) {
        match ty {
            Type::Tensor(ty) | Type::Sparse(ty) => {
                if self.dtypes.contains(&ty.dtype) {
                    ty.dtype = DType::F32;
                }
            }
            Type::Sequence(inner) | Type::Optional(inner) | Type::Map(_, inner) => self.convert_type(inner),
        }
    }

    fn convert_tensor(&self, tensor: &mut Tensor) {
        if !self.dtypes.contains(&tensor.dtype()) {
            return;
        }
        let values = match tensor.values::<f64>() {
            Ok(values) => values.iter().map(|&value| nearest(value)).collect(),
            Err(_) => tensor.floats().expect("the tensor holds floats").into_owned(),
        };
        *tensor = Tensor::new(tensor.shape(), values);
    }
}

/// The f32 nearest to a number; a finite one stays finite, and one that is not 0 does not become 0.
fn nearest(value: f64) -> f32 {
    let rounded = value as f32;
    if rounded.is_infinite() && value.is_finite() {
        f32::MAX.copysign(rounded)
    } else if rounded == 0.0 && value != 0.0 {
        f32::MIN_POSITIVE.copysign(rounded)
    } else {
        rounded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_f32_stay_finite_and_other_than_0() {
        assert_eq!(nearest(-1e300), f32::MIN);
        assert_eq!(nearest(1e-300), f32::MIN_POSITIVE);
        assert_eq!([nearest(f64::INFINITY), nearest(0.1), nearest(-0.0)], [f32::INFINITY, 0.1, -0.0]);
    }
}
