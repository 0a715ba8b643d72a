//! The time of each layer in our interpreter, before and after: nodes that run are traced to the layers that they come from.
//!
//! What the interpreter runs has the names of the model's nodes; a merged node has that of its main one, and its time counts for the
//! layer of that. A chain of operations has no main one, and counts for the layer among them. The time of a conversion to integers
//! counts for the layer that uses them; of several, for the one with the most multiply-adds.

use super::{LayerProfiling, MeasuredModel};
use crate::data::Feed;
use crate::layer_map::layer_map;
use crate::run_profile::{NodeTime, alternating};
use crate::stop::Stop;
use intact8_interp::Session;
use intact8_ir::{Error, Model, Pass, Result};
use intact8_quant::passes::ReadAscend;
use intact8_quant::{DeployFormat, Prepared};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The time of all runs together, after which no further one begins, and the number of runs that are enough.
const BUDGET: (Duration, usize) = (Duration::from_millis(150), 20);

/// The time of each layer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayerLatency {
    /// The seconds of each layer in the original and in the deploy model, by name of the layer; `None` where no node is the layer's
    /// own.
    pub layers: BTreeMap<String, [Option<f64>; 2]>,
    /// The seconds of all nodes together.
    pub total: [f64; 2],
    /// The number of threads.
    pub threads: usize,
    /// The number of samples of a run.
    pub batch: usize,
    /// The number of runs, of which each node has its least time.
    pub runs: usize,
}

impl LayerLatency {
    pub(super) fn measure(
        model: &MeasuredModel<'_>,
        data: &Feed,
        profiling: LayerProfiling,
        stop: &Stop,
    ) -> Result<LayerLatency> {
        let LayerProfiling { threads, limits } = profiling;
        let mut original = model.original.clone();
        original.mark_origins();
        let mut deployed = model.deployed.model().clone();
        if model.deployed.format() == DeployFormat::Ascend {
            ReadAscend.run(&mut deployed)?;
        }
        // One sample, unless the model fixes the size of a batch.
        let data = data.clone().in_batches_of_at_most(1);
        let samples = data.batches().next().unwrap_or_default();
        let (batch, inputs) = (data.n_fed(&samples), data.inputs(samples)?);
        let models = [&original, &deployed];
        let [float, int8] = models.map(|model| Session::with_limits(model, limits));
        let (float, int8) = (float?, int8?);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| Error::unsupported(error.to_string()))?;
        let (times, runs) =
            pool.install(|| alternating(&[&float, &int8], &inputs, BUDGET, &mut || stop.check()))?;
        let layers = LayersOfNodes::of(&original, model.float.prepared());
        let mut found = LayerLatency { threads, batch, runs, ..LayerLatency::default() };
        for (at, (model, times)) in models.into_iter().zip(&times).enumerate() {
            found.total[at] = times.iter().map(|time| time.seconds).sum();
            let sources = NodeSources {
                written: layer_map(&original, model),
                lowered: layer_map(&original, &Session::lowered(model)?),
            };
            for (layer, seconds) in layers.times(&sources, times) {
                found.layers.entry(layer).or_default()[at] = Some(seconds);
            }
        }
        Ok(found)
    }
}

/// The operator of a chain.
const CHAIN: &str = "intact8.lowered::Chain";

/// The nodes of the original that nodes come from, by name.
struct NodeSources {
    /// Those of the model.
    written: BTreeMap<String, Vec<String>>,
    /// Those of its lowered form. Only chains are certain to know where they come from.
    lowered: BTreeMap<String, Vec<String>>,
}

/// The layers of the original's nodes.
struct LayersOfNodes {
    /// By name of the node, the names of layers that it is part of.
    layers: BTreeMap<String, BTreeSet<String>>,
    /// The multiply-adds of each layer, as far as they are known, and its position.
    costs: BTreeMap<String, (u64, usize)>,
}

impl LayersOfNodes {
    fn of(original: &Model, prepared: &Prepared) -> LayersOfNodes {
        let sources = layer_map(original, prepared.model());
        let mut found = LayersOfNodes { layers: BTreeMap::new(), costs: BTreeMap::new() };
        for (position, (id, layer)) in prepared.layers().iter().enumerate() {
            found.costs.insert(layer.name.clone(), (prepared.cost(id).unwrap_or(0), position));
            for node in sources.get(&layer.name).into_iter().flatten() {
                found.layers.entry(node.clone()).or_default().insert(layer.name.clone());
            }
        }
        found
    }

    /// The seconds of each layer that a node counts for.
    fn times(&self, sources: &NodeSources, times: &[NodeTime]) -> BTreeMap<String, f64> {
        let mut found: BTreeMap<String, f64> = BTreeMap::new();
        for time in times {
            let sources = if time.operator == CHAIN { &sources.lowered } else { &sources.written };
            let nodes = sources.get(&time.node).into_iter().flatten();
            let layers = nodes.filter_map(|node| self.layers.get(node)).flatten();
            let first = |layer: &&String| {
                let (cost, position) = self.costs.get(*layer).copied().unwrap_or_default();
                (std::cmp::Reverse(cost), position)
            };
            if let Some(layer) = layers.min_by_key(first) {
                *found.entry(layer.clone()).or_default() += time.seconds;
            }
        }
        found
    }
}
