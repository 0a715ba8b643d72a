//! The reports of a run: `report.json`, whose keys are in `docs/files.md` and `docs/report.schema.json`, and `report.html`, which shows
//! it.

use crate::data::Feed;
use crate::emission::{DeploySize, deploy_sizes};
use crate::file_hash::file_sha256;
use crate::files::write_file;
use crate::html_report::html_report;
use crate::judge::Goals;
use crate::latency_comparison::LatencyComparison;
use crate::layer_details::{LayerDetail, LayerFacts, PreparationDetail};
use crate::layer_graph::LayerGraph;
use crate::layer_measurements::{LayerMeasurements, LayerProfiling, MeasuredModel};
use crate::output_files::OutputFiles;
use crate::quantize::UnscoredResult;
use crate::quantize_candidates::CandidateResult;
use crate::report::{arithmetic_json, counts_json, report_json};
use crate::watcher::Watcher;
use intact8_calibrate::FloatModel;
use intact8_ir::{Error, Model, Result};
use intact8_quant::QuantConfig;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version of the keys of `report.json`. It is raised when a key changes its meaning or is removed.
pub const SCHEMA_VERSION: u32 = 1;

/// What the reports state of a run besides its result.
#[derive(Debug, Clone, Default)]
pub struct RunFacts<'a> {
    /// The file of the original, if it has one.
    pub model: Option<&'a Path>,
    /// The size of the original in bytes; 0 if it is not known, and then the sizes of the results are left out.
    pub original_bytes: u64,
    /// The runtime that scored or verified the models.
    pub runtime: Option<String>,
    /// The files of the data, each with a word for its part in the run.
    pub data: Vec<(&'static str, PathBuf)>,
    /// The settings of the search by name, without those of the configuration.
    pub settings: Vec<(&'static str, Value)>,
    /// The command line that was typed, if there was one.
    pub command: Option<String>,
    /// The time of the run.
    pub elapsed: Duration,
}

/// The written reports.
pub struct WrittenReport {
    /// The content of `report.json`.
    pub json: Value,
    /// The sizes of the deploy models.
    pub sizes: Vec<DeploySize>,
}

impl CandidateResult {
    /// Writes `report.json` and `report.html`.
    ///
    /// # Errors
    /// If a file can't be read or written.
    pub fn write_report(
        &self,
        goals: &Goals,
        files: &OutputFiles,
        watcher: &Watcher,
        facts: &RunFacts<'_>,
    ) -> Result<WrittenReport> {
        let sizes = sizes(facts, files)?;
        let json = self.to_json(goals, files, &sizes, watcher, facts);
        write_reports(&json, files, html_report(&json, &self.graph, &self.report.histograms)?)?;
        Ok(WrittenReport { json, sizes })
    }

    /// The content of `report.json`; `docs/files.md` lists the keys.
    fn to_json(
        &self,
        goals: &Goals,
        files: &OutputFiles,
        sizes: &[DeploySize],
        watcher: &Watcher,
        facts: &RunFacts<'_>,
    ) -> Value {
        let outcome = self.report.outcome.as_ref();
        let config = outcome.map_or(&self.report.closest_config, |outcome| outcome.quantized.config());
        let confidence = goals.confidence.unwrap_or_default();
        let mut json = report_json(&self.report, &goals.goals, confidence, facts.elapsed);
        let common = common_json(facts, config, files, sizes, outcome.is_some());
        if let (Value::Object(json), Value::Object(common)) = (&mut json, common) {
            json.extend(common);
        }
        json["warnings"] = json!(goals.warnings(&self.report.original));
        json["work"] = json!(watcher.work);
        json["latency"] = json!(self.latency.as_ref().map(LatencyComparison::to_json));
        json["kept_float"] = json!(self.kept_float);
        json["failure"] = json!(self.report.failure.as_ref().map(ToString::to_string));
        json["layer_details"] = json!(self.layers);
        json["layer_measurements"] = self.measurements.to_json();
        json["preparation"] = json!(self.preparation);
        json
    }
}

/// A quantization without a score, for its reports.
pub struct UnscoredRun<'a> {
    /// The prepared model.
    pub float: &'a FloatModel<'a>,
    /// The original.
    pub original: &'a Model,
    /// The result.
    pub result: &'a UnscoredResult,
    /// Why the configuration leaves layers out, each in a line.
    pub restrictions: &'a [String],
    /// How the layers are timed, if they are.
    pub profiling: Option<LayerProfiling>,
    /// The latency of the result, if it was measured.
    pub latency: Option<&'a LatencyComparison>,
}

impl UnscoredRun<'_> {
    /// Writes `report.json` and `report.html`, without what needs scores. The layers are measured on the calibration data.
    ///
    /// # Errors
    /// If a file can't be read or written.
    pub fn write_report(
        &self,
        data: &mut Feed,
        files: &OutputFiles,
        watcher: &mut Watcher,
        facts: &RunFacts<'_>,
    ) -> Result<()> {
        let UnscoredRun { float, original, result, restrictions, profiling, latency } = *self;
        let config = result.quantized.config();
        let measurements = result.deployed.first().map(|deployed| {
            let model = MeasuredModel { float, original, config, record: &result.record, deployed };
            LayerMeasurements::of(&model, data, profiling, watcher)
        });
        let measurements = measurements.unwrap_or_default();
        let layers = LayerFacts::of_calibration(restrictions, result, &measurements);
        let table = float.prepared().layers();
        let enabled = float.prepared().enabled(config).into_iter().map(|(layer, _, _)| table.name(layer));
        let sizes = sizes(facts, files)?;
        let mut json = common_json(facts, config, files, &sizes, true);
        json["target_met"] = Value::Null;
        json["layers"] = enabled.collect();
        json["arithmetic"] = arithmetic_json(table, &result.arithmetic).into();
        json["counts"] = json!({ "final": counts_json(result.arithmetic.counts()) });
        json["seconds"] = json!(facts.elapsed.as_secs_f64());
        json["latency"] = json!(latency.map(LatencyComparison::to_json));
        json["layer_details"] = json!(LayerDetail::of_layers(float.prepared(), &layers));
        json["layer_measurements"] = measurements.to_json();
        json["preparation"] = json!(PreparationDetail::of(original, float));
        write_reports(&json, files, html_report(&json, &LayerGraph::of(float.model()), &result.histograms)?)
    }
}

/// Writes `report.json` and the page that shows it.
fn write_reports(json: &Value, files: &OutputFiles, page: String) -> Result<()> {
    let text = serde_json::to_string_pretty(json).map_err(|error| Error::invalid_data(error.to_string()))?;
    write_file(&files.report, (text + "\n").as_bytes())?;
    write_file(&files.html_report, page.as_bytes())
}

/// The sizes of the deploy models, if that of the original is known.
fn sizes(facts: &RunFacts<'_>, files: &OutputFiles) -> Result<Vec<DeploySize>> {
    if facts.original_bytes > 0 { deploy_sizes(files, facts.original_bytes) } else { Ok(vec![]) }
}

/// What is reported of every run, with a score or without.
fn common_json(
    facts: &RunFacts<'_>,
    config: &QuantConfig,
    files: &OutputFiles,
    sizes: &[DeploySize],
    has_result: bool,
) -> Value {
    let of_file = |size: &DeploySize| json!({ "file": shown(&size.path), "bytes": size.bytes, "warning": size.warning });
    let deploy_file = Some(files.first_deploy()).filter(|path| has_result && path.exists());
    json!({
        "schema_version": SCHEMA_VERSION,
        "version": env!("CARGO_PKG_VERSION"),
        "files": files.written().into_iter().map(shown).collect::<Vec<_>>(),
        "deploy_file": deploy_file.map(shown),
        "original_bytes": Some(facts.original_bytes).filter(|bytes| *bytes > 0),
        "sizes": sizes.iter().map(of_file).collect::<Vec<_>>(),
        "settings": settings(config, facts),
        "fingerprints": fingerprints(facts),
        "model": facts.model.map(shown),
        "runtime": facts.runtime,
        "command": facts.command,
    })
}

/// The settings of the search and of the configuration.
fn settings(config: &QuantConfig, facts: &RunFacts<'_>) -> Value {
    let of_config = [
        ("batch_num", json!(config.batch_num)),
        ("activation_offset", json!(config.activation_offset)),
        ("do_fusion", json!(config.do_fusion)),
        ("equalize", json!(config.equalize)),
        ("auto_balance", json!(config.auto_balance)),
        ("fit_rounding", json!(config.fit_rounding)),
        ("correct_bias", json!(config.correct_bias)),
    ];
    let all = facts.settings.iter().cloned().chain(of_config);
    Value::Object(all.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// The SHA-256 of the model and of the data. What is no file or folder, or gone by now, is left out.
fn fingerprints(facts: &RunFacts<'_>) -> Value {
    let model = facts.model.map(|path| ("model", path.to_owned()));
    let files = model.into_iter().chain(facts.data.iter().cloned());
    let hashed = files.filter(|(_, path)| path.is_file() || path.is_dir()).filter_map(|(what, path)| {
        let sha256 = file_sha256(&path).ok()?;
        Some(json!({ "what": what, "file": shown(&path), "sha256": sha256 }))
    });
    hashed.collect()
}

/// A path in JSON, which holds only Unicode: other characters are replaced.
fn shown(path: &Path) -> Value {
    path.display().to_string().into()
}
