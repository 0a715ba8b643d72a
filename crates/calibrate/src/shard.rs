//! A shard: one of several parts of the calibration data, made of whole batches.

use intact8_ir::{Error, Result};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// One of the parts of the data. A part may be empty if there are fewer batches than parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl Shard {
    /// The part at `index`, from 0, of `of` parts.
    ///
    /// # Errors
    /// If there is no such part.
    pub fn new(index: usize, of: usize) -> Result<Shard> {
        if index < of {
            return Ok(Shard { index, of });
        }
        let number = index.saturating_add(1);
        Err(Error::invalid_config(format!("there is no shard {number} of {of}; the first is 1/{of}")))
    }

    /// The position, from 0.
    pub fn index(self) -> usize {
        self.index
    }

    /// The number of parts.
    pub fn of(self) -> usize {
        self.of
    }

    /// The positions of its batches among `n`: neighbours, as many as in each other part, or one more.
    pub fn batches(self, n: usize) -> Range<usize> {
        let before = |index: usize| (index as u128 * n as u128 / self.of as u128) as usize;
        before(self.index)..before(self.index + 1)
    }
}

/// `1/3` to `3/3`.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.of)
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Shard> {
        let numbers =
            text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((index @ 1usize.., of)) if index <= of => Shard::new(index - 1, of),
            _ => Err(Error::invalid_config(format!(
                "{text:?} is no shard; write its number, from 1, and their count, such as 1/4 to 4/4"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_all_batches_evenly() {
        for (n, of) in [(10, 3), (2, 7), (0, 2), (1_000_000, 1000), (7, 7)] {
            let shards = (0..of).map(|index| Shard::new(index, of).unwrap().batches(n));
            let shards: Vec<Range<usize>> = shards.collect();
            assert_eq!((shards[0].start, shards[of - 1].end), (0, n));
            assert!(shards.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(shards.iter().all(|shard| shard.len() == n / of || shard.len() == n / of + 1));
        }
    }

    #[test]
    fn shards_are_written_from_one() {
        let shard: Shard = "2/7".parse().unwrap();
        assert_eq!((shard.index(), shard.of(), shard.to_string()), (1, 7, "2/7".to_owned()));
        for wrong in ["0/3", "4/3", "1", "1/", "a/b", "1/0", "-1/3"] {
            let message = wrong.parse::<Shard>().unwrap_err().to_string();
            assert!(message.contains("is no shard"), "{message}");
        }
    }
}
