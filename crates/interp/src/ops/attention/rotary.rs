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

pub(super) fn rotary_embedding(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let rotary = Rotary {
        n_heads: ctx.op.int("num_heads")?,
        width: ctx.int("rotary_embedding_dim", 0)?,
        interleaved: ctx.flag("interleaved", false)?,
    };
    Ok(Box::new(move |call| rotary.run(call)))
}

impl Rotary {
    fn run(&self, call: &Call<'_, '_>) -> Result<Outputs> {
        let x = call.tensor(0)?;
        let (batch, n_heads, len, width, is_packed) = dims(x.shape(), self.n_heads)?;
        let turned = if self.width == 0 { width as i64 } else { self.width };
        let turned = usize::try_from(turned).ok().filter(|&turned| turned <= width && turned % 2 == 0);
        let Some(turned) = turned else {
            let found = self.width;
            return Err(Error::invalid_data(format!(
                "{found} of {width} elements can't be rotated in pairs"
            )));
        };
        let [cos, sin] = [1, 2].map(|slot| Angles::of(call, slot, [batch, len, turned / 2]));
        let (cos, sin) = (cos?, sin?);
        call.reserve::<f32>(x.shape())?;
        let mut out = numbers::<f32>(x, x.dtype())?.into_owned();
        if turned > 0 {
            for (row, vector) in out.chunks_exact_mut(width).enumerate() {
                let (batch, position) = match is_packed {
                    true => (row / n_heads / len, row / n_heads % len),
                    false => (row / len / n_heads, row % len),
                };
                let row = batch * len + position;
                self.turn(&mut vector[..turned], cos.row(row, turned / 2), sin.row(row, turned / 2));
            }
        }
        one(rounded(x.dtype(), x.shape(), out)?)
    }

    fn turn(&self, vector: &mut [f32], cos: &[f32], sin: &[f32]) {
        let angles = cos.iter().zip(sin);
        let turn = |x: &mut f32, y: &mut f32, (cos, sin): (&f32, &f32)| {
            (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
        };
        if self.interleaved {
            let pairs = vector.as_chunks_mut::<2>().0;
            pairs.iter_mut().zip(angles).for_each(|([x, y], angle)| turn(x, y, angle));
        } else {
            let (xs, ys) = vector.split_at_mut(vector.len() / 2);
            xs.iter_mut().zip(ys).zip(angles).for_each(|((x, y), angle)| turn(x, y, angle));
        }
    }
}

/// The cosines or sines of all angles.
struct Angles<'a> {
    values: Cow<'a, [f32]>,
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
        Ok(Angles { values, rows })
    }

    fn row(&self, row: usize, width: usize) -> &[f32] {
        let row = self.rows.as_ref().map_or(row, |rows| rows[row]);
        &self.values[row * width..][..width]
    }
}
