//! Files of a calibration that is made in shards: its configuration, the states of the passes so far, and of a shard's file the
//! state of that shard.

use super::data_identity::{Hashed, other_content};
use super::merging::add_shards;
use super::states_in_file::{PassInFile, StatesInFile};
use super::{DataIdentity, bytes, check_complete, is_of_kind, parsed, read, write};
use intact8_calibrate::{
    Batches, CalibrationData, CalibrationObserver, CalibrationPass, CalibrationStates, FloatModel,
    MemoryLimit, PassState, Proceeded, Shard, Share, proceed,
};
use intact8_ir::{Error, Result};
use intact8_quant::QuantConfig;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_128;

/// The kind of the files of a whole calibration, as far as it is made.
const WHOLE: &str = "calibration";

/// The kind of the files of shards.
const PART: &str = "calibration shard";

/// What all processes of a calibration must agree on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationTask {
    /// The version of intact8; others may compute other bits.
    version: String,
    /// The SHA-256 of the model.
    model: String,
    /// The configuration, as JSON.
    config: String,
    data: DataIdentity,
    /// The limit of the memory of calibration in bytes.
    memory: u64,
}

/// A calibration, as far as it is made.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationFile {
    /// What it is of.
    pub task: CalibrationTask,
    /// The states of its passes.
    pub states: CalibrationStates,
    /// The sum of the hashes of the calibration data, once a pass has read all of them.
    content: Option<u128>,
}

#[derive(Serialize, Deserialize)]
struct WholeInFile {
    task: CalibrationTask,
    states: StatesInFile,
    content: Option<u128>,
}

/// What a shard is of; its state follows in the file.
#[derive(Serialize, Deserialize)]
struct Part {
    task: CalibrationTask,
    /// The hash of the calibration that it goes on from.
    before: u128,
    shard: (u64, u64),
    /// The sum of the hashes of the batches, if all of the shard were read.
    content: Option<u128>,
}

impl CalibrationTask {
    /// The calibration of a model with a configuration on data. `model` is a hash of it.
    pub fn new(
        model: String,
        config: &QuantConfig,
        data: DataIdentity,
        memory: MemoryLimit,
    ) -> CalibrationTask {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        CalibrationTask { version, model, config: config.to_json(), data, memory: memory.0 as u64 }
    }

    /// The configuration.
    ///
    /// # Errors
    /// If the file holds another one than this version writes.
    pub fn config(&self) -> Result<QuantConfig> {
        QuantConfig::from_json(&self.config)
    }

    /// The limit of the memory of calibration.
    pub fn memory(&self) -> MemoryLimit {
        MemoryLimit(self.memory as usize)
    }

    /// Checks that a model and data are those of this calibration.
    ///
    /// # Errors
    /// If they differ.
    pub fn check(&self, model: &str, data: &DataIdentity) -> Result<()> {
        let other = CalibrationTask { model: model.to_owned(), data: data.clone(), ..self.clone() };
        self.check_same(&CalibrationTask { version: env!("CARGO_PKG_VERSION").to_owned(), ..other })
    }

    /// Checks that another task is the same.
    fn check_same(&self, other: &CalibrationTask) -> Result<()> {
        let differs =
            |what: String| Err(Error::invalid_data(format!("is of {what}; use what belongs together")));
        if self.version != other.version {
            return differs(format!("intact8 {}, and not of {}", self.version, other.version));
        }
        if self.model != other.model {
            return differs("another model".to_owned());
        }
        if let Some(difference) = self.data.difference(&other.data) {
            return differs(difference);
        }
        if self.config != other.config {
            return differs("another configuration".to_owned());
        }
        if self.memory != other.memory {
            let [mine, theirs] = [self, other].map(|task| task.memory >> 20);
            return differs(format!("a calibration with --memory {mine}M, and not {theirs}M"));
        }
        Ok(())
    }
}

impl CalibrationFile {
    /// A calibration of which nothing is made.
    pub fn new(task: CalibrationTask) -> CalibrationFile {
        CalibrationFile { task, states: CalibrationStates::default(), content: None }
    }

    /// Reads a calibration.
    ///
    /// # Errors
    /// If the file can't be read, is damaged, or is of another kind or version.
    pub fn read(path: &Path) -> Result<CalibrationFile> {
        let WholeInFile { task, states, content } = read(path, WHOLE)?;
        let states = states.try_into().map_err(|error: Error| error.at(path.display()))?;
        Ok(CalibrationFile { task, states, content })
    }

    /// Writes the calibration.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write(path, WHOLE, &self.in_file())
    }

    fn in_file(&self) -> WholeInFile {
        WholeInFile {
            task: self.task.clone(),
            states: StatesInFile::from(&self.states),
            content: self.content,
        }
    }

    /// A hash of the calibration, by which shards of its next pass know it.
    fn hash(&self) -> Result<u128> {
        Ok(xxh3_128(&bytes(WHOLE, &self.in_file())?))
    }

    /// Makes all further passes, or all choices that need no further pass, and returns what is reached. The memory limit of `float`
    /// must be that of the task.
    ///
    /// # Errors
    /// As [`proceed`].
    pub fn go_on(
        &mut self,
        float: &FloatModel<'_>,
        data: &mut dyn CalibrationData,
        observer: &mut dyn CalibrationObserver,
        share: Share,
    ) -> Result<Proceeded> {
        let config = self.task.config()?;
        proceed(float, &config, data, observer, (&mut self.states, share))
    }

    /// Makes one shard of the next pass and writes it. Returns the pass; `None` if the calibration is complete.
    ///
    /// # Errors
    /// As [`proceed`]; if a choice must be made before; if the file can't be written.
    pub fn write_shard(
        &self,
        float: &FloatModel<'_>,
        data: &mut dyn CalibrationData,
        observer: &mut dyn CalibrationObserver,
        (shard, path): (Shard, &Path),
    ) -> Result<Option<CalibrationPass>> {
        let config = self.task.config()?;
        let n_batches = Batches::of(data, config.batch_num, &mut ())?.len();
        let mut hashed = Hashed::new(data);
        let mut states = self.states.clone();
        let made = proceed(float, &config, &mut hashed, observer, (&mut states, Share::Shard(shard)))?;
        let state = match made {
            Proceeded::Part(state) => state,
            Proceeded::Complete(_) => return Ok(None),
            Proceeded::ChoiceNeeded | Proceeded::Next(_) => {
                return Err(Error::invalid_data(
                    "sampled rows decide on smoothing or rounding before the next pass; let one process do that with \
                     --choices",
                ));
            }
        };
        let (content, n_read) = hashed.sum();
        let part = Part {
            task: self.task.clone(),
            before: self.hash()?,
            shard: (shard.index() as u64, shard.of() as u64),
            content: (n_read == shard.batches(n_batches).len()).then_some(content),
        };
        write(path, PART, &(part, PassInFile::from(&state)))?;
        Ok(Some(state.pass))
    }

    /// Merges the shards of one pass, and adds the pass to the calibration that they go on from, which is among the files unless it
    /// is the first pass. The order of the files does not matter.
    ///
    /// # Errors
    /// If a file can't be read or is of another kind, version, task or pass; if a shard is missing or doubled.
    pub fn merge(paths: &[PathBuf]) -> Result<CalibrationFile> {
        let mut before: Option<(PathBuf, CalibrationFile)> = None;
        let mut parts: Vec<(PathBuf, Part)> = Vec::new();
        let read = |path: &PathBuf| {
            let bytes = std::fs::read(path).map_err(|error| Error::io(error).at(path.display()))?;
            Ok((path.clone(), bytes))
        };
        // A few at a time, so that memory holds only those of many shards.
        let mut state: Option<PassState> = None;
        for paths in paths.chunks(64) {
            let files = paths.par_iter().map(read).collect::<Result<Vec<_>>>()?;
            let (wholes, shards): (Vec<_>, Vec<_>) =
                files.into_iter().partition(|(_, bytes)| is_of_kind(bytes, WHOLE));
            for (path, _) in wholes {
                let whole = CalibrationFile::read(&path)?;
                if let Some((other, _)) = before.replace((path.clone(), whole)) {
                    let message =
                        format!("is a calibration, as is {}; the shards go on from one", other.display());
                    return Err(Error::invalid_data(message).at(path.display()));
                }
            }
            let shards = shards.into_par_iter().map(|(path, bytes)| {
                let (part, state): (Part, PassInFile) =
                    parsed(&bytes, PART).map_err(|error| error.at(path.display()))?;
                Ok((path, part, state))
            });
            let shards = shards.collect::<Result<Vec<_>>>()?;
            let first = parts.first().map(|(path, part)| (path, part));
            let first = first.or_else(|| shards.first().map(|(path, part, _)| (path, part)));
            for ((first_path, first), (path, part, _)) in first.into_iter().cycle().zip(&shards) {
                let error = first.task.check_same(&part.task).err();
                let error = error.or_else(|| {
                    let message = "goes on from another calibration; use what belongs together";
                    (first.before != part.before).then(|| Error::invalid_data(message))
                });
                if let Some(error) = error {
                    let files = format!("{}, compared with {}", first_path.display(), path.display());
                    return Err(error.at(files));
                }
            }
            let states: Vec<(&Path, &PassInFile)> =
                shards.iter().map(|(path, _, state)| (path.as_path(), state)).collect();
            add_shards(&mut state, &states)?;
            parts.extend(shards.into_iter().map(|(path, part, _)| (path, part)));
        }
        let shards = parts.iter().map(|(path, part)| {
            let shard = Shard::new(part.shard.0 as usize, part.shard.1 as usize);
            Ok((path.clone(), shard.map_err(|error| error.at(path.display()))?))
        });
        check_complete(&shards.collect::<Result<Vec<_>>>()?)?;
        let (Some(state), Some((path, first))) = (state, parts.first()) else {
            return Err(Error::invalid_data("there is no shard to merge"));
        };
        let (before_path, mut merged) = match before {
            Some((path, before)) => (path, before),
            None => (PathBuf::new(), CalibrationFile::new(first.task.clone())),
        };
        merged.task.check_same(&first.task).map_err(|error| error.at(before_path.display()))?;
        if merged.hash()? != first.before {
            let message =
                "goes on from a calibration that is not among the files; add the one that --stats named";
            return Err(Error::invalid_data(message).at(path.display()));
        }
        let contents = parts.iter().map(|(_, part)| part.content);
        let content = contents.reduce(|sum, content| Some(sum?.wrapping_add(content?))).flatten();
        match (merged.content, content) {
            (Some(before), Some(now)) if before != now => return Err(other_content()),
            (None, content) => merged.content = content,
            _ => {}
        }
        merged.states.passes.push(state);
        Ok(merged)
    }
}
