//! The user's calibration data, batch by batch: one after the other, or several at once on all cores.

use crate::observer::CalibrationObserver;
use intact8_ir::{Error, Result, Tensor};
use rayon::prelude::*;
use std::error::Error as StdError;

/// What the user's code may fail with: any error.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Returns batches of calibration data.
pub trait CalibrationData {
    /// Calls `see` with the inputs of the first `n_batches` batches, in order: one tensor for each model input, in the
    /// order of the inputs. Calibration asks several times and requires the same batches each time. More batches are
    /// ignored, fewer are an error.
    ///
    /// # Errors
    /// Whatever `see` returns, and failures of the data source.
    fn for_each_batch(
        &mut self,
        n_batches: usize,
        see: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError>;
}

/// Batches in memory.
impl CalibrationData for Vec<Vec<Tensor>> {
    fn for_each_batch(
        &mut self,
        n_batches: usize,
        see: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError> {
        self.iter().take(n_batches).try_for_each(|batch| see(batch))?;
        Ok(())
    }
}

/// The first batches of some data, and who is told how far a pass over them has come.
pub struct Batches<'a> {
    data: &'a mut dyn CalibrationData,
    n_batches: usize,
    pub(crate) observer: &'a mut dyn CalibrationObserver,
}

impl<'a> Batches<'a> {
    /// The first `n_batches` batches.
    pub fn new(
        data: &'a mut dyn CalibrationData,
        n_batches: usize,
        observer: &'a mut dyn CalibrationObserver,
    ) -> Batches<'a> {
        Batches { data, n_batches, observer }
    }

    /// The number of batches.
    pub fn len(&self) -> usize {
        self.n_batches
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.n_batches == 0
    }

    /// Calls `see` with the inputs of each of the first `n` batches.
    fn each_of(&mut self, n: usize, see: &mut dyn FnMut(&[Tensor]) -> Result<()>) -> Result<()> {
        let mut n_batches = 0;
        let mut forward = |inputs: &[Tensor]| {
            n_batches += 1;
            if n_batches > n {
                return Ok(());
            }
            self.observer.batch(n_batches - 1, n)?;
            see(inputs)
        };
        self.data.for_each_batch(n, &mut forward).map_err(Error::from_user)?;
        if n_batches < n {
            let message =
                format!("the calibration data have {n_batches} batches, and batch_num asks for {n}");
            return Err(Error::invalid_data(message));
        }
        Ok(())
    }

    /// Calls `of_batch` with the number and the inputs of each batch, on as many batches at once as there are threads, and
    /// `take` with the results in the order of the batches: nothing depends on the number of threads.
    ///
    /// # Errors
    /// Failures of the data source, too few batches, and whatever the two functions return.
    pub fn in_parallel<T: Send>(
        &mut self,
        of_batch: impl Fn(usize, &[Tensor]) -> Result<T> + Sync,
        mut take: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        let mut wave: Vec<Vec<Tensor>> = Vec::new();
        let mut n_done = 0;
        let mut run = |wave: &mut Vec<Vec<Tensor>>| {
            let of_wave = |(idx, inputs): (usize, &Vec<Tensor>)| of_batch(n_done + idx, inputs);
            let results: Vec<Result<T>> = wave.par_iter().enumerate().map(of_wave).collect();
            n_done += wave.len();
            wave.clear();
            results.into_iter().try_for_each(|result| take(result?))
        };
        self.each_of(self.n_batches, &mut |inputs| {
            wave.push(inputs.to_vec());
            if wave.len() == rayon::current_num_threads() { run(&mut wave) } else { Ok(()) }
        })?;
        run(&mut wave)
    }

    /// The inputs of the first batches, as many as there are threads.
    pub(crate) fn first(&mut self) -> Result<Vec<Vec<Tensor>>> {
        let mut first = Vec::new();
        self.each_of(self.n_batches.min(rayon::current_num_threads()), &mut |inputs| {
            first.push(inputs.to_vec());
            Ok(())
        })?;
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_batches_are_an_error_and_more_are_ignored() {
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
        assert_eq!(message, "the calibration data have 2 batches, and batch_num asks for 3");
    }
}
