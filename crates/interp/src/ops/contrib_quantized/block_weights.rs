//! A matrix product with per-block quantized weights of few bits.

use super::super::requantize::scales;
use crate::call::Call;
use crate::indices::position;
use crate::op::{CompileContext, Kernel, one};
use crate::product::Factor;
use crate::real::{expect_type, numbers, rounded};
use crate::room::n_elements;
use intact8_ir::{DType, Error, Result, Tensor};
use intact8_kernels::gemm::PackedRight;
use intact8_kernels::matrix::{Matrix, MatrixMut};

/// Operands are `A`, the weights, their scales and zero points, an optional index of the block for each step along the
/// depth, and a bias. Constant weights are unpacked once.
pub(super) fn mat_mul(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let size = |name: &str, default: i64| {
        let size = usize::try_from(ctx.int(name, default)?).ok().filter(|&size| size > 0);
        size.ok_or_else(|| Error::invalid_model(format!("{name} must be positive")))
    };
    let weights = Weights {
        depth: size("K", 0)?,
        n_columns: size("N", 0)?,
        block: size("block_size", 0)?,
        bits: size("bits", 4)?,
    };
    if ![2, 4, 8].contains(&weights.bits) {
        return Err(ctx.unsupported(&format!("weights of {} bits", weights.bits)));
    }
    if weights.block < 8 || !weights.block.is_power_of_two() {
        return Err(Error::invalid_model(format!(
            "block_size must be a power of two from 8 on, found {}",
            weights.block
        )));
    }
    let is_constant = |slot: usize| !ctx.has_operand(slot) || ctx.constant(slot).is_some();
    let packed = match (ctx.constant(1), ctx.constant(2)) {
        (Some(b), Some(scale)) if is_constant(3) && is_constant(4) => {
            Some(weights.packed(b, scale, ctx.constant(3), ctx.constant(4))?)
        }
        _ => None,
    };
    Ok(Box::new(move |call| {
        let a = call.tensor(0)?;
        let dtype = a.dtype();
        let Some((&depth, batch)) = a.shape().split_last() else {
            return Err(Error::invalid_data("the left factor must not be a scalar"));
        };
        if depth != weights.depth {
            return Err(Error::invalid_data(format!(
                "the left factor has depth {depth}, but the right one has {}",
                weights.depth
            )));
        }
        let shape = [batch, &[weights.n_columns]].concat();
        let mut out = call.zeros::<f32>(&shape)?;
        if let Some(bias) = call.optional(5)? {
            weights.fill(&numbers::<f32>(bias, dtype)?, &mut out)?;
        }
        let computed = match &packed {
            Some(_) => None,
            None => Some(weights.unpacked(call)?),
        };
        let packed = packed.as_ref().or(computed.as_ref()).expect("one of the two is present");
        let a = numbers::<f32>(a, dtype)?;
        let n_rows = out.len() / weights.n_columns;
        let to = MatrixMut::row_major(&mut out, n_rows, weights.n_columns);
        f32::multiply_packed(Matrix::row_major(&a, n_rows, depth), packed, true, to);
        one(rounded(dtype, &shape, out)?)
    }))
}

/// The sizes of the weights.
struct Weights {
    depth: usize,
    n_columns: usize,
    /// The number of steps along the depth that share a scale.
    block: usize,
    bits: usize,
}

impl Weights {
    fn fill(&self, bias: &[f32], out: &mut [f32]) -> Result<()> {
        if bias.len() != self.n_columns {
            return Err(Error::invalid_data(format!(
                "{} bias elements do not match {} columns",
                bias.len(),
                self.n_columns
            )));
        }
        out.chunks_exact_mut(self.n_columns).for_each(|row| row.copy_from_slice(bias));
        Ok(())
    }

    fn unpacked(&self, call: &Call<'_, '_>) -> Result<PackedRight> {
        call.reserve::<[f32; 2]>(&[self.n_columns, self.depth])?;
        self.packed(call.tensor(1)?, call.tensor(2)?, call.optional(3)?, call.optional(4)?)
    }

    fn packed(
        &self,
        b: &Tensor,
        scale: &Tensor,
        zeros: Option<&Tensor>,
        groups: Option<&Tensor>,
    ) -> Result<PackedRight> {
        let n_blocks = self.depth.div_ceil(self.block);
        let (row_len, zero_row_len) =
            (n_elements(&[n_blocks, self.block, self.bits])? / 8, (n_blocks * self.bits).div_ceil(8));
        let (b, scale) = (b.values::<u8>()?, scales(scale)?);
        n_elements(&[self.n_columns, self.depth])?;
        if b.len() / self.n_columns != row_len || scale.len() / self.n_columns != n_blocks {
            let message = format!("{} bytes and {} scales do not match the sizes", b.len(), scale.len());
            return Err(Error::invalid_data(message));
        }
        let zeros = self.zeros(zeros, n_blocks, zero_row_len)?;
        let groups = self.groups(groups, n_blocks)?;
        let mut weights = Vec::with_capacity(self.n_columns * self.depth);
        for (column, b) in b.chunks_exact(row_len).enumerate().take(self.n_columns) {
            let (scale, zeros) = (&scale[column * n_blocks..][..n_blocks], &zeros[column * n_blocks..]);
            weights.extend(
                groups
                    .iter()
                    .enumerate()
                    .map(|(at, &group)| (f32::from(self.element(b, at)) - zeros[group]) * scale[group]),
            );
        }
        Ok(f32::pack(Matrix::row_major(&weights, self.n_columns, self.depth).transposed()))
    }

    /// The element with the index in packed bytes, the first one in the lowest bits.
    fn element(&self, bytes: &[u8], number: usize) -> u8 {
        let bit = number * self.bits;
        bytes[bit / 8] >> (bit % 8) & (u8::MAX >> (8 - self.bits))
    }

    /// The zero point of each block: floats, packed integers, or the middle of the range if absent.
    fn zeros(&self, zeros: Option<&Tensor>, n_blocks: usize, row_len: usize) -> Result<Vec<f32>> {
        let n = n_elements(&[self.n_columns, n_blocks])?;
        let Some(zeros) = zeros else { return Ok(vec![f32::from(1u8 << (self.bits - 1)); n]) };
        let misfit = || Error::invalid_data(format!("zero points of shape {:?} do not match", zeros.shape()));
        if zeros.dtype() != DType::U8 {
            let zeros = numbers::<f32>(zeros, zeros.dtype())?.into_owned();
            return if zeros.len() == n { Ok(zeros) } else { Err(misfit()) };
        }
        let bytes = zeros.values::<u8>()?;
        if bytes.len() / self.n_columns != row_len {
            return Err(misfit());
        }
        let row = |bytes: &[u8]| (0..n_blocks).map(|at| self.element(bytes, at).into()).collect::<Vec<f32>>();
        Ok(bytes.chunks_exact(row_len).take(self.n_columns).flat_map(row).collect())
    }

    /// The block of each step along the depth.
    fn groups(&self, groups: Option<&Tensor>, n_blocks: usize) -> Result<Vec<usize>> {
        let Some(groups) = groups else { return Ok((0..self.depth).map(|at| at / self.block).collect()) };
        expect_type(groups, DType::I32)?;
        let groups = groups.values::<i32>()?;
        if groups.len() < self.depth {
            return Err(Error::invalid_data(format!(
                "{} groups for a depth of {}",
                groups.len(),
                self.depth
            )));
        }
        groups[..self.depth].iter().map(|&group| position(group.into(), n_blocks)).collect()
    }
}
