//! Rotary embeddings: pairs of numbers are rotated by an angle that depends on the position.

use super::heads::dims;
use crate::call::Call;
use crate::indices::{integers, position};
use crate::op::{CompileContext, Kernel, Outputs, one};
use crate::real::{numbers, rounded};
use intact8_ir::{Error, Result, Tensor};
use std::borrow::Cow;

struct Rotary {
    n_heads: Option<i64>,
    /// The number of elements of a vector that are rotated; 0 means all.
    width: i64,
    /// Whether pairs are neighbours instead of elements of the two halves.
    interleaved: bool,
}

impl Rotary {
    fn read(ctx: &CompileContext<'_>) -> Result<Rotary> {
        Ok(Rotary {
            n_heads: ctx.op.int("num_heads")?,
            width: ctx.int("rotary_embedding_dim", 0)?,
            interleaved: ctx.flag("interleaved", false)?,
        })
    }
}

/// Operands are the vectors, cosines, sines, and optional positions.
pub(super) fn rotary_embedding(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let rotary = Rotary::read(ctx)?;
    Ok(Box::new(move |call| rotary.run(call)))
}

/// That of ONNX Runtime: operands are the vectors, positions, cosines and sines. A single position is that of the first
/// vector of each sequence.
pub(super) fn rotary_embedding_of_microsoft(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let rotary = Rotary::read(ctx)?;
    if ctx.flag("is_packed_batching", false)? {
        return Err(ctx.unsupported("packed sequences"));
    }
    Ok(Box::new(move |call| rotary.run_from_tables(call)))
}

impl Rotary {
    fn run(&self, call: &Call<'_, '_>) -> Result<Outputs> {
        let x = call.tensor(0)?;
        let (batch, _, len, width, _) = dims(x.shape(), self.n_heads)?;
        let turned = if self.width == 0 { width as i64 } else { self.width };
        let turned = usize::try_from(turned).ok().filter(|&turned| turned <= width && turned % 2 == 0);
        let Some(turned) = turned else {
            let found = self.width;
            return Err(Error::invalid_data(format!(
                "{found} of {width} elements can't be rotated in pairs"
            )));
        };
        let [cos, sin] = [1, 2].map(|slot| Angles::of(call, slot, [batch, len, turned / 2]));
        self.turned(x, self.n_heads, [&cos?, &sin?], call)
    }

    fn run_from_tables(&self, call: &Call<'_, '_>) -> Result<Outputs> {
        let x = call.tensor(0)?;
        let (&[_, n_angles], shape) = (call.tensor(2)?.shape(), x.shape()) else {
            return Err(Error::invalid_data("cosines must have two dimensions"));
        };
        // Without a number of heads, vectors are as long as the table describes.
        let n_heads = match self.n_heads.filter(|&n_heads| n_heads > 0) {
            Some(n_heads) => n_heads,
            None => (shape.last().copied().unwrap_or(0) / (2 * n_angles).max(1)) as i64,
        };
        let (batch, _, len, width, _) = dims(shape, Some(n_heads))?;
        if 2 * n_angles > width {
            return Err(Error::invalid_data(format!("{n_angles} angles for vectors of {width} elements")));
        }
        let stated = integers(call.tensor(1)?)?;
        let positions: Vec<i64> = match *stated {
            [first] => (0..batch).flat_map(|_| (0..len as i64).map(|at| first.saturating_add(at))).collect(),
            _ if stated.len() == batch * len => stated.into_owned(),
            _ => {
                let n = stated.len();
                return Err(Error::invalid_data(format!("{n} positions for {batch} sequences of {len}")));
            }
        };
        let [cos, sin] = [2, 3].map(|slot| Angles::at(call.tensor(slot)?, &positions));
        self.turned(x, Some(n_heads), [&cos?, &sin?], call)
    }

    /// The vectors, rotated at their start by as many angles as there are.
    fn turned(
        &self,
        x: &Tensor,
        n_heads: Option<i64>,
        [cos, sin]: [&Angles<'_>; 2],
        call: &Call<'_, '_>,
    ) -> Result<Outputs> {
        let (_, n_heads, len, width, is_packed) = dims(x.shape(), n_heads)?;
        if cos.width != sin.width {
            return Err(Error::invalid_data(format!("{} cosines and {} sines", cos.width, sin.width)));
        }
        call.reserve::<f32>(x.shape())?;
        let mut out = numbers::<f32>(x, x.dtype())?.into_owned();
        if cos.width > 0 {
            for (row, vector) in out.chunks_exact_mut(width).enumerate() {
                let (batch, position) = match is_packed {
                    true => (row / n_heads / len, row / n_heads % len),
                    false => (row / len / n_heads, row % len),
                };
                let row = batch * len + position;
                turn(self.interleaved, &mut vector[..2 * cos.width], cos.row(row), sin.row(row));
            }
        }
        one(rounded(x.dtype(), x.shape(), out)?)
    }
}

/// Rotates the pairs of a vector.
pub(super) fn turn(interleaved: bool, vector: &mut [f32], cos: &[f32], sin: &[f32]) {
    let angles = cos.iter().zip(sin);
    let turn = |x: &mut f32, y: &mut f32, (cos, sin): (&f32, &f32)| {
        (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
    };
    if interleaved {
        let pairs = vector.as_chunks_mut::<2>().0;
        pairs.iter_mut().zip(angles).for_each(|([x, y], angle)| turn(x, y, angle));
    } else {
        let (xs, ys) = vector.split_at_mut(vector.len() / 2);
        xs.iter_mut().zip(ys).zip(angles).for_each(|((x, y), angle)| turn(x, y, angle));
    }
}

/// The cosines or sines of all angles.
pub(super) struct Angles<'a> {
    values: Cow<'a, [f32]>,
    /// The number of angles at a position.
    pub(super) width: usize,
    /// For each batch and position, the row of cosines and sines; if absent, the rows are in order.
    rows: Option<Vec<usize>>,
}

impl<'a> Angles<'a> {
    fn of(call: &'a Call<'_, '_>, slot: usize, [batch, len, n_angles]: [usize; 3]) -> Result<Angles<'a>> {
        let tensor: &Tensor = call.tensor(slot)?;
        let values = numbers(tensor, call.tensor(0)?.dtype())?;
        let rows = match (call.optional(3)?, tensor.shape()) {
            (None, shape) if shape == [batch, len, n_angles] => None,
            (Some(ids), &[n_rows, width]) if width == n_angles && ids.shape() == [batch, len] => {
                Some(integers(ids)?.iter().map(|&id| position(id, n_rows)).collect::<Result<_>>()?)
            }
            (ids, found) => {
                let ids = ids.map(Tensor::shape);
                return Err(Error::invalid_data(format!(
                    "{n_angles} angles at {len} positions don't come from the shape {found:?} by ids of shape {ids:?}"
                )));
            }
        };
        Ok(Angles { values, width: n_angles, rows })
    }

    /// The rows of a table `[positions,angles]` at some positions.
    pub(super) fn at(table: &'a Tensor, positions: &[i64]) -> Result<Angles<'a>> {
        let &[n_rows, width] = table.shape() else {
            let found = table.shape();
            return Err(Error::invalid_data(format!("angles must have two dimensions, found {found:?}")));
        };
        let row = |&at: &i64| match usize::try_from(at) {
            Ok(at) if at < n_rows => Ok(at),
            _ => {
                Err(Error::invalid_data(format!("position {at} is out of range for {n_rows} rows of angles")))
            }
        };
        let rows = positions.iter().map(row).collect::<Result<_>>()?;
        Ok(Angles { values: numbers(table, table.dtype())?, width, rows: Some(rows) })
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        let row = self.rows.as_ref().map_or(row, |rows| rows[row]);
        &self.values[row * self.width..][..self.width]
    }
}
