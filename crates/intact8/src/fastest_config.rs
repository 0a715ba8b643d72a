//! The fastest of several configurations of one model, measured before anything is calibrated.
//!
//! Estimates of a runtime's times, as those of a placement, can't know every network.

use crate::latency::Latency;
use intact8_ir::{Model, Result};
use intact8_quant::Deployed;

/// The largest latency relative to the least one that still counts as the same.
const SAME: f64 = 1.02;

/// The largest latency relative to the least one at which only weights are taken where nothing is faster than the original.
const EQUAL: f64 = 1.01;

/// The largest latency relative to the least one that is measured again: other processes may have disturbed it.
const CLOSE: f64 = 1.25;

/// The number of measurements of all once more, while nothing is gained.
const N_AGAIN: usize = 2;

/// The latencies of the original and of its configurations with one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchLatencies {
    /// The original.
    pub float: Latency,
    /// The configurations, in their order.
    pub configs: Vec<Latency>,
}

/// The latencies of the original and of its configurations, of which the last one has only weights in integers.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigLatencies {
    /// By batch.
    pub batches: Vec<BatchLatencies>,
}

impl ConfigLatencies {
    /// Measures the original and its deploy models of several configurations, all of them up to twice more while none gains anything,
    /// and then the original and those that are nearly the fastest once more: other processes disturb a measurement, and may keep two
    /// threads on one core for seconds.
    /// `measure` returns the latencies of some models by batch, on the target and on as many threads as they will have there.
    ///
    /// # Errors
    /// If `measure` fails.
    pub fn measure(
        original: &Model,
        deployed: &[Deployed],
        mut measure: impl FnMut(&[&Model]) -> Result<Vec<Vec<Latency>>>,
    ) -> Result<ConfigLatencies> {
        let models: Vec<&Model> =
            [original].into_iter().chain(deployed.iter().map(|deployed| deployed.model())).collect();
        let of_batch = |mut float: Vec<Latency>| {
            let configs = float.split_off(1);
            BatchLatencies { float: float[0], configs }
        };
        let batches = measure(&models)?.into_iter().map(of_batch).collect();
        let mut found = ConfigLatencies { batches };
        let all: Vec<usize> = (0..deployed.len()).collect();
        for _ in 0..N_AGAIN {
            if !found.gains_nothing() {
                break;
            }
            found.lessen(&all, measure(&models)?);
        }
        let close: Vec<usize> = found.within(CLOSE).collect();
        if close.len() > 1 && !found.gains_nothing() {
            let of_close = close.iter().map(|&idx| models[1 + idx]);
            let models: Vec<&Model> = [original].into_iter().chain(of_close).collect();
            found.lessen(&close, measure(&models)?);
        }
        Ok(found)
    }

    /// Takes the lesser latencies of these and of new ones of the original and of some configurations, by batch.
    fn lessen(&mut self, configs: &[usize], again: Vec<Vec<Latency>>) {
        let lessen = |first: &mut Latency, again: Latency| {
            if again.least < first.least {
                *first = again;
            }
        };
        for (batch, again) in self.batches.iter_mut().zip(again) {
            let mut again = again.into_iter();
            again.next().into_iter().for_each(|float| lessen(&mut batch.float, float));
            configs.iter().zip(again).for_each(|(&idx, again)| lessen(&mut batch.configs[idx], again));
        }
    }

    /// Whether none is faster than the original by more than 2 %.
    fn gains_nothing(&self) -> bool {
        SAME * self.least() > 1.0
    }

    /// The position of the fastest configuration; the first of those that differ from it by no more than 2 %. If none is faster than
    /// the original by more than that, it is the last one of those within 1 %, which may have only weights in integers: integers
    /// between conversions gain nothing there, and cost accuracy.
    pub fn fastest(&self) -> usize {
        let found = if self.gains_nothing() { self.within(EQUAL).last() } else { self.within(SAME).next() };
        found.unwrap_or(0)
    }

    /// The latencies of the configurations relative to the original, in the geometric mean of the batches. One that is slower than
    /// the original with a batch has no other merit.
    fn relative(&self) -> Vec<f64> {
        let n_configs = self.batches.first().map_or(0, |batch| batch.configs.len());
        let relative = |idx: usize| {
            let ratios = self.batches.iter().map(|batch| batch.configs[idx].least / batch.float.least);
            let (sum, worst) =
                ratios.fold((0.0, 0f64), |(sum, worst), ratio| (sum + ratio.ln(), worst.max(ratio)));
            let mean = (sum / self.batches.len() as f64).exp();
            if worst > SAME { worst.max(mean) } else { mean }
        };
        (0..n_configs).map(relative).collect()
    }

    fn least(&self) -> f64 {
        self.relative().into_iter().fold(f64::INFINITY, f64::min)
    }

    /// The positions of the configurations whose latency relative to the least one is at most `ratio`.
    fn within(&self, ratio: f64) -> impl Iterator<Item = usize> {
        let least = self.least();
        let configs = self.relative().into_iter().enumerate();
        configs.filter(move |(_, latency)| *latency <= ratio * least).map(|(idx, _)| idx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_quant::{DeployFormat, Emission, Preparation, QuantConfig, Record};

    /// The original takes 4 s.
    fn batch(seconds: &[f64]) -> BatchLatencies {
        let configs = seconds.iter().map(|&seconds| Latency::of(vec![seconds])).collect();
        BatchLatencies { float: Latency::of(vec![4.0]), configs }
    }

    #[test]
    fn what_is_slower_with_one_sample_is_not_taken() {
        let fastest = |of_batch: &[f64], of_sample: &[f64]| {
            ConfigLatencies { batches: vec![batch(of_batch), batch(of_sample)] }.fastest()
        };
        assert_eq!(fastest(&[2.0, 3.0, 4.0], &[3.9, 3.0, 4.0]), 0);
        assert_eq!(fastest(&[2.0, 3.0, 4.0], &[4.2, 3.0, 4.0]), 1);
        assert_eq!(fastest(&[3.8, 3.9, 4.0], &[4.2, 4.3, 4.0]), 2);
    }

    #[test]
    fn the_first_of_equally_fast_ones_is_taken() {
        let fastest = |seconds: &[f64]| ConfigLatencies { batches: vec![batch(seconds)] }.fastest();
        assert_eq!(fastest(&[1.01, 1.0, 2.0]), 0);
        assert_eq!(fastest(&[1.05, 1.0, 1.0]), 1);
        assert_eq!(fastest(&[3.0, 2.0, 1.0]), 2);
        // Nothing gained.
        assert_eq!(fastest(&[3.98, 4.5, 4.0]), 2);
        assert_eq!(fastest(&[3.97, 4.5, 4.0]), 2);
        assert_eq!(fastest(&[3.95, 4.5, 4.0]), 0);
        assert_eq!(fastest(&[3.9, 4.5, 4.0]), 0);
    }

    #[test]
    fn close_ones_are_measured_again() {
        let model: Model =
            "model m opset 17\n%x = input : f32[2,2]\n%w = const [1.0, 0.5, 0.5, 1.0] : f32[2,2]\n\
            %y = MatMul(%x, %w) @product\nreturn %y\n"
                .parse()
                .unwrap();
        let prepared = crate::prepare(&model, &Preparation::default(), &mut ()).unwrap();
        let config = QuantConfig::for_model(prepared.model());
        let record = Record::placeholder(prepared.model(), &config).unwrap();
        let quantized = prepared.quantize(&config, &record, &mut ()).unwrap();
        let deployed = || quantized.deploy(DeployFormat::Qdq, &Emission::default(), &mut ()).unwrap();
        let measured = |turns: &[&[f64]]| {
            let mut turns = turns.iter();
            let measure = |models: &[&Model]| {
                let seconds = turns.next().unwrap();
                assert_eq!(models.len(), seconds.len());
                Ok(vec![seconds.iter().map(|&seconds| Latency::of(vec![seconds])).collect()])
            };
            let deployed = [deployed(), deployed(), deployed()];
            let found = ConfigLatencies::measure(&model, &deployed, measure).unwrap();
            assert!(turns.next().is_none());
            (found.batches.clone(), found.fastest())
        };
        // The second run of the first configuration is undisturbed.
        let found = measured(&[&[4.0, 2.3, 3.0, 2.0], &[4.1, 1.5, 2.1]]);
        assert_eq!(found, (vec![batch(&[1.5, 3.0, 2.0])], 0));
        // While nothing is gained, all of them.
        let found = measured(&[&[4.5, 4.6, 5.0, 4.5], &[4.0, 3.0, 4.2, 4.0]]);
        assert_eq!(found, (vec![batch(&[3.0, 4.2, 4.0])], 0));
        let nothing: &[f64] = &[4.0, 4.2, 4.3, 4.0];
        assert_eq!(measured(&[nothing, nothing, nothing]), (vec![batch(&[4.2, 4.3, 4.0])], 2));
    }
}
