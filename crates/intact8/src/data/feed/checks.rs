//! What is wrong or suspicious in the samples of a feed: numbers that are not finite, samples that are all equal, and options that
//! have no effect.

use super::Feed;
use crate::data::finite::first_not_finite;
use intact8_ir::{Error, Result, Tensor};
use std::ops::Range;

/// An option for data that has no effect on the data of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnusedOption {
    /// The option as it is typed.
    pub(crate) option: &'static str,
    /// What the data lack, with their source.
    pub(crate) reason: String,
}

impl Feed {
    /// As [`Feed::inputs`].
    ///
    /// # Errors
    /// Also if a number that is fed is NaN or infinite.
    pub fn finite_inputs(&self, samples: Range<usize>) -> Result<Vec<Tensor>> {
        self.finite_inputs_of(&samples.collect::<Vec<_>>())
    }

    /// The same for samples of one group in any order.
    pub(crate) fn finite_inputs_of(&self, samples: &[usize]) -> Result<Vec<Tensor>> {
        let inputs = self.inputs_of(samples)?;
        for (input, tensor) in inputs.iter().enumerate() {
            let Some((position, number)) = first_not_finite(tensor) else { continue };
            let idx = self.axes.inputs[input].map_or(0, |axis| {
                let inner: usize = tensor.shape()[axis + 1..].iter().product();
                position / inner.max(1) % tensor.shape()[axis].max(1)
            });
            // A batch may be filled up with the last sample.
            let sample = samples.get(idx).or(samples.last()).copied().unwrap_or(0);
            let message = format!(
                "sample {} (from 0) holds {number}; correct the data, or leave the sample out",
                sample - self.part_of(sample).first
            );
            let array = format!("array {:?}", self.names[input]);
            return Err(Error::invalid_data(message).at(array).at(&self.part_of(sample).source));
        }
        Ok(inputs)
    }

    /// The sample with its number in its file, for messages.
    pub(crate) fn sample_shown(&self, sample: usize) -> String {
        let part = self.part_of(sample);
        format!("sample {} (from 0) of {}", sample - part.first, part.source)
    }

    /// A remark if calibration can learn little from the samples, since there is one, or all are equal.
    ///
    /// # Errors
    /// If the data can't be read.
    pub fn remark_on_variety(&self) -> Result<Option<String>> {
        let n_samples = self.n_samples();
        let remark = |what: String| {
            format!(
                "warning: {}: {what}; ranges are those of these numbers alone: calibrate on some hundred samples as the model \
                 meets them",
                self.source
            )
        };
        let one = |sample: usize| -> Result<Vec<Tensor>> {
            (0..self.types.len()).map(|input| self.stored_one(input, sample)).collect()
        };
        let first = one(0)?;
        if n_samples == 1 {
            return Ok(Some(remark("the calibration data have 1 sample".to_owned())));
        }
        // The second sample ends it, as a rule.
        for sample in 1..n_samples {
            if one(sample)? != first {
                return Ok(None);
            }
        }
        Ok(Some(remark(format!("all {n_samples} samples of the calibration data are equal"))))
    }
}

/// Checks that each option for data has an effect on the data of one of the feeds.
///
/// # Errors
/// If one has no effect.
pub fn check_options<'a>(feeds: impl IntoIterator<Item = &'a Feed>) -> Result<()> {
    let feeds: Vec<&Feed> = feeds.into_iter().collect();
    let Some((first, others)) = feeds.split_first() else { return Ok(()) };
    for UnusedOption { option, reason } in &first.unused {
        let of_others = others.iter().map(|feed| feed.unused.iter().find(|unused| unused.option == *option));
        let Some(of_others) = of_others.collect::<Option<Vec<_>>>() else { continue };
        let mut reasons = vec![reason.as_str()];
        reasons.extend(of_others.iter().map(|unused| unused.reason.as_str()));
        reasons.dedup();
        let message = format!("{option} has no effect: {}; omit it", reasons.join(", "));
        return Err(Error::invalid_config(message));
    }
    Ok(())
}
