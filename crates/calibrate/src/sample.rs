//! Samples of the inputs and outputs of linear layers in the float model, in bounded memory. Rounding and the choice of the
//! layers to smooth use them, each layer independent of the others; ranges are found from all data instead.

mod half_rows;
mod row_layout;
mod window;

use crate::by_value::ByValue;
use crate::data::Batches;
use crate::float_model::FloatModel;
use crate::memory::MemoryLimit;
use crate::parts::{Part, run_parts};
use intact8_ir::{GraphId, Model, Result, Tensor, ValueId, ValueRef};
use intact8_quant::config::WeightMethod;
use intact8_quant::rounding::SharedWeights;
use intact8_quant::{Layer, LayerConfig, QuantConfig};
pub(crate) use row_layout::{RowLayout, RowSample};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A linear layer: the product of rows of its input and one constant matrix.
pub(crate) struct SampledLayer {
    pub(crate) layer: Layer,
    pub(crate) config: LayerConfig,
    pub(crate) layout: RowLayout,
    pub(crate) input: ValueRef,
    pub(crate) output: ValueRef,
}

/// The sampled layers in chunks, with the rows of the first chunk.
pub(crate) struct LayerSamples {
    /// The layers whose rows fit into memory at once. Layers with the same input or the same weight are in one chunk.
    chunks: Vec<Chunk>,
    /// The rows of the first chunk, if they were collected while the layers were observed.
    first: Option<Vec<RowSample>>,
    batch_num: usize,
}

/// Some of the layers.
struct Chunk {
    layers: Vec<SampledLayer>,
    by_value: ByValue,
}

/// The rows of a chunk's layers on one batch.
pub(crate) struct BatchSamples {
    batch: usize,
    batch_num: usize,
    /// For each layer its input, as long as it has not run, and its rows.
    layers: Vec<(Option<Tensor>, RowSample)>,
}

impl LayerSamples {
    /// Whether no layer is sampled.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The samples of all enabled linear layers that need some, still without rows. Layers with the same weight have as many rows
    /// together as another layer has alone.
    pub(crate) fn new(
        model: &Model,
        config: &QuantConfig,
        n_batches: usize,
        memory: MemoryLimit,
    ) -> Result<LayerSamples> {
        let mut sampled = linear_layers(model, config)?;
        let is_for_all = config.fit_rounding || config.auto_balance;
        sampled.retain(|sampled| is_for_all || sampled.is_learned());
        sampled.sort_by_key(|sampled| sampled.input);
        let shared = SharedWeights::of(model, config);
        for sampled in &mut sampled {
            sampled.layout.divide_rows(shared.n_layers(&sampled.layer.name));
        }
        let names = sampled.iter().map(|sampled| (sampled.layer.name.as_str(), sampled.input));
        let numbers = shared.clusters(names);
        let mut clusters: BTreeMap<usize, Vec<SampledLayer>> = BTreeMap::new();
        for (number, sampled) in numbers.into_iter().zip(sampled) {
            clusters.entry(number).or_default().push(sampled);
        }
        let most = memory.sampled_values();
        let (mut chunks, mut n_values) = (Vec::<Vec<SampledLayer>>::new(), 0);
        for mut cluster in clusters.into_values() {
            let n_of =
                |cluster: &[SampledLayer]| cluster.iter().map(|it| it.layout.max_values()).sum::<usize>();
            let n_wanted = n_of(&cluster);
            cluster.iter_mut().for_each(|sampled| sampled.layout.reduce_rows(most, n_wanted));
            let n_of_cluster = n_of(&cluster);
            match chunks.last_mut().filter(|_| n_values + n_of_cluster <= most) {
                Some(chunk) => chunk.extend(cluster),
                None => {
                    chunks.push(cluster);
                    n_values = 0;
                }
            }
            n_values += n_of_cluster;
        }
        let chunk = |layers: Vec<SampledLayer>| {
            let by_value = ByValue::of(layers.iter().map(SampledLayer::sampled_values));
            Chunk { layers, by_value }
        };
        let chunks = chunks.into_iter().map(chunk).collect();
        Ok(LayerSamples { chunks, first: None, batch_num: n_batches })
    }

    /// The values that [`observe`](LayerSamples::observe) uses.
    pub(crate) fn observed_values(&self) -> impl Iterator<Item = ValueRef> {
        self.chunks.first().into_iter().flat_map(|chunk| chunk.by_value.values())
    }

    /// Empty samples of the first chunk on a batch.
    pub(crate) fn start_batch(&self, batch: usize) -> BatchSamples {
        let layers = self.chunks.first().map_or(&[][..], |chunk| &chunk.layers);
        BatchSamples::new(layers, batch, self.batch_num)
    }

    /// Receives a value of the float model for the first chunk.
    pub(crate) fn observe(
        &self,
        on_batch: &mut BatchSamples,
        part: &Part,
        value: ValueRef,
        tensor: &Tensor,
    ) -> Result<()> {
        self.chunks.first().map_or(Ok(()), |chunk| on_batch.observe(chunk, part, value, tensor))
    }

    /// Appends the rows of the first chunk on a batch to those of the batches before.
    pub(crate) fn append(&self, on_batch: &BatchSamples, first: &mut Vec<RowSample>) {
        self.chunks.first().into_iter().for_each(|chunk| on_batch.append_to(&chunk.layers, first));
    }

    /// The samples with the rows of the first chunk on all batches, if they were collected.
    pub(crate) fn finish(self, first: Option<Vec<RowSample>>) -> LayerSamples {
        LayerSamples { first, ..self }
    }

    /// Calls `visit` with the layers and rows of each chunk. For all chunks whose rows were not collected before, the model runs
    /// again, on the batches that rows come from: no more than a layer has rows.
    pub(crate) fn for_each_chunk(
        &self,
        float: &FloatModel<'_>,
        batches: &mut Batches<'_>,
        mut visit: impl FnMut(&[SampledLayer], &[RowSample]) -> Result<()>,
    ) -> Result<()> {
        for (idx, chunk) in self.chunks.iter().enumerate() {
            if let (0, Some(first)) = (idx, &self.first) {
                visit(&chunk.layers, first)?;
                continue;
            }
            let executor = float.watched(chunk.by_value.values())?;
            let run_batch = |batch: usize, inputs: &[Tensor]| {
                let mut on_batch = BatchSamples::new(&chunk.layers, batch, self.batch_num);
                run_parts(&*executor, executor.parts(inputs), |part, value, tensor| {
                    on_batch.observe(chunk, part, value, tensor)
                })?;
                Ok(on_batch)
            };
            let has_rows = |batch: usize| {
                chunk.layers.iter().any(|sampled| sampled.layout.n_rows_of(batch, self.batch_num) > 0)
            };
            let mut rows = Vec::new();
            batches.needed_in_parallel(&has_rows, run_batch, |on_batch| {
                on_batch.append_to(&chunk.layers, &mut rows);
                Ok(())
            })?;
            visit(&chunk.layers, &rows)?;
        }
        Ok(())
    }
}

/// The enabled linear layers whose weight is not empty.
pub(crate) fn linear_layers(model: &Model, config: &QuantConfig) -> Result<Vec<SampledLayer>> {
    let is_linear =
        |layer: &Layer| layer.can_learn_rounding() && !layer.tensor(model, &layer.weights[0]).is_empty();
    let enabled = config.enabled(model).into_iter().filter(|(layer, _)| is_linear(layer));
    enabled.map(|(layer, layer_config)| SampledLayer::new(model, layer, layer_config)).collect()
}

impl SampledLayer {
    fn new(model: &Model, layer: Layer, config: &LayerConfig) -> Result<SampledLayer> {
        let is_learned = is_learned(config);
        Ok(SampledLayer {
            config: config.clone(),
            input: layer.inputs(model)[0],
            output: ValueRef { graph: layer.graph, value: ValueId::from(layer.node) },
            layout: RowLayout::new(model, &layer, is_learned).map_err(|error| error.at(&layer.name))?,
            layer,
        })
    }

    /// The input, and the value that ends a run of the layer: its output, or the input again if that is enough to tell that the layer
    /// runs, so that its output need not be watched.
    pub(crate) fn values(&self) -> [ValueRef; 2] {
        [self.input, if self.layer.graph == GraphId::MAIN { self.input } else { self.output }]
    }

    /// As [`values`](SampledLayer::values); the output if it is sampled.
    fn sampled_values(&self) -> [ValueRef; 2] {
        if self.layout.has_outputs() { [self.input, self.output] } else { self.values() }
    }

    /// Whether the rounding of its weight is learned.
    pub(crate) fn is_learned(&self) -> bool {
        is_learned(&self.config)
    }

    /// The elements of the layer's weight as a matrix with one row for each output channel.
    pub(crate) fn output_major<'a, T: Copy>(&self, weight: &'a [T]) -> Cow<'a, [T]> {
        if self.layer.weights[0].axis == 1 {
            Cow::Owned(transposed(weight, self.layout.depth()))
        } else {
            Cow::Borrowed(weight)
        }
    }

    /// The elements of a matrix with one row for each output channel, in the order of the layer's weight.
    pub(crate) fn weight_order<T: Copy>(&self, output_major: Vec<T>) -> Vec<T> {
        if self.layer.weights[0].axis == 1 {
            let n_out = output_major.len() / self.layout.depth().max(1);
            transposed(&output_major, n_out)
        } else {
            output_major
        }
    }
}

fn is_learned(config: &LayerConfig) -> bool {
    matches!(config.weight_quant_params.method, WeightMethod::AdaRound(_))
}

/// A row-major matrix of `n_rows` rows, transposed.
fn transposed<T: Copy>(values: &[T], n_rows: usize) -> Vec<T> {
    let n_columns = values.len() / n_rows.max(1);
    (0..n_columns).flat_map(|column| (0..n_rows).map(move |row| values[row * n_columns + column])).collect()
}

impl BatchSamples {
    fn new(layers: &[SampledLayer], batch: usize, batch_num: usize) -> BatchSamples {
        let layers = layers.iter().map(|_| (None, RowSample::default())).collect();
        BatchSamples { batch, batch_num, layers }
    }

    fn observe(&mut self, chunk: &Chunk, part: &Part, value: ValueRef, tensor: &Tensor) -> Result<()> {
        for idx in chunk.by_value.at(value) {
            let (sampled, (pending, rows)) = (&chunk.layers[idx], &mut self.layers[idx]);
            if value == sampled.input {
                *pending = Some(tensor.clone());
            }
            // An input from outside a loop is computed once and used in each iteration.
            if let Some(input) = &*pending
                && value == sampled.sampled_values()[1]
            {
                let output = (value == sampled.output).then_some(tensor);
                let sample = sampled.layout.sample(rows, input, output, (self.batch, self.batch_num), part);
                sample.map_err(|error| error.at(&sampled.layer.name))?;
                pending.take_if(|_| sampled.layer.graph == GraphId::MAIN);
            }
        }
        Ok(())
    }

    /// Appends the rows to those of other batches.
    fn append_to(&self, layers: &[SampledLayer], all: &mut Vec<RowSample>) {
        all.resize_with(layers.len(), RowSample::default);
        for (sampled, (all, (_, rows))) in layers.iter().zip(all.iter_mut().zip(&self.layers)) {
            sampled.layout.reserve(all);
            all.extend(rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_with_an_empty_weight_is_not_sampled() {
        for (weight, n_layers) in [("[] : f32[0,2]", 0), ("[] : f32[2,0]", 0), ("[1.0, 2.0] : f32[2,1]", 1)] {
            let text = format!(
                "model m opset 17\n%x = input : f32[N,M]\n%w = const {weight}\n%y = MatMul(%x, %w) @fc\nreturn %y\n"
            );
            let model: Model = text.parse().unwrap();
            let config = QuantConfig::for_model(&model);
            assert_eq!(linear_layers(&model, &config).unwrap().len(), n_layers, "{weight}");
        }
    }
}
