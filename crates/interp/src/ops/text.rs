//! Operators on strings: concatenation, splitting, normalization, matching and counting.

mod ngrams;
mod normalize;
mod pattern;
mod split;

use crate::broadcast::{broadcast_shape, for_each_row, zip};
use crate::call::Call;
use crate::op::{NEWEST, OpRow, Outputs, one};
use crate::room::reserve_text;
use intact8_ir::{DType, Result, Tensor};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "RegexFullMatch", opsets: 20..=NEWEST, types: &[DType::Str], compile: pattern::full_match },
    OpRow {
        name: "StringConcat",
        opsets: 20..=NEWEST,
        types: &[DType::Str],
        compile: |_| Ok(Box::new(concat)),
    },
    OpRow {
        name: "StringNormalizer",
        opsets: 10..=NEWEST,
        types: &[DType::Str],
        compile: normalize::normalize,
    },
    OpRow { name: "StringSplit", opsets: 20..=NEWEST, types: &[DType::Str], compile: split::split },
    OpRow {
        name: "TfIdfVectorizer",
        opsets: 9..=NEWEST,
        types: &[DType::Str, DType::I32, DType::I64],
        compile: ngrams::tf_idf,
    },
];

fn concat(call: &mut Call<'_, '_>) -> Result<Outputs> {
    let (a, b) = (call.tensor(0)?, call.tensor(1)?);
    let shape = broadcast_shape(&[a.shape(), b.shape()])?;
    call.reserve::<String>(&shape)?;
    let (fronts, backs) = (a.values::<String>()?, b.values::<String>()?);
    let mut n_bytes = 0usize;
    for_each_row([a.shape(), b.shape()], &shape, |[front, back], [front_step, back_step], n| {
        let lengths =
            (0..n).map(|i| fronts[front + i * front_step].len() + backs[back + i * back_step].len());
        n_bytes = lengths.fold(n_bytes, usize::saturating_add);
    });
    reserve_text(call, std::iter::once(n_bytes))?;
    let joined =
        zip((fronts, a.shape()), (backs, b.shape()), &shape, |front, back| [front.as_str(), back].concat());
    one(Tensor::new(&shape, joined))
}
