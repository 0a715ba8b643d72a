//! The latency of models: the times of their runs, measured in turns, so that a change of the machine's speed meets all of them.
//!
//! It measures any [`Executor`]; which runtime that is, and on how many threads it runs, is up to the caller.

use intact8_ir::{Executor, Result, Tensor};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The number of turns of each model.
const N_TURNS: u32 = 10;

/// The least number of runs of each model that are counted.
const MIN_RUNS: usize = 3;

/// A model to measure, and the inputs of its runs.
#[derive(Clone, Copy)]
pub struct TimedModel<'a> {
    /// The model, ready to run.
    pub executor: &'a dyn Executor,
    /// One tensor for each input.
    pub inputs: &'a [Tensor],
}

/// How long a measurement takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The longest time of all models together.
    pub time: Duration,
    /// The number of runs of each model that are enough.
    pub runs: usize,
}

impl Budget {
    /// As many runs as the time allows.
    pub fn of_time(time: Duration) -> Budget {
        Budget { time, runs: usize::MAX }
    }
}

/// The times of the runs of a model, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// The least time, which other processes disturb least.
    pub least: f64,
    /// The median.
    pub median: f64,
    /// The first and the third quartile.
    pub quartiles: [f64; 2],
    /// The number of runs.
    pub n_runs: usize,
}

impl Latency {
    /// The latency of the runs that took these times, in any order.
    ///
    /// # Panics
    /// If there are none.
    pub fn of(mut seconds: Vec<f64>) -> Latency {
        assert!(!seconds.is_empty(), "a latency is that of at least one run");
        seconds.sort_by(f64::total_cmp);
        let quantile = |part: f64| {
            let position = part * (seconds.len() - 1) as f64;
            let (below, above) = (seconds[position.floor() as usize], seconds[position.ceil() as usize]);
            below + (above - below) * position.fract()
        };
        let [first, median, third] = [0.25, 0.5, 0.75].map(quantile);
        Latency { least: seconds[0], median, quartiles: [first, third], n_runs: seconds.len() }
    }

    /// The distance between the quartiles in seconds.
    pub fn spread(&self) -> f64 {
        self.quartiles[1] - self.quartiles[0]
    }

    /// How many times as fast as `other` it is, by the least times.
    pub fn speedup_over(&self, other: &Latency) -> f64 {
        other.least / self.least.max(f64::MIN_POSITIVE)
    }

    /// The latency in JSON, in milliseconds.
    pub fn to_json(&self) -> Value {
        let milliseconds = |seconds: f64| seconds * 1e3;
        json!({
            "least_ms": milliseconds(self.least),
            "median_ms": milliseconds(self.median),
            "quartiles_ms": self.quartiles.map(milliseconds),
            "runs": self.n_runs,
        })
    }
}

/// The latencies of some models, in the same order. They run in ten turns until the budget of all of them together is used up; the first
/// run of each turn, which finds the caches filled by another model, is not counted. Each model is counted at least three
/// times, even if that takes longer. `check` is called before each turn, and its error ends the measurement.
///
/// # Errors
/// If a run or a check fails.
pub fn interleaved(
    models: &[TimedModel<'_>],
    budget: Budget,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Latency>> {
    let Budget { time, runs } = budget;
    let turn = time / N_TURNS / models.len().max(1) as u32;
    let mut seconds = vec![Vec::new(); models.len()];
    let began = Instant::now();
    let fewest = |seconds: &[Vec<f64>]| seconds.iter().map(Vec::len).min().unwrap_or(0);
    let runs_in_turn = runs.div_ceil(N_TURNS as usize).max(1);
    while fewest(&seconds) < MIN_RUNS || fewest(&seconds) < runs && began.elapsed() < time {
        for (model, seconds) in models.iter().zip(&mut seconds) {
            check()?;
            let turn_began = Instant::now();
            model.executor.run(model.inputs)?;
            for _ in 0..runs_in_turn {
                let run_began = Instant::now();
                model.executor.run(model.inputs)?;
                seconds.push(run_began.elapsed().as_secs_f64());
                if turn_began.elapsed() >= turn {
                    break;
                }
            }
        }
        if models.is_empty() {
            break;
        }
    }
    Ok(seconds.into_iter().map(Latency::of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Tap;

    struct Sleeping(Duration);

    impl Executor for Sleeping {
        fn run_tapped(&self, inputs: &[Tensor], _: Tap<'_>) -> Result<Vec<Tensor>> {
            std::thread::sleep(self.0);
            Ok(inputs.to_vec())
        }
    }

    #[test]
    fn quartiles_are_between_the_times() {
        let latency = Latency::of(vec![5.0, 1.0, 2.0, 4.0, 3.0]);
        assert_eq!(latency, Latency { least: 1.0, median: 3.0, quartiles: [2.0, 4.0], n_runs: 5 });
        assert_eq!(latency.spread(), 2.0);
        assert_eq!(Latency::of(vec![2.0, 1.0]).quartiles, [1.25, 1.75]);
        assert_eq!(Latency::of(vec![0.5]).speedup_over(&latency), 2.0);
    }

    #[test]
    fn every_model_runs_in_turns_and_at_least_three_times() {
        let (short, long) = (Sleeping(Duration::from_millis(1)), Sleeping(Duration::from_millis(4)));
        let models = [&short, &long].map(|executor| TimedModel { executor, inputs: &[] });
        let measured = |budget| interleaved(&models, budget, &mut || Ok(())).unwrap();
        let found = measured(Budget::of_time(Duration::from_millis(1)));
        assert!(found.iter().all(|latency| latency.n_runs >= MIN_RUNS));
        assert!(found[0].least >= 1e-3 && found[1].least >= 4e-3, "{found:?}");
        let found = measured(Budget { time: Duration::from_secs(3600), runs: 5 });
        assert!(found.iter().all(|latency| (5..=10).contains(&latency.n_runs)), "{found:?}");
        assert!(interleaved(&[], Budget::of_time(Duration::ZERO), &mut || Ok(())).unwrap().is_empty());
    }
}
