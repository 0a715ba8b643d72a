//! Gather from a table of integers with a scale for each block.

use crate::call::Call;
use crate::indices::integers;
use crate::op::{CompileContext, Kernel, Outputs, one};
use crate::real::{numbers, rounded};
use crate::room::n_elements;
use intact8_ir::{DType, Error, I4, Result, Tensor, U4};

struct Gather {
    /// The axis that the indices count along.
    axis: i64,
    /// The axis that is cut into blocks.
    block_axis: i64,
    block: usize,
    /// The number of bits of an element in a table of bytes.
    bits: usize,
}

/// Operands are the table, the indices, the scales and zero points. In a table of bytes, elements of fewer bits are
/// packed along the last dimension, the first one in the lowest bits. An index out of range gives zeros.
pub(super) fn gather(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let size = |name: &str, default: i64| {
        usize::try_from(ctx.int(name, default)?)
            .ok()
            .filter(|&size| size > 0)
            .ok_or_else(|| Error::invalid_model(format!("{name} must be positive")))
    };
    let gather = Gather {
        axis: ctx.int("gather_axis", 0)?,
        block_axis: ctx.int("quantize_axis", 1)?,
        block: size("block_size", 128)?,
        bits: size("bits", 4)?,
    };
    if ![2, 4, 8].contains(&gather.bits) {
        return Err(ctx.unsupported(&format!("elements of {} bits", gather.bits)));
    }
    Ok(Box::new(move |call| gather.run(call)))
}

impl Gather {
    fn run(&self, call: &Call<'_, '_>) -> Result<Outputs> {
        let (table, scale) = (call.tensor(0)?, call.tensor(2)?);
        let (indices, zeros) = (call.tensor(1)?, call.optional(3)?);
        let mut dims = table.shape().to_vec();
        let rank = dims.len();
        if let (DType::U8, Some(last)) = (table.dtype(), dims.last_mut()) {
            *last = last.saturating_mul(8 / self.bits);
        }
        let (axis, block_axis) = (axis(self.axis, rank)?, axis(self.block_axis, rank)?);
        let mut scale_dims = dims.clone();
        scale_dims[block_axis] = dims[block_axis].div_ceil(self.block);
        if scale.shape() != scale_dims {
            let found = scale.shape();
            return Err(Error::invalid_data(format!("scales of shape {found:?} are not {scale_dims:?}")));
        }
        let integers_of = |tensor, row_len| Packed::of(tensor, row_len, self.bits);
        let table = integers_of(table, dims[rank - 1])?;
        let zeros = zeros.map(|zeros| integers_of(zeros, scale_dims[rank - 1])).transpose()?;
        n_elements(&dims)?;
        if zeros.as_ref().is_some_and(|zeros| zeros.len() != scale.len())
            || table.len() != dims.iter().product()
        {
            return Err(Error::invalid_data("the sizes of the table and of its zero points do not match"));
        }
        let default_zero = if matches!(table, Packed::Bytes { .. }) { 1 << (self.bits - 1) } else { 0 };

        let (outer, n_rows, inner) = around(&dims, axis);
        let (_, n_steps, step) = around(&dims, block_axis);
        let n_blocks = scale_dims[block_axis];
        let scales = numbers::<f32>(scale, scale.dtype())?;
        let element = |at: usize| {
            let (before, along, after) = (at / step / n_steps, at / step % n_steps, at % step);
            let block = (before * n_blocks + along / self.block) * step + after;
            let zero = zeros.as_ref().map_or(default_zero, |zeros| zeros.get(block));
            (table.get(at) - zero) as f32 * scales[block]
        };
        let shape = [&dims[..axis], indices.shape(), &dims[axis + 1..]].concat();
        let mut out = Vec::with_capacity(call.reserve::<f32>(&shape)?);
        let rows = integers(indices)?;
        for before in 0..outer {
            for &row in rows.iter() {
                let row = if row < 0 { row.saturating_add_unsigned(n_rows as u64) } else { row };
                match usize::try_from(row).ok().filter(|&row| row < n_rows) {
                    Some(row) => {
                        let first = (before * n_rows + row) * inner;
                        out.extend((first..first + inner).map(element));
                    }
                    None => out.resize(out.len() + inner, 0.0),
                }
            }
        }
        one(rounded(scale.dtype(), &shape, out)?)
    }
}

/// The number of elements before an axis, along it, and after it.
fn around(dims: &[usize], axis: usize) -> (usize, usize, usize) {
    (dims[..axis].iter().product(), dims[axis], dims[axis + 1..].iter().product())
}

fn axis(stated: i64, rank: usize) -> Result<usize> {
    crate::indices::position(stated, rank).map_err(|error| error.at("axis"))
}

/// Integers of 2, 4 or 8 bits.
enum Packed<'a> {
    /// Packed along the last dimension, of `row_len` elements.
    Bytes {
        bytes: &'a [u8],
        row_len: usize,
        bits: usize,
    },
    Signed(&'a [I4]),
    Unsigned(&'a [U4]),
}

impl<'a> Packed<'a> {
    fn of(tensor: &'a Tensor, row_len: usize, bits: usize) -> Result<Packed<'a>> {
        Ok(match tensor.dtype() {
            DType::I4 => Packed::Signed(tensor.values()?),
            DType::U4 => Packed::Unsigned(tensor.values()?),
            _ => Packed::Bytes { bytes: tensor.values()?, row_len, bits },
        })
    }

    fn len(&self) -> usize {
        match self {
            Packed::Bytes { bytes, row_len, bits } => {
                bytes.len() / (row_len * bits).div_ceil(8).max(1) * row_len
            }
            Packed::Signed(values) => values.len(),
            Packed::Unsigned(values) => values.len(),
        }
    }

    fn get(&self, at: usize) -> i32 {
        match self {
            Packed::Bytes { bytes, row_len, bits } => {
                let (row, bit) = (at / row_len, at % row_len * bits);
                let byte = bytes[row * (row_len * bits).div_ceil(8) + bit / 8];
                (byte >> (bit % 8) & (u8::MAX >> (8 - bits))).into()
            }
            Packed::Signed(values) => values[at].0.into(),
            Packed::Unsigned(values) => values[at].0.into(),
        }
    }
}
