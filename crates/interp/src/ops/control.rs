//! Operators with subgraphs: branches, loops, and maps over sequences.

mod body;
mod loops;
mod scan;

use crate::data::Data;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Operand, Outputs};
use body::{Body, Collected};
use intact8_ir::{DType, Error, Result, Tensor};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "If", opsets: 1..=NEWEST, types: &[DType::Bool], compile: branch },
    OpRow { name: "Loop", opsets: 1..=NEWEST, types: &[DType::I64], compile: loops::repeat },
    OpRow { name: "Scan", opsets: 8..=8, types: &[], compile: scan::scan_batch },
    OpRow { name: "Scan", opsets: 9..=NEWEST, types: &[], compile: scan::scan },
    OpRow { name: "SequenceMap", opsets: 17..=NEWEST, types: &[], compile: sequence_map },
];

/// With a constant condition only one branch is compiled.
fn branch(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let name = |condition: bool| if condition { "then_branch" } else { "else_branch" };
    if let Some(Operand::Constant(condition)) = ctx.operands.first() {
        let taken = Body::of(ctx, name(flag(condition)?))?;
        return Ok(Box::new(move |call| Ok(taken.run(vec![], call)?.into())));
    }
    let (yes, no) = (Body::of(ctx, name(true))?, Body::of(ctx, name(false))?);
    Ok(Box::new(move |call| {
        let taken = if flag(call.tensor(0)?)? { &yes } else { &no };
        Ok(taken.run(vec![], call)?.into())
    }))
}

/// The only element of a condition.
fn flag(condition: &Tensor) -> Result<bool> {
    match condition.values::<bool>()? {
        [condition] => Ok(*condition),
        values => Err(Error::invalid_data(format!("expected one condition, found {}", values.len()))),
    }
}

/// The body receives the items of sequences in order, and whole tensors in every run.
fn sequence_map(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let body = Body::of(ctx, "body")?;
    let n_operands = ctx.operands.len() - ctx.n_captures;
    Ok(Box::new(move |call| {
        let operands: Vec<Data> = (0..n_operands).map(|slot| call.take_data(slot)).collect::<Result<_>>()?;
        let Some(Data::Sequence(first)) = operands.first() else {
            return Err(Error::invalid_data("the first operand must be a sequence"));
        };
        let n_items = first.len();
        let mut results = Collected::new(body.n_outputs());
        for idx in 0..n_items {
            let item = |operand: &Data| match operand {
                Data::Sequence(items) => items.get(idx).cloned().ok_or_else(|| {
                    Error::invalid_data(format!(
                        "a sequence has {} items, the first has {n_items}",
                        items.len()
                    ))
                }),
                other => Ok(other.clone()),
            };
            let items = operands.iter().map(item).collect::<Result<_>>()?;
            let made = body.run(items, call)?;
            made.iter().try_for_each(|item| item.as_tensor().map(drop))?;
            results.keep(made, call)?;
        }
        let outputs: Outputs = results
            .finish(call)
            .into_iter()
            .map(|items| Data::Sequence(items.into_iter().collect()))
            .collect();
        Ok(outputs)
    }))
}
