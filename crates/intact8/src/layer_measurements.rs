//! What is measured of single layers at the end of a run: the noise that the quantization of each adds, and its time in our
//! interpreter before and after.
//!
//! It takes a few batches and a few runs, and no score depends on it.

mod latency;
mod noise;

pub use latency::LayerLatency;
pub use noise::LayerNoise;

use crate::data::Feed;
use crate::watcher::Watcher;
use intact8_calibrate::FloatModel;
use intact8_interp::Limits;
use intact8_ir::{ErrorKind, Model, Result};
use intact8_quant::{Deployed, QuantConfig, Record};
use serde_json::{Value, json};

/// What was measured of single layers; `None` where it was not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayerMeasurements {
    /// The noise of each layer.
    pub noise: Option<LayerNoise>,
    /// The time of each layer.
    pub latency: Option<LayerLatency>,
}

/// How our interpreter runs the models whose layers are timed.
#[derive(Debug, Clone, Copy)]
pub struct LayerProfiling {
    /// The number of threads.
    pub threads: usize,
    /// The limits of a run.
    pub limits: Limits,
}

/// A quantized model with what it was made of.
pub(crate) struct MeasuredModel<'a> {
    /// The prepared model.
    pub(crate) float: &'a FloatModel<'a>,
    /// The original.
    pub(crate) original: &'a Model,
    /// The layers that are quantized.
    pub(crate) config: &'a QuantConfig,
    /// Their parameters.
    pub(crate) record: &'a Record,
    /// The deploy model, with the nodes of the original that each of its nodes comes from.
    pub(crate) deployed: &'a Deployed,
}

impl LayerMeasurements {
    /// Measures the layers of a model on calibration data; without `profiling` only their noise. What can't be measured is left out,
    /// with a remark.
    pub(crate) fn of(
        model: &MeasuredModel<'_>,
        data: &mut Feed,
        profiling: Option<LayerProfiling>,
        watcher: &mut Watcher,
    ) -> LayerMeasurements {
        if watcher.stop.is_cancelled() {
            return LayerMeasurements::default();
        }
        watcher.progress.begin("measuring the layers");
        let noise = LayerNoise::measure(model, data, watcher);
        let noise = remarked(noise, "the noise of the layers", watcher);
        let latency = profiling.map(|profiling| LayerLatency::measure(model, data, profiling, &watcher.stop));
        let latency = latency.and_then(|latency| remarked(latency, "the time of the layers", watcher));
        LayerMeasurements { noise, latency }
    }

    /// How it was measured; `docs/files.md` lists the keys.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "sqnr": self.noise.as_ref().map(|noise| json!({ "samples": noise.samples })),
            "latency": self.latency.as_ref().map(|latency| json!({
                "measured_by": "the interpreter of intact8",
                "threads": latency.threads,
                "batch": latency.batch,
                "runs": latency.runs,
                "float_ms": latency.total[0] * 1e3,
                "int8_ms": latency.total[1] * 1e3,
            })),
        })
    }
}

/// A measurement, or a remark that there is none.
fn remarked<T>(measured: Result<T>, what: &str, watcher: &mut Watcher) -> Option<T> {
    match measured {
        Ok(measured) => Some(measured),
        Err(error) if error.kind == ErrorKind::Cancelled => None,
        Err(error) => {
            watcher.progress.note(&format!("{what} is not measured: {error}"));
            None
        }
    }
}
