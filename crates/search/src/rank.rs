//! Ranking: every layer replayed alone with its quantization, its output compared with the original's.
//!
//! The replay is streamed: as soon as the float model has made a layer's input and output, the quantized layer runs on
//! the same input and the two outputs are compared. No activation is stored.

use crate::calibrate::watch;
use crate::evaluator::Evaluator;
use crate::sensitivity::Sensitivity;
use quantfit_interp::Session;
use quantfit_ir::{Error, Model, Place, Result, Tensor, isolate};
use quantfit_quant::{Layer, QuantConfig, Record, fake_quant};

/// The layers, the worst first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking(pub Vec<Ranked>);

/// A layer's place in the ranking.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The layer.
    pub layer: String,
    /// How similar its quantized output is to the original, the mean over the calibration batches.
    pub similarity: f64,
}

impl Ranking {
    /// The `n` worst layers.
    pub fn worst(&self, n: usize) -> Vec<String> {
        self.0.iter().take(n).map(|ranked| ranked.layer.clone()).collect()
    }

    /// How many layers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Ranks the layers that `config` enables in a prepared model. Layers of equal similarity keep the model's order.
pub fn rank(
    model: &Model,
    config: &QuantConfig,
    record: &Record,
    evaluator: &mut impl Evaluator,
    sensitivity: &dyn Sensitivity,
) -> Result<Ranking> {
    let enabled = config.enabled(model);
    let mut replays = enabled
        .iter()
        .map(|(layer, _)| Replay::new(model, config, record, layer))
        .collect::<Result<Vec<_>>>()?;
    watch(model, config, evaluator, &mut |place, tensor| {
        replays.iter_mut().try_for_each(|replay| replay.see(place, tensor, sensitivity))
    })?;
    let mut ranking: Vec<Ranked> = replays.into_iter().map(Replay::finish).collect::<Result<_>>()?;
    ranking.sort_by(|a, b| a.similarity.total_cmp(&b.similarity));
    Ok(Ranking(ranking))
}

/// A layer waiting for what it reads and what it gave.
struct Replay {
    layer: String,
    /// The layer alone, quantized.
    session: Session,
    /// What it reads, as far as it has come.
    inputs: Vec<(Place, Option<Tensor>)>,
    output: Place,
    sum: f64,
    n_batches: usize,
}

impl Replay {
    fn new(model: &Model, config: &QuantConfig, record: &Record, layer: &Layer) -> Result<Replay> {
        let graph = model.graphs()[layer.graph];
        let mut alone = isolate(model, graph, layer.node);
        let names = alone.graph.inputs().iter().map(|&id| &alone.graph.node(id).outputs[0].name);
        let place = |name: &String| {
            let value = graph.value_named(name).expect("an isolated input has the name of the operand");
            (Place { graph: layer.graph, value }, None)
        };
        let inputs = names.map(place).collect();
        fake_quant(config, record).run(&mut alone).map_err(|error| error.at(&layer.name))?;
        Ok(Replay {
            layer: layer.name.clone(),
            session: Session::new(&alone)?,
            inputs,
            output: Place { graph: layer.graph, value: layer.node.into() },
            sum: 0.0,
            n_batches: 0,
        })
    }

    fn see(&mut self, place: Place, tensor: &Tensor, sensitivity: &dyn Sensitivity) -> Result<()> {
        for (_, input) in self.inputs.iter_mut().filter(|(wanted, _)| *wanted == place) {
            *input = Some(tensor.clone());
        }
        if place != self.output {
            return Ok(());
        }
        let inputs: Option<Vec<Tensor>> = self.inputs.iter_mut().map(|(_, input)| input.take()).collect();
        let inputs = inputs.expect("a layer runs after what it reads has been made");
        let quantized = self.session.run(&inputs).map_err(|error| error.at(&self.layer))?;
        let similarity = sensitivity.similarity(tensor.values()?, quantized[0].values()?);
        if !similarity.is_finite() {
            return Err(Error::evaluator(format!("the sensitivity is {similarity}")).at(&self.layer));
        }
        self.sum += similarity;
        self.n_batches += 1;
        Ok(())
    }

    fn finish(self) -> Result<Ranked> {
        if self.n_batches == 0 {
            return Err(Error::invalid_data("no calibration data reached this layer").at(&self.layer));
        }
        Ok(Ranked { layer: self.layer, similarity: self.sum / self.n_batches as f64 })
    }
}
