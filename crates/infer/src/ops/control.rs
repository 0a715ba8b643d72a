//! Operators with subgraphs: the inputs of a body, and the use of its outputs.

use super::sequence::sequence;
use crate::dim_expr::DimExpr;
use crate::fact::{Fact, TensorFact};
use crate::inference_context::{InferenceContext, Inferred, Stop, axis};
use crate::merge::{is_same, join};
use crate::row::OpRow;
use intact8_ir::DType::{Bool, I64};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::values("If", branch),
    OpRow::values("Loop", repeat),
    OpRow::values("Scan", scan),
    OpRow::values("SequenceMap", map),
];

/// The number of iterations that are tracked before a changing dimension of the state becomes unknown.
const MAX_ROUNDS: usize = 4;

/// The join of both branches, or the outputs of one branch if the condition is known.
fn branch(ctx: &InferenceContext<'_>) -> Inferred<Vec<Fact>> {
    let chosen = ctx.required(0)?.as_scalar().and_then(|condition| condition.as_flag());
    let (first, second) = (ctx.run("then_branch", &[])?, ctx.run("else_branch", &[])?);
    if let Some(is_first) = chosen {
        // Violations in a branch that is never taken have no effect.
        ctx.ignore_findings(if is_first { "else_branch" } else { "then_branch" })?;
        return Ok(if is_first { first } else { second });
    }
    if first.len() != second.len() {
        let message = format!("the branches return {} and {} values", first.len(), second.len());
        return Err(Stop::wrong(message));
    }
    if let Some((a, b)) = first.iter().zip(&second).find_map(differing_types) {
        return Err(Stop::wrong(format!("the branches return the types {a} and {b}, which must be equal")));
    }
    if let Some(reason) = first.iter().zip(&second).find_map(differing_shapes) {
        ctx.unknown(reason);
    }
    Ok(first.iter().zip(&second).map(|(a, b)| join(a, b)).collect())
}

/// The reason why the join of two tensors is less specific than each of them.
fn differing_shapes((a, b): (&Fact, &Fact)) -> Option<&'static str> {
    let [a, b] = [a, b].map(|fact| fact.as_tensor().and_then(|fact| fact.shape.as_ref()));
    let (a, b) = a.zip(b)?;
    if a.len() != b.len() {
        return Some("the branches return tensors of different ranks");
    }
    let differ =
        |(a, b): (&DimExpr, &DimExpr)| !a.equals(b) && a.formula().is_some() && b.formula().is_some();
    a.iter().zip(b).any(differ).then_some("the branches return tensors of different shapes")
}

fn differing_types((a, b): (&Fact, &Fact)) -> Option<(String, String)> {
    match (a, b) {
        (Fact::Unknown, _) | (_, Fact::Unknown) => None,
        (Fact::Tensor(a), Fact::Tensor(b)) => {
            let (a, b) = a.dtype.zip(b.dtype).filter(|(a, b)| a != b)?;
            Some((a.to_string(), b.to_string()))
        }
        (a, b) => (a.kind() != b.kind()).then(|| (a.kind().to_owned(), b.kind().to_owned())),
    }
}

/// The fact about a body's state that holds in every iteration, and the body's outputs for it, the new state first.
fn settle(
    ctx: &InferenceContext<'_>,
    initial: Vec<Fact>,
    inputs: impl Fn(&[Fact]) -> Vec<Fact>,
) -> Inferred<(Vec<Fact>, Vec<Fact>)> {
    let mut state = initial.clone();
    let n_rounds = if ctx.walker.may_repeat() { MAX_ROUNDS } else { 0 };
    for _ in 0..n_rounds {
        let returned = ctx.run("body", &inputs(&state))?;
        if returned.len() < state.len() {
            let message =
                format!("the body returns {} values for a state of {}", returned.len(), state.len());
            return Err(Stop::wrong(message));
        }
        let next: Vec<Fact> = state.iter().zip(&returned).map(|(old, new)| join(old, new)).collect();
        if next.iter().zip(&state).all(|(new, old)| is_same(new, old)) {
            if state.iter().zip(&initial).any(has_lost_lengths) {
                ctx.unknown("the body changes the shape of its state between iterations");
            }
            return Ok((final_state(&state, &returned), returned));
        }
        state = next;
    }
    state.iter_mut().for_each(|fact| *fact = widest(fact));
    let returned = ctx.run("body", &inputs(&state))?;
    Ok((final_state(&state, &returned), returned))
}

/// Whether dimensions that were known became unknown.
fn has_lost_lengths((now, before): (&Fact, &Fact)) -> bool {
    let n_known = |fact: &Fact| {
        let lengths = fact.as_tensor().and_then(|fact| fact.shape.as_ref()).into_iter().flatten();
        lengths.filter(|length| length.formula().is_some()).count()
    };
    n_known(now) < n_known(before)
}

/// The final state: the initial one, or the one that the body returns. For an optional input the body may return the
/// value itself, whose type is that of the output.
fn final_state(state: &[Fact], returned: &[Fact]) -> Vec<Fact> {
    let one = |(old, new): (&Fact, &Fact)| match (old, new) {
        (Fact::Optional(_), Fact::Optional(_) | Fact::Unknown) => join(old, new),
        (Fact::Optional(inner), new) => join(inner, new),
        _ => join(old, new),
    };
    state.iter().zip(returned).map(one).collect()
}

/// The fact without shapes.
fn widest(fact: &Fact) -> Fact {
    match fact {
        Fact::Tensor(fact) => Fact::tensor(fact.dtype, None),
        Fact::Sequence(element) => Fact::Sequence(Box::new(widest(element))),
        Fact::Optional(inner) => Fact::Optional(Box::new(widest(inner))),
        _ => Fact::Unknown,
    }
}

/// The final state, then for each further output of the body its values of all iterations. The number of iterations is
/// known if the condition is never false.
fn repeat(ctx: &InferenceContext<'_>) -> Inferred<Vec<Fact>> {
    let goes_on = || {
        let truth = crate::fact::Elements::from_elem(ndarray::IxDyn(&[]), crate::number::Number::known(1));
        Fact::Tensor(TensorFact { dtype: Some(Bool), shape: Some(vec![]), elements: Some(truth) })
    };
    let condition = ctx.fact(1).cloned().unwrap_or_else(goes_on);
    let carried = ctx.operands.get(2..).unwrap_or_default();
    let carried = carried.iter().map(|fact| fact.cloned().unwrap_or_default());
    let state: Vec<Fact> = std::iter::once(condition).chain(carried).collect();
    let n_carried = state.len();
    let (state, returned) = settle(ctx, state, |state| [&[Fact::scalar(I64)], state].concat())?;
    let always = state.first().and_then(|fact| fact.as_scalar()).and_then(|condition| condition.as_flag());
    let n_rounds = ctx.fact(0).and_then(|fact| fact.as_scalar()).map(|number| number.as_dim());
    let n_rounds = n_rounds.filter(|_| always == Some(true)).map(|n| n.max(&DimExpr::known(0)));
    let has_more = returned.len() > n_carried;
    let n_rounds = n_rounds.unwrap_or_else(|| match has_more {
        true => ctx.unknown("the number of iterations is computed while the model runs"),
        false => DimExpr::UNKNOWN,
    });
    let collected = returned.into_iter().skip(n_carried).map(|fact| stacked(&fact, 0, &n_rounds));
    state.into_iter().skip(1).map(Ok).chain(collected).collect()
}

/// A tensor with an additional dimension, at an axis of the result.
fn stacked(fact: &Fact, at: i64, length: &DimExpr) -> Inferred<Fact> {
    let Fact::Tensor(TensorFact { dtype, shape, .. }) = fact else { return Ok(Fact::Unknown) };
    let Some(mut shape) = shape.clone() else { return Ok(Fact::tensor(*dtype, None)) };
    shape.insert(axis(at, shape.len() + 1)?, length.clone());
    Ok(Fact::tensor(*dtype, Some(shape)))
}

/// A tensor without one of its dimensions, and that dimension.
fn row(fact: &Fact, at: i64) -> Inferred<(Fact, DimExpr)> {
    let Fact::Tensor(TensorFact { dtype, shape, .. }) = fact else {
        return Ok((Fact::Unknown, DimExpr::UNKNOWN));
    };
    let Some(mut shape) = shape.clone() else { return Ok((Fact::tensor(*dtype, None), DimExpr::UNKNOWN)) };
    let length = shape.remove(axis(at, shape.len())?);
    Ok((Fact::tensor(*dtype, Some(shape)), length))
}

/// The body's inputs are the state and rows of the scanned tensors, its outputs the state and rows of the outputs. In
/// version 8 all tensors have a leading batch dimension, which the body does not have, and the first operand is the
/// sequence lengths.
fn scan(ctx: &InferenceContext<'_>) -> Inferred<Vec<Fact>> {
    let is_batched = ctx.opset < 9;
    let operands = ctx.operands.get(usize::from(is_batched)..).unwrap_or_default();
    let n_scanned = usize::try_from(ctx.required_int("num_scan_inputs")?).ok();
    let n_state = n_scanned.and_then(|n| operands.len().checked_sub(n));
    let n_state = n_state.ok_or_else(|| Stop::wrong("num_scan_inputs does not match the operands"))?;
    let facts: Vec<Fact> = operands.iter().map(|fact| fact.cloned().unwrap_or_default()).collect();
    let (state, scanned) = facts.split_at(n_state);
    let mut batch = DimExpr::UNKNOWN;
    let mut without_batch = |fact: &Fact| -> Inferred<Fact> {
        let (fact, length) = if is_batched { row(fact, 0)? } else { return Ok(fact.clone()) };
        batch = if batch.is_unknown() { length } else { batch.clone() };
        Ok(fact)
    };
    let state: Vec<Fact> = state.iter().map(&mut without_batch).collect::<Inferred<_>>()?;
    let mut n_rounds = DimExpr::UNKNOWN;
    let mut rows = Vec::with_capacity(scanned.len());
    let in_axes = ctx.op.ints("scan_input_axes")?.unwrap_or_default();
    for (idx, fact) in scanned.iter().enumerate() {
        let (fact, length) = row(&without_batch(fact)?, in_axes.get(idx).copied().unwrap_or(0))?;
        rows.push(fact);
        n_rounds = if n_rounds.as_known().is_some() || length.is_unknown() { n_rounds } else { length };
    }
    let (state, returned) = settle(ctx, state, |state| [state, &rows].concat())?;
    let out_axes = ctx.op.ints("scan_output_axes")?.unwrap_or_default();
    let collected = returned.iter().skip(n_state).enumerate();
    let collected =
        collected.map(|(idx, fact)| stacked(fact, out_axes.get(idx).copied().unwrap_or(0), &n_rounds));
    let facts: Vec<Fact> = state.into_iter().map(Ok).chain(collected).collect::<Inferred<_>>()?;
    facts.into_iter().map(|fact| if is_batched { stacked(&fact, 0, &batch) } else { Ok(fact) }).collect()
}

/// The body's inputs are elements of sequences, and whole tensors; its outputs are elements of sequences.
fn map(ctx: &InferenceContext<'_>) -> Inferred<Vec<Fact>> {
    ctx.required(0)?;
    let element = |fact: &Option<&Fact>| match fact {
        Some(Fact::Sequence(element)) => (**element).clone(),
        Some(other) => (*other).clone(),
        None => Fact::Unknown,
    };
    let inputs: Vec<Fact> = ctx.operands.iter().map(element).collect();
    Ok(ctx.run("body", &inputs)?.into_iter().map(sequence).collect())
}
