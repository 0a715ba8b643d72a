//! The next trial: asks the strategy, checks what it proposes, and answers repeated proposals from the history.

use super::Search;
use crate::outcome::{Ending, Trial};
use crate::roles::Scorer;
use crate::stage::Stage;
use intact8_ir::{Error, Result};
use intact8_quant::layer::{LayerId, LayerSet};

/// The step after a trial.
pub(super) enum Next {
    Trial(LayerSet),
    End(Ending),
}

impl<S: Scorer> Search<'_, S> {
    /// The next proposal of the strategy, unless there is a reason to end. A proposal that was tried already is answered by its
    /// trial, and the strategy is asked again.
    pub(super) fn next(&mut self) -> Result<Next> {
        for _ in 0..=self.report.history.len() {
            let Some(next) = self.proposal()? else { return Ok(Next::End(Ending::Finished)) };
            self.check(&next)?;
            if next.len() >= self.report.layers.len() {
                // With every layer in float there is no quantized model.
                return Ok(Next::End(Ending::Finished));
            }
            let is_same = |trial: &&Trial| trial.rolled_back == next && trial.rungs.is_empty();
            let Some(known) = self.report.history.iter().position(|trial| is_same(&trial)) else {
                return Ok(self.reason_to_end().map_or(Next::Trial(next), Next::End));
            };
            self.report.history.push(self.report.history[known].clone());
            self.report.scores.push(self.report.scores[known].clone());
        }
        Err(Error::evaluator(
            "the strategy proposes the same layers repeatedly; it must propose new ones or stop",
        ))
    }

    fn proposal(&mut self) -> Result<Option<LayerSet>> {
        let last = self.report.history.last().expect("there is at least the first trial");
        let latest = if self.options.strategy.reranks() && !last.verdict.satisfied {
            let rolled_back = last.rolled_back.clone();
            self.roles.observer.stage(Stage::Ranking);
            Some(self.ranking_by_output(Some(&rolled_back))?)
        } else {
            None
        };
        let ranking = latest.as_ref().unwrap_or(&self.report.ranking);
        self.options.strategy.next(ranking, &self.report.history).map_err(Error::from_user)
    }

    /// Checks a proposal of the strategy.
    fn check(&self, next: &LayerSet) -> Result<()> {
        if let Some(unknown) = next.iter().find(|layer| !self.report.layers.contains(layer)) {
            return Err(Error::evaluator(format!(
                "the strategy rolls back {unknown}, which is not in the search"
            )));
        }
        let is_split = |group: &&LayerSet| {
            let n_in = group.intersection(next).count();
            n_in != 0 && n_in != group.len()
        };
        match self.groups.iter().find(is_split) {
            Some(group) => Err(Error::evaluator(format!(
                "the strategy rolls back only a part of the group {}",
                self.report.table.names(group).join(", ")
            ))),
            None => Ok(()),
        }
    }
}

/// The groups without the layers outside the search; checks that no layer is in two groups.
pub(super) fn checked_groups<'a>(
    groups: &[LayerSet],
    layers: &LayerSet,
    name: impl Fn(LayerId) -> &'a str,
) -> Result<Vec<LayerSet>> {
    let mut seen = LayerSet::new();
    let mut checked = Vec::new();
    for group in groups {
        let group: LayerSet = group.intersection(layers).copied().collect();
        if let Some(&twice) = group.iter().find(|layer| !seen.insert(**layer)) {
            return Err(Error::invalid_config("is in two groups; name it in one").at(name(twice)));
        }
        checked.extend((!group.is_empty()).then_some(group));
    }
    Ok(checked)
}
