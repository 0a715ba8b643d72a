//! The search over the candidates of a configuration: the one that is expected to be the fastest, weights alone if its result is
//! slower than the original or takes more bytes, and float if theirs is too.

use crate::candidates::Candidates;
use crate::config_choice::groups_of_layers;
use crate::data::Feed;
use crate::files::{model_bytes, saved_bytes};
use crate::journal::Journal;
use crate::judge::Goals;
use crate::latency_comparison::LatencyComparison;
use crate::layer_details::{LayerDetail, LayerFacts, PreparationDetail};
use crate::layer_graph::LayerGraph;
use crate::layer_measurements::{LayerMeasurements, LayerProfiling, MeasuredModel};
use crate::meter::Meter;
use crate::model_properties::add_properties;
use crate::output_files::OutputFiles;
use crate::quantize::{quantize_and_save, save_report};
use crate::scorer::{AnyScorer, Score};
use crate::watcher::Watcher;
use intact8_calibrate::FloatModel;
use intact8_ir::{ErrorKind, Model, Result};
use intact8_quant::{DeployFormat, Emission};
use intact8_search::{Report, Roles, SearchOptions, roll_back_all};
use std::borrow::Cow;
use std::path::Path;

/// The roles of a search over candidates.
pub struct CandidateRoles<'a> {
    /// The calibration data.
    pub data: &'a mut Feed,
    /// The scorer.
    pub scorer: &'a mut AnyScorer,
    /// The judge.
    pub goals: &'a mut Goals,
    /// The observer.
    pub watcher: &'a mut Watcher,
}

impl CandidateRoles<'_> {
    fn roles(&mut self) -> Roles<'_, AnyScorer> {
        Roles { data: self.data, scorer: self.scorer, judge: self.goals, observer: self.watcher }
    }

    /// Whether the user or a limit ends the run.
    fn is_stopped(&self) -> bool {
        self.watcher.stop.reason().is_some()
    }
}

/// Returns the journal of the search over a candidate; it is told whether that is the first search.
pub type JournalOf<'a> = &'a mut dyn FnMut(usize, bool) -> Result<Option<Journal>>;

/// A search over candidates.
pub struct CandidateSearch<'a> {
    /// The original, prepared and compiled.
    pub float: &'a FloatModel<'a>,
    /// The original.
    pub original: &'a Model,
    /// The file of the original, if it has one.
    pub path: Option<&'a Path>,
    /// The configurations.
    pub candidates: &'a Candidates,
    /// The names of layers that are rolled back together.
    pub groups: &'a [Vec<String>],
    /// The written files.
    pub files: &'a OutputFiles,
    /// The journals.
    pub journal: JournalOf<'a>,
    /// What measures the latency of results.
    pub meter: Option<&'a Meter>,
    /// How the layers of the result are timed, if they are.
    pub profiling: Option<LayerProfiling>,
}

/// The result of a search over candidates.
pub struct CandidateResult {
    /// The report of the search whose files are written.
    pub report: Report<Score>,
    /// The latency of its result, if it was measured.
    pub latency: Option<LatencyComparison>,
    /// The layers, in topological order of each graph, and the nodes that can't be layers.
    pub layers: Vec<LayerDetail>,
    /// What was measured of the layers, and how.
    pub measurements: LayerMeasurements,
    /// The graph of the prepared model.
    pub graph: LayerGraph,
    /// What preparation did to the model.
    pub preparation: PreparationDetail,
    /// Why every layer stays in float although the target can be met, if it is so.
    pub kept_float: Option<String>,
}

/// A finished search, whose result is written.
struct Searched {
    report: Report<Score>,
    latency: Option<LatencyComparison>,
    /// The position of its candidate.
    candidate: usize,
}

impl CandidateSearch<'_> {
    /// Quantizes the model with the candidate at the position `chosen`, and writes the result. If the target is met, but by a model
    /// that is slower than the original or takes more bytes, only the weights are quantized, and if that is no better, every layer
    /// stays in float. The groups and times of `options` are set here.
    ///
    /// # Errors
    /// As [`quantize_and_save`]; if a name of a group is not that of a layer.
    pub fn run(
        mut self,
        chosen: usize,
        mut roles: CandidateRoles<'_>,
        mut options: SearchOptions<'_>,
    ) -> Result<CandidateResult> {
        let mut found = self.search(chosen, true, &mut roles, &mut options)?;
        let mut worse = self.worse(&found);
        let weights = self.candidates.weights_alone().filter(|weights| chosen != *weights);
        if let (Some(why), Some(weights)) = (worse.as_ref().filter(|_| !roles.is_stopped()), weights) {
            let line = format!("{why}, so only weights are quantized");
            roles.watcher.progress.line(&line);
            let again = self.search(weights, false, &mut roles, &mut options)?;
            if again.report.is_met() {
                worse = self.worse(&again);
            }
            if again.report.is_met() || !roles.is_stopped() {
                found = again;
            } else {
                let progress = &mut roles.watcher.progress;
                progress.line("with only weights quantized the target is missed; the first result is kept");
                save_report(self.float, self.original, roles.roles(), &mut found.report, self.files)?;
            }
        }
        let mut kept_float = None;
        if let Some(why) = worse {
            if self.candidates.may_stay_float && !roles.is_stopped() {
                roles.watcher.progress.line(&format!("{why}, so every layer stays in float"));
                self.stay_float(&mut found, &mut roles, options.deploy)?;
                kept_float = Some(why);
            } else {
                roles.watcher.progress.note(&format!("warning: {why}; ship the original instead"));
            }
        }
        self.finished(found, kept_float, &mut roles)
    }

    /// Quantizes the model with a candidate, and writes and times the result.
    fn search(
        &mut self,
        candidate: usize,
        is_first: bool,
        roles: &mut CandidateRoles<'_>,
        options: &mut SearchOptions<'_>,
    ) -> Result<Searched> {
        let (config, restrictions) = &self.candidates.configs[candidate];
        roles.watcher.progress.notes(restrictions);
        let groups = groups_of_layers(self.groups, self.float.prepared(), config);
        let groups = groups.map_err(|error| error.at("group"))?;
        let time_lost = self.candidates.time_lost(candidate, self.float.prepared());
        roles.watcher.journal = (self.journal)(candidate, is_first)?;
        let options = SearchOptions { groups: &groups, time_lost: &time_lost, ..options.reborrow() };
        let report =
            quantize_and_save(self.float, self.original, config, roles.roles(), options, self.files)?;
        let latency = self.latency(&report, roles);
        Ok(Searched { report, latency, candidate })
    }

    /// The latency of a result that is written.
    fn latency(&self, report: &Report<Score>, roles: &mut CandidateRoles<'_>) -> Option<LatencyComparison> {
        let has_result = report.outcome.is_some() && self.files.first_deploy().exists();
        let meter = self.meter.filter(|_| has_result && !roles.watcher.stop.is_cancelled())?;
        let compared = meter.compare((self.original, self.path), self.files, roles.data);
        compared
            .inspect_err(|error| {
                // The error of a run that is interrupted tells of its first trial.
                let why = match error.kind {
                    ErrorKind::Cancelled => "interrupted".to_owned(),
                    _ => error.to_string(),
                };
                roles.watcher.progress.note(&format!("warning: the latency is not measured: {why}"));
            })
            .ok()
    }

    /// Why a result that meets the target is worth less than the original, if it is.
    fn worse(&self, found: &Searched) -> Option<String> {
        let latency = found.latency.as_ref().filter(|latency| latency.is_slower());
        let bytes = self.path.map(|path| model_bytes(path, self.original));
        let saved = saved_bytes(self.files.first_deploy());
        let larger = bytes.filter(|bytes| self.candidates.may_stay_float && *bytes > 0 && saved > *bytes);
        let why = match (latency, larger) {
            (Some(latency), _) => {
                Some(format!("the quantized model is slower than the original ({})", latency.line()))
            }
            (None, Some(bytes)) => Some(format!(
                "the quantized model is larger than the original ({saved} bytes, {bytes} bytes)"
            )),
            (None, None) => None,
        };
        why.filter(|_| found.report.is_met())
    }

    /// Replaces a result by the original in float.
    fn stay_float(
        &self,
        found: &mut Searched,
        roles: &mut CandidateRoles<'_>,
        deploy: Option<(DeployFormat, Emission)>,
    ) -> Result<()> {
        let config = &self.candidates.configs[found.candidate].0;
        roll_back_all(self.float, config, roles.roles(), deploy, &mut found.report)?;
        save_report(self.float, self.original, roles.roles(), &mut found.report, self.files)?;
        found.latency = self.latency(&found.report, roles);
        Ok(())
    }

    /// The parts of the report that are not of the search.
    fn finished(
        self,
        found: Searched,
        kept_float: Option<String>,
        roles: &mut CandidateRoles<'_>,
    ) -> Result<CandidateResult> {
        let Searched { report, latency, candidate } = found;
        let (config, restrictions) = &self.candidates.configs[candidate];
        add_properties(&report, &roles.goals.goals, self.path, self.files)?;
        let measurements = self.measured(&report, roles)?;
        let facts =
            LayerFacts::of_search(config, restrictions, &report, kept_float.as_deref(), &measurements);
        Ok(CandidateResult {
            latency,
            layers: LayerDetail::of_layers(self.float.prepared(), &facts),
            graph: LayerGraph::of(self.float.model()),
            preparation: PreparationDetail::of(self.original, self.float),
            measurements,
            kept_float,
            report,
        })
    }

    /// What is measured of the layers of a result; nothing without a result, or if every layer is in float.
    fn measured(&self, report: &Report<Score>, roles: &mut CandidateRoles<'_>) -> Result<LayerMeasurements> {
        let outcome = report.outcome.as_ref();
        let outcome = outcome.filter(|outcome| outcome.rolled_back.len() < report.layers.len());
        let (Some(outcome), Some((format, _))) = (outcome, self.files.deploy.first()) else {
            return Ok(LayerMeasurements::default());
        };
        let deployed = match &outcome.deployed {
            Some(deployed) if deployed.format() == *format => Cow::Borrowed(deployed),
            _ => Cow::Owned(outcome.quantized.deploy(*format, &self.files.emission, &mut ())?),
        };
        let model = MeasuredModel {
            float: self.float,
            original: self.original,
            config: outcome.quantized.config(),
            record: &outcome.record,
            deployed: &deployed,
        };
        Ok(LayerMeasurements::of(&model, roles.data, self.profiling, roles.watcher))
    }
}
