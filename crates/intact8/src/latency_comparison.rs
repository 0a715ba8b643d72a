//! The latency of the original and of the result, measured at the end of a search.

use crate::latency::Latency;
use serde_json::{Value, json};

/// The largest latency of the result, relative to that of the original.
const SLOWEST: f64 = 1.02;

/// The latencies of the original and of the first deploy model.
#[derive(Debug, Clone, PartialEq)]
pub struct LatencyComparison {
    /// What has measured them: a runtime, or the option of a command.
    pub measured_by: String,
    /// Threads and batch, if a runtime has measured them.
    pub threads_and_batch: Option<(usize, usize)>,
    /// The latency of the original.
    pub float: Latency,
    /// The latency of the first deploy model.
    pub int8: Latency,
}

impl LatencyComparison {
    /// The comparison in one line.
    pub fn line(&self) -> String {
        let settings = self.threads_and_batch.map(|(threads, batch)| {
            format!(", {threads} thread{}, batch {batch}", if threads == 1 { "" } else { "s" })
        });
        format!(
            "{}{}: {:.2} ms float, {:.2} ms int8 ({:.2}x)",
            self.measured_by,
            settings.unwrap_or_default(),
            self.float.least * 1e3,
            self.int8.least * 1e3,
            self.int8.speedup_over(&self.float),
        )
    }

    /// Whether the result is slower than the original.
    pub fn is_slower(&self) -> bool {
        self.int8.least > SLOWEST * self.float.least
    }

    /// The comparison in the report; `docs/files.md` lists the keys.
    pub fn to_json(&self) -> Value {
        json!({
            "measured_by": self.measured_by,
            "threads": self.threads_and_batch.map(|(threads, _)| threads),
            "batch": self.threads_and_batch.map(|(_, batch)| batch),
            "float": self.float.to_json(),
            "int8": self.int8.to_json(),
            "speedup": self.int8.speedup_over(&self.float),
        })
    }
}
