//! The ranking of the layers of a search: by the chosen sensitivity, with groups and costs.

use super::{Parameters, Progress, Search};
use crate::rank::rank;
use crate::rank_output::OutputRanking;
use crate::ranking::Ranking;
use crate::roles::Scorer;
use crate::sensitivity::Scope;
use crate::stage::Stage;
use intact8_calibrate::{Batches, CalibrationData, CalibrationObserver};
use intact8_ir::Result;
use intact8_quant::QuantConfig;
use intact8_quant::layer::{LayerId, LayerSet};

impl<S: Scorer> Search<'_, S> {
    /// All layers, ranked.
    pub(super) fn ranking(&mut self) -> Result<Ranking> {
        self.roles.observer.stage(Stage::Ranking);
        let sensitivity = self.options.sensitivity;
        let is_by_layer = sensitivity.scope() == Scope::Layer;
        let tap = self.options.replays;
        let mut by_layer = Ranking::default();
        if is_by_layer || tap.is_some() {
            let Parameters { config, record, .. } = &self.parameters;
            let mut progress = Progress(self.roles.observer);
            let batches = &mut batches(self.roles.data, self.parameters.config, &mut progress)?;
            by_layer = rank(self.float, config, record, batches, sensitivity, tap)?;
        }
        if is_by_layer {
            return Ok(self.with_gains(self.with_costs(by_layer).grouped(&self.groups)));
        }
        self.ranking_by_output(None)
    }

    /// All entries, each ranked alone; or the entries that are in int8 in a trial with these layers rolled back, ranked in that
    /// trial.
    pub(super) fn ranking_by_output(&mut self, trial: Option<&LayerSet>) -> Result<Ranking> {
        let entries = self.entries();
        let output = OutputRanking {
            float: self.float,
            config: self.parameters.config,
            record: &self.parameters.record,
            sensitivity: self.options.sensitivity,
        };
        let mut progress = Progress(self.roles.observer);
        let batches = &mut batches(self.roles.data, self.parameters.config, &mut progress)?;
        let ranking = match trial {
            Some(rolled_back) => output.rank_in_trial(batches, &entries, rolled_back),
            None => output.rank_alone(batches, &entries),
        };
        Ok(self.with_gains(self.with_costs(ranking?)))
    }

    /// The layers and groups that can be rolled back, in the model's order.
    fn entries(&self) -> Vec<LayerSet> {
        let mut entries: Vec<LayerSet> = Vec::new();
        for &layer in &self.report.layers {
            let group = self.groups.iter().find(|group| group.contains(&layer));
            match group {
                Some(group) if group.first() != Some(&layer) => {}
                Some(group) => entries.push(group.clone()),
                None => entries.push([layer].into()),
            }
        }
        entries
    }

    /// A ranking with the cost of each entry, which breaks ties, and with its time.
    fn with_costs(&self, mut ranking: Ranking) -> Ranking {
        let cost = |layer: &LayerId| self.float.prepared().cost(*layer).unwrap_or(0);
        let time_lost = |layer: &LayerId| self.options.time_lost.get(layer).copied().unwrap_or(0.0);
        for entry in &mut ranking.0 {
            entry.cost = entry.layers.iter().map(cost).sum();
            entry.time_lost = entry.layers.iter().map(time_lost).sum();
        }
        Ranking::of(ranking.0)
    }

    /// A ranking with what rollbacks gain for their time.
    fn with_gains(&self, ranking: Ranking) -> Ranking {
        ranking.with_gains(|similarity| self.options.sensitivity.error(similarity))
    }
}

fn batches<'a>(
    data: &'a mut dyn CalibrationData,
    config: &QuantConfig,
    observer: &'a mut dyn CalibrationObserver,
) -> Result<Batches<'a>> {
    Batches::of(data, config.batch_num, observer)
}
