//! Scoring on workers: other processes, on any machines, that run parts of a trial's samples. The protocol is files in a folder that
//! all of them reach.
//!
//! The coordinator writes the model of a trial and its batches in chunks; each worker claims a chunk by creating a file, runs it, and
//! writes what each batch contributes. The coordinator counts the batches in their order, as it does without workers, so scores and
//! the points where trials stop are the same. As soon as a trial can no longer meet the target, a file ends the work on it. The
//! coordinator runs chunks too while it waits, and makes those again whose worker no longer gives a sign of life.

use super::DataScorer;
use crate::data::TallySamples;
use crate::files::{load_model, save_model, write_file};
use crate::shards::{ScoreTask, read_file, write_to};
use intact8_ir::{Error, Model, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime};

/// The number of batches of a chunk: fewer spread the work more evenly, and cost files.
const BATCHES_PER_CHUNK: usize = 4;

/// The time between two looks for a file.
const PAUSE: Duration = Duration::from_millis(5);

/// The time between two signs of life of a worker: it writes its claim again.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The time without a sign of life after which the coordinator runs a worker's chunk. A worker that lives on does no harm: its result
/// is the same.
const SILENCE: Duration = Duration::from_secs(8);

/// What each of some batches contributes, by metric.
pub(crate) type BatchSamples = Vec<Vec<TallySamples>>;

/// Runs batches of a model, each a list of samples.
pub(crate) type RunBatches<'a> = &'a mut dyn FnMut(&[Vec<usize>]) -> Result<BatchSamples>;

/// The work on one model.
#[derive(Serialize, Deserialize)]
struct Job {
    /// Whether the model is the original, which all workers have.
    is_original: bool,
    chunks: Vec<Vec<Vec<u64>>>,
}

/// The folder through which a coordinator and its workers exchange files.
#[derive(Debug)]
pub struct WorkerFolder {
    folder: PathBuf,
    n_jobs: usize,
}

/// The batches of one model, as the coordinator receives them.
pub(crate) struct Scoring {
    folder: PathBuf,
    chunks: Vec<Vec<Vec<usize>>>,
}

impl WorkerFolder {
    /// A new folder for the scoring of a task; workers that were started before find it when it is there.
    ///
    /// # Errors
    /// If the folder is used already, or can't be written to.
    pub fn begin(folder: &Path, task: &ScoreTask) -> Result<WorkerFolder> {
        if folder.join("task").exists() || folder.join("end").exists() {
            let message = "is of another run; name a folder of its own for each run";
            return Err(Error::invalid_config(message).at(folder.display()));
        }
        write_to(&folder.join("task"), "scoring task", task)?;
        Ok(WorkerFolder { folder: folder.to_owned(), n_jobs: 0 })
    }

    /// Begins the work on a model. The batches are in the order in which they count.
    pub(crate) fn score(
        &mut self,
        model: &Model,
        is_original: bool,
        batches: &[Vec<usize>],
    ) -> Result<Scoring> {
        let folder = self.folder.join(format!("model-{:05}", self.n_jobs));
        self.n_jobs += 1;
        let chunks: Vec<Vec<Vec<usize>>> = batches.chunks(BATCHES_PER_CHUNK).map(<[_]>::to_vec).collect();
        if !is_original {
            std::fs::create_dir_all(&folder).map_err(|error| Error::io(error).at(folder.display()))?;
            save_model(model, &folder.join("model.onnx"))?;
        }
        let numbers = |batch: &Vec<usize>| batch.iter().map(|&sample| sample as u64).collect();
        let in_file = chunks.iter().map(|chunk| chunk.iter().map(numbers).collect()).collect();
        write_to(&folder.join("job"), "scoring job", &Job { is_original, chunks: in_file })?;
        Ok(Scoring { folder, chunks })
    }
}

/// The workers end when their coordinator does.
impl Drop for WorkerFolder {
    fn drop(&mut self) {
        // Where the folder is gone there is nothing to end.
        drop(write_file(&self.folder.join("end"), b""));
    }
}

impl Scoring {
    /// The number of chunks.
    pub(crate) fn n_chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The batches of a chunk.
    pub(crate) fn batches(&self, chunk: usize) -> &[Vec<usize>] {
        &self.chunks[chunk]
    }

    /// What the batches of a chunk contribute. While a worker makes it, others are run here.
    ///
    /// # Errors
    /// If a file can't be read or written, or a chunk can't be run.
    pub(crate) fn chunk(&self, chunk: usize, run: RunBatches<'_>) -> Result<BatchSamples> {
        let mut watch = Watch::default();
        loop {
            let result = result_file(&self.folder, chunk);
            if result.exists() {
                return read_file(&result, "scored chunk");
            }
            let next = (chunk..self.chunks.len()).find(|&chunk| claim(&self.folder, chunk));
            let mine = match next {
                Some(mine) => mine,
                None if watch.is_silent(&claim_file(&self.folder, chunk)) => chunk,
                None => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            let samples = run(&self.chunks[mine])?;
            write_to(&result_file(&self.folder, mine), "scored chunk", &samples)?;
        }
    }
}

/// Ends the work on the model.
impl Drop for Scoring {
    fn drop(&mut self) {
        drop(write_file(&self.folder.join("end"), b""));
    }
}

/// Works for a coordinator until it ends: runs the chunks of its models. Returns the number of chunks.
///
/// # Errors
/// If the coordinator scores another task, a file can't be read or written, or a model can't be run.
pub(crate) fn work(folder: &Path, task: &ScoreTask, scorer: &DataScorer) -> Result<usize> {
    let is_over = || folder.join("end").exists();
    while !folder.join("task").exists() {
        if is_over() {
            return Ok(0);
        }
        std::thread::sleep(PAUSE);
    }
    let found: ScoreTask = read_file(&folder.join("task"), "scoring task")?;
    found.check_same(task).map_err(|error| error.at(folder.display()))?;
    let (mut n_chunks, mut job) = (0, 0);
    loop {
        let of_job = folder.join(format!("model-{job:05}"));
        if !of_job.join("job").exists() {
            if is_over() {
                return Ok(n_chunks);
            }
            std::thread::sleep(PAUSE);
            continue;
        }
        n_chunks += work_on(&of_job, scorer)?;
        job += 1;
    }
}

/// Runs chunks of one model until there are no more, or its end.
fn work_on(folder: &Path, scorer: &DataScorer) -> Result<usize> {
    let is_over = || folder.join("end").exists();
    if is_over() {
        return Ok(0);
    }
    let job: Job = read_file(&folder.join("job"), "scoring job")?;
    let empty = Model::default();
    let model = if job.is_original { empty } else { load_model(&folder.join("model.onnx"))? };
    let (mut n_chunks, mut runner) = (0, None);
    for (chunk, batches) in job.chunks.iter().enumerate() {
        if is_over() {
            break;
        }
        if result_file(folder, chunk).exists() || !claim(folder, chunk) {
            continue;
        }
        let batches: Vec<Vec<usize>> =
            batches.iter().map(|batch| batch.iter().map(|&sample| sample as usize).collect()).collect();
        let samples = with_heartbeat(&claim_file(folder, chunk), || {
            let runner = match &mut runner {
                Some(runner) => runner,
                None => runner.insert(scorer.batch_runner(&model, job.is_original)?),
            };
            runner.run(&batches, &mut || !is_over())
        })?;
        if samples.len() < batches.len() {
            break;
        }
        write_to(&result_file(folder, chunk), "scored chunk", &samples)?;
        n_chunks += 1;
    }
    Ok(n_chunks)
}

fn claim_file(folder: &Path, chunk: usize) -> PathBuf {
    folder.join(format!("chunk-{chunk:06}.claim"))
}

fn result_file(folder: &Path, chunk: usize) -> PathBuf {
    folder.join(format!("chunk-{chunk:06}.samples"))
}

/// Claims a chunk, unless another process has. Creating a file that must not be there yet is atomic, on network file systems too.
fn claim(folder: &Path, chunk: usize) -> bool {
    File::create_new(claim_file(folder, chunk)).is_ok()
}

/// Writes a claim again and again while some work is done.
fn with_heartbeat<T>(claim: &Path, work: impl FnOnce() -> T) -> T {
    let (is_done, done) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut n_beats = 0u64;
            while done.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                n_beats += 1;
                // Where the file can't be written, the coordinator does the work.
                drop(write_file(claim, n_beats.to_string().as_bytes()));
            }
        });
        let found = work();
        drop(is_done);
        found
    })
}

/// What the coordinator has seen of a claim. The clocks of machines differ, so only changes count.
#[derive(Default)]
struct Watch {
    last: Option<(Option<SystemTime>, Instant)>,
}

impl Watch {
    /// Whether a claim has not changed for so long that its process must have died.
    fn is_silent(&mut self, claim: &Path) -> bool {
        let modified = std::fs::metadata(claim).and_then(|metadata| metadata.modified()).ok();
        match self.last {
            Some((last, since)) if last == modified => since.elapsed() > SILENCE,
            _ => {
                self.last = Some((modified, Instant::now()));
                false
            }
        }
    }
}
