//! Arithmetic of two operands.

mod modulo;
mod power;

use crate::broadcast::{broadcast_shape, zip, zip_in_place};
use crate::call::Call;
use crate::number::{NUMBERS, Number};
use crate::op::{Kernel, OpRow, one};
use crate::stand_in::{both_widened, narrowed, with_widened};
use intact8_ir::{DType, Result, Tensor};
use intact8_kernels::elementwise::{Binary, Operand, binary_in_place};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::since(7, "Add", NUMBERS, |_| Ok(arithmetic(Binary::Add))),
    OpRow::since(7, "Div", NUMBERS, |_| Ok(arithmetic(Binary::Div))),
    OpRow::since(10, "Mod", NUMBERS, modulo::modulo),
    OpRow::since(7, "Mul", NUMBERS, |_| Ok(arithmetic(Binary::Mul))),
    OpRow::since(7, "Pow", power::BASES, |_| Ok(Box::new(power::pow))),
    OpRow::since(7, "Sub", NUMBERS, |_| Ok(arithmetic(Binary::Sub))),
];

fn arithmetic(operation: Binary) -> Kernel {
    Box::new(move |call| {
        let (a, b) = (call.take(0)?, call.take(1)?);
        one(combine(operation, a, b, call)?)
    })
}

/// An operation on two tensors of one type, in the memory of one of them if it has the result's shape.
pub(super) fn combine(operation: Binary, a: Tensor, b: Tensor, call: &Call<'_, '_>) -> Result<Tensor> {
    let shape = broadcast_shape(&[a.shape(), b.shape()])?;
    if a.dtype() == DType::F32 && a.shape() == shape && (b.shape() == shape || b.len() == 1) {
        call.reserve::<f32>(&shape)?;
        return combine_f32(operation, a, &b);
    }
    let dtype = a.dtype();
    let (a, b) = both_widened(a, b, call)?;
    let out = with_widened!(a.dtype(), T => {
        call.reserve::<T>(&shape)?;
        match operation {
            Binary::Add => pairs(a, b, &shape, T::add),
            Binary::Sub => pairs(a, b, &shape, T::sub),
            Binary::Mul => pairs(a, b, &shape, T::mul),
            Binary::Div => pairs(a, b, &shape, T::div),
            Binary::Min => pairs(a, b, &shape, |a: T, b: T| if a < b || a.is_nan() { a } else { b }),
            Binary::Max => pairs(a, b, &shape, |a: T, b: T| if a > b || a.is_nan() { a } else { b }),
        }
    })?;
    narrowed(out, dtype)
}

fn combine_f32(operation: Binary, mut a: Tensor, b: &Tensor) -> Result<Tensor> {
    let operand = match b.values::<f32>()? {
        &[b] => Operand::Scalar(b),
        b => Operand::Slice(b),
    };
    binary_in_place(operation, a.values_mut()?, operand);
    Ok(a)
}

/// `f(a, b)` for every pair after broadcasting to `shape`.
pub(super) fn pairs<T: Number>(
    mut a: Tensor,
    mut b: Tensor,
    shape: &[usize],
    f: impl Fn(T, T) -> T,
) -> Result<Tensor> {
    if a.shape() == shape {
        let b = (b.values::<T>()?, b.shape());
        zip_in_place((a.values_mut()?, shape), b, |a, b| f(*a, *b));
        Ok(a)
    } else if b.shape() == shape {
        let a = (a.values::<T>()?, a.shape());
        zip_in_place((b.values_mut()?, shape), a, |b, a| f(*a, *b));
        Ok(b)
    } else {
        let (a, b) = ((a.values()?, a.shape()), (b.values()?, b.shape()));
        Ok(Tensor::new(shape, zip(a, b, shape, |a, b| f(*a, *b))))
    }
}
