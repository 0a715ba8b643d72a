//! The first layer of BERT: embeddings of words, positions and segments, added and normalized.

use super::part::{OPSET, only_output, part, run_with};
use crate::call::Call;
use crate::indices::position;
use crate::op::{CompileContext, Kernel, one};
use crate::real::{expect_type, numbers, rounded};
use intact8_ir::{Attr, Error, Op, Result, Tensor};

/// The second output is the number of unmasked words of each sequence; the third one is the sum.
pub(super) fn embed(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let op = Op::new("LayerNormalization");
    let op = op.with("epsilon", Attr::Float(ctx.float("epsilon", 1e-12)?));
    let norm = part(ctx, &op, OPSET, &[None, Some(5), Some(6)])?;
    if ctx.int("mask_index_type", 0)? != 0 && ctx.has_output(1) {
        return Err(ctx.unsupported("mask_index_type"));
    }
    Ok(Box::new(move |call| {
        let counts = counts(call)?;
        let sum = sum(call)?;
        let out = only_output(run_with(&norm, sum.clone(), &[5, 6], call)?)?;
        let mut outputs = one(out)?;
        outputs.extend([counts.into(), sum.into()]);
        Ok(outputs)
    }))
}

fn counts(call: &Call<'_, '_>) -> Result<Tensor> {
    let (n_sequences, len) = lengths(call.tensor(0)?)?;
    let counts = match call.optional(7)? {
        Some(mask) if mask.shape() == [n_sequences, len] => {
            let rows = (0..n_sequences).map(|row| Ok(&mask.values::<i32>()?[row * len..][..len]));
            let count = |row: &[i32]| row.iter().filter(|&&x| x != 0).count() as i32;
            rows.map(|row: Result<&[i32]>| row.map(count)).collect::<Result<_>>()?
        }
        Some(mask) => return Err(misfit("mask", mask)),
        None => vec![0; n_sequences],
    };
    Ok(Tensor::new(&[n_sequences], counts))
}

/// Computed in f32, and rounded once.
fn sum(call: &Call<'_, '_>) -> Result<Tensor> {
    let words = call.tensor(0)?;
    let (n_sequences, len) = lengths(words)?;
    let dtype = call.tensor(2)?.dtype();
    let of_words = Table::read(call.tensor(2)?)?;
    let of_positions = Table::read(call.tensor(3)?)?;
    let of_segments = call.optional(4)?.map(Table::read).transpose()?;
    let width = of_words.width;
    let same_width = of_positions.width == width && of_segments.as_ref().is_none_or(|t| t.width == width);
    if !same_width {
        return Err(Error::invalid_data("the embeddings must have the same width"));
    }
    expect_type(call.tensor(3)?, dtype)?;
    let shape = [n_sequences, len, width];
    let mut out = call.zeros::<f32>(&shape)?;
    let words = words.values::<i32>()?;
    let ids = |slot: usize| match call.optional(slot)? {
        Some(ids) if [words.len(), len].contains(&ids.len()) => ids.values::<i32>().map(Some),
        Some(ids) => Err(misfit("ids", ids)),
        None => Ok(None),
    };
    let (segments, positions) = (ids(1)?, ids(8)?);
    for (at, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
        let id = |ids: &[i32]| ids[at % ids.len().max(1)];
        of_words.add(words[at], out)?;
        of_positions.add(positions.map_or((at % len) as i32, id), out)?;
        if let (Some(table), Some(segments)) = (&of_segments, segments) {
            table.add(id(segments), out)?;
        }
    }
    rounded(dtype, &shape, out)
}

/// A table of vectors.
struct Table<'a> {
    values: std::borrow::Cow<'a, [f32]>,
    n: usize,
    width: usize,
}

impl Table<'_> {
    fn read(tensor: &Tensor) -> Result<Table<'_>> {
        let &[n, width] = tensor.shape() else { return Err(misfit("embeddings", tensor)) };
        Ok(Table { values: numbers(tensor, tensor.dtype())?, n, width })
    }

    fn add(&self, id: i32, out: &mut [f32]) -> Result<()> {
        if id < 0 {
            return Err(Error::invalid_data(format!("the embedding {id} is missing")));
        }
        let row = &self.values[position(id.into(), self.n)? * self.width..][..self.width];
        out.iter_mut().zip(row).for_each(|(out, x)| *out += x);
        Ok(())
    }
}

fn lengths(words: &Tensor) -> Result<(usize, usize)> {
    match words.shape() {
        &[n_sequences, len] => Ok((n_sequences, len)),
        _ => Err(misfit("input_ids", words)),
    }
}

fn misfit(what: &str, tensor: &Tensor) -> Error {
    Error::invalid_data(format!("{what} of shape {:?} do not match", tensor.shape()))
}
