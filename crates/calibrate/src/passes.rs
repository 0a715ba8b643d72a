//! The passes of a calibration: each is made over the caller's batches, or its state is known from an earlier call.
//!
//! The stages ask for the states of their passes in order, so one path of the code serves a calibration in one go, one shard of a
//! pass, and the continuation of a calibration whose first passes are merged.

use crate::calibrated::Calibrated;
use crate::data::Batches;
use crate::shard::Shard;
use crate::states::{CalibrationPass, CalibrationStates, PassContent, PassState};
use intact8_ir::{Error, Result};

/// The work that a call of [`proceed`](crate::proceed) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// All passes and choices that are still to be made.
    Whole,
    /// The choices that need no further pass, for which a bounded number of batches is run.
    Choices,
    /// The next pass, over one part of the batches.
    Shard(Shard),
}

/// What a call of [`proceed`](crate::proceed) has reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Proceeded {
    /// The calibration is complete.
    Complete(Box<Calibrated>),
    /// The state of a shard in the next pass.
    Part(PassState),
    /// All choices are made, and this pass is next.
    Next(CalibrationPass),
    /// A choice comes before the next pass, which [`Share::Choices`] makes.
    ChoiceNeeded,
}

/// The reason why a calibration ends before it is complete.
pub(crate) enum Halt {
    Failed(Error),
    Proceeded(Proceeded),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Halt {
        Halt::Failed(error)
    }
}

/// The passes, with the states of those that are known.
pub(crate) struct Passes<'p, 'a> {
    pub(crate) batches: &'p mut Batches<'a>,
    pub(crate) states: &'p mut CalibrationStates,
    pub(crate) share: Share,
    /// Whether new states are stored.
    pub(crate) keeps: bool,
    /// The number of passes that the stages have asked for.
    pub(crate) n_done: usize,
}

impl Passes<'_, '_> {
    /// The state of a pass over all data. `run` makes it over the given batches.
    pub(crate) fn pass(
        &mut self,
        pass: CalibrationPass,
        run: impl FnOnce(&mut Batches<'_>) -> Result<PassContent>,
    ) -> Result<PassContent, Halt> {
        self.n_done += 1;
        if let Some(known) = self.states.passes.get(self.n_done - 1) {
            if known.pass != pass {
                let message = format!("the state of the pass {pass} is missing; the file has {}", known.pass);
                return Err(Error::invalid_data(message).into());
            }
            return Ok(known.content.clone());
        }
        match self.share {
            Share::Whole => {
                let content = run(self.batches)?;
                if self.keeps {
                    self.states.passes.push(PassState { pass, content: content.clone() });
                }
                Ok(content)
            }
            Share::Choices => Err(Halt::Proceeded(Proceeded::Next(pass))),
            Share::Shard(shard) => {
                let n_batches = self.batches.len();
                self.batches.select(shard.batches(n_batches));
                let content = run(self.batches)?;
                Err(Halt::Proceeded(Proceeded::Part(PassState { pass, content })))
            }
        }
    }

    /// Checks that a choice may be made by this call.
    pub(crate) fn check_choice(&self) -> Result<(), Halt> {
        match self.share {
            Share::Shard(_) => Err(Halt::Proceeded(Proceeded::ChoiceNeeded)),
            _ => Ok(()),
        }
    }

    /// Checks that there are no states of further passes.
    pub(crate) fn check_end(&self) -> Result<()> {
        match self.states.passes.get(self.n_done) {
            None => Ok(()),
            Some(further) => Err(Error::invalid_data(format!(
                "there is a state of the pass {}, which this calibration does not make",
                further.pass
            ))),
        }
    }
}
