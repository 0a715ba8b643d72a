//! The search over the candidates of a configuration: the one that is expected to be the fastest, and weights alone if its result is
//! slower than the original.

use crate::candidates::Candidates;
use crate::config_choice::groups_of_layers;
use crate::data::Feed;
use crate::emission::DeploySize;
use crate::journal::Journal;
use crate::judge::Goals;
use crate::latency_comparison::LatencyComparison;
use crate::meter::Meter;
use crate::output_files::OutputFiles;
use crate::quantize::{quantize_and_save, save_report};
use crate::report::report_json;
use crate::scorer::{AnyScorer, Score};
use crate::watcher::Watcher;
use intact8_calibrate::FloatModel;
use intact8_ir::{Model, Result};
use intact8_search::{Report, Roles, SearchOptions};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

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
}

/// The result of a search over candidates.
pub struct CandidateResult {
    /// The report of the search whose files are written.
    pub report: Report<Score>,
    /// The latency of its result, if it was measured.
    pub latency: Option<LatencyComparison>,
}

impl CandidateSearch<'_> {
    /// Quantizes the model with the candidate at the position `chosen`, and writes the result. If that is slower than the original,
    /// only the weights are quantized, and the slower result is kept if that misses the target. The groups of `options` are set
    /// here.
    ///
    /// # Errors
    /// As [`quantize_and_save`]; if a name of a group is not that of a layer.
    pub fn run(
        self,
        mut chosen: usize,
        mut roles: CandidateRoles<'_>,
        mut options: SearchOptions<'_>,
    ) -> Result<CandidateResult> {
        let CandidateSearch { float, original, path, candidates, groups, files, journal, meter } = self;
        // The result that meets the target but is slower than the original, while only weights are tried.
        let mut slower = None;
        loop {
            let (config, restrictions) = &candidates.configs[chosen];
            roles.watcher.progress.notes(restrictions);
            let groups = groups_of_layers(groups, float.prepared(), config);
            let groups = groups.map_err(|error| error.at("group"))?;
            roles.watcher.journal = journal(chosen, slower.is_none())?;
            let options = SearchOptions { groups: &groups, ..options.reborrow() };
            let mut report = quantize_and_save(float, original, config, roles.roles(), options, files)?;
            let has_result = report.outcome.is_some() && files.first_deploy().exists();
            let compared =
                meter.filter(|_| has_result).map(|meter| meter.compare((original, path), files, roles.data));
            let mut latency = compared.transpose().unwrap_or_else(|error| {
                roles.watcher.progress.note(&format!("warning: the latency is not measured: {error}"));
                None
            });
            let last = candidates.configs.len() - 1;
            // Layers that were rolled back may leave too little between conversions.
            let is_slower = report.is_met() && latency.as_ref().is_some_and(LatencyComparison::is_slower);
            if chosen != last && is_slower && roles.watcher.stop.reason().is_none() {
                let progress = &mut roles.watcher.progress;
                latency.iter().for_each(|latency| progress.line(&latency.line()));
                progress.line("this is slower than the original, so only weights are quantized");
                chosen = last;
                slower = Some((report, latency));
                continue;
            }
            if let Some(earlier) = slower.take().filter(|_| !report.is_met()) {
                let progress = &mut roles.watcher.progress;
                progress.line("with only weights quantized the target is missed; the slower result is kept");
                (report, latency) = earlier;
                save_report(float, original, roles.roles(), &mut report, files)?;
            }
            return Ok(CandidateResult { report, latency });
        }
    }
}

impl CandidateResult {
    /// The report with everything about the run but the path of the model and the runtime; `docs/files.md` lists the keys. `sizes`
    /// are those of the deploy models.
    pub fn to_json(
        &self,
        goals: &Goals,
        files: &OutputFiles,
        sizes: &[DeploySize],
        watcher: &Watcher,
        elapsed: Duration,
    ) -> Value {
        let mut json = report_json(&self.report, &goals.goals, goals.confidence.unwrap_or_default(), elapsed);
        json["warnings"] = json!(goals.warnings(&self.report.original));
        json["files"] = files.written().into_iter().map(shown).collect();
        json["work"] = json!(watcher.work);
        json["latency"] = json!(self.latency.as_ref().map(LatencyComparison::to_json));
        json["failure"] = json!(self.report.failure.as_ref().map(ToString::to_string));
        let of_file = |size: &DeploySize| json!({ "file": shown(&size.path), "bytes": size.bytes, "warning": size.warning });
        json["sizes"] = sizes.iter().map(of_file).collect();
        json
    }
}

/// A path in JSON, which holds only Unicode: other characters are replaced.
pub(crate) fn shown(path: &Path) -> Value {
    path.display().to_string().into()
}
