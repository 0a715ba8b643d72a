//! Ranking: every layer replayed alone with its quantization, its output compared with the original's.
//!
//! The replay is streamed: as soon as the float model has made a layer's input and output, the quantized layer runs on
//! the same input and the two outputs are compared. No activation is stored.

use crate::calibrate::watch;
use crate::evaluator::Evaluator;
use crate::ranking::{Ranked, Ranking};
use crate::sensitivity::{Channels, Sensitivity, Similarity};
use quantfit_interp::Session;
use quantfit_ir::{Error, Model, Place, Result, Tensor, isolate};
use quantfit_quant::{Layer, QuantConfig, Record, fake_quant};

/// A layer replayed on a batch.
#[derive(Debug, Clone, Copy)]
pub struct Replayed<'a> {
    /// The layer.
    pub layer: &'a str,
    /// Which batch of the calibration data, from 0.
    pub batch: usize,
    /// What the layer reads, without its constants.
    pub inputs: &'a [Tensor],
    /// What it gives in the original.
    pub original: &'a Tensor,
    /// What it gives quantized.
    pub quantized: &'a Tensor,
}

/// Is shown every layer's replay.
pub type ReplayTap<'a> = &'a dyn Fn(&Replayed<'_>) -> Result<()>;

/// Ranks the layers that `config` enables in a prepared model, each by its own output. `tap` is shown every replay.
pub fn rank(
    model: &Model,
    config: &QuantConfig,
    record: &Record,
    evaluator: &mut impl Evaluator,
    sensitivity: &dyn Sensitivity,
    tap: ReplayTap<'_>,
) -> Result<Ranking> {
    let enabled = config.enabled(model);
    let mut replays = enabled
        .iter()
        .map(|(layer, _)| Replay::new(model, config, record, layer))
        .collect::<Result<Vec<_>>>()?;
    watch(model, config, evaluator, &mut |place, tensor| {
        replays.iter_mut().try_for_each(|replay| replay.see(place, tensor, sensitivity, tap))
    })?;
    Ok(Ranking::of(replays.into_iter().map(Replay::finish).collect::<Result<_>>()?))
}

/// A layer waiting for what it reads and what it gave.
struct Replay {
    layer: String,
    /// The layer alone, quantized.
    session: Session,
    /// What it reads, as far as it has come.
    inputs: Vec<(Place, Option<Tensor>)>,
    output: Place,
    /// Whether the output's channels come last, or after the batch.
    channels_last: bool,
    mean: Mean,
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
            channels_last: ["Gemm", "MatMul"].contains(&layer.op.as_str()),
            mean: Mean::default(),
        })
    }

    fn see(
        &mut self,
        place: Place,
        tensor: &Tensor,
        sensitivity: &dyn Sensitivity,
        tap: ReplayTap<'_>,
    ) -> Result<()> {
        for (_, input) in self.inputs.iter_mut().filter(|(wanted, _)| *wanted == place) {
            *input = Some(tensor.clone());
        }
        if place != self.output {
            return Ok(());
        }
        let inputs: Option<Vec<Tensor>> = self.inputs.iter_mut().map(|(_, input)| input.take()).collect();
        let inputs = inputs.expect("a layer runs after what it reads has been made");
        let quantized = self.session.run(&inputs).map_err(|error| error.at(&self.layer))?;
        let (layer, batch) = (self.layer.as_str(), self.mean.n_batches);
        tap(&Replayed { layer, batch, inputs: &inputs, original: tensor, quantized: &quantized[0] })?;
        let channels = Channels::of(tensor.shape(), self.channels_last);
        let similarity = sensitivity.compare(tensor.values()?, quantized[0].values()?, channels);
        self.mean.add(similarity).map_err(|error| error.at(&self.layer))
    }

    fn finish(self) -> Result<Ranked> {
        let Similarity { value, worst_channel } =
            self.mean.finish().map_err(|error| error.at(&self.layer))?;
        Ok(Ranked { layers: vec![self.layer], similarity: value, worst_channel, cost: 0 })
    }
}

/// The mean similarity over batches.
#[derive(Default)]
pub(crate) struct Mean {
    sum: Similarity,
    n_batches: usize,
}

impl Mean {
    pub(crate) fn add(&mut self, similarity: Similarity) -> Result<()> {
        let Similarity { value, worst_channel } = similarity;
        if !value.is_finite() || !worst_channel.is_finite() {
            return Err(Error::evaluator(format!(
                "the sensitivity is {value}, {worst_channel} in the worst channel"
            )));
        }
        self.sum.value += value;
        self.sum.worst_channel += worst_channel;
        self.n_batches += 1;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Similarity> {
        if self.n_batches == 0 {
            return Err(Error::invalid_data("no calibration data reached this layer"));
        }
        let n_batches = self.n_batches as f64;
        Ok(Similarity {
            value: self.sum.value / n_batches,
            worst_channel: self.sum.worst_channel / n_batches,
        })
    }
}
