//! The latency of the original and of the result, measured at the end of a search.

use crate::latency::Latency;
use serde_json::{Value, json};

/// The largest latency of the result, relative to that of the original.
const SLOWEST: f64 = 1.02;

/// The latencies of the original and of the first deploy model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyPair {
    /// The latency of the original.
    pub float: Latency,
    /// The latency of the first deploy model.
    pub int8: Latency,
}

/// The latencies with a batch of the calibration data, and with one sample where nothing states the size of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct LatencyComparison {
    /// What has measured them: a runtime, or the option of a command.
    pub measured_by: String,
    /// Threads and batch, if a runtime has measured them.
    pub threads_and_batch: Option<(usize, usize)>,
    /// With a batch.
    pub of_batch: LatencyPair,
    /// With one sample.
    pub of_sample: Option<LatencyPair>,
}

impl LatencyPair {
    /// How many times as fast as the original the deploy model is.
    pub fn speedup(&self) -> f64 {
        self.int8.speedup_over(&self.float)
    }

    fn least(self, again: LatencyPair) -> LatencyPair {
        let least = |first: Latency, second: Latency| if second.least < first.least { second } else { first };
        LatencyPair { float: least(self.float, again.float), int8: least(self.int8, again.int8) }
    }

    fn words(&self) -> String {
        format!("{} float, {} int8 ({:.2}x)", self.float.shown(), self.int8.shown(), self.speedup())
    }

    fn is_slower(&self) -> bool {
        self.int8.least > SLOWEST * self.float.least
    }
}

impl LatencyComparison {
    /// The comparison in one line.
    pub fn line(&self) -> String {
        let settings = self.threads_and_batch.map(|(threads, batch)| {
            format!(", {threads} thread{}, batch {batch}", if threads == 1 { "" } else { "s" })
        });
        let one = self.of_sample.map(|pair| format!("; batch 1: {}", pair.words()));
        let settings = settings.unwrap_or_default();
        format!("{}{settings}: {}{}", self.measured_by, self.of_batch.words(), one.unwrap_or_default())
    }

    /// The lesser latencies of this comparison and of another one of the same models.
    #[must_use]
    pub fn least(self, again: LatencyComparison) -> LatencyComparison {
        let of_sample = self.of_sample.zip(again.of_sample).map(|(first, second)| first.least(second));
        LatencyComparison { of_batch: self.of_batch.least(again.of_batch), of_sample, ..self }
    }

    /// How many times as fast as the original the result is with a batch; with one sample, if only that is slower.
    pub fn speedup(&self) -> f64 {
        self.slower_sample().unwrap_or(self.of_batch).speedup()
    }

    /// The number of samples in the runs of [`speedup`](Self::speedup), if a runtime has measured them.
    pub fn batch(&self) -> Option<usize> {
        let (_, batch) = self.threads_and_batch?;
        Some(self.slower_sample().map_or(batch, |_| 1))
    }

    /// The latencies with one sample, if only they are slower.
    fn slower_sample(&self) -> Option<LatencyPair> {
        self.of_sample.filter(|pair| pair.is_slower() && !self.of_batch.is_slower())
    }

    /// Whether the result is slower than the original.
    pub fn is_slower(&self) -> bool {
        self.of_batch.is_slower() || self.of_sample.is_some_and(|pair| pair.is_slower())
    }

    /// The comparison in the report; `docs/files.md` lists the keys.
    pub fn to_json(&self) -> Value {
        let of_pair = |pair: &LatencyPair| {
            json!({
                "float": pair.float.to_json(),
                "int8": pair.int8.to_json(),
                "speedup": pair.speedup(),
            })
        };
        let mut json = of_pair(&self.of_batch);
        json["measured_by"] = json!(self.measured_by);
        json["threads"] = json!(self.threads_and_batch.map(|(threads, _)| threads));
        json["batch"] = json!(self.threads_and_batch.map(|(_, batch)| batch));
        json["one_sample"] = json!(self.of_sample.as_ref().map(of_pair));
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbed_measurement_is_corrected_by_the_next() {
        let comparison = |float: f64, int8: f64| {
            let [float, int8] = [float, int8].map(|seconds| Latency::of(vec![seconds]));
            LatencyComparison {
                measured_by: "a clock".to_owned(),
                threads_and_batch: Some((1, 8)),
                of_batch: LatencyPair { float, int8 },
                of_sample: None,
            }
        };
        let disturbed = comparison(4.0, 5.0);
        assert!(disturbed.is_slower());
        let found = disturbed.clone().least(comparison(4.5, 3.0));
        assert_eq!(found, comparison(4.0, 3.0));
        assert!(!found.is_slower());
        assert!(disturbed.least(comparison(4.5, 5.5)).is_slower());
    }
}
