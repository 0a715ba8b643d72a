//! The placement of int8: which nodes compute in integers on a runtime, so that a run takes the least time.
//!
//! Each node has a time in float and a time in int8, and each value that is float on one side and integers on the other costs a
//! QuantizeLinear or a DequantizeLinear. The sum is least for a minimum cut, which is exact. The times are estimates from
//! measured tables; accuracy plays no role. It reads a model, and changes nothing but the configuration.

mod costs;
mod cut;
mod work;

pub(crate) use costs::ONNXRUNTIME_X86;
pub use costs::{Cost, OperatorCosts, Result8, RuntimeCosts};
pub use work::Shape;

use crate::config::{LayerConfig, QuantConfig};
use crate::costs::shapes_of;
use crate::layer::{Layer, LayerKind, layers};
use crate::passes::moves;
use crate::uses::data_operands;
use cut::{Choices, Place};
use intact8_ir::{DType, Graph, GraphId, Model, NodeId, OperatorTrait, ValueId};
use std::collections::{BTreeSet, HashMap};
use work::{Measured, Shapes};

/// The length of a symbolic dimension that is not the batch.
const OPEN: usize = 64;

/// The fastest placement of the layers that a configuration enables, and of functions between them.
pub(crate) struct Placement {
    /// Layers that compute in float: their weights may be integers.
    pub(crate) in_float: Vec<Layer>,
    /// Functions that the configuration does not mention, and that compute in integers.
    functions: Vec<Layer>,
    /// The layers whose results must be quantized for their other uses.
    with_output: BTreeSet<String>,
}

impl Placement {
    /// The fastest placement. The layers of a configuration may be in int8; those that it does not quantize, or only their
    /// weights, stay so.
    pub(crate) fn fastest(model: &Model, config: &QuantConfig, costs: &RuntimeCosts) -> Placement {
        let shapes = shapes_of(model, OPEN).unwrap_or_default();
        let may_be_int8 = |layer: &Layer| match config.layers.get(&layer.name) {
            Some(of_layer) => of_layer.quant_enable && !of_layer.weights_only,
            None => layer.quantizable().kind == LayerKind::Other,
        };
        let layers: Vec<Layer> = layers(model)
            .into_iter()
            .filter(|layer| !layer.activations.is_empty() && may_be_int8(layer))
            .collect();
        let mut placement = Placement { in_float: vec![], functions: vec![], with_output: BTreeSet::new() };
        for (id, graph) in model.graphs() {
            let here = layers.iter().filter(|layer| layer.graph == id);
            let layers = here.map(|layer| (layer.node, layer)).collect();
            Placing { graph, id, shapes: &shapes, layers, costs }.add_to(&mut placement, config);
        }
        placement
    }

    /// Changes a configuration to the placement, and reports each layer that has no activations in int8 in a line.
    pub(crate) fn apply(self, config: &mut QuantConfig, why: impl Fn(&Layer) -> String) -> Vec<String> {
        for layer in &self.functions {
            config.layers.insert(layer.name.clone(), LayerConfig::for_layer(layer));
        }
        let lines = config.leave_weights(&self.in_float, why);
        for name in &self.with_output {
            if let Some(of_layer) = config.layers.get_mut(name) {
                of_layer.quantize_output = true;
            }
        }
        lines
    }
}

/// A graph whose nodes are placed.
struct Placing<'a> {
    graph: &'a Graph,
    id: GraphId,
    shapes: &'a Shapes,
    layers: HashMap<NodeId, &'a Layer>,
    costs: &'a RuntimeCosts,
}

impl<'a> Placing<'a> {
    fn measured(&self) -> Measured<'a> {
        Measured { graph: self.graph, graph_id: self.id, shapes: self.shapes }
    }

    /// The times of a node that can compute in integers: a layer, or an operation that moves them.
    fn row(&self, id: NodeId) -> Option<&'static OperatorCosts> {
        let op = self.graph.node(id).as_op().filter(|op| op.domain.is_empty())?;
        let (_, shape) = self.measured().work(id);
        let row = self.costs.row(&op.name, shape)?;
        let is_float = self.graph.value(id.into()).tensor_type().is_none_or(|ty| ty.dtype == DType::F32);
        let moves_integers = row.result == Result8::Moved
            && is_float
            && (op.is("Split")
                || self.graph.node(id).outputs.iter().skip(1).all(|value| value.name.is_empty()))
            && data_operands(self.graph, id).all(|slot| self.is_computed(id, slot))
            && moves(self.graph, id);
        (self.layers.contains_key(&id) || moves_integers).then_some(row)
    }

    fn is_computed(&self, id: NodeId, slot: usize) -> bool {
        self.graph.operand(id, slot).is_some_and(|value| self.graph.constant(value).is_none())
    }

    /// The slots that hold integers if the node computes in integers.
    fn slots(&self, id: NodeId) -> Vec<usize> {
        match self.layers.get(&id) {
            Some(layer) => layer.activations.clone(),
            None => data_operands(self.graph, id).collect(),
        }
    }

    /// Whether the layout of a value changes between float and integers: that of images.
    fn is_image(&self, value: ValueId) -> bool {
        let is_convolved = |id: NodeId| self.graph.node(id).is("Conv");
        let rank = self.measured().shape(value).map_or(0, |shape| shape.len());
        let mut around = self.graph.users(value).into_iter().map(|(user, _)| user).chain([value.node]);
        rank == 4 || rank >= 3 && around.any(is_convolved)
    }

    fn add_to(&self, placement: &mut Placement, config: &QuantConfig) {
        let mut choices = Choices::default();
        let order = self.graph.topo();
        let mut places: HashMap<NodeId, (Place, &'static OperatorCosts)> = HashMap::new();
        for &id in &order {
            let Some(row) = self.row(id) else { continue };
            let (work, _) = self.measured().work(id);
            places.insert(id, (choices.place(row.float.of(&work), row.int8.of(&work)), row));
        }
        for &id in &order {
            for slot in 0..self.graph.node(id).outputs.len() {
                self.add_value(&mut choices, &places, ValueId { node: id, slot });
            }
        }
        let is_int8 = choices.solve();
        let int8: HashMap<NodeId, &'static OperatorCosts> = places
            .into_iter()
            .filter(|(_, (place, _))| is_int8(*place))
            .map(|(id, (_, row))| (id, row))
            .collect();
        for (id, layer) in order.iter().filter_map(|id| Some((id, *self.layers.get(id)?))) {
            match int8.get(id) {
                Some(row) => {
                    // Several uses may quantize a value with different parameters, so the result decides for them.
                    let is_quantized =
                        self.uses_quantize((*id).into(), &int8) && self.n_uses((*id).into()) < 2;
                    let is_mentioned = config.layers.contains_key(&layer.name);
                    // Numbers that are moved need no layer, unless they are joined for a use in float.
                    let is_needed = row.result != Result8::Moved || self.joins(*id) && !is_quantized;
                    if !is_mentioned && is_needed {
                        placement.functions.push(layer.clone());
                    }
                    if is_needed && row.result != Result8::Floats && !is_quantized {
                        placement.with_output.insert(layer.name.clone());
                    }
                }
                None if config.layers.contains_key(&layer.name) => placement.in_float.push(layer.clone()),
                None => {}
            }
        }
    }

    /// Adds the conversions of a value between its producer and its uses.
    fn add_value(
        &self,
        choices: &mut Choices,
        places: &HashMap<NodeId, (Place, &'static OperatorCosts)>,
        value: ValueId,
    ) {
        let users = self.graph.users(value);
        let is_output = self.graph.outputs().contains(&value);
        if self.graph.constant(value).is_some() || users.is_empty() && !is_output {
            return;
        }
        let producer = places.get(&value.node);
        // The result of a product in int8 is float, until it is quantized.
        let from = producer.filter(|(_, row)| row.result != Result8::Floats);
        let (from, is_moved) =
            from.map_or((Place::FLOAT, false), |(place, row)| (*place, row.result == Result8::Moved));
        let n = self.measured().elements(value);
        let time = |(each, more): &(Cost, Cost)| {
            // What does not fit into the processor's cache is read from memory.
            let outputs = if n > self.costs.cached { n * self.costs.uncached } else { n };
            let work = work::Work { outputs, ..work::Work::default() };
            each.of(&work) + if self.is_image(value) { more.of(&work) } else { 0.0 }
        };
        let quantized = choices.place(0.0, 0.0);
        match is_moved {
            // Runtimes quantize before an operation that moves numbers.
            true => choices.forbid(from, quantized),
            false => choices.conversion(from, quantized, time(&self.costs.quantize)),
        }
        for (user, slot) in users {
            if self.needs_only_shape(user) {
                continue;
            }
            let used = places.get(&user).filter(|_| self.slots(user).contains(&slot));
            let Some((to, row)) = used else {
                choices.conversion(Place::FLOAT, from, time(&self.costs.dequantize));
                continue;
            };
            let (work, _) = self.measured().work(user);
            let lost = |alone: &Cost, fused: &Cost| (alone.of(&work) - fused.of(&work)).max(0.0);
            choices.conversion(
                *to,
                from,
                time(&self.costs.dequantize) + lost(&row.after_integers, &row.float),
            );
            choices.forbid(quantized, *to);
            let laid_out = self.convolution(value).and_then(|conv| places.get(&conv));
            let laid_out = laid_out.map_or(Place::FLOAT, |(place, _)| *place);
            choices.conversion(laid_out, *to, lost(&row.after_floats, &row.int8));
        }
        if is_output {
            choices.conversion(Place::FLOAT, from, time(&self.costs.dequantize));
        }
    }

    /// The convolution whose result is a value, after functions of single elements and pooling.
    fn convolution(&self, value: ValueId) -> Option<NodeId> {
        let mut id = value.node;
        loop {
            let op = self.graph.node(id).as_op()?;
            if op.is("Conv") {
                return Some(id);
            }
            let is_through = op.has(OperatorTrait::Elementwise)
                || ["Add", "Concat", "MaxPool", "Mul"].iter().any(|name| op.is(name));
            id = self.graph.operand(id, 0).filter(|_| is_through && self.row(id).is_some())?.node;
        }
    }

    /// Whether a node uses only the shape of its operand, which integers have too (`shape-of-integers`).
    fn needs_only_shape(&self, id: NodeId) -> bool {
        self.graph.node(id).is("Shape") || self.graph.node(id).is("Size")
    }

    /// The number of uses of a value after a Relu or Clip that is its only use.
    fn n_uses(&self, value: ValueId) -> usize {
        let users = self.graph.users(value);
        let users: Vec<_> = users.into_iter().filter(|(user, _)| !self.needs_only_shape(*user)).collect();
        match users[..] {
            [(user, 0)] if self.graph.node(user).is("Relu") || self.graph.node(user).is("Clip") => {
                self.n_uses(user.into())
            }
            _ => users.len(),
        }
    }

    /// Whether an operation joins several values: it quantizes each of them, if its result is not quantized alike for all uses.
    fn joins(&self, id: NodeId) -> bool {
        self.graph.node(id).as_op().is_some_and(|op| op.has(OperatorTrait::AllOperandsAreData))
    }

    /// Whether every use of a value quantizes it, directly or after it is moved.
    fn uses_quantize(&self, value: ValueId, int8: &HashMap<NodeId, &'static OperatorCosts>) -> bool {
        let users = self.graph.users(value);
        !self.graph.outputs().contains(&value)
            && users.iter().filter(|(user, _)| !self.needs_only_shape(*user)).all(|&(user, slot)| {
                int8.get(&user).is_some_and(|row| {
                    self.slots(user).contains(&slot)
                        && match row.result {
                            // Its results have the parameters of its operand, which must have some.
                            Result8::Moved if self.graph.node(user).is("Split") => false,
                            Result8::Moved => self.joins(user) || self.uses_quantize(user.into(), int8),
                            _ => true,
                        }
                })
            })
    }
}

#[cfg(test)]
mod tests;
