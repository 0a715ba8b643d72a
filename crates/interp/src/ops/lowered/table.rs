//! Functions of single bytes, by a table of their 256 results.

use super::constant;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use intact8_ir::{DType, Error, Result, Tensor};
use intact8_kernels::lookup::{Table, lookup};

pub(super) static ROWS: &[OpRow] =
    &[OpRow { name: "Table", opsets: 0..=NEWEST, types: &[DType::I8, DType::U8], compile: table }];

/// Operands are bytes, and the results for the bytes 0 to 255, where -1 is 255.
fn table(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let results = constant(ctx, 1)?;
    let (table, is_signed) = (bits(results)?, results.dtype() == DType::I8);
    let table: Table = table.try_into().map_err(|_| Error::invalid_model("a table needs 256 results"))?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        if is_signed {
            let mut out = call.unset::<i8>(x.shape())?;
            lookup(&table, bits(x)?, bytemuck::cast_slice_mut(&mut out));
            return one(Tensor::new(x.shape(), out));
        }
        let mut out = call.unset::<u8>(x.shape())?;
        lookup(&table, bits(x)?, &mut out);
        one(Tensor::new(x.shape(), out))
    }))
}

/// The bits of signed or unsigned bytes.
fn bits(tensor: &Tensor) -> Result<&[u8]> {
    match tensor.dtype() {
        DType::I8 => Ok(bytemuck::cast_slice(tensor.values::<i8>()?)),
        DType::U8 => tensor.values::<u8>(),
        other => Err(Error::unsupported(format!("no kernel for tables of {other}"))),
    }
}
