//! The latency of models: the times of their runs, measured in turns, so that a change of the machine's speed meets all of them.
//!
//! It measures models in any [`Runtime`]; which one that is, and on how many threads it runs, is up to the caller.

use intact8_ir::{Model, Result, Runtime, Tensor};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The number of turns of each model, if compiling it takes no time.
const N_TURNS: u32 = 10;

/// The least number of turns, and of runs of each model that are counted.
const MIN_TURNS: usize = 3;

/// A model to measure, and the inputs of its runs.
#[derive(Clone, Copy)]
pub struct TimedModel<'a> {
    /// The runtime that runs it.
    pub runtime: &'a dyn Runtime,
    /// The model.
    pub model: &'a Model,
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

    /// The least time in milliseconds, with three digits or more.
    pub fn shown(&self) -> String {
        let milliseconds = self.least * 1e3;
        match milliseconds {
            0.0..0.1 => format!("{milliseconds:.4} ms"),
            0.1..1.0 => format!("{milliseconds:.3} ms"),
            _ => format!("{milliseconds:.2} ms"),
        }
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

/// The latencies of some models, in the same order. They run in turns until the budget of all of them together is used up, and at least
/// in three, even if that takes longer. Each turn compiles its model anew, so that one executor is alive at a time: the threads of
/// ONNX Runtime look for work for 40 ms after a run, which they would take from the next model, and sessions of the same model differ
/// in speed. The first run of each turn is not counted. `check` is called before each turn, and its error ends the measurement.
///
/// # Errors
/// If a model can't be compiled, or a run or a check fails.
pub fn interleaved(
    models: &[TimedModel<'_>],
    budget: Budget,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Latency>> {
    let Budget { time, runs } = budget;
    let turn = time / N_TURNS / models.len().max(1) as u32;
    let mut seconds = vec![Vec::new(); models.len()];
    let began = Instant::now();
    let fewest = |seconds: &[Vec<f64>]| seconds.iter().map(Vec::len).min().unwrap_or(usize::MAX);
    let runs_in_turn = runs.div_ceil(N_TURNS as usize).max(1);
    for n_turns in 0.. {
        if n_turns >= MIN_TURNS && (fewest(&seconds) >= runs || began.elapsed() >= time) {
            break;
        }
        for (timed, seconds) in models.iter().zip(&mut seconds) {
            check()?;
            let executor = timed.runtime.compile(timed.model)?;
            executor.run(timed.inputs)?;
            let turn_began = Instant::now();
            for _ in 0..runs_in_turn {
                let run_began = Instant::now();
                executor.run(timed.inputs)?;
                seconds.push(run_began.elapsed().as_secs_f64());
                if turn_began.elapsed() >= turn {
                    break;
                }
            }
        }
    }
    Ok(seconds.into_iter().map(Latency::of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::{Executor, Tap};
    use std::sync::Mutex;

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
        let model = Model::default();
        let [short, long] = [1, 4].map(|milliseconds| {
            move |_: &Model, inputs: &[Tensor], _: Tap<'_>| {
                std::thread::sleep(Duration::from_millis(milliseconds));
                Ok(inputs.to_vec())
            }
        });
        let models: [&dyn Runtime; 2] = [&short, &long];
        let models = models.map(|runtime| TimedModel { runtime, model: &model, inputs: &[] });
        let measured = |budget| interleaved(&models, budget, &mut || Ok(())).unwrap();
        let found = measured(Budget::of_time(Duration::from_millis(1)));
        assert!(found.iter().all(|latency| latency.n_runs >= MIN_TURNS));
        assert!(found[0].least >= 1e-3 && found[1].least >= 4e-3, "{found:?}");
        let found = measured(Budget { time: Duration::from_secs(3600), runs: 5 });
        assert!(found.iter().all(|latency| (5..=10).contains(&latency.n_runs)), "{found:?}");
        assert!(interleaved(&[], Budget::of_time(Duration::ZERO), &mut || Ok(())).unwrap().is_empty());
    }

    /// A runtime that writes down when its executors are made and when they end.
    struct Written<'a> {
        log: &'a Mutex<String>,
        name: char,
    }

    struct Executing<'a>(&'a Written<'a>);

    impl Runtime for Written<'_> {
        fn compile<'a>(&'a self, _: &Model) -> Result<Box<dyn Executor + 'a>> {
            self.log.lock().unwrap().push(self.name);
            Ok(Box::new(Executing(self)))
        }
    }

    impl Executor for Executing<'_> {
        fn run_tapped(&self, inputs: &[Tensor], _: Tap<'_>) -> Result<Vec<Tensor>> {
            Ok(inputs.to_vec())
        }
    }

    impl Drop for Executing<'_> {
        fn drop(&mut self) {
            self.0.log.lock().unwrap().push('.');
        }
    }

    #[test]
    fn one_executor_is_alive_at_a_time() {
        let log = Mutex::default();
        let runtimes = ['a', 'b'].map(|name| Written { log: &log, name });
        let model = Model::default();
        let models = runtimes.each_ref().map(|runtime| TimedModel { runtime, model: &model, inputs: &[] });
        interleaved(&models, Budget { time: Duration::from_secs(3600), runs: 30 }, &mut || Ok(())).unwrap();
        assert_eq!(*log.lock().unwrap(), "a.b.".repeat(N_TURNS as usize));
    }
}
