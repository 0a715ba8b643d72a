//! Einsum: operands are multiplied in pairs, as matrix products where possible.

mod contract;
mod equation;

use crate::call::Call;
use crate::number::NUMBERS;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use crate::product::Factor;
use crate::real::expect_type;
use crate::stand_in::{narrowed, widened, with_widened};
use contract::{Operand, contract};
use equation::{Equation, Label};
use intact8_ir::{Error, Result, Tensor};
use std::borrow::Cow;
use std::collections::BTreeMap;

pub(super) static ROWS: &[OpRow] =
    &[OpRow { name: "Einsum", opsets: 12..=NEWEST, types: NUMBERS, compile: einsum }];

fn einsum(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let n_operands = ctx.operands.len();
    let equation = Equation::parse(ctx.str("equation", "")?, n_operands)?;
    Ok(Box::new(move |call| {
        let tensors: Vec<&Tensor> = (0..n_operands).map(|slot| call.tensor(slot)).collect::<Result<_>>()?;
        let dtype = tensors[0].dtype();
        tensors.iter().try_for_each(|tensor| expect_type(tensor, dtype))?;
        let wide: Vec<Cow<'_, Tensor>> =
            tensors.iter().map(|tensor| widened(tensor, call)).collect::<Result<_>>()?;
        let out = with_widened!(wide[0].dtype(), T => {
            let values = wide.iter().map(|tensor| Ok(Cow::Borrowed(tensor.values::<T>()?)));
            let (shape, values) = sum_of_products(&equation, &tensors, values.collect::<Result<_>>()?, call)?;
            Ok(Tensor::new(&shape, values))
        })?;
        one(narrowed(out, dtype)?)
    }))
}

/// The result's shape and elements.
fn sum_of_products<T: Factor>(
    equation: &Equation,
    tensors: &[&Tensor],
    values: Vec<Cow<'_, [T]>>,
    call: &Call<'_, '_>,
) -> Result<(Vec<usize>, Vec<T>)> {
    let shapes: Vec<&[usize]> = tensors.iter().map(|tensor| tensor.shape()).collect();
    let (inputs, output) = equation.labels(&shapes)?;
    let sizes = sizes(&inputs, &shapes)?;
    let operands = values.into_iter().zip(&inputs).zip(&shapes);
    let mut operands: Vec<Operand<'_, T>> = operands
        .map(|((values, labels), shape)| Operand::new(values, labels, shape))
        .collect::<Result<_>>()?;
    while operands.len() > 1 {
        let (left, right) = cheapest_pair(&operands, &output);
        let b = operands.remove(right);
        let a = operands.remove(left);
        let is_kept = |label: Label| output.contains(&label) || operands.iter().any(|other| other.has(label));
        let product = contract(a, b, &output, is_kept, call)?;
        operands.insert(left, product);
    }
    let last = operands.remove(0).sum_others(|label| output.contains(&label), call)?;
    let shape: Vec<usize> = output.iter().map(|label| sizes[label]).collect();
    Ok((shape, last.arranged(&output, call)?))
}

/// The length of the dimensions with each label; dimensions of 1 are repeated.
fn sizes(inputs: &[Vec<Label>], shapes: &[&[usize]]) -> Result<BTreeMap<Label, usize>> {
    let mut sizes = BTreeMap::new();
    for (labels, shape) in inputs.iter().zip(shapes) {
        for (&label, &len) in labels.iter().zip(*shape) {
            let size = sizes.entry(label).or_insert(len);
            match (*size, len) {
                (1, len) => *size = len,
                (size, len) if size == len || len == 1 => {}
                _ => return Err(Error::invalid_data(format!("shapes {shapes:?} do not match the equation"))),
            }
        }
    }
    Ok(sizes)
}

/// The two operands with the smallest product, the first pair of equal ones.
fn cheapest_pair<T: Factor>(operands: &[Operand<'_, T>], output: &[Label]) -> (usize, usize) {
    let pairs =
        (0..operands.len()).flat_map(|left| (left + 1..operands.len()).map(move |right| (left, right)));
    let size = |&(left, right): &(usize, usize)| {
        let others = || operands.iter().enumerate().filter(|(idx, _)| *idx != left && *idx != right);
        let is_kept = |label: Label| output.contains(&label) || others().any(|(_, other)| other.has(label));
        let (a, b) = (&operands[left], &operands[right]);
        let dims = a.dims.iter().chain(b.dims.iter().filter(|dim| !a.has(dim.label)));
        dims.filter(|dim| is_kept(dim.label)).fold(1usize, |n, dim| n.saturating_mul(dim.len))
    };
    pairs.min_by_key(size).expect("there are two operands")
}
