//! Files of a scoring that is made in shards: what is scored, and the samples of each model file and metric.

use super::{DataIdentity, check_complete, parsed, read, write};
use crate::data::{DataSet, Metric, TallySamples};
use crate::score_saved::score_saved;
use crate::scorer::{DataScorer, Score};
use intact8_calibrate::Shard;
use intact8_ir::{Error, Model, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The kind of the files of a whole scoring.
const WHOLE: &str = "score";

/// The kind of the files of shards.
pub(super) const PART: &str = "score shard";

/// What all processes of a scoring must agree on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreTask {
    version: String,
    /// The SHA-256 of each model.
    models: Vec<String>,
    metrics: Vec<String>,
    data: DataIdentity,
    /// The runtime that runs the models; ours is `None`.
    runtime: Option<String>,
}

/// The samples of all shards, by model and metric.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreFile {
    task: ScoreTask,
    models: Vec<Vec<TallySamples>>,
}

impl ScoreTask {
    /// The scoring of models, of which these are the hashes, by the metrics of a scorer on its data.
    ///
    /// # Errors
    /// If data can't be read.
    pub fn new(
        models: Vec<String>,
        metrics: &[Metric],
        (scorer, data): (&DataScorer, &DataSet),
        runtime: Option<String>,
    ) -> Result<ScoreTask> {
        Ok(ScoreTask {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            models,
            metrics: metrics.iter().map(|metric| metric.name.clone()).collect(),
            data: DataIdentity::with_targets(&scorer.evaluation, data)?,
            runtime,
        })
    }

    /// Checks that another task is the same.
    pub(crate) fn check_same(&self, other: &ScoreTask) -> Result<()> {
        let differs =
            |what: String| Err(Error::invalid_data(format!("is of {what}; use what belongs together")));
        if self.version != other.version {
            return differs(format!("intact8 {}, and not of {}", self.version, other.version));
        }
        if self.models != other.models {
            return differs("other models, or of models in another order".to_owned());
        }
        if self.metrics != other.metrics {
            return differs(format!(
                "the metrics {}, and not {}",
                self.metrics.join(", "),
                other.metrics.join(", ")
            ));
        }
        if self.runtime != other.runtime {
            let name = |it: &ScoreTask| it.runtime.clone().unwrap_or_else(|| "intact8".to_owned());
            return differs(format!("the runtime {}, and not {}", name(self), name(other)));
        }
        match self.data.difference(&other.data) {
            Some(difference) => differs(difference),
            None => Ok(()),
        }
    }

    /// Runs models on one shard of the samples, and writes what each sample contributes.
    ///
    /// # Errors
    /// If a model can't be run, a metric can't be shared, or the file can't be written.
    pub fn write_shard(
        &self,
        scorer: &mut DataScorer,
        models: &[Model],
        (shard, path): (Shard, &Path),
        progress: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<()> {
        let scored = models.iter().enumerate();
        let scored = scored.map(|(idx, model)| scorer.score_shard((model, idx == 0), shard, progress));
        let scored = scored.collect::<Result<Vec<_>>>()?;
        write(path, PART, &(self, (shard.index() as u64, shard.of() as u64), scored))
    }
}

impl ScoreFile {
    /// Reads the samples of all shards.
    ///
    /// # Errors
    /// If the file can't be read, is damaged, of another kind or version, or of another task.
    pub fn read(path: &Path, task: &ScoreTask) -> Result<ScoreFile> {
        let (found, models): (ScoreTask, Vec<Vec<TallySamples>>) = read(path, WHOLE)?;
        found.check_same(task).map_err(|error| error.at(path.display()))?;
        Ok(ScoreFile { task: found, models })
    }

    /// Writes the samples.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write(path, WHOLE, &(&self.task, &self.models))
    }

    /// The score of the model at `index`, without a run. Without the score of the original it is the original itself.
    ///
    /// # Errors
    /// If the samples do not fit the scorer.
    pub fn score(
        &self,
        index: usize,
        scorer: &mut DataScorer,
        original: Option<&Score>,
        file: (&Path, &Model),
    ) -> Result<Score> {
        let samples = self.models.get(index);
        let samples = samples.ok_or_else(|| Error::invalid_data("the shards are those of fewer models"))?;
        scorer.know_samples(samples.clone());
        score_saved(scorer, original, file, &mut |_, _| Ok(()))
    }

    /// Merges the shards of a scoring; the order of the files does not matter.
    ///
    /// # Errors
    /// If a file can't be read or is of another kind, version or task; if a shard is missing or doubled.
    pub fn merge(paths: &[PathBuf]) -> Result<ScoreFile> {
        let mut first: Option<(PathBuf, ScoreTask)> = None;
        let mut parts: Vec<(PathBuf, Shard, Vec<Vec<TallySamples>>)> = Vec::new();
        for path in paths {
            let bytes = std::fs::read(path).map_err(|error| Error::io(error).at(path.display()))?;
            type Part = (ScoreTask, (u64, u64), Vec<Vec<TallySamples>>);
            let at = |error: Error| error.at(path.display());
            let (task, (index, of), models): Part = parsed(&bytes, PART).map_err(at)?;
            match &first {
                None => first = Some((path.clone(), task)),
                Some((first_path, first)) => first.check_same(&task).map_err(|error| {
                    error.at(format!("{}, compared with {}", first_path.display(), path.display()))
                })?,
            }
            parts.push((path.clone(), Shard::new(index as usize, of as usize).map_err(at)?, models));
        }
        let shards: Vec<(PathBuf, Shard)> =
            parts.iter().map(|(path, shard, _)| (path.clone(), *shard)).collect();
        check_complete(&shards)?;
        parts.sort_by_key(|(_, shard, _)| *shard);
        let mut parts = parts.into_iter();
        let (Some((_, _, mut models)), Some((_, task))) = (parts.next(), first) else {
            return Err(Error::invalid_data("there is no shard to merge"));
        };
        for (path, _, further) in parts {
            let at = |error: Error| error.at(path.display());
            for (mine, theirs) in models.iter_mut().flatten().zip(further.into_iter().flatten()) {
                mine.append(theirs).map_err(at)?;
            }
        }
        Ok(ScoreFile { task, models })
    }
}
