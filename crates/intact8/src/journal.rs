//! The journal: a file with the score of every candidate, written as soon as the score is known, so that an interrupted run can
//! be resumed. It has one JSON object a line; numbers are stored as text, because they must be read back bit for bit.

use crate::chance::Chance;
use crate::data::Noise;
use crate::scorer::{Effort, Score};
use intact8_ir::{Error, Result};
use intact8_quant::QuantConfig;
use intact8_quant::layer::LayerTable;
use intact8_search::Candidate;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Scores by candidate, in memory and in a file.
pub struct Journal {
    path: PathBuf,
    /// The names of the layers.
    table: LayerTable,
    known: BTreeMap<Key, Score>,
    /// The lines that are written with the first trial; a run without a trial leaves no file.
    pending: String,
    file: Option<File>,
}

/// The names of the layers rolled back, and those on a rung of the ladder; `None` is the original.
type Key = Option<(BTreeSet<String>, Rungs)>;

/// Layers and rungs by name.
type Rungs = BTreeMap<String, String>;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    /// The version of the format.
    journal: u32,
    /// The identity of the run; scores of different runs must not be mixed.
    run: String,
    /// The configuration of the run, in JSON, if measurements have chosen it, which may choose another one the next time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<String>,
}

/// Every other line.
#[derive(Serialize, Deserialize)]
struct Line {
    rolled_back: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Rungs::is_empty")]
    rungs: Rungs,
    values: Vec<String>,
    stopped_after: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missed_in: Option<String>,
    estimates: Vec<String>,
    /// The standard errors of each value, and of its difference from the original's.
    noise: Vec<[String; 2]>,
    /// Level and standard error of chance, for each value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chance: Vec<[String; 2]>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    contributions: Vec<Vec<String>>,
    samples: Option<usize>,
    seconds: f64,
    peak_memory: Option<u64>,
}

/// The version of the format.
const VERSION: u32 = 3;

impl Journal {
    /// The journal of a new run. Its file is written with the first trial's score, and replaces an older one.
    /// `config` is the configuration of the run if measurements have chosen it, so that it can be resumed with the same.
    pub fn begin(path: &Path, run: &str, table: &LayerTable, config: Option<&QuantConfig>) -> Journal {
        let config = config.map(QuantConfig::to_json);
        let head = Head { journal: VERSION, run: run.to_owned(), config };
        let pending = serde_json::to_string(&head).expect("a head is JSON") + "\n";
        Journal { path: path.to_owned(), table: table.clone(), known: BTreeMap::new(), pending, file: None }
    }

    /// The identity of the run that a file is the journal of, and the configuration if measurements have chosen it; `None` if the
    /// file is no journal.
    pub fn run_of(path: &Path) -> Option<(String, Option<QuantConfig>)> {
        let text = std::fs::read_to_string(path).ok()?;
        let head: Head = serde_json::from_str(text.lines().next()?).ok()?;
        Some((head.run, head.config.and_then(|config| QuantConfig::from_json(&config).ok())))
    }

    /// Continues the journal of a run, or begins one if there is no file. An incomplete last line, as an interruption may leave,
    /// is dropped. `n_goals` is the number of values of each score.
    ///
    /// # Errors
    /// If the file is not a journal, is one of another run, has a damaged line, or can't be read or written.
    pub fn resume(path: &Path, run: &str, table: &LayerTable, n_goals: usize) -> Result<Journal> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Journal::begin(path, run, table, None));
            }
            Err(error) => return Err(failed(path, error)),
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.lines();
        let Some(head) = lines.next() else { return Ok(Journal::begin(path, run, table, None)) };
        let at = |error: Error| error.at(path.display());
        let head: Head = serde_json::from_str(head)
            .map_err(|_| at(Error::syntax("is not a journal; begin anew without --resume")))?;
        if (head.journal, head.run.as_str()) != (VERSION, run) {
            return Err(at(Error::invalid_config(
                "belongs to another model, configuration, data, goal, target or runtime; begin anew without --resume",
            )));
        }
        let mut known = BTreeMap::new();
        for (line, number) in lines.zip(2..) {
            let read = read(line).and_then(|(key, score)| {
                check_lengths(&score, n_goals)?;
                Ok((key, score))
            });
            let (key, score) = read.map_err(|error| at(error.at(format!("line {number}"))))?;
            known.insert(key, score);
        }
        let file = opened(path)?;
        file.set_len(whole.len() as u64).map_err(|error| failed(path, error))?;
        Ok(Journal {
            path: path.to_owned(),
            table: table.clone(),
            known,
            pending: String::new(),
            file: Some(file),
        })
    }

    /// The stored score of a candidate, if there is one.
    pub fn recall(&self, candidate: Candidate<'_>) -> Option<Score> {
        self.known.get(&self.key(candidate)).cloned()
    }

    fn key(&self, candidate: Candidate<'_>) -> Key {
        let Candidate::Trial { rolled_back, rungs } = candidate else { return None };
        let rungs = rungs.iter().map(|(&layer, &rung)| (self.table.name(layer).to_owned(), rung.to_owned()));
        Some((self.table.names(rolled_back).into_iter().collect(), rungs.collect()))
    }

    /// Stores a score and writes it to the file, so that it survives a power failure.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write(&mut self, candidate: Candidate<'_>, score: &Score) -> Result<()> {
        let key = self.key(candidate);
        let (rolled_back, rungs) = match &key {
            None => (None, Rungs::new()),
            Some((rolled_back, rungs)) => (Some(rolled_back.iter().cloned().collect()), rungs.clone()),
        };
        let text = |value: &f64| format!("{value:?}");
        let noise = score.noise.iter().map(|noise| [&noise.of_value, &noise.of_difference].map(text));
        let line = Line {
            rolled_back,
            rungs,
            values: score.values.iter().map(text).collect(),
            stopped_after: score.stopped_after,
            missed_in: score.missed_in.clone(),
            estimates: score.estimates.iter().map(text).collect(),
            noise: noise.collect(),
            chance: score.chance.iter().map(|chance| [&chance.level, &chance.error].map(text)).collect(),
            contributions: score
                .contributions
                .iter()
                .map(|values| values.iter().map(text).collect())
                .collect(),
            samples: score.effort.samples,
            seconds: score.effort.seconds,
            peak_memory: score.effort.peak_memory,
        };
        self.pending += &serde_json::to_string(&line).expect("a line is JSON");
        self.pending.push('\n');
        self.known.insert(key, score.clone());
        if candidate == Candidate::Original {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                crate::files::write_file(&self.path, b"")?;
                none.insert(opened(&self.path)?)
            }
        };
        let written = file.write_all(self.pending.as_bytes()).and_then(|()| file.sync_data());
        written.map_err(|error| failed(&self.path, error))?;
        self.pending.clear();
        Ok(())
    }
}

fn opened(path: &Path) -> Result<File> {
    OpenOptions::new().append(true).open(path).map_err(|error| failed(path, error))
}

fn read(line: &str) -> Result<(Key, Score)> {
    let line: Line = serde_json::from_str(line).map_err(|error| Error::syntax(error.to_string()))?;
    let number =
        |text: &String| text.parse::<f64>().map_err(|_| Error::syntax(format!("{text:?} is not a number")));
    let numbers = |texts: &[String]| texts.iter().map(number).collect::<Result<Vec<f64>>>();
    let noise = line.noise.iter().map(|[of_value, of_difference]| {
        Ok(Noise { of_value: number(of_value)?, of_difference: number(of_difference)? })
    });
    let chance =
        line.chance.iter().map(|[level, error]| Ok(Chance { level: number(level)?, error: number(error)? }));
    let score = Score {
        verified: None,
        missed_in: line.missed_in,
        values: numbers(&line.values)?,
        stopped_after: line.stopped_after,
        estimates: numbers(&line.estimates)?,
        noise: noise.collect::<Result<_>>()?,
        chance: chance.collect::<Result<_>>()?,
        contributions: line.contributions.iter().map(|texts| numbers(texts)).collect::<Result<_>>()?,
        effort: Effort { samples: line.samples, seconds: line.seconds, peak_memory: line.peak_memory },
    };
    let rungs = line.rungs;
    Ok((line.rolled_back.map(|layers| (layers.into_iter().collect(), rungs)), score))
}

/// Checks that a score has a value for each goal, noise, estimates and contributions for each or for none, and the contributions of
/// the same number of samples for each.
fn check_lengths(score: &Score, n_goals: usize) -> Result<()> {
    let damaged = |what: &str, found: usize, expected: usize| {
        let message = format!(
            "has {found} {what}, and {expected} are expected; remove the line, or begin anew without --resume"
        );
        Err(Error::invalid_data(message))
    };
    if score.values.len() != n_goals {
        return damaged("values", score.values.len(), n_goals);
    }
    let lengths = [
        ("estimates", score.estimates.len()),
        ("noises", score.noise.len()),
        ("levels of chance", score.chance.len()),
        ("contributions", score.contributions.len()),
    ];
    if let Some((what, found)) = lengths.into_iter().find(|(_, n)| ![0, n_goals].contains(n)) {
        return damaged(what, found, n_goals);
    }
    let n_samples = score.contributions.first().map_or(0, Vec::len);
    match score.contributions.iter().find(|samples| samples.len() != n_samples) {
        Some(samples) => damaged("contributions of a goal", samples.len(), n_samples),
        None => Ok(()),
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::io(error).at(path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_quant::layer::{LayerId, LayerSet};

    fn score(value: f64) -> Score {
        Score {
            verified: None,
            missed_in: Some("ONNX Runtime".to_owned()),
            values: vec![value, f64::INFINITY],
            stopped_after: Some(3),
            estimates: vec![-value, 1.0 / 3.0],
            noise: vec![Noise { of_value: value / 3.0, of_difference: f64::INFINITY }; 2],
            chance: vec![Chance { level: value / 9.0, error: 0.1 }; 2],
            contributions: vec![vec![value / 7.0, 0.0, -0.0], vec![1e300, f64::INFINITY, 1.0]],
            effort: Effort { samples: Some(3), seconds: 1.5, peak_memory: None },
        }
    }

    fn rolled_back<'a>(layers: &'a LayerSet, rungs: &'a intact8_search::Rungs) -> Candidate<'a> {
        Candidate::Trial { rolled_back: layers, rungs }
    }

    /// Layers a, b and c.
    fn table() -> LayerTable {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]\n\
                    %p = MatMul(%x, %w) @a\n%q = MatMul(%p, %w) @b\n%y = MatMul(%q, %w) @c\nreturn %y\n";
        LayerTable::of(&text.parse().unwrap())
    }

    #[test]
    fn scores_are_read_back_bit_for_bit_and_an_incomplete_line_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let layers = LayerSet::from([LayerId(1), LayerId(0)]);
        let (none, rungs) = (BTreeMap::new(), BTreeMap::from([(LayerId(2), "int16")]));
        let mut journal = Journal::begin(&path, "run", &table(), None);
        journal.write(Candidate::Original, &score(0.1 + 0.2)).unwrap();
        assert!(!path.exists(), "without a trial there is nothing to resume");
        journal.write(rolled_back(&layers, &none), &score(-0.0)).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"rolled_back\":[\"c").unwrap();
        for _ in 0..2 {
            let journal = Journal::resume(&path, "run", &table(), 2).unwrap();
            assert_eq!(journal.recall(Candidate::Original), Some(score(0.1 + 0.2)));
            assert_eq!(journal.recall(rolled_back(&layers, &none)), Some(score(-0.0)));
            assert_eq!(journal.recall(rolled_back(&LayerSet::new(), &none)), None);
            assert_eq!(journal.recall(rolled_back(&layers, &rungs)), None);
        }
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("}\n"));
    }

    #[test]
    fn a_measured_configuration_is_in_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let config = QuantConfig { batch_num: Some(7), ..QuantConfig::default() };
        for (expected, journal) in [
            (None, Journal::begin(&path, "run", &table(), None)),
            (Some(&config), Journal::begin(&path, "run", &table(), Some(&config))),
        ] {
            let mut journal = journal;
            journal.write(rolled_back(&LayerSet::new(), &BTreeMap::new()), &score(1.0)).unwrap();
            assert_eq!(Journal::run_of(&path), Some(("run".to_owned(), expected.cloned())));
            assert!(Journal::resume(&path, "run", &table(), 2).is_ok());
        }
        assert_eq!(Journal::run_of(&folder.path().join("none")), None);
    }

    #[test]
    fn a_journal_of_another_run_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        Journal::begin(&path, "one", &table(), None)
            .write(rolled_back(&LayerSet::new(), &BTreeMap::new()), &score(1.0))
            .unwrap();
        let message = Journal::resume(&path, "two", &table(), 2).err().unwrap().message;
        assert!(message.starts_with("belongs to another model"), "{message}");
        std::fs::write(&path, "hello\n").unwrap();
        let message = Journal::resume(&path, "two", &table(), 2).err().unwrap().message;
        assert!(message.starts_with("is not a journal"), "{message}");
        assert!(Journal::resume(&folder.path().join("none"), "two", &table(), 2).is_ok());
    }

    #[test]
    fn a_line_of_other_lengths_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let message = |change: &dyn Fn(&mut Score)| {
            let mut changed = score(1.0);
            change(&mut changed);
            let mut journal = Journal::begin(&path, "run", &table(), None);
            journal.write(rolled_back(&LayerSet::new(), &BTreeMap::new()), &changed).unwrap();
            Journal::resume(&path, "run", &table(), 2).err().map(|error| error.message)
        };
        type Change<'a> = (&'a dyn Fn(&mut Score), &'a str);
        let changes: [Change<'_>; 7] = [
            (&|score| score.values.truncate(1), "has 1 values, and 2 are expected"),
            (&|score| score.values.clear(), "has 0 values, and 2 are expected"),
            (&|score| score.estimates.truncate(1), "has 1 estimates, and 2 are expected"),
            (&|score| score.noise.truncate(1), "has 1 noises, and 2 are expected"),
            (&|score| score.chance.truncate(1), "has 1 levels of chance, and 2 are expected"),
            (&|score| score.contributions.truncate(1), "has 1 contributions, and 2 are expected"),
            (
                &|score| score.contributions[1].truncate(2),
                "has 2 contributions of a goal, and 3 are expected",
            ),
        ];
        for (change, expected) in changes {
            let found = message(change).unwrap();
            assert!(found.starts_with(expected), "{found}");
        }
        let without = |score: &mut Score| {
            (score.estimates, score.noise) = (vec![], vec![]);
            (score.chance, score.contributions) = (vec![], vec![]);
        };
        assert_eq!(message(&without), None);
    }
}
