//! Optional values.

use crate::data::Data;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Outputs, one};
use intact8_ir::{Error, Result, Tensor};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Optional", opsets: 15..=NEWEST, types: &[], compile: optional },
    OpRow { name: "OptionalGetElement", opsets: 15..=NEWEST, types: &[], compile: element },
    OpRow { name: "OptionalHasElement", opsets: 15..=NEWEST, types: &[], compile: has_element },
];

/// An empty optional, if there is no operand.
fn optional(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let has_operand = ctx.has_operand(0);
    Ok(Box::new(move |call| {
        let item = match has_operand.then(|| call.take_data(0)).transpose()? {
            Some(Data::Optional(_)) => {
                return Err(Error::invalid_data("an optional can't be the element of an optional"));
            }
            item => item,
        };
        Ok(Outputs::from_iter([Data::Optional(item.map(Box::new))]))
    }))
}

/// The element of a value that is not optional is the value itself.
fn element(_: &CompileContext<'_>) -> Result<Kernel> {
    Ok(Box::new(|call| match call.take_data(0)? {
        Data::Optional(None) => Err(Error::invalid_data("the optional has no element")),
        Data::Optional(Some(item)) => Ok(Outputs::from_iter([*item])),
        item => Ok(Outputs::from_iter([item])),
    }))
}

fn has_element(_: &CompileContext<'_>) -> Result<Kernel> {
    Ok(Box::new(|call| {
        let has_element = !matches!(call.operands.first(), None | Some(None | Some(Data::Optional(None))));
        one(Tensor::scalar(has_element))
    }))
}
