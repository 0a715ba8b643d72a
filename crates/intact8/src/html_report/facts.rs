//! The keys of `report.json` that the page shows. A key that a report lacks is empty here.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) model: Option<String>,
    pub(super) runtime: Option<String>,
    pub(super) command: Option<String>,
    /// `None` if nothing was scored.
    pub(super) target_met: Option<bool>,
    pub(super) goals: Vec<Goal>,
    pub(super) layers: Vec<String>,
    pub(super) counts: CountsOfRun,
    pub(super) rescored: Vec<Rescored>,
    pub(super) trials: Vec<Trial>,
    pub(super) latency: Option<Latency>,
    pub(super) original_bytes: Option<u64>,
    pub(super) sizes: Vec<Size>,
    pub(super) deploy_file: Option<String>,
    pub(super) files: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) failure: Option<String>,
    pub(super) kept_float: Option<String>,
    pub(super) ending: String,
    pub(super) one_minimal: bool,
    pub(super) untried: Vec<String>,
    pub(super) seconds: f64,
    pub(super) layer_details: Vec<Layer>,
    pub(super) layer_measurements: Measurements,
    pub(super) preparation: Preparation,
    pub(super) settings: Map<String, Value>,
    pub(super) fingerprints: Vec<Fingerprint>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Goal {
    pub(super) metric: String,
    pub(super) target: String,
    pub(super) better: String,
    pub(super) limit: Option<f64>,
    pub(super) original: Option<f64>,
    pub(super) all_quantized: Option<f64>,
    #[serde(rename = "final")]
    pub(super) result: Option<f64>,
    pub(super) loss: Option<Loss>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Loss {
    pub(super) confidence: f64,
    pub(super) loss: Option<f64>,
    pub(super) interval: Option<[Option<f64>; 2]>,
    pub(super) is_noise: bool,
    pub(super) is_sure: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct CountsOfRun {
    #[serde(rename = "final")]
    pub(super) result: Option<Counts>,
}

#[derive(Deserialize, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) int8: usize,
    pub(super) int16: usize,
    pub(super) weights_only: usize,
    pub(super) float: usize,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Rescored {
    pub(super) model: String,
    pub(super) metrics: Vec<Option<f64>>,
    pub(super) satisfied: bool,
    pub(super) verified: Option<Verified>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Verified {
    pub(super) runtime: String,
    pub(super) metrics: Vec<Option<f64>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Trial {
    pub(super) rolled_back: Vec<String>,
    pub(super) ladder: BTreeMap<String, String>,
    pub(super) metric: Option<f64>,
    pub(super) metrics: Vec<Option<f64>>,
    pub(super) loss: Option<f64>,
    pub(super) satisfied: bool,
    pub(super) samples: Option<u64>,
    pub(super) seconds: f64,
    pub(super) stopped_after: Option<u64>,
    pub(super) missed_in: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Latency {
    pub(super) measured_by: String,
    pub(super) threads: Option<u64>,
    pub(super) batch: Option<u64>,
    pub(super) float: Times,
    pub(super) int8: Times,
    pub(super) speedup: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Times {
    pub(super) least_ms: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Size {
    pub(super) file: String,
    pub(super) bytes: u64,
    pub(super) warning: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Layer {
    pub(super) layer: String,
    pub(super) operator: String,
    pub(super) arithmetic: String,
    pub(super) why: Option<String>,
    pub(super) similarity: Option<f64>,
    pub(super) multiply_adds: Option<u64>,
    pub(super) range: Option<[Option<f64>; 2]>,
    pub(super) observed: Option<[Option<f64>; 2]>,
    pub(super) calibration: Vec<String>,
    pub(super) sqnr: Option<f64>,
    pub(super) float_ms: Option<f64>,
    pub(super) int8_ms: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Measurements {
    pub(super) sqnr: Option<MeasuredNoise>,
    pub(super) latency: Option<MeasuredTimes>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct MeasuredNoise {
    pub(super) samples: usize,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct MeasuredTimes {
    pub(super) measured_by: String,
    pub(super) threads: usize,
    pub(super) batch: usize,
    pub(super) runs: usize,
    pub(super) float_ms: f64,
    pub(super) int8_ms: f64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Preparation {
    pub(super) operators: BTreeMap<String, [usize; 2]>,
    pub(super) changed_layers: usize,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Fingerprint {
    pub(super) what: String,
    pub(super) file: String,
    pub(super) sha256: String,
}

impl Goal {
    /// Whether the target is independent of the original, whose metric may then be that of a comparison with itself.
    pub(super) fn is_bound(&self) -> bool {
        self.target.starts_with(['<', '>'])
    }
}

impl Facts {
    /// The name of the sensitivity, if the layers were ranked by a named one.
    pub(super) fn sensitivity(&self) -> &str {
        self.settings.get("sensitivity").and_then(Value::as_str).unwrap_or("similarity")
    }

    /// The part of the layers' multiply-adds that are computed in integers of 8 bits; `None` if none are known.
    pub(super) fn int8_share(&self) -> Option<f64> {
        let sum = |is_counted: &dyn Fn(&&Layer) -> bool| -> u64 {
            self.layer_details.iter().filter(is_counted).filter_map(|layer| layer.multiply_adds).sum()
        };
        let all = sum(&|_| true);
        (all > 0).then(|| sum(&|layer| layer.arithmetic == "int8") as f64 / all as f64)
    }

    /// The size of the model to ship in bytes.
    pub(super) fn shipped_bytes(&self) -> Option<u64> {
        let shipped = self.deploy_file.as_ref()?;
        self.sizes.iter().find(|size| size.file == *shipped).map(|size| size.bytes)
    }
}
