//! The fastest of several configurations of one model, measured before anything is calibrated.
//!
//! Estimates of a runtime's times, as those of a placement, can't know every network. What an integer stands for has no influence
//! on the time of a run, so models with arbitrary scales tell which configuration is fastest.

use crate::latency::{Latency, TimedModel, interleaved};
use intact8_ir::{Executor, Model, Result, Runtime, Tensor};
use intact8_quant::{DeployFormat, Emission, Prepared, QuantConfig, Record};
use std::time::Duration;

/// The largest latency relative to the least one that still counts as the same.
const SAME: f64 = 1.02;

/// The latencies of the original and of its configurations.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigLatencies {
    /// The original.
    pub float: Latency,
    /// The configurations, in their order.
    pub configs: Vec<Latency>,
}

impl ConfigLatencies {
    /// Measures the original and its deploy models of several configurations in turns, within about `budget`. `runtime` is the
    /// target's, on as many threads as it will have there.
    ///
    /// # Errors
    /// If a configuration does not fit the model, or the runtime can't run one of the models.
    pub fn measure(
        original: &Model,
        prepared: &Prepared,
        configs: &[QuantConfig],
        (format, emission): (DeployFormat, &Emission),
        (runtime, inputs): (&dyn Runtime, &[Tensor]),
        budget: Duration,
    ) -> Result<ConfigLatencies> {
        let mut executors: Vec<Box<dyn Executor + '_>> = vec![runtime.compile(original)?];
        for config in configs {
            // Smoothing and bias correction, which may add operations, are results of calibration.
            let record = Record::placeholder(prepared.model(), config)?;
            let deployed = prepared.quantize(config, &record, &mut ())?.deploy(format, emission, &mut ())?;
            executors.push(runtime.compile(deployed.model())?);
        }
        let models: Vec<TimedModel<'_>> =
            executors.iter().map(|executor| TimedModel { executor: &**executor, inputs }).collect();
        let mut latencies = interleaved(&models, budget)?;
        let configs = latencies.split_off(1);
        Ok(ConfigLatencies { float: latencies[0], configs })
    }

    /// The position of the fastest configuration; the first of those that differ from it by no more than 2 %.
    pub fn fastest(&self) -> usize {
        let least = self.configs.iter().map(|latency| latency.least).fold(f64::INFINITY, f64::min);
        self.configs.iter().position(|latency| latency.least <= SAME * least).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equally_fast_ones_is_taken() {
        let fastest = |seconds: &[f64]| {
            let configs = seconds.iter().map(|&seconds| Latency::of(vec![seconds])).collect();
            ConfigLatencies { float: Latency::of(vec![1.0]), configs }.fastest()
        };
        assert_eq!(fastest(&[1.01, 1.0, 2.0]), 0);
        assert_eq!(fastest(&[1.05, 1.0, 1.0]), 1);
        assert_eq!(fastest(&[3.0, 2.0, 1.0]), 2);
    }
}
