//! The search over the candidates of a configuration: the one that is expected to be the fastest, and weights alone if its result is
//! slower than the original.

use crate::candidates::Candidates;
use crate::config_choice::groups_of_layers;
use crate::data::Feed;
use crate::journal::Journal;
use crate::judge::Goals;
use crate::latency_comparison::LatencyComparison;
use crate::layer_details::{LayerDetail, PreparationDetail};
use crate::layer_graph::LayerGraph;
use crate::meter::Meter;
use crate::model_properties::add_properties;
use crate::output_files::OutputFiles;
use crate::quantize::{quantize_and_save, save_report};
use crate::scorer::{AnyScorer, Score};
use crate::watcher::Watcher;
use intact8_calibrate::FloatModel;
use intact8_ir::{Model, Result};
use intact8_search::{Report, Roles, SearchOptions};
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
    /// The layers, in topological order of each graph, and the nodes that can't be layers.
    pub layers: Vec<LayerDetail>,
    /// The graph of the prepared model.
    pub graph: LayerGraph,
    /// What preparation did to the model.
    pub preparation: PreparationDetail,
}

impl CandidateSearch<'_> {
    /// Quantizes the model with the candidate at the position `chosen`, and writes the result. If that is slower than the original,
    /// only the weights are quantized, and the slower result is kept if that misses the target. The groups and times of `options` are set
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
            let time_lost = candidates.time_lost(chosen, float.prepared());
            let options = SearchOptions { groups: &groups, time_lost: &time_lost, ..options.reborrow() };
            let mut report = quantize_and_save(float, original, config, roles.roles(), options, files)?;
            let has_result = report.outcome.is_some() && files.first_deploy().exists();
            let has_result = has_result && !roles.watcher.stop.is_cancelled();
            let compared =
                meter.filter(|_| has_result).map(|meter| meter.compare((original, path), files, roles.data));
            let mut latency = compared.transpose().unwrap_or_else(|error| {
                roles.watcher.progress.note(&format!("warning: the latency is not measured: {error}"));
                None
            });
            let last = candidates.configs.len() - 1;
            // Layers that were rolled back may leave too little between conversions.
            let is_slower = report.is_met() && latency.as_ref().is_some_and(LatencyComparison::is_slower);
            let mut is_of = chosen;
            if chosen != last && is_slower && roles.watcher.stop.reason().is_none() {
                let progress = &mut roles.watcher.progress;
                latency.iter().for_each(|latency| progress.line(&latency.line()));
                progress.line("this is slower than the original, so only weights are quantized");
                chosen = last;
                slower = Some((report, latency, is_of));
                continue;
            }
            if let Some(earlier) = slower.take().filter(|_| !report.is_met()) {
                let progress = &mut roles.watcher.progress;
                progress.line("with only weights quantized the target is missed; the slower result is kept");
                (report, latency, is_of) = earlier;
                save_report(float, original, roles.roles(), &mut report, files)?;
            }
            let (config, restrictions) = &candidates.configs[is_of];
            add_properties(&report, &roles.goals.goals, path, files)?;
            if latency.as_ref().is_some_and(LatencyComparison::is_slower) {
                roles.watcher.progress.note(
                    "warning: the result is slower than the original there; ship the original unless its size counts",
                );
            }
            return Ok(CandidateResult {
                latency,
                layers: LayerDetail::of_search(float.prepared(), config, restrictions, &report),
                graph: LayerGraph::of(float.model()),
                preparation: PreparationDetail::of(original, float),
                report,
            });
        }
    }
}
