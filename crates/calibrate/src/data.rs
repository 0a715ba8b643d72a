//! The caller's calibration data, batch by batch: one batch after the other, or several at once on all cores.

use crate::observer::CalibrationObserver;
use intact8_ir::{Error, Result, Tensor};
use rayon::prelude::*;
use std::error::Error as StdError;
use std::ops::Range;

/// The error type of code that the caller supplies: any error.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Returns batches of calibration data.
pub trait CalibrationData {
    /// Calls `visit` with the inputs of the first `n_batches` batches, in order: one tensor for each model input, in the
    /// order of the inputs. It is called several times and must return the same batches each time. Further batches are
    /// ignored, fewer are an error.
    ///
    /// # Errors
    /// Any error of `visit`, and failures of the data source.
    fn for_each_batch(
        &mut self,
        n_batches: usize,
        visit: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError>;

    /// Calls `visit` with the positions, from 0, and the inputs of those of the first `n_batches` batches for which `is_selected`
    /// returns true, in order. By default all batches are read; a source that can skip batches should.
    ///
    /// # Errors
    /// As [`for_each_batch`](CalibrationData::for_each_batch).
    fn for_each_selected_batch(
        &mut self,
        n_batches: usize,
        is_selected: &dyn Fn(usize) -> bool,
        visit: &mut dyn FnMut(usize, &[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError> {
        let mut position = 0;
        self.for_each_batch(n_batches, &mut |inputs| {
            position += 1;
            match position <= n_batches && is_selected(position - 1) {
                true => visit(position - 1, inputs),
                false => Ok(()),
            }
        })
    }

    /// The number of batches, which is needed if a configuration sets none; by default unknown.
    fn n_batches(&self) -> Option<usize> {
        None
    }
}

/// Batches in memory.
impl CalibrationData for Vec<Vec<Tensor>> {
    fn for_each_batch(
        &mut self,
        n_batches: usize,
        visit: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError> {
        self.iter().take(n_batches).try_for_each(|batch| visit(batch))?;
        Ok(())
    }

    fn n_batches(&self) -> Option<usize> {
        Some(self.len())
    }
}

/// The first batches of calibration data, with the observer that receives the progress of each pass over them.
pub struct Batches<'a> {
    data: &'a mut dyn CalibrationData,
    n_batches: usize,
    /// The batches that a pass runs.
    selected: Range<usize>,
    pub(crate) observer: &'a mut dyn CalibrationObserver,
}

impl<'a> Batches<'a> {
    /// The first `n_batches` batches.
    pub fn new(
        data: &'a mut dyn CalibrationData,
        n_batches: usize,
        observer: &'a mut dyn CalibrationObserver,
    ) -> Batches<'a> {
        Batches { data, n_batches, selected: 0..n_batches, observer }
    }

    /// The first [`batch_num`](intact8_quant::QuantConfig::batch_num) batches, or all of the data if it is `None`.
    ///
    /// # Errors
    /// If it is `None` and the number of batches is unknown, if there is no batch, and if the data are known to have fewer.
    pub fn of(
        data: &'a mut dyn CalibrationData,
        batch_num: Option<usize>,
        observer: &'a mut dyn CalibrationObserver,
    ) -> Result<Batches<'a>> {
        let unknown = || {
            let message = "is not set, and the number of batches of the calibration data is unknown; set it in the \
                           configuration";
            Error::invalid_config(message).at("batch_num")
        };
        let n_found = data.n_batches();
        let n_batches = batch_num.or(n_found).ok_or_else(unknown)?;
        match n_found {
            _ if n_batches == 0 => Err(Error::invalid_data("the calibration data have no batch")),
            Some(n_found) if n_found < n_batches => Err(too_few(&format!("{n_found} batches"), n_batches)),
            _ => Ok(Batches::new(data, n_batches, observer)),
        }
    }

    /// The number of batches.
    pub fn len(&self) -> usize {
        self.n_batches
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.n_batches == 0
    }

    /// Lets passes run only these batches. Their positions stay those among all batches.
    pub(crate) fn select(&mut self, selected: Range<usize>) {
        self.selected = selected;
    }

    /// Calls `visit` with the positions and inputs of the selected batches for which `is_needed` returns true.
    fn for_each_needed(
        &mut self,
        is_needed: &dyn Fn(usize) -> bool,
        visit: &mut dyn FnMut(usize, &[Tensor]) -> Result<()>,
    ) -> Result<()> {
        let (n, selected) = (self.n_batches, self.selected.clone());
        let total = selected.clone().filter(|&batch| is_needed(batch)).count();
        let mut n_visited = 0;
        let mut forward = |batch: usize, inputs: &[Tensor]| {
            self.observer.batch(n_visited, total)?;
            n_visited += 1;
            visit(batch, inputs)
        };
        let is_selected = |batch: usize| selected.contains(&batch) && is_needed(batch);
        self.data.for_each_selected_batch(n, &is_selected, &mut forward).map_err(Error::from_user)?;
        if n_visited < total {
            let n_found = match self.data.n_batches() {
                Some(n_found) => format!("{n_found} batches"),
                None if total == n => format!("{n_visited} batches"),
                None => "fewer batches".to_owned(),
            };
            return Err(too_few(&n_found, n));
        }
        Ok(())
    }

    /// Calls `run` with the position and the inputs of each selected batch, on as many batches at once as there are threads, and `merge`
    /// with the results in the order of the batches: no result depends on the number of threads.
    ///
    /// # Errors
    /// Failures of the data source, too few batches, and any error of the two functions.
    pub fn in_parallel<T: Send>(
        &mut self,
        run: impl Fn(usize, &[Tensor]) -> Result<T> + Sync,
        merge: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        self.needed_in_parallel(&|_| true, run, merge)
    }

    /// The same for those batches for whose position `is_needed` returns true.
    pub(crate) fn needed_in_parallel<T: Send>(
        &mut self,
        is_needed: &dyn Fn(usize) -> bool,
        run: impl Fn(usize, &[Tensor]) -> Result<T> + Sync,
        mut merge: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        let mut wave: Vec<(usize, Vec<Tensor>)> = Vec::new();
        let mut run_wave = |wave: &mut Vec<(usize, Vec<Tensor>)>| {
            let results: Vec<Result<T>> =
                wave.par_iter().map(|(batch, inputs)| run(*batch, inputs)).collect();
            wave.clear();
            results.into_iter().try_for_each(|result| merge(result?))
        };
        self.for_each_needed(is_needed, &mut |batch, inputs| {
            wave.push((batch, inputs.to_vec()));
            if wave.len() == rayon::current_num_threads() { run_wave(&mut wave) } else { Ok(()) }
        })?;
        run_wave(&mut wave)
    }

    /// The positions and inputs of the first selected batches, at most as many as there are threads.
    pub(crate) fn first(&mut self) -> Result<Vec<(usize, Vec<Tensor>)>> {
        let (mut first, start) = (Vec::new(), self.selected.start);
        let is_first = |batch: usize| batch - start < rayon::current_num_threads();
        self.for_each_needed(&is_first, &mut |batch, inputs| {
            first.push((batch, inputs.to_vec()));
            Ok(())
        })?;
        Ok(first)
    }
}

fn too_few(n_found: &str, n_batches: usize) -> Error {
    let message =
        format!("the calibration data have {n_found}, and batch_num is {n_batches}; lower it, or add data");
    Error::invalid_data(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_number_all_batches_are_used() {
        struct Unknown;

        impl CalibrationData for Unknown {
            fn for_each_batch(
                &mut self,
                _: usize,
                _: &mut dyn FnMut(&[Tensor]) -> Result<()>,
            ) -> Result<(), BoxError> {
                Ok(())
            }
        }

        let mut data = vec![vec![Tensor::scalar(1.0f32)], vec![Tensor::scalar(2.0f32)]];
        assert_eq!(Batches::of(&mut data, None, &mut ()).unwrap().len(), 2);
        assert_eq!(Batches::of(&mut data, Some(1), &mut ()).unwrap().len(), 1);
        let message =
            |data: &mut dyn CalibrationData| Batches::of(data, None, &mut ()).err().unwrap().to_string();
        assert!(message(&mut Unknown).starts_with("batch_num: is not set, and the number of batches"));
        assert_eq!(message(&mut Vec::new()), "the calibration data have no batch");
    }

    #[test]
    fn too_few_batches_are_an_error_and_further_ones_are_ignored() {
        let mut data = vec![vec![Tensor::scalar(1.0f32)], vec![Tensor::scalar(2.0f32)]];
        let sum = |data: &mut Vec<Vec<Tensor>>, n: usize| {
            let mut sum = 0.0;
            Batches::new(data, n, &mut ()).in_parallel(
                |_, inputs| Ok(inputs[0].values::<f32>()?[0]),
                |value| {
                    sum += value;
                    Ok(())
                },
            )?;
            Ok::<f32, Error>(sum)
        };
        assert_eq!(sum(&mut data, 1).unwrap(), 1.0);
        assert_eq!(sum(&mut data, 2).unwrap(), 3.0);
        let message = sum(&mut data, 3).unwrap_err().to_string();
        assert_eq!(message, "the calibration data have 2 batches, and batch_num is 3; lower it, or add data");
        // Before any pass, however many are asked for.
        let error = Batches::of(&mut data, Some(usize::MAX), &mut ()).err().unwrap();
        assert!(error.to_string().starts_with("the calibration data have 2 batches, and batch_num is"));
    }
}
