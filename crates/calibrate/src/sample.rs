//! What layers read, sampled from the float model in bounded memory: what rounding, balancing and the correction of biases
//! are found by, each layer on its own.

mod halves;
mod rows;
mod window;

use crate::data::Batches;
use intact8_ir::{Executor, GraphId, Model, Result, Tensor, ValueId, ValueRef};
use intact8_quant::config::WeightMethod;
use intact8_quant::{Layer, LayerConfig, QuantConfig};
pub(crate) use rows::{Reading, Rows};

/// How many numbers are kept at once; if that does not suffice for all layers, the calibration data are run again.
const MOST_NUMBERS: usize = 1 << 26;

/// A layer that is a product of rows and one constant matrix.
pub(crate) struct Sampled {
    pub(crate) layer: Layer,
    pub(crate) config: LayerConfig,
    pub(crate) reading: Reading,
    pub(crate) input: ValueRef,
    pub(crate) output: ValueRef,
}

/// The layers that are sampled, and what the first of them read.
pub(crate) struct Samples {
    /// Those that memory suffices for at once. Layers that read one activation are together.
    groups: Vec<Vec<Sampled>>,
    /// Of the first group.
    first: Vec<Rows>,
    batch_num: usize,
}

/// What some layers have read on one batch.
pub(crate) struct Sampling {
    batch: usize,
    batch_num: usize,
    /// What each has before it as long as it has not run, and what is kept.
    seen: Vec<(Option<Tensor>, Rows)>,
}

impl Samples {
    /// Those of all enabled layers that are such products, and for which rows are asked.
    pub(crate) fn new(model: &Model, config: &QuantConfig) -> Result<Samples> {
        let mut sampled = products(model, config)?;
        let for_all = config.fit_rounding || config.auto_balance;
        sampled.retain(|sampled| for_all || sampled.is_learned());
        sampled.sort_by_key(|sampled| sampled.input);
        let (mut groups, mut n_numbers) = (Vec::<Vec<Sampled>>::new(), 0);
        for sampled in sampled {
            let n_of_layer = sampled.reading.most_numbers();
            let is_together =
                |last: &Sampled| n_numbers + n_of_layer <= MOST_NUMBERS || last.input == sampled.input;
            match groups.last_mut().filter(|group| group.last().is_some_and(is_together)) {
                Some(group) => group.push(sampled),
                None => {
                    groups.push(vec![sampled]);
                    n_numbers = 0;
                }
            }
            n_numbers += n_of_layer;
        }
        Ok(Samples { groups, first: Vec::new(), batch_num: config.batch_num })
    }

    /// The first group, ready for a batch.
    pub(crate) fn begin(&self, batch: usize) -> Sampling {
        Sampling::new(self.groups.first().map_or(&[], Vec::as_slice), batch, self.batch_num)
    }

    /// Takes in a value of the float model for the first group.
    pub(crate) fn observe(&self, sampling: &mut Sampling, place: ValueRef, tensor: &Tensor) -> Result<()> {
        self.groups.first().map_or(Ok(()), |group| sampling.observe(group, place, tensor))
    }

    /// Keeps what the first group has read on a batch, behind what it has read on those before.
    pub(crate) fn keep(&self, sampling: &Sampling, first: &mut Vec<Rows>) {
        self.groups.first().into_iter().for_each(|group| sampling.append_to(group, first));
    }

    /// Takes what the first group has read on all batches.
    pub(crate) fn finish(self, first: Vec<Rows>) -> Samples {
        Samples { first, ..self }
    }

    /// Shows `see` all layers with what they read, group by group; for all groups but the first the model runs again.
    pub(crate) fn for_each_group(
        &self,
        executor: &dyn Executor,
        batches: &mut Batches<'_>,
        mut see: impl FnMut(&[Sampled], &[Rows]) -> Result<()>,
    ) -> Result<()> {
        let Some((first, others)) = self.groups.split_first() else { return Ok(()) };
        see(first, &self.first)?;
        for group in others {
            let of_batch = |batch: usize, inputs: &[Tensor]| {
                let mut sampling = Sampling::new(group, batch, self.batch_num);
                executor.run_tapped(inputs, &mut |place, tensor| sampling.observe(group, place, tensor))?;
                Ok(sampling)
            };
            let mut rows = Vec::new();
            batches.in_parallel(of_batch, |sampling| {
                sampling.append_to(group, &mut rows);
                Ok(())
            })?;
            see(group, &rows)?;
        }
        Ok(())
    }
}

/// The enabled layers that are products of rows and one constant matrix that is not empty.
pub(crate) fn products(model: &Model, config: &QuantConfig) -> Result<Vec<Sampled>> {
    let is_product =
        |layer: &Layer| layer.can_learn_rounding() && !layer.tensor(model, &layer.weights[0]).is_empty();
    let enabled = config.enabled(model).into_iter().filter(|(layer, _)| is_product(layer));
    enabled.map(|(layer, of_layer)| Sampled::new(model, layer, of_layer)).collect()
}

impl Sampled {
    fn new(model: &Model, layer: Layer, config: &LayerConfig) -> Result<Sampled> {
        let is_learned = is_learned(config);
        Ok(Sampled {
            config: config.clone(),
            input: layer.inputs(model)[0],
            output: ValueRef { graph: layer.graph, value: ValueId::from(layer.node) },
            reading: Reading::new(model, &layer, is_learned).map_err(|error| error.at(&layer.name))?,
            layer,
        })
    }

    /// Whether its rounding is learned.
    pub(crate) fn is_learned(&self) -> bool {
        is_learned(&self.config)
    }

    /// A matrix in the order of the layer's weight, one row for each output.
    pub(crate) fn by_output<T: Copy>(&self, weight: &[T]) -> Vec<T> {
        if self.layer.weights[0].axis == 1 {
            transposed(weight, self.reading.depth())
        } else {
            weight.to_vec()
        }
    }

    /// The other way round.
    pub(crate) fn in_order<T: Copy>(&self, by_output: Vec<T>) -> Vec<T> {
        if self.layer.weights[0].axis == 1 {
            let n_out = by_output.len() / self.reading.depth().max(1);
            transposed(&by_output, n_out)
        } else {
            by_output
        }
    }
}

fn is_learned(config: &LayerConfig) -> bool {
    matches!(config.weight_quant_params.method, WeightMethod::AdaRound(_))
}

/// A matrix of so many rows, row by row, with rows and columns exchanged.
fn transposed<T: Copy>(values: &[T], n_rows: usize) -> Vec<T> {
    let n_columns = values.len() / n_rows.max(1);
    (0..n_columns).flat_map(|column| (0..n_rows).map(move |row| values[row * n_columns + column])).collect()
}

impl Sampling {
    fn new(group: &[Sampled], batch: usize, batch_num: usize) -> Sampling {
        Sampling { batch, batch_num, seen: group.iter().map(|_| (None, Rows::default())).collect() }
    }

    fn observe(&mut self, group: &[Sampled], place: ValueRef, tensor: &Tensor) -> Result<()> {
        for (sampled, (pending, rows)) in group.iter().zip(&mut self.seen) {
            if place == sampled.input {
                *pending = Some(tensor.clone());
            }
            // An input from outside a loop is made once, and read in each iteration.
            if let Some(input) = &*pending
                && place == sampled.output
            {
                let sample = sampled.reading.sample(rows, input, tensor, self.batch, self.batch_num);
                sample.map_err(|error| error.at(&sampled.layer.name))?;
                pending.take_if(|_| sampled.layer.graph == GraphId::MAIN);
            }
        }
        Ok(())
    }

    /// Puts what was read behind what was read on other batches.
    fn append_to(&self, group: &[Sampled], all: &mut Vec<Rows>) {
        all.resize_with(group.len(), Rows::default);
        for (sampled, (all, (_, rows))) in group.iter().zip(all.iter_mut().zip(&self.seen)) {
            sampled.reading.reserve(all);
            all.extend(rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_weight_has_no_rows() {
        for (weight, n_products) in [("[] : f32[0,2]", 0), ("[] : f32[2,0]", 0), ("[1.0, 2.0] : f32[2,1]", 1)]
        {
            let text = format!(
                "model m opset 17\n%x = input : f32[N,M]\n%w = const {weight}\n%y = MatMul(%x, %w) @fc\nreturn %y\n"
            );
            let model: Model = text.parse().unwrap();
            let config = QuantConfig::for_model(&model);
            assert_eq!(products(&model, &config).unwrap().len(), n_products, "{weight}");
        }
    }
}
