//! The search loop: score the original, calibrate, score trials, rank the layers, ask the strategy, climb the ladder.
//!
//! It writes no files and reads no clock; limits of time come from the observer.

mod parameters;
mod proposal;
mod ranking;

pub(crate) use parameters::Parameters;

use crate::options::SearchOptions;
use crate::outcome::{Ending, Outcome, Report, Rungs, Trial};
use crate::ranking::Ranking;
use crate::roles::{Candidate, Judge, Scorer, Scoring, SearchObserver, Subject, Verdict};
use crate::stage::{Interruption, Stage};
use crate::strategy::trials_ahead;
use intact8_calibrate::{CalibrationData, CalibrationObserver, CalibrationStage, FloatModel, calibrate};
use intact8_ir::{Error, ErrorKind, Model, PassObserver, Result};
use intact8_quant::layer::{LayerSet, LayerTable};
use intact8_quant::{DeployFormat, Deployed, Emission, LayerArithmetic, QuantConfig, Quantized, Record};
use proposal::{Next, checked_groups};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The roles that the caller supplies to a search.
pub struct Roles<'a, S: Scorer> {
    /// The calibration data.
    pub data: &'a mut dyn CalibrationData,
    /// Scores models.
    pub scorer: &'a mut S,
    /// Decides whether a score is good enough.
    pub judge: &'a mut dyn Judge<S::Score>,
    /// Observes the search and may end it; `&mut ()` for none.
    pub observer: &'a mut dyn SearchObserver<S::Score>,
}

impl<S: Scorer> Roles<'_, S> {
    /// The same roles with a shorter lifetime, to pass them on and use them again.
    pub fn reborrow(&mut self) -> Roles<'_, S> {
        Roles { data: self.data, scorer: self.scorer, judge: self.judge, observer: self.observer }
    }
}

/// Searches for the most-quantized model that meets the target: scores the original, quantizes every layer that `config`
/// enables, and, if that misses the target, ranks the layers and rolls back those that the strategy names.
///
/// `float` is `original`, prepared and compiled. It is not an error if no model meets the target:
/// [`Report::outcome`] is then `None`. Nor is an interruption or a failure to score after the first trial.
///
/// # Errors
/// If the configuration does not fit the model or enables no layer, if the original itself misses the target, or if data,
/// runtime, strategy, sensitivity, judge or observer fail.
pub fn search<'a, S: Scorer>(
    float: &'a FloatModel<'a>,
    original: &Model,
    config: &'a QuantConfig,
    roles: Roles<'a, S>,
    options: SearchOptions<'a>,
) -> Result<Report<S::Score>> {
    config.check(float.model())?;
    let layers: LayerSet = float.prepared().enabled(config).into_iter().map(|(id, _, _)| id).collect();
    if layers.is_empty() {
        return Err(Error::invalid_config("no layer is to be quantized; enable one"));
    }
    let table = float.prepared().layers().clone();
    let groups = checked_groups(options.groups, &layers, |layer| table.name(layer))?;

    let score = match roles.observer.recall(Candidate::Original) {
        Some(score) => score,
        None => {
            roles.observer.stage(Stage::Original);
            let observer = &mut *roles.observer;
            let mut progress = |done, total| observer.progress(done, total);
            let mut scoring = Scoring {
                original: None,
                first: None,
                out_of_reach: None,
                misses: None,
                progress: &mut progress,
            };
            let score =
                roles.scorer.score(Subject::Original(original), &mut scoring).map_err(Error::from_user)?;
            roles.observer.scored(Candidate::Original, &score)?;
            score
        }
    };
    roles.judge.check_original(&score).map_err(Error::from_user)?;
    let verdict = judged(roles.judge, &score, &score)?;
    if !verdict.satisfied {
        let message = format!(
            "the original model misses the target itself, with a loss of {}; check the target",
            verdict.loss
        );
        return Err(Error::evaluator(message));
    }

    let mut calibrated = match options.calibrated {
        Some(calibrated) => calibrated.clone(),
        None => calibrate(float, config, roles.data, &mut Progress(roles.observer))?,
    };
    let report = Report {
        original: score,
        table,
        layers,
        all_quantized: LayerArithmetic::default(),
        ranking: Ranking::default(),
        history: vec![],
        scores: vec![],
        rungs_left_out: BTreeMap::new(),
        n_recalled: 0,
        ending: Ending::Finished,
        failure: None,
        closest: 0,
        histograms: std::mem::take(&mut calibrated.histograms),
        closest_config: config.clone(),
        outcome: None,
        rescored: vec![],
    };
    let mut search = Search {
        float,
        parameters: Parameters {
            config,
            record: calibrated.into_record(),
            rung_calibrations: BTreeMap::new(),
        },
        groups,
        roles,
        options,
        report,
        best: None,
    };
    search.report.ending = search.run()?;
    (search.report.closest, search.report.closest_config) = search.closest();
    search.report.outcome = search.outcome()?;
    Ok(search.report)
}

/// The state of a search.
pub(crate) struct Search<'a, S: Scorer> {
    pub(crate) float: &'a FloatModel<'a>,
    pub(crate) parameters: Parameters<'a>,
    groups: Vec<LayerSet>,
    pub(crate) roles: Roles<'a, S>,
    pub(crate) options: SearchOptions<'a>,
    pub(crate) report: Report<S::Score>,
    /// The model of the best trial, unless its score was recalled.
    best: Option<TrialModel>,
}

/// The model of a trial.
struct TrialModel {
    /// The position of the trial.
    trial: usize,
    quantized: Quantized,
    deployed: Option<Deployed>,
}

impl<S: Scorer> Search<'_, S> {
    /// Makes trials until there is a reason to end.
    fn run(&mut self) -> Result<Ending> {
        match self.run_strategy() {
            Ok(Ending::Finished) => self.climb_ladder(),
            ending => ending,
        }
        .or_else(|error| match error.kind {
            _ if self.report.failure.is_some() => Ok(Ending::Interrupted),
            ErrorKind::Cancelled if !self.report.history.is_empty() => {
                Ok(self.interruption().unwrap_or(Ending::Interrupted))
            }
            _ => Err(error),
        })
    }

    fn run_strategy(&mut self) -> Result<Ending> {
        let mut rolled_back = LayerSet::new();
        loop {
            match self.step(rolled_back)? {
                Next::Trial(next) => rolled_back = next,
                Next::End(ending) => return Ok(ending),
            }
        }
    }

    /// Makes one trial and decides what comes next.
    fn step(&mut self, rolled_back: LayerSet) -> Result<Next> {
        self.trial(rolled_back, Rungs::new())?;
        let [first] = &self.report.history[..] else { return self.next() };
        let first_satisfies = first.verdict.satisfied;
        if !first_satisfies || self.options.replays.is_some() {
            self.report.ranking = self.ranking()?;
        }
        if first_satisfies { Ok(Next::End(Ending::AllQuantized)) } else { self.next() }
    }

    /// Scores a candidate and judges it.
    pub(crate) fn trial(&mut self, rolled_back: LayerSet, rungs: Rungs) -> Result<()> {
        let candidate = Candidate::Trial { rolled_back: &rolled_back, rungs: &rungs };
        let (score, model) = match self.roles.observer.recall(candidate) {
            Some(score) => {
                self.report.n_recalled += 1;
                // The report counts the layers of the first trial, so its model is needed.
                let is_first = self.report.history.is_empty();
                let model = is_first.then(|| self.model(&rolled_back, &rungs)).transpose()?;
                (score, model)
            }
            None => {
                let (score, model) = self.scored(&rolled_back, &rungs)?;
                (score, Some(model))
            }
        };
        if let Some(model) = model.as_ref().filter(|model| model.trial == 0) {
            self.report.all_quantized = model.arithmetic(&self.report.table);
        }
        let verdict = judged(self.roles.judge, &self.report.original, &score)?;
        self.report.history.push(Trial { rolled_back, rungs, verdict });
        self.report.scores.push(score);
        if self.report.best() == Some(self.report.history.len() - 1) {
            self.best = model;
        }
        self.roles.observer.judged(&self.report);
        Ok(())
    }

    /// Quantizes a candidate, which is the next trial.
    fn model(&mut self, rolled_back: &LayerSet, rungs: &Rungs) -> Result<TrialModel> {
        let Report { table, history, .. } = &self.report;
        let (config, record) = self.parameters.config_and_record(table, rolled_back, rungs);
        let (quantized, deployed) =
            quantize_and_deploy(self.float, &config, &record, self.options.deploy, self.roles.observer)?;
        Ok(TrialModel { trial: history.len(), quantized, deployed })
    }

    /// Quantizes and scores a candidate.
    fn scored(&mut self, rolled_back: &LayerSet, rungs: &Rungs) -> Result<(S::Score, TrialModel)> {
        let Report { history, layers, ranking, .. } = &self.report;
        let n_ahead = match ranking.is_empty() {
            true => Some(0),
            // The count includes this trial.
            false => trials_ahead(self.options.strategy, ranking, history).map(|n| n.saturating_sub(1)),
        };
        let (index, n_layers) = (history.len(), layers.len());
        let model = self.model(rolled_back, rungs)?;
        let Report { original, scores, .. } = &self.report;
        let Roles { scorer, judge, observer, .. } = &mut self.roles;
        observer.stage(Stage::Trial { index, rolled_back, n_layers, n_ahead });
        let judge = RefCell::new(&mut **judge);
        let out_of_reach = |best: &S::Score| judge.borrow().is_out_of_reach(original, best);
        // If the judge fails, it does so again for the score of the trial.
        let misses = |score: &S::Score| {
            judge.borrow_mut().judge(original, score).is_ok_and(|verdict| !verdict.satisfied)
        };
        let may_stop = self.options.early_stop && index > 0;
        let mut scoring = Scoring {
            original: Some(original),
            first: scores.first(),
            out_of_reach: may_stop.then_some(&out_of_reach),
            misses: Some(&misses),
            progress: &mut |done, total| observer.progress(done, total),
        };
        let subject =
            Subject::Trial { index, quantized: &model.quantized, deployed: model.deployed.as_ref() };
        let score = scorer.score(subject, &mut scoring).map_err(Error::from_user);
        let score = match score {
            Err(error) if index > 0 && error.kind != ErrorKind::Cancelled => {
                self.report.failure = Some(error.clone());
                return Err(error);
            }
            score => score?,
        };
        observer.scored(Candidate::Trial { rolled_back, rungs }, &score)?;
        Ok((score, model))
    }

    /// A configuration with some layers left in float.
    pub(crate) fn rolled_back_config(&self, config: &QuantConfig, rolled_back: &LayerSet) -> QuantConfig {
        config.rolled_back(&self.report.table.names(rolled_back))
    }

    /// The reason why there may be no further trial.
    pub(crate) fn reason_to_end(&mut self) -> Option<Ending> {
        let is_used_up = self.options.max_trials.is_some_and(|most| self.report.history.len() >= most);
        if is_used_up { Some(Ending::OutOfTrials) } else { self.interruption() }
    }

    fn interruption(&mut self) -> Option<Ending> {
        let ending = |interruption| match interruption {
            Interruption::OutOfTime => Ending::OutOfTime,
            Interruption::Cancelled => Ending::Interrupted,
        };
        self.roles.observer.interruption().map(ending)
    }

    /// The position of the closest trial, and its configuration.
    fn closest(&mut self) -> (usize, QuantConfig) {
        let Report { original, history, scores, .. } = &self.report;
        let trials = history.iter().zip(scores).enumerate();
        let distances = trials.map(|(idx, (trial, score))| {
            let shortfall = self.roles.judge.shortfall(original, score, trial.verdict);
            (shortfall, trial.rolled_back.len(), idx)
        });
        let closer =
            |a: &(f64, usize, usize), b: &(f64, usize, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let closest = distances.min_by(closer).map_or(0, |(_, _, idx)| idx);
        let Trial { rolled_back, rungs, .. } = &history[closest];
        (closest, self.parameters.config_and_record(&self.report.table, rolled_back, rungs).0)
    }

    /// The model of the best trial: the object that was scored, unless its score was recalled from an earlier run.
    fn outcome(&mut self) -> Result<Option<Outcome<S::Score>>> {
        let closest = self.options.keep_best.then_some(self.report.closest);
        let Some(best) = self.report.best().or(closest) else { return Ok(None) };
        let Trial { rolled_back, rungs, .. } = self.report.history[best].clone();
        let table = &self.report.table;
        let (config, record) = self.parameters.config_and_record(table, &rolled_back, &rungs);
        let mut record = record.into_owned();
        let (quantized, deployed) = match self.best.take().filter(|model| model.trial == best) {
            Some(model) => (model.quantized, model.deployed),
            None => {
                quantize_and_deploy(self.float, &config, &record, self.options.deploy, self.roles.observer)?
            }
        };
        let needed = config.record_names(self.float.model())?;
        record.layers.retain(|name, _| needed.contains(name));
        self.float.prepared().describe(&config, &mut record);
        let score = self.report.scores[best].clone();
        let arithmetic = LayerArithmetic::of(table, quantized.config(), deployed.as_ref());
        Ok(Some(Outcome { score, rolled_back, rungs, arithmetic, record, quantized, deployed }))
    }
}

impl TrialModel {
    fn arithmetic(&self, table: &LayerTable) -> LayerArithmetic {
        LayerArithmetic::of(table, self.quantized.config(), self.deployed.as_ref())
    }
}

/// A candidate, quantized, and its deploy model if there is a deploy format.
pub(crate) fn quantize_and_deploy(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    record: &Record,
    deploy: Option<(DeployFormat, Emission)>,
    observer: &mut dyn PassObserver,
) -> Result<(Quantized, Option<Deployed>)> {
    let quantized = float.prepared().quantize(config, record, observer)?;
    let deployed = deploy.map(|(format, emission)| quantized.deploy(format, &emission, observer));
    let deployed = deployed.transpose()?;
    Ok((quantized, deployed))
}

/// Passes the progress of a calibration on to the observer of the search.
pub(crate) struct Progress<'a, S>(pub(crate) &'a mut dyn SearchObserver<S>);

impl<S> CalibrationObserver for Progress<'_, S> {
    fn stage(&mut self, stage: CalibrationStage) {
        self.0.stage(Stage::Calibration(stage));
    }

    fn left_out(&mut self, layer: &str, why: &str) {
        self.0.left_out(layer, why);
    }

    fn batch(&mut self, done: usize, total: usize) -> Result<()> {
        self.0.progress(done, total)
    }
}

/// The judge's verdict, whose loss must not be NaN.
pub(crate) fn judged<S>(judge: &mut dyn Judge<S>, original: &S, quantized: &S) -> Result<Verdict> {
    let verdict = judge.judge(original, quantized).map_err(Error::from_user)?;
    if verdict.loss.is_nan() {
        return Err(Error::evaluator("the loss is NaN; check the scores and the judge"));
    }
    Ok(verdict)
}
