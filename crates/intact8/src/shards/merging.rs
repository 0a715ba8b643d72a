//! The sum of the states of many shards, from their files: without making the state of each, and with all threads. The summands are
//! integers, extremes and exact sums, so neither their order nor the number of threads matters.

use super::states_in_file::{Content, PassInFile};
use intact8_calibrate::{PassContent, PassState};
use intact8_ir::{Error, Result};
use intact8_quant::observer::ChannelMaxima;
use rayon::prelude::*;
use std::path::Path;

/// Adds shards of one pass to a state, which is made from the first of them if there is none.
///
/// # Errors
/// If a shard is of another pass, model or configuration, or its numbers are wrong.
pub(super) fn add_shards(state: &mut Option<PassState>, shards: &[(&Path, &PassInFile)]) -> Result<()> {
    let Some((&(path, first), others)) = shards.split_first() else { return Ok(()) };
    let (state, shards) = match state {
        Some(state) => (state, shards),
        None => (
            state.insert(PassState::try_from(first.clone()).map_err(|error| error.at(path.display()))?),
            others,
        ),
    };
    let differs = |path: &Path| {
        Error::invalid_data("the state is that of another model or configuration").at(path.display())
    };
    for &(path, shard) in shards {
        if shard.pass() != state.pass {
            let message = format!("is of the pass {}, and another shard of {}", shard.pass(), state.pass);
            return Err(Error::invalid_data(message).at(path.display()));
        }
    }
    match &mut state.content {
        PassContent::Observed { statistics, maxima } => {
            let mut all = Vec::with_capacity(shards.len());
            for &(path, shard) in shards {
                match &shard.content {
                    Content::Observed { statistics: theirs, maxima: their_maxima }
                        if theirs.len() == statistics.len() && their_maxima.len() == maxima.len() =>
                    {
                        all.push((path, theirs, their_maxima));
                    }
                    _ => return Err(differs(path)),
                }
            }
            // Each activation alone, so that its histograms stay in the cache.
            statistics.par_iter_mut().enumerate().try_for_each(|(idx, mine)| {
                for (path, theirs, _) in &all {
                    theirs[idx].add_to(mine).map_err(|error| error.at(path.display()))?;
                }
                mine.bounded();
                Ok(())
            })?;
            for (_, _, theirs) in all {
                for (mine, (axis, maxima)) in maxima.iter_mut().zip(theirs) {
                    mine.merge(&ChannelMaxima { axis: *axis as isize, maxima: maxima.clone() });
                }
            }
            Ok(())
        }
        PassContent::ChannelErrors(mine) => {
            let mut all = Vec::with_capacity(shards.len());
            for &(path, shard) in shards {
                match &shard.content {
                    Content::ChannelErrors(theirs) if theirs.len() == mine.len() => all.push((path, theirs)),
                    _ => return Err(differs(path)),
                }
            }
            mine.par_iter_mut().enumerate().try_for_each(|(idx, mine)| {
                all.iter().try_for_each(|(path, theirs)| {
                    let (n, sums) = &theirs[idx];
                    mine.merge(sums, *n).map_err(|error| error.at(path.display()))
                })
            })
        }
        // Some hundred bytes each.
        PassContent::Errors(_) => shards.iter().try_for_each(|&(path, shard)| {
            let shard = PassState::try_from(shard.clone());
            shard.and_then(|shard| state.merge(&shard)).map_err(|error| error.at(path.display()))
        }),
    }
}
