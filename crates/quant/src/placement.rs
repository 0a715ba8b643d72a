//! The placement of int8: which nodes compute in integers on a runtime, so that a run takes the least time.
//!
//! Each node has a time in float and a time in int8, and each value that is float on one side and integers on the other costs a
//! QuantizeLinear or a DequantizeLinear. The sum is least for a minimum cut, which is exact. The times are estimates from
//! measured tables; accuracy plays no role. It reads a model, and changes nothing but the configuration.

mod costs;
mod cut;
mod onnxruntime_x86;
mod openvino_x86;
mod rollback;
mod work;

pub use costs::{Cost, OperatorCosts, Result8, RuntimeCosts};
pub(crate) use onnxruntime_x86::ONNXRUNTIME_X86;
pub(crate) use openvino_x86::OPENVINO_X86;
pub(crate) use rollback::time_lost;
pub use work::Shape;

use crate::config::{LayerConfig, QuantConfig};
use crate::costs::shapes_of;
use crate::layer::{Layer, LayerKind, layers};
use crate::passes::moves;
use crate::uses::data_operands;
use cut::{Choices, Place};
use intact8_ir::{DType, Graph, GraphId, Model, NodeId, OperatorTrait, ValueId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use work::{Shaped, Shapes};

/// The length of a symbolic dimension that is not the batch.
const OPEN: usize = 64;

/// The operators, apart from functions of single elements, whose result has the layout of their first operand.
const KEEPING_LAYOUT: &[&str] = &[
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Concat",
    "GlobalAveragePool",
    "MaxPool",
    "Mul",
    "Resize",
    "Split",
];

/// The measured times of layers in nanoseconds for one sample, in float and in int8, by name of the layer, where they are known.
pub type LayerTimes = BTreeMap<String, [f64; 2]>;

/// The fastest placement of the layers that a configuration enables, and of functions between them.
pub(crate) struct Placement {
    /// Layers that compute in float: their weights may be integers.
    in_float: Vec<Layer>,
    /// Functions that the configuration does not mention, and that compute in integers.
    functions: Vec<Layer>,
    /// The layers whose results must be quantized for their other uses.
    with_output: BTreeSet<String>,
}

impl Placement {
    /// The fastest placement. The layers of a configuration may be in int8; those that it does not quantize, or only their
    /// weights, stay so.
    /// With `products`, every convolution and matrix product that may be in int8 is. What was measured of a layer counts in place
    /// of its estimate.
    pub(crate) fn fastest(
        model: &Model,
        config: &QuantConfig,
        costs: &RuntimeCosts,
        products: bool,
        measured: &LayerTimes,
    ) -> Placement {
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
            let order = graph.topo();
            let placing = Placing { graph, id, order, shapes: &shapes, layers, costs, measured };
            placing.add_to(&mut placement, config, products);
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
    /// The nodes in topological order.
    order: Vec<NodeId>,
    shapes: &'a Shapes,
    layers: HashMap<NodeId, &'a Layer>,
    costs: &'a RuntimeCosts,
    measured: &'a LayerTimes,
}

/// The nodes that can compute in integers, with their times.
type Places = HashMap<NodeId, (Place, &'static OperatorCosts)>;

impl<'a> Placing<'a> {
    fn shaped(&self) -> Shaped<'a> {
        Shaped { graph: self.graph, graph_id: self.id, shapes: self.shapes }
    }

    /// The times of a node that can compute in integers: a layer, or an operation that moves them.
    fn row(&self, id: NodeId) -> Option<&'static OperatorCosts> {
        let op = self.graph.node(id).as_op()?;
        let row = self.costs_of(id).filter(|row| row.result != Result8::Never)?;
        let is_float = self.graph.value(id.into()).tensor_type().is_none_or(|ty| ty.dtype == DType::F32);
        let moves_integers = row.result == Result8::Moved
            && is_float
            && (op.is("Split")
                || self.graph.node(id).outputs.iter().skip(1).all(|value| value.name.is_empty()))
            && data_operands(self.graph, id).all(|slot| self.is_computed(id, slot))
            && moves(self.graph, id);
        (self.layers.contains_key(&id) || moves_integers).then_some(row)
    }

    /// The times of a node.
    fn costs_of(&self, id: NodeId) -> Option<&'static OperatorCosts> {
        let op = self.graph.node(id).as_op().filter(|op| op.domain.is_empty())?;
        self.costs.row(&op.name, self.shaped().kind(id))
    }

    /// Whether a node is a convolution or a matrix product that can be in int8.
    fn is_product(&self, id: NodeId) -> bool {
        self.layers.get(&id).is_some_and(|layer| layer.quantizable().kind == LayerKind::Linear)
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

    /// The times of all choices, and the nodes that have one.
    fn choices(&self) -> (Choices, Places) {
        let mut choices = Choices::default();
        let mut places = Places::new();
        let layouts = self.layouts();
        for &id in &self.order {
            if let Some(row) = self.row(id) {
                places.insert(id, (choices.place(0.0, 0.0), row));
            }
            self.add_node(&mut choices, &places, &layouts, id);
        }
        for &id in &self.order {
            for slot in 0..self.graph.node(id).outputs.len() {
                self.add_value(&mut choices, &places, ValueId { node: id, slot });
            }
        }
        (choices, places)
    }

    fn add_to(&self, placement: &mut Placement, config: &QuantConfig, products: bool) {
        let (choices, places) = self.choices();
        let required = places.iter().filter(|(id, _)| products && self.is_product(**id));
        let is_int8 = choices.solve(&required.map(|(_, (place, _))| (*place, true)).collect::<Vec<_>>());
        let int8: HashMap<NodeId, &'static OperatorCosts> = places
            .into_iter()
            .filter(|(_, (place, _))| is_int8(*place))
            .map(|(id, (_, row))| (id, row))
            .collect();
        let quantized_by_uses = self.quantized_by_uses(&int8);
        for (id, layer) in self.order.iter().filter_map(|id| Some((id, *self.layers.get(id)?))) {
            match int8.get(id) {
                Some(row) => {
                    // Numbers that are moved need no layer, unless they are joined for a use in float.
                    if row.result == Result8::Moved && !self.joins(*id) {
                        continue;
                    }
                    // Several uses may quantize a value with different parameters, so the result decides for them.
                    let is_quantized = quantized_by_uses.contains(id) && self.n_uses(*id) < 2;
                    let is_mentioned = config.layers.contains_key(&layer.name);
                    let is_needed = row.result != Result8::Moved || !is_quantized;
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

    /// Adds the times of a node, which depend on the convolution before it.
    fn add_node(
        &self,
        choices: &mut Choices,
        places: &Places,
        layouts: &HashMap<NodeId, NodeId>,
        id: NodeId,
    ) {
        let Some(row) = self.costs_of(id) else { return };
        let place_of = |id: NodeId| places.get(&id).map_or(Place::FLOAT, |(place, _)| *place);
        let work = self.shaped().work(id);
        let estimates = [&row.float, &row.float_alone, &row.int8, &row.int8_alone].map(|cost| cost.of(&work));
        let [float, float_alone, int8, int8_alone] = self.corrected(id, estimates);
        // A convolution after another arithmetic changes the layout of its operand.
        let slower = if self.graph.node(id).is("Conv") { self.costs.slower(work.inputs) } else { 1.0 };
        let [float_alone, int8_alone] =
            [(float, float_alone), (int8, int8_alone)].map(|(like, alone)| like + (alone - like) * slower);
        let mut operands = self.graph.operands(id).iter().copied().flatten();
        match operands.find_map(|value| layouts.get(&value.node)) {
            Some(&conv) => {
                choices.dependent(place_of(conv), place_of(id), [float, int8_alone], [float_alone, int8]);
            }
            None => choices.dependent(Place::FLOAT, place_of(id), [float_alone, int8_alone], [0.0, 0.0]),
        }
    }

    /// The times of a node after a convolution and alone, in float and in int8, with what was measured after a convolution.
    fn corrected(&self, id: NodeId, [float, float_alone, int8, int8_alone]: [f64; 4]) -> [f64; 4] {
        match self.layers.get(&id).and_then(|layer| self.measured.get(&layer.name)) {
            Some(&[float_time, int8_time]) => {
                [float_time, float_time + float_alone - float, int8_time, int8_time + int8_alone - int8]
            }
            None => [float, float_alone, int8, int8_alone],
        }
    }

    /// Adds the conversions of a value between its producer and its uses.
    fn add_value(&self, choices: &mut Choices, places: &Places, value: ValueId) {
        let users = self.graph.users(value);
        let is_output = self.graph.outputs().contains(&value);
        if self.graph.constant(value).is_some() || users.is_empty() && !is_output {
            return;
        }
        let n = self.shaped().elements(value);
        let quantize = self.costs.conversion(&self.costs.quantize, n);
        let dequantize = self.costs.conversion(&self.costs.dequantize, n);
        // A value is quantized once for all layers, and dequantized for each use.
        let quantized = choices.place(0.0, 0.0);
        let (from, result) = match places.get(&value.node) {
            Some((place, row)) => (*place, row.result),
            None => (Place::FLOAT, Result8::Never),
        };
        // Runtimes quantize before an operation that moves numbers.
        if matches!(result, Result8::Moved | Result8::Merged) {
            choices.forbid(from, quantized);
        } else {
            choices.conversion(from, quantized, quantize);
        }
        let dequantize = if result == Result8::Floats { 0.0 } else { dequantize };
        for (user, slot) in users.into_iter().filter(|(user, _)| !self.needs_only_shape(*user)) {
            match places.get(&user).filter(|_| self.slots(user).contains(&slot)) {
                Some((to, row)) => {
                    // The integers that an operation moves are quantized for it alone.
                    if row.result == Result8::Moved
                        && result != Result8::Moved
                        && !self.layers.contains_key(&user)
                    {
                        choices.conversion(from, *to, quantize);
                    } else {
                        choices.forbid(quantized, *to);
                    }
                    choices.conversion(*to, from, dequantize);
                }
                None => choices.conversion(Place::FLOAT, from, dequantize),
            }
        }
        if is_output {
            choices.conversion(Place::FLOAT, from, dequantize);
        }
    }

    /// The convolution whose layout the result of a node has, for each that has one: after functions of single elements, pooling
    /// and joins.
    fn layouts(&self) -> HashMap<NodeId, NodeId> {
        let mut found: HashMap<NodeId, NodeId> = HashMap::new();
        for &id in &self.order {
            let Some(op) = self.graph.node(id).as_op() else { continue };
            let is_kept = op.has(OperatorTrait::Elementwise) || KEEPING_LAYOUT.iter().any(|name| op.is(name));
            let before = || found.get(&self.graph.operand(id, 0)?.node).copied();
            let conv = if op.is("Conv") { Some(id) } else { before().filter(|_| is_kept) };
            found.extend(conv.map(|conv| (id, conv)));
        }
        found
    }

    /// Whether a node uses only the shape of its operand, which integers have too (`shape-of-integers`).
    fn needs_only_shape(&self, id: NodeId) -> bool {
        self.graph.node(id).is("Shape") || self.graph.node(id).is("Size")
    }

    /// The number of uses of a node's result, after a Relu or Clip that is its only use.
    fn n_uses(&self, mut id: NodeId) -> usize {
        loop {
            let mut users = self.graph.users(id.into());
            users.retain(|(user, _)| !self.needs_only_shape(*user));
            match users[..] {
                [(user, 0)] if self.graph.node(user).is("Relu") || self.graph.node(user).is("Clip") => {
                    id = user
                }
                _ => return users.len(),
            }
        }
    }

    /// Whether an operation joins several values: it quantizes each of them, if its result is not quantized alike for all uses.
    fn joins(&self, id: NodeId) -> bool {
        self.graph.node(id).as_op().is_some_and(|op| op.has(OperatorTrait::AllOperandsAreData))
    }

    /// The nodes whose result every use quantizes, directly or after it is moved.
    fn quantized_by_uses(&self, int8: &HashMap<NodeId, &'static OperatorCosts>) -> HashSet<NodeId> {
        let mut found = HashSet::new();
        for &id in self.order.iter().rev() {
            let quantizes = |&(user, slot): &(NodeId, usize)| {
                let row = int8.get(&user).filter(|_| self.slots(user).contains(&slot));
                row.is_some_and(|row| match row.result {
                    // Its results have the parameters of its operand, which must have some.
                    Result8::Moved if self.graph.node(user).is("Split") => false,
                    Result8::Moved => self.joins(user) || found.contains(&user),
                    _ => true,
                })
            };
            let users = self.graph.users(id.into()).into_iter();
            let mut users = users.filter(|(user, _)| !self.needs_only_shape(*user));
            if !self.graph.outputs().contains(&id.into()) && users.all(|user| quantizes(&user)) {
                found.insert(id);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
