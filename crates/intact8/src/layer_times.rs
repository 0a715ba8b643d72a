//! The times of layers in float and in int8, from the profiles of a runtime.
//!
//! A runtime has a graph of its own, whose nodes it names after nodes or values of the model. Their origins lead to the layers.

use intact8_ir::{Graph, Model, NodeId, NodeRef, ValueId};
use intact8_quant::Prepared;
use intact8_quant::deploy::LayerTimes;
use intact8_runtimes::ProfiledNode;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// The operators that multiply by weights, in models.
const PRODUCTS: &[&str] = &["Conv", "ConvTranspose", "Gemm", "MatMul"];

/// The number of steps from the node that a runtime names to the product before it: activation functions and conversions.
const MOST_STEPS: usize = 6;

/// A model in a runtime, and the profile of its runs.
pub(crate) struct Profiled<'a> {
    /// The model; its nodes have origins.
    pub(crate) model: &'a Model,
    /// The nodes of the runtime.
    pub(crate) nodes: &'a [ProfiledNode],
}

/// The times for one sample of the layers that multiply and that both profiles have, of runs with `n_samples`.
pub(crate) fn layer_times(
    prepared: &Prepared,
    float: &Profiled<'_>,
    int8: &Profiled<'_>,
    n_samples: usize,
) -> LayerTimes {
    let [float, int8] = [float, int8].map(Profiled::by_origin);
    let per_sample = 1e9 / n_samples.max(1) as f64;
    let times = prepared.layers().iter().filter_map(|(_, layer)| {
        let origins = &prepared.model().graph(layer.graph).node(layer.node).origins;
        let time = |of: &HashMap<NodeRef, f64>| origins.iter().find_map(|origin| of.get(origin).copied());
        let is_product = PRODUCTS.contains(&layer.op);
        let times = [time(&float)?, time(&int8)?].map(|seconds| seconds * per_sample);
        is_product.then(|| (layer.name.clone(), times))
    });
    times.collect()
}

impl Profiled<'_> {
    /// The seconds of products by their origins. A product that the names of two nodes lead to is left out.
    fn by_origin(&self) -> HashMap<NodeRef, f64> {
        let names = names(self.model);
        let mut found: BTreeMap<NodeRef, Vec<f64>> = BTreeMap::new();
        for time in self.nodes.iter().filter(|time| is_product(&time.operator)) {
            if let Some(node) = named(&names, &time.name).and_then(|node| product_before(self.model, node)) {
                found.entry(node).or_default().push(time.seconds);
            }
        }
        let alone = found.into_iter().filter(|(_, times)| times.len() == 1);
        let of_origins = alone.flat_map(|(node, times)| {
            let origins = &self.model.graph(node.graph).node(node.node).origins;
            origins.iter().map(move |&origin| (origin, times[0]))
        });
        of_origins.collect()
    }
}

/// Whether an operator of a runtime, such as `QLinearConv` or `FusedGemm`, is a product.
fn is_product(operator: &str) -> bool {
    PRODUCTS.iter().any(|product| operator.contains(product)) || operator == "QGemm"
}

/// The nodes of a model by their names and by those of their results.
fn names(model: &Model) -> HashMap<&str, NodeRef> {
    let mut found = HashMap::new();
    for (graph, nodes) in model.graphs() {
        for node in nodes.topo().into_iter().filter(|&node| nodes.node(node).as_op().is_some()) {
            let here = NodeRef { graph, node };
            let results = nodes.node(node).outputs.iter().map(|value| &*value.name);
            // The name of a node counts more than that of another's result.
            results.for_each(|name| _ = found.entry(name).or_insert(here));
            found.insert(&nodes.node(node).name, here);
        }
    }
    found.remove("");
    found
}

/// The node that a name of a runtime stands for: the longest known name that it begins with, up to a `_`.
fn named(names: &HashMap<&str, NodeRef>, name: &str) -> Option<NodeRef> {
    let mut rest = name;
    loop {
        match (names.get(rest), rest.rsplit_once('_')) {
            (Some(node), _) => return Some(*node),
            (None, Some((shorter, _))) => rest = shorter,
            (None, None) => return None,
        }
    }
}

/// The product whose result a node computes with, or the node itself: the nearest.
fn product_before(model: &Model, node: NodeRef) -> Option<NodeRef> {
    let graph: &Graph = model.graph(node.graph);
    let is_product = |id: NodeId| graph.node(id).as_op().is_some_and(|op| PRODUCTS.contains(&&*op.name));
    let mut pending = VecDeque::from([(node.node, 0)]);
    while let Some((id, steps)) = pending.pop_front() {
        if is_product(id) {
            return Some(NodeRef { node: id, ..node });
        }
        if steps < MOST_STEPS {
            let operands = graph.operands(id).iter().flatten();
            let computed = operands.filter(|value: &&ValueId| graph.node(value.node).as_op().is_some());
            pending.extend(computed.map(|value| (value.node, steps + 1)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_quant::{DeployFormat, Emission, Preparation, QuantConfig, Record};

    const MODEL: &str = "model m opset 17\n%x = input : f32[2,16,8,8]\n%w = const splat(0.5) : f32[16,16,3,3]\n\
                         %h = Conv(%x, %w) {pads = [1, 1, 1, 1]} @first\n%r = Relu(%h)\n\
                         %g = Conv(%r, %w) {pads = [1, 1, 1, 1]} @second\n%s = Add(%g, %x)\n%y = Relu(%s)\nreturn %y\n";

    fn time(name: &str, operator: &str, seconds: f64) -> ProfiledNode {
        ProfiledNode { name: name.to_owned(), operator: operator.to_owned(), seconds }
    }

    /// As ONNX Runtime names its nodes: after the value that a fused convolution computes, and after the convolution in int8.
    #[test]
    fn times_of_fused_nodes_are_those_of_their_layers() {
        let mut original: Model = MODEL.parse().unwrap();
        let prepared = crate::prepare(&original, &Preparation::default(), &mut ()).unwrap();
        original.mark_origins();
        let config = QuantConfig::for_model(prepared.model());
        let record = Record::placeholder(prepared.model(), &config).unwrap();
        let quantized = prepared.quantize(&config, &record, &mut ()).unwrap();
        let deployed = quantized.deploy(DeployFormat::Qdq, &Emission::default(), &mut ()).unwrap();
        let float =
            [time("r_nchwc", "Conv", 2e-6), time("y_nchwc_token_7", "Conv", 4e-6), time("r", "Relu", 1.0)];
        let int8 = [time("first_token_12", "QLinearConv", 1e-6), time("second_token_3", "QLinearConv", 2e-6)];
        let found = layer_times(
            &prepared,
            &Profiled { model: &original, nodes: &float },
            &Profiled { model: deployed.model(), nodes: &int8 },
            2,
        );
        let expected = [("first", [1000.0, 500.0]), ("second", [2000.0, 1000.0])];
        let rounded = found.iter().map(|(name, times)| (&**name, times.map(f64::round)));
        assert_eq!(rounded.collect::<Vec<_>>(), expected);
        // Two nodes that may both be the first convolution tell nothing.
        let twice = [float.as_slice(), &[time("first", "Conv", 1e-6)]].concat();
        let float = Profiled { model: &original, nodes: &twice };
        let found = layer_times(&prepared, &float, &Profiled { model: deployed.model(), nodes: &int8 }, 2);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["second"]);
    }
}
