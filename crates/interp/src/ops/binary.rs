//! Arithmetic of two operands.

use crate::broadcast::{broadcast_shape, zip};
use crate::number::{NUMBERS, Number, with_number};
use crate::op::{Kernel, NEWEST, OpRow, one};
use quantfit_ir::Tensor;

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Add", opsets: 7..=NEWEST, types: NUMBERS, compile: |_| Ok(arithmetic(Arithmetic::Add)) },
    OpRow { name: "Div", opsets: 7..=NEWEST, types: NUMBERS, compile: |_| Ok(arithmetic(Arithmetic::Div)) },
    OpRow { name: "Mul", opsets: 7..=NEWEST, types: NUMBERS, compile: |_| Ok(arithmetic(Arithmetic::Mul)) },
    OpRow { name: "Sub", opsets: 7..=NEWEST, types: NUMBERS, compile: |_| Ok(arithmetic(Arithmetic::Sub)) },
];

#[derive(Clone, Copy)]
enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

fn arithmetic(kind: Arithmetic) -> Kernel {
    Box::new(move |call| {
        let (a, b) = (call.tensor(0)?, call.tensor(1)?);
        let shape = broadcast_shape(&[a.shape(), b.shape()])?;
        with_number!(a.dtype(), T => {
            call.reserve::<T>(&shape)?;
            let (a, b) = ((a.values::<T>()?, a.shape()), (b.values::<T>()?, b.shape()));
            let out = match kind {
                Arithmetic::Add => zip(a, b, &shape, |a, b| a.add(*b)),
                Arithmetic::Sub => zip(a, b, &shape, |a, b| a.sub(*b)),
                Arithmetic::Mul => zip(a, b, &shape, |a, b| a.mul(*b)),
                Arithmetic::Div => zip(a, b, &shape, |a, b| a.div(*b)),
            };
            one(Tensor::new(&shape, out))
        })
    })
}
