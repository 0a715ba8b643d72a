//! The states of a calibration as they are in files: numbers in few bytes, and no weights of channels, which the model has.

use super::byte_string::ByteString;
use intact8_calibrate::{
    CalibrationPass, CalibrationStates, CandidateErrors, ChannelErrors, PassContent, PassState, Roundings,
};
use intact8_ir::{Error, Result};
use intact8_quant::observer::{ChannelMaxima, Histogram, PackedHistogram, Statistics, Weighted};
use intact8_quant::{ExactSum, SumDigits};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// [`CalibrationStates`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub(super) struct StatesInFile {
    passes: Vec<PassInFile>,
    smoothed: Option<BTreeSet<String>>,
    /// The number of elements of each weight, and a bit for each, the lowest of a byte first.
    roundings: Option<BTreeMap<String, (u64, Vec<u8>)>>,
}

/// [`PassState`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PassInFile {
    pass: Pass,
    pub(super) content: Content,
}

impl PassInFile {
    /// The pass.
    pub(super) fn pass(&self) -> CalibrationPass {
        PASSES.iter().find(|(pass, _)| *pass == self.pass).expect("the table has every pass").1
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Pass {
    Observation,
    Clipping,
    SmoothedObservation,
    SmoothedClipping,
    BiasCorrection,
}

const PASSES: [(Pass, CalibrationPass); 5] = [
    (Pass::Observation, CalibrationPass::Observation),
    (Pass::Clipping, CalibrationPass::Clipping),
    (Pass::SmoothedObservation, CalibrationPass::SmoothedObservation),
    (Pass::SmoothedClipping, CalibrationPass::SmoothedClipping),
    (Pass::BiasCorrection, CalibrationPass::BiasCorrection),
];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Content {
    Observed { statistics: Vec<StatisticsInFile>, maxima: Vec<(i64, Vec<f32>)> },
    Errors(Vec<(Vec<SumDigits>, Vec<Vec<bool>>)>),
    ChannelErrors(Vec<(u64, Vec<SumDigits>)>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StatisticsInFile {
    n_batches: u64,
    n_values: u64,
    range: (f32, f32),
    sums: (SumDigits, SumDigits),
    /// The floor, the bins and the counts of the histogram, as [`PackedHistogram`] has them.
    floor: u32,
    bins: ByteString,
    counts: ByteString,
    /// The weighted counts of the same bins, if there are such.
    weighted: Option<ByteString>,
}

impl From<&CalibrationStates> for StatesInFile {
    fn from(states: &CalibrationStates) -> StatesInFile {
        let packed = |(name, bits): (&String, &Vec<bool>)| (name.clone(), (bits.len() as u64, packed(bits)));
        StatesInFile {
            passes: states.passes.iter().map(PassInFile::from).collect(),
            smoothed: states.smoothed.clone(),
            roundings: states.roundings.as_ref().map(|roundings| roundings.0.iter().map(packed).collect()),
        }
    }
}

impl TryFrom<StatesInFile> for CalibrationStates {
    type Error = Error;

    fn try_from(states: StatesInFile) -> Result<CalibrationStates> {
        let unpacked =
            |(name, (n, bytes)): (String, (u64, Vec<u8>))| match bytes.len() as u64 == n.div_ceil(8) {
                true => Ok((name, unpacked(&bytes, n as usize))),
                false => Err(Error::invalid_data("the rounding of a weight has another length")),
            };
        let roundings = states.roundings.map(|roundings| {
            Ok::<_, Error>(Roundings(roundings.into_iter().map(unpacked).collect::<Result<_>>()?))
        });
        Ok(CalibrationStates {
            passes: states.passes.into_iter().map(PassState::try_from).collect::<Result<_>>()?,
            smoothed: states.smoothed,
            roundings: roundings.transpose()?,
        })
    }
}

impl From<&PassState> for PassInFile {
    fn from(state: &PassState) -> PassInFile {
        let digits = |sums: &[ExactSum]| sums.iter().map(ExactSum::digits).collect::<Vec<_>>();
        let content = match &state.content {
            PassContent::Observed { statistics, maxima } => Content::Observed {
                statistics: statistics.iter().map(StatisticsInFile::from).collect(),
                maxima: maxima.iter().map(|it| (it.axis as i64, it.maxima.clone())).collect(),
            },
            PassContent::Errors(errors) => {
                Content::Errors(errors.iter().map(|it| (digits(&it.sums), it.is_harmful.clone())).collect())
            }
            PassContent::ChannelErrors(errors) => {
                Content::ChannelErrors(errors.iter().map(|it| (it.n, digits(&it.sums))).collect())
            }
        };
        let pass = PASSES.iter().find(|(_, pass)| *pass == state.pass);
        PassInFile { pass: pass.expect("the table has every pass").0, content }
    }
}

impl TryFrom<PassInFile> for PassState {
    type Error = Error;

    fn try_from(state: PassInFile) -> Result<PassState> {
        let pass = state.pass();
        let sums = |digits: Vec<SumDigits>| digits.into_iter().map(ExactSum::from).collect::<Vec<_>>();
        let content = match state.content {
            Content::Observed { statistics, maxima } => PassContent::Observed {
                statistics: statistics.into_iter().map(Statistics::try_from).collect::<Result<_>>()?,
                maxima: maxima
                    .into_iter()
                    .map(|(axis, maxima)| ChannelMaxima { axis: axis as isize, maxima })
                    .collect(),
            },
            Content::Errors(errors) => {
                let of_activation = |(digits, is_harmful): (Vec<SumDigits>, Vec<Vec<bool>>)| {
                    let fits =
                        (1..).zip(&is_harmful).all(|(n_ranges, of_ranges)| of_ranges.len() == n_ranges);
                    match fits && digits.len() == 1 + is_harmful.len() {
                        true => Ok(CandidateErrors { sums: sums(digits), is_harmful }),
                        false => Err(Error::invalid_data("the errors of clipping are those of other ranges")),
                    }
                };
                PassContent::Errors(errors.into_iter().map(of_activation).collect::<Result<_>>()?)
            }
            Content::ChannelErrors(errors) => {
                let errors = errors.into_iter().map(|(n, digits)| ChannelErrors { sums: sums(digits), n });
                PassContent::ChannelErrors(errors.collect())
            }
        };
        Ok(PassState { pass, content })
    }
}

impl From<&Statistics> for StatisticsInFile {
    fn from(statistics: &Statistics) -> StatisticsInFile {
        let PackedHistogram { floor, bins, counts } = statistics.histogram.packed();
        let weighted = statistics.weighted.as_ref().map(|weighted| weighted.histogram.packed().counts);
        StatisticsInFile {
            n_batches: statistics.n_batches,
            n_values: statistics.n_values,
            range: (statistics.min, statistics.max),
            sums: (statistics.sum_of_min.digits(), statistics.sum_of_max.digits()),
            floor,
            bins: ByteString(bins),
            counts: ByteString(counts),
            weighted: weighted.map(ByteString),
        }
    }
}

impl TryFrom<StatisticsInFile> for Statistics {
    type Error = Error;

    fn try_from(in_file: StatisticsInFile) -> Result<Statistics> {
        // Axis and weights are those of the model, to whose statistics these are added.
        let weighted = Weighted { axis: 0, weights: vec![], histogram: Histogram::default() };
        let weighted = in_file.weighted.is_some().then_some(weighted);
        let mut statistics = Statistics { weighted, ..Statistics::default() };
        in_file.add_to(&mut statistics)?;
        Ok(statistics)
    }
}

impl StatisticsInFile {
    /// Adds these observations to others of the same activation, which are bounded afterwards by the caller.
    pub(super) fn add_to(&self, statistics: &mut Statistics) -> Result<()> {
        if self.weighted.is_some() != statistics.weighted.is_some() {
            return Err(Error::invalid_data("a histogram has weights in one shard and none in another"));
        }
        let (min, max) = self.range;
        statistics.widen(min, max, self.n_values);
        statistics.n_batches += self.n_batches;
        statistics.sum_of_min += &self.sums.0;
        statistics.sum_of_max += &self.sums.1;
        statistics.histogram.add_packed(self.floor, &self.bins.0, &self.counts.0)?;
        if let (Some(weighted), Some(counts)) = (&mut statistics.weighted, &self.weighted) {
            weighted.histogram.add_packed(self.floor, &self.bins.0, &counts.0)?;
        }
        Ok(())
    }
}

fn packed(bits: &[bool]) -> Vec<u8> {
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
    bits.chunks(8).map(byte).collect()
}

fn unpacked(bytes: &[u8], n: usize) -> Vec<bool> {
    bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).take(n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Tensor;

    /// Two-sided values of many magnitudes in two channels.
    fn statistics(n: usize) -> Statistics {
        let weighted = Weighted { axis: 1, weights: vec![3, 1000], histogram: Histogram::default() };
        let mut statistics = Statistics { weighted: Some(weighted), ..Statistics::default() };
        let value = |idx: usize| {
            let random = (idx as f32 * 0.618_034).fract();
            (random - 0.5) * ((idx * 7919 % 1009) as f32 / -40.0).exp2()
        };
        statistics.observe(&Tensor::new(&[n / 2, 2], (0..n).map(value).collect())).unwrap();
        statistics.bounded();
        statistics
    }

    fn written_and_read(states: &CalibrationStates) -> CalibrationStates {
        let bytes = postcard::to_stdvec(&StatesInFile::from(states)).unwrap();
        postcard::from_bytes::<StatesInFile>(&bytes).unwrap().try_into().unwrap()
    }

    #[test]
    fn states_are_read_as_they_were_written() {
        let mut sum = ExactSum::default();
        [0.1, -1e-30, 7e20].into_iter().for_each(|number| sum.add(number));
        let errors = CandidateErrors { sums: vec![sum.clone(); 2], is_harmful: vec![vec![true]] };
        let channel_errors = ChannelErrors { sums: vec![sum, ExactSum::default()], n: 7 };
        let maxima = vec![ChannelMaxima { axis: -1, maxima: vec![0.5, 3.0] }];
        let content = [
            PassContent::Observed { statistics: vec![statistics(50_000), Statistics::default()], maxima },
            PassContent::Errors(vec![errors]),
            PassContent::ChannelErrors(vec![channel_errors]),
        ];
        let passes = content.into_iter().zip(PASSES).map(|(content, (_, pass))| PassState { pass, content });
        let roundings = [
            ("a".to_owned(), vec![true, false, true, true, false, false, false, true, true]),
            ("b".to_owned(), vec![]),
        ];
        let states = CalibrationStates {
            passes: passes.collect(),
            smoothed: Some(["a".to_owned()].into()),
            roundings: Some(Roundings(roundings.into())),
        };
        let found = written_and_read(&states);
        // What the model knows is not in the file.
        let mut expected = states;
        if let PassContent::Observed { statistics, .. } = &mut expected.passes[0].content {
            let weighted = statistics[0].weighted.as_mut().unwrap();
            (weighted.axis, weighted.weights) = (0, vec![]);
        }
        assert_eq!(found, expected);
        assert_eq!(written_and_read(&CalibrationStates::default()), CalibrationStates::default());
    }

    /// The counts of a million samples with a million values each, in every bin of the widest histogram.
    #[test]
    fn statistics_of_a_trillion_values_take_less_than_64_kb() {
        let mut statistics = statistics(400_000);
        let n = statistics.histogram.counts().1.len() as u64;
        assert!(n > intact8_quant::observer::MAX_BINS as u64 / 2, "{n}");
        let (each, heaviest) = (1_000_000_000_000 / n, 1000);
        let fill = |histogram: &mut Histogram, weight: u64| {
            let (floor, bins) = histogram.counts();
            let counts: Vec<(u32, u64)> = bins.into_iter().map(|(bin, _)| (bin, each * weight)).collect();
            *histogram = Histogram::of_counts(floor, &counts).unwrap();
        };
        fill(&mut statistics.histogram, 1);
        fill(&mut statistics.weighted.as_mut().unwrap().histogram, heaviest);
        let bytes = postcard::to_stdvec(&StatisticsInFile::from(&statistics)).unwrap();
        assert!(bytes.len() <= 64_000 && bytes.len() > 10_000, "{}", bytes.len());
    }
}
