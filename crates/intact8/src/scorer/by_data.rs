//! The scorer by metrics over a data set; our interpreter runs the models, or a runtime of others.

mod compiled;
mod original_model;
mod run;
mod shards;

pub use original_model::OriginalModel;

use super::batch_size::fit_to_cache;
use super::known_scores::KnownScores;
use super::workers::WorkerFolder;
use super::{Effort, Score, Verified};
use crate::data::{DataSet, Feed, Metric, Rows, Tally, TallySamples, Truth, labels, numbers};
use intact8_calibrate::BoxError;
use intact8_ir::{Error, Model, Result, Runtime, Tensor, Type};
use intact8_quant::{DeployFormat, Deployed};
use intact8_search::{SavedModel, Scorer, Scoring, Subject};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

/// A scorer by metrics over a data set; the score has one value for each metric.
pub struct DataScorer {
    /// The samples.
    pub evaluation: Feed,
    /// The metrics.
    pub metrics: Vec<Metric>,
    /// The labels of each sample; empty if no metric needs them.
    labels: Rows<i64>,
    targets: Targets,
    /// The dimension of the first output that counts samples.
    output_axis: Option<usize>,
    original: OriginalModel,
    /// The runtime that runs the models in place of our interpreter, if there is one.
    foreign: Option<Arc<Foreign>>,
    /// The complete scores of models, so that one that computes the same is not run.
    known: KnownScores,
    /// The tallies of the original, once it is scored.
    baseline: Option<Vec<Box<dyn Tally>>>,
    /// The workers that run the models together with this process, if there are any.
    pub workers: Option<WorkerFolder>,
    /// The samples of the next model by metric, if other processes have run it.
    known_samples: Option<Vec<TallySamples>>,
}

/// A runtime of others.
struct Foreign {
    runtime: Box<dyn Runtime + Send + Sync>,
    name: String,
    /// The original as its file has it.
    original: Model,
}

/// The targets that outputs are compared with.
enum Targets {
    /// No metric needs targets.
    None,
    /// Values of the data set.
    FromData(Rows<f32>),
    /// The outputs of the original model; computed when they are first needed.
    Original(Option<Rows<f32>>),
}

/// The way in which a model is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScoringMode {
    /// The original model, with which all others are compared.
    Original,
    /// The first trial, and saved models: with the contribution of each sample.
    Detailed,
    /// A later trial.
    Later,
}

impl DataScorer {
    /// A scorer of the samples of a feed, run by the interpreter of `original`. The batches are shorter than the feed's if the tensors of the
    /// original model would not fit into the processor's cache. `data` is the data set of the samples, with the labels and
    /// targets that the metrics need; if it has no targets, they are the outputs of `original`.
    ///
    /// # Errors
    /// If labels are missing, labels or targets do not fit the samples, or `original` can't be run.
    pub fn new(
        mut original: OriginalModel,
        evaluation: Feed,
        data: &DataSet,
        metrics: Vec<Metric>,
    ) -> Result<DataScorer> {
        let needs = |truth: Truth| metrics.iter().any(|metric| metric.truth() == truth);
        let of_samples = |tensor: &Tensor| tensor.shape()[0];
        let mut label_rows = Rows::default();
        if needs(Truth::Labels) {
            for tensor in data.targets("labels", &evaluation)? {
                let labels = labels(&tensor).map_err(|error| error.at(data.source()))?;
                label_rows.extend(&labels, of_samples(&tensor));
            }
        }
        let targets = match (needs(Truth::Targets), data.has_targets("targets", &evaluation)) {
            (false, _) => Targets::None,
            (true, true) => {
                let mut rows = Rows::default();
                for tensor in data.targets("targets", &evaluation)? {
                    let targets = numbers(&tensor).map_err(|error| error.at("targets").at(data.source()))?;
                    rows.extend(&targets, of_samples(&tensor));
                }
                Targets::FromData(rows)
            }
            (true, false) => Targets::Original(None),
        };
        let graph = original.model.main();
        let is_tensor = |ty: &Option<Type>| matches!(ty, None | Some(Type::Tensor(_)));
        let first = graph.outputs().iter().position(|&value| is_tensor(&graph.value(value).ty));
        let output_axis = evaluation.output_axis(first.unwrap_or(0));
        let evaluation = fit_to_cache(evaluation, &*original.session()?)?;
        Ok(DataScorer {
            evaluation,
            metrics,
            labels: label_rows,
            targets,
            output_axis,
            known: KnownScores::default(),
            original,
            foreign: None,
            baseline: None,
            workers: None,
            known_samples: None,
        })
    }

    /// The same scorer; a runtime of others runs the models as their files have them: the original, and deploy models. `name` is the
    /// runtime's, `original` the original as it was read.
    #[must_use]
    pub fn in_runtime(
        mut self,
        runtime: impl Runtime + Send + 'static,
        name: &str,
        original: &Model,
    ) -> DataScorer {
        let (runtime, name, original) = (Box::new(runtime) as Box<_>, name.to_owned(), original.clone());
        self.foreign = Some(Arc::new(Foreign { runtime, name, original }));
        self
    }

    /// The original as it is scored.
    fn original_model(&self) -> &Model {
        self.foreign.as_ref().map_or(&self.original.model, |foreign| &foreign.original)
    }

    /// A deploy model as it is scored.
    fn deployed_model<'a>(&self, deployed: &'a Deployed) -> Result<Cow<'a, Model>> {
        let Some(foreign) = &self.foreign else { return deployed.executed().map(Cow::Owned) };
        match deployed.format() {
            DeployFormat::Ascend => Err(Error::invalid_config(format!(
                "{} does not run the deploy format \"ascend\"; use --runtime none",
                foreign.name
            ))),
            _ => Ok(Cow::Borrowed(deployed.model())),
        }
    }

    /// Whether a metric compares with the outputs of the original model.
    fn needs_original_outputs(&self) -> bool {
        matches!(self.targets, Targets::Original(_))
    }

    /// Whether a metric compares with the outputs of the original model, which the original matches perfectly.
    pub fn is_measured_by_original(&self, metric: &Metric) -> bool {
        metric.truth() == Truth::Targets && matches!(self.targets, Targets::Original(_))
    }
}

impl Scorer for DataScorer {
    type Score = Score;

    /// Our interpreter computes on integers between QuantizeLinear and DequantizeLinear, in deploy and in fake-quant models; see
    /// [`Deployed::executed`](intact8_quant::Deployed::executed).
    fn score(&mut self, subject: Subject<'_>, scoring: &mut Scoring<'_, Score>) -> Result<Score, BoxError> {
        let began = Instant::now();
        let (model, mode) = match subject {
            Subject::Original(_) => (Cow::Owned(self.original_model().clone()), ScoringMode::Original),
            Subject::Trial { index, quantized, deployed } => {
                let mode = if index == 0 { ScoringMode::Detailed } else { ScoringMode::Later };
                match deployed {
                    Some(deployed) => (self.deployed_model(deployed)?, mode),
                    None => (Cow::Borrowed(quantized.fake_quant()), mode),
                }
            }
            // What is deployed of it has the score of the trial, if the file holds all that the trial computes.
            Subject::Saved { model: SavedModel::FakeQuant { model, deployed }, .. } => {
                let deployed = deployed.filter(|_| self.foreign.is_none());
                let model =
                    deployed.map_or(Ok(Cow::Borrowed(model)), |deployed| self.deployed_model(deployed))?;
                (model, ScoringMode::Detailed)
            }
            Subject::Saved { model: SavedModel::Deployed(deployed), .. } => {
                (self.deployed_model(deployed)?, ScoringMode::Detailed)
            }
        };
        let mut score = self.score_model(&model, mode, scoring)?;
        score.verified = self
            .foreign
            .as_ref()
            .filter(|_| score.stopped_after.is_none())
            .map(|foreign| Verified { runtime: foreign.name.clone(), values: score.values.clone() });
        Ok(score.measured(began))
    }
}

impl DataScorer {
    /// Scores a model. A model whose outputs have the fingerprints of a model that is scored already, such as one that was read
    /// back from its file, is not run: it has the same score. Another runtime runs every model, since equal fingerprints mean equal results
    /// only in our interpreter.
    fn score_model(
        &mut self,
        model: &Model,
        mode: ScoringMode,
        scoring: &mut Scoring<'_, Score>,
    ) -> Result<Score> {
        if self.foreign.is_some() || self.known_samples.is_some() {
            return self.run(model, mode, scoring);
        }
        let computation = self.known.computation(model)?;
        if let Some(score) = self.known.get(&computation) {
            return Ok(Score { effort: Effort { samples: Some(0), ..Effort::default() }, ..score.clone() });
        }
        let score = self.run(model, mode, scoring)?;
        if mode != ScoringMode::Original && score.stopped_after.is_none() {
            self.known.insert(computation, score.clone());
        }
        Ok(score)
    }
}

#[cfg(test)]
mod tests;
