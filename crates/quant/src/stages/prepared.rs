//! A model ready to be quantized, with its layers and their costs.

use crate::config::{LayerConfig, QuantConfig};
use crate::costs::{multiply_adds, sample_shapes};
use crate::layer::{Layer, layers};
use crate::layer_table::{LayerId, LayerSet, LayerTable};
use crate::passes::{EqualizeAcrossLayers, RaiseOpset, Unfuse};
use crate::placement;
use crate::profile::Profile;
use crate::record::Record;
use crate::stages::Quantized;
use crate::{NameNodes, SinkConstants, fuse_activations, fuse_results, infer_types};
use intact8_ir::{Model, Pass, PassObserver, Pipeline, Result, Tensor};
use std::collections::BTreeMap;

/// The options of preparation. [`Prepared::new`] does nothing that these fields do not request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preparation {
    /// Whether batch normalizations, scales, shifts and pads are folded into the layers before them.
    pub fuse: bool,
    /// Names of layers that nothing is folded into.
    pub skip_fusion: Vec<String>,
    /// Whether batch normalizations are folded into the layer after them too, which then reads and quantizes another activation.
    pub fuse_activations: bool,
    /// Whether cross-layer equalization is applied.
    pub equalize: bool,
}

impl Default for Preparation {
    fn default() -> Preparation {
        Preparation { fuse: true, skip_fusion: vec![], fuse_activations: true, equalize: true }
    }
}

impl Preparation {
    /// The preparation that a configuration requires.
    pub fn of(config: &QuantConfig) -> Preparation {
        Preparation {
            fuse: config.do_fusion,
            skip_fusion: config.skip_fusion_layers.clone(),
            fuse_activations: true,
            equalize: config.equalize,
        }
    }

    /// The preparation for a record that was made without intact8's: no layer reads another activation than in the original,
    /// and nothing is folded into the layers that the record excludes.
    pub fn of_record(record: &Record) -> Preparation {
        let skipped = record.layers.iter().filter(|(_, entry)| entry.skip_fusion);
        Preparation {
            fuse: true,
            skip_fusion: skipped.map(|(name, _)| name.clone()).collect(),
            fuse_activations: false,
            equalize: false,
        }
    }

    /// No preparation but names and computed constants.
    pub fn none() -> Preparation {
        Preparation { fuse: false, skip_fusion: vec![], fuse_activations: false, equalize: false }
    }

    /// The names of the passes that [`Prepared::new`] runs, in order.
    pub fn pass_names(&self, folding: Option<&dyn Pass>) -> Vec<&'static str> {
        self.pipelines(folding).iter().flat_map(Pipeline::names).collect()
    }

    /// The passes: names, plain products and computed constants, fusion into the layer before and after, cross-layer equalization, types. Names
    /// come first: they count nodes, which folding removes.
    fn pipelines<'a>(&'a self, folding: Option<&'a dyn Pass>) -> [Pipeline<'a>; 5] {
        let mut fold: Vec<Box<dyn Pass + 'a>> = vec![Box::new(NameNodes), Box::new(Unfuse)];
        if let Some(folding) = folding {
            fold.extend([
                Box::new(folding) as Box<dyn Pass + 'a>,
                Box::new(SinkConstants),
                Box::new(folding),
            ]);
        }
        let equalize: Vec<Box<dyn Pass + 'a>> =
            if self.equalize { vec![Box::new(EqualizeAcrossLayers)] } else { vec![] };
        [Pipeline(fold), fuse_results(self), fuse_activations(self), Pipeline(equalize), infer_types()]
    }
}

/// A model ready to be quantized.
#[derive(Debug, Clone)]
pub struct Prepared {
    model: Model,
    layers: LayerTable,
    costs: Vec<Option<u64>>,
    changed: LayerSet,
}

impl Prepared {
    /// Prepares a copy of a model, whose nodes store as origins the nodes of the original that they compute. `folding` is a
    /// pass of the caller that replaces values by constants if they depend on constants alone; without it, nodes whose weights
    /// are computed are not layers. `observer` receives the stage `prepare`.
    ///
    /// # Errors
    /// If the model breaks a rule of ONNX that a pass or the verifier relies on.
    pub fn new(
        model: &Model,
        how: &Preparation,
        folding: Option<&dyn Pass>,
        observer: &mut dyn PassObserver,
    ) -> Result<Prepared> {
        observer.begin("prepare");
        let mut prepared = model.clone();
        prepared.mark_origins();
        let [fold, fuse_results, fuse_activations, equalize, types] = how.pipelines(folding);
        fold.run_observed(&mut prepared, observer)?;
        fuse_results.run_observed(&mut prepared, observer)?;
        let before = constants_by_layer(&prepared);
        fuse_activations.run_observed(&mut prepared, observer)?;
        equalize.run_observed(&mut prepared, observer)?;
        types.run_observed(&mut prepared, observer)?;
        let layers = LayerTable::of(&prepared);
        let is_changed = |layer: &Layer| {
            before.get(&layer.name).is_none_or(|before| *before != constants(&prepared, layer))
        };
        let changed = layers.iter().filter(|(_, layer)| is_changed(layer)).map(|(id, _)| id).collect();
        // Costs only decide between equals: a model that contradicts itself can be quantized without them.
        let shapes = sample_shapes(&prepared).unwrap_or_default();
        let cost = |layer: &Layer| Some(multiply_adds(&prepared, layer, &shapes)? as u64);
        let costs = layers.iter().map(|(_, layer)| cost(layer)).collect();
        Ok(Prepared { model: prepared, layers, costs, changed })
    }

    /// The prepared model. Its outputs are those of the original up to rounding.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Its layers.
    pub fn layers(&self) -> &LayerTable {
        &self.layers
    }

    /// The multiply-accumulate operations of a layer for one sample, if shapes are known before anything runs;
    /// symbolic and unknown dimensions count as 1.
    pub fn cost(&self, layer: LayerId) -> Option<u64> {
        self.costs.get(layer.0 as usize).copied().flatten()
    }

    /// The time in nanoseconds that a run with one sample loses on a target if a layer of a configuration is rolled back to float,
    /// for each that has activations in int8; negative if it gains. Nothing if the times of the target are not measured.
    pub fn time_lost(&self, config: &QuantConfig, target: &Profile) -> BTreeMap<LayerId, f64> {
        let lost = target.costs.map(|costs| placement::time_lost(&self.model, config, costs));
        let by_id = |(name, lost): (String, f64)| Some((self.layers.id(&name)?, lost));
        lost.unwrap_or_default().into_iter().filter_map(by_id).collect()
    }

    /// The layers whose constants a record does not describe, because of cross-layer equalization or of a
    /// normalization before the layer that was folded into it: a record of them can't be used without the configuration.
    pub fn changed(&self) -> &LayerSet {
        &self.changed
    }

    /// Adds to a record what it can tell of this preparation and of a configuration: which layers have nothing folded into them,
    /// which ones require the configuration, and the precision of scales.
    pub fn describe(&self, config: &QuantConfig, record: &mut Record) {
        for (name, entry) in &mut record.layers {
            let Some(layer) = self.layers.id(name) else { continue };
            entry.prepared = self.changed.contains(&layer);
            let has_weights = !self.layers[layer].weights.is_empty();
            entry.skip_fusion =
                has_weights && (!config.do_fusion || config.skip_fusion_layers.contains(name));
            entry.precision = config.fakequant_precision_mode;
        }
    }

    /// The layers that a configuration quantizes, in order.
    pub fn enabled<'a>(&'a self, config: &'a QuantConfig) -> Vec<(LayerId, &'a Layer, &'a LayerConfig)> {
        let enabled = |(id, layer): (LayerId, &'a Layer)| {
            let config = config.layers.get(&layer.name).filter(|config| config.quant_enable)?;
            Some((id, layer, config))
        };
        self.layers.iter().filter_map(enabled).collect()
    }

    /// Checks that the model can be written in the operator set that the quantizers of a configuration need.
    ///
    /// # Errors
    /// Of the kind [`Unsupported`](intact8_ir::ErrorKind::Unsupported) if an operator has no form in it; it names the node.
    pub fn check_opset(&self, config: &QuantConfig) -> Result<()> {
        let raise = RaiseOpset { to: config.min_opset(&Record::default()) };
        raise.run(&mut self.model.clone()).map(|_| ())
    }

    /// The fake-quant model of a configuration: every layer that it enables is quantized with the record's parameters.
    /// The record may hold other layers too. `observer` receives the stage `quantize`.
    ///
    /// # Errors
    /// If the record lacks an enabled layer, or does not fit it.
    pub fn quantize(
        &self,
        config: &QuantConfig,
        record: &Record,
        observer: &mut dyn PassObserver,
    ) -> Result<Quantized> {
        Quantized::new(self, config, record, observer)
    }
}

fn constants_by_layer(model: &Model) -> BTreeMap<String, Vec<Option<Tensor>>> {
    layers(model).into_iter().map(|layer| (layer.name.clone(), constants(model, &layer))).collect()
}

/// The constant operands of a layer; copies share their elements.
fn constants(model: &Model, layer: &Layer) -> Vec<Option<Tensor>> {
    let graph = model.graph(layer.graph);
    graph.operands(layer.node).iter().map(|&value| graph.constant(value?).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two layers with channels of very different ranges between them.
    const MODEL: &str = "model m opset 17\n%x = input : f32[N,2]\n%w = const [64.0, 0.5, 32.0, 0.25] : f32[2,2]\n\
                         %p = MatMul(%x, %w) @a\n%r = Relu(%p)\n%v = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]\n\
                         %q = MatMul(%r, %v) @b\n%t = Tanh(%q)\n%u = const [2.0, 1.0, 4.0, 3.0] : f32[2,2]\n\
                         %y = MatMul(%t, %u) @c\nreturn %y\n";

    #[test]
    fn layers_after_cross_layer_equalization_are_marked_as_changed() {
        let model: Model = MODEL.parse().unwrap();
        let names = |how: &Preparation| {
            let prepared = Prepared::new(&model, how, None, &mut ()).unwrap();
            prepared.layers().names(prepared.changed())
        };
        assert_eq!(names(&Preparation::default()), ["a", "b"]);
        assert_eq!(names(&Preparation { equalize: false, ..Preparation::default() }), [""; 0]);
    }

    #[test]
    fn costs_are_multiply_adds_of_one_sample() {
        let prepared =
            Prepared::new(&MODEL.parse().unwrap(), &Preparation::default(), None, &mut ()).unwrap();
        let cost = |name| prepared.cost(prepared.layers().id(name).unwrap());
        assert_eq!(["a", "b", "c"].map(cost), [Some(4); 3]);
    }
}
