//! The inputs of runs that are timed.

use super::print_fed;
use super::usage_error::UsageError;
use intact8::data::{DataSet, Feeding};
use intact8::{Model, Tensor, random_inputs};
use std::path::Path;

/// The inputs of a model, and the number of samples in them if it is known: the first batch of the data, or random numbers.
pub(crate) fn timed_inputs(
    data: Option<&Path>,
    feeding: &Feeding,
    model: &Model,
) -> anyhow::Result<(Vec<Tensor>, Option<usize>)> {
    if let Some(path) = data {
        let feed = DataSet::read_for(path, model, feeding)?.feed(model, feeding)?;
        print_fed(&feed)?;
        let samples = feed.batches().next().unwrap_or_default();
        return Ok((feed.inputs(samples.clone())?, Some(feed.n_fed(&samples))));
    }
    if let Some(option) = feeding.given().first() {
        return Err(UsageError::new(format!(
            "{option} has no effect without --input; add it, or omit {option}"
        ))
        .into());
    }
    Ok(random_inputs(model, feeding.batch.unwrap_or(1))?)
}
