//! Operators with bodies: what is fed to a body, and what becomes of what comes out.

use super::sequence::sequence;
use crate::fact::{Fact, TensorFact};
use crate::length::Length;
use crate::merge::{is_same, join};
use crate::row::OpRow;
use crate::site::{Inferred, Site, Stop, axis};
use intact8_ir::DType::{Bool, I64};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::values("If", branch),
    OpRow::values("Loop", repeat),
    OpRow::values("Scan", scan),
    OpRow::values("SequenceMap", map),
];

/// A body's state that changes from round to round is followed so often before its shape is given up.
const MAX_ROUNDS: usize = 4;

/// What either branch gives; only one of them where the condition is known.
fn branch(site: &Site<'_>) -> Inferred<Vec<Fact>> {
    let chosen = site.required(0)?.as_scalar().and_then(|condition| condition.as_flag());
    let (first, second) = (site.run("then_branch", &[])?, site.run("else_branch", &[])?);
    if let Some(is_first) = chosen {
        // What is wrong in a branch that is never taken does no harm.
        site.ignore_findings(if is_first { "else_branch" } else { "then_branch" })?;
        return Ok(if is_first { first } else { second });
    }
    if first.len() != second.len() {
        let message = format!("the branches give {} and {} values", first.len(), second.len());
        return Err(Stop::wrong(message));
    }
    if let Some((a, b)) = first.iter().zip(&second).find_map(differing_types) {
        return Err(Stop::wrong(format!("the branches give {a} and {b}, which must be the same")));
    }
    if let Some(reason) = first.iter().zip(&second).find_map(differing_shapes) {
        site.unknown(reason);
    }
    Ok(first.iter().zip(&second).map(|(a, b)| join(a, b)).collect())
}

/// Why less is known of one of two tensors than of each.
fn differing_shapes((a, b): (&Fact, &Fact)) -> Option<&'static str> {
    let [a, b] = [a, b].map(|fact| fact.as_tensor().and_then(|fact| fact.shape.as_ref()));
    let (a, b) = a.zip(b)?;
    if a.len() != b.len() {
        return Some("the branches give tensors of different ranks");
    }
    let differ = |(a, b): (&Length, &Length)| !a.equals(b) && a.spelled().is_some() && b.spelled().is_some();
    a.iter().zip(b).any(differ).then_some("the branches give tensors of different shapes")
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

/// What holds for a body's state in every round, and what the body gives then, the new state first.
fn settle(
    site: &Site<'_>,
    initial: Vec<Fact>,
    inputs: impl Fn(&[Fact]) -> Vec<Fact>,
) -> Inferred<(Vec<Fact>, Vec<Fact>)> {
    let mut state = initial.clone();
    let n_rounds = if site.walker.may_repeat() { MAX_ROUNDS } else { 0 };
    for _ in 0..n_rounds {
        let given = site.run("body", &inputs(&state))?;
        if given.len() < state.len() {
            let message = format!("the body gives {} values for a state of {}", given.len(), state.len());
            return Err(Stop::wrong(message));
        }
        let next: Vec<Fact> = state.iter().zip(&given).map(|(old, new)| join(old, new)).collect();
        if next.iter().zip(&state).all(|(new, old)| is_same(new, old)) {
            if state.iter().zip(&initial).any(has_lost_lengths) {
                site.unknown("the body changes the shape of its state from round to round");
            }
            return Ok((left(&state, &given), given));
        }
        state = next;
    }
    state.iter_mut().for_each(|fact| *fact = widest(fact));
    let given = site.run("body", &inputs(&state))?;
    Ok((left(&state, &given), given))
}

/// Whether lengths that were known are not any more.
fn has_lost_lengths((now, before): (&Fact, &Fact)) -> bool {
    let n_known = |fact: &Fact| {
        let lengths = fact.as_tensor().and_then(|fact| fact.shape.as_ref()).into_iter().flatten();
        lengths.filter(|length| length.spelled().is_some()).count()
    };
    n_known(now) < n_known(before)
}

/// What the state is in the end: as it was fed, or as the body gives it. Where an optional value goes in, the body may
/// give the value itself, and that is the type of what comes out.
fn left(state: &[Fact], given: &[Fact]) -> Vec<Fact> {
    let one = |(old, new): (&Fact, &Fact)| match (old, new) {
        (Fact::Optional(_), Fact::Optional(_) | Fact::Unknown) => join(old, new),
        (Fact::Optional(inner), new) => join(inner, new),
        _ => join(old, new),
    };
    state.iter().zip(given).map(one).collect()
}

/// What is left of a fact when shapes are given up.
fn widest(fact: &Fact) -> Fact {
    match fact {
        Fact::Tensor(fact) => Fact::tensor(fact.dtype, None),
        Fact::Sequence(element) => Fact::Sequence(Box::new(widest(element))),
        Fact::Optional(inner) => Fact::Optional(Box::new(widest(inner))),
        _ => Fact::Unknown,
    }
}

/// The state's final values, then for each further output of the body its values of all rounds. How many rounds there
/// are is known if the condition never turns false.
fn repeat(site: &Site<'_>) -> Inferred<Vec<Fact>> {
    let goes_on = || {
        let truth = crate::fact::Elements::from_elem(ndarray::IxDyn(&[]), crate::number::Number::known(1));
        Fact::Tensor(TensorFact { dtype: Some(Bool), shape: Some(vec![]), elements: Some(truth) })
    };
    let condition = site.fact(1).cloned().unwrap_or_else(goes_on);
    let carried = site.operands.get(2..).unwrap_or_default();
    let carried = carried.iter().map(|fact| fact.cloned().unwrap_or_default());
    let state: Vec<Fact> = std::iter::once(condition).chain(carried).collect();
    let n_carried = state.len();
    let (state, given) = settle(site, state, |state| [&[Fact::scalar(I64)], state].concat())?;
    let always = state.first().and_then(|fact| fact.as_scalar()).and_then(|condition| condition.as_flag());
    let n_rounds = site.fact(0).and_then(|fact| fact.as_scalar()).map(|number| number.length());
    let n_rounds = n_rounds.filter(|_| always == Some(true)).map(|n| n.max(&Length::known(0)));
    let has_more = given.len() > n_carried;
    let n_rounds = n_rounds.unwrap_or_else(|| match has_more {
        true => site.unknown("how often the body runs is known only when it does"),
        false => Length::UNKNOWN,
    });
    let collected = given.into_iter().skip(n_carried).map(|fact| stacked(&fact, 0, &n_rounds));
    state.into_iter().skip(1).map(Ok).chain(collected).collect()
}

/// A tensor with one more dimension, at an axis of the result.
fn stacked(fact: &Fact, at: i64, length: &Length) -> Inferred<Fact> {
    let Fact::Tensor(TensorFact { dtype, shape, .. }) = fact else { return Ok(Fact::Unknown) };
    let Some(mut shape) = shape.clone() else { return Ok(Fact::tensor(*dtype, None)) };
    shape.insert(axis(at, shape.len() + 1)?, length.clone());
    Ok(Fact::tensor(*dtype, Some(shape)))
}

/// A tensor without one of its dimensions, and how long that was.
fn row(fact: &Fact, at: i64) -> Inferred<(Fact, Length)> {
    let Fact::Tensor(TensorFact { dtype, shape, .. }) = fact else {
        return Ok((Fact::Unknown, Length::UNKNOWN));
    };
    let Some(mut shape) = shape.clone() else { return Ok((Fact::tensor(*dtype, None), Length::UNKNOWN)) };
    let length = shape.remove(axis(at, shape.len())?);
    Ok((Fact::tensor(*dtype, Some(shape)), length))
}

/// State and rows of the scanned tensors go in, state and rows of the outputs come out. In version 8 everything has a
/// batch in front, which the body does not see, and the lengths of the sequences come first.
fn scan(site: &Site<'_>) -> Inferred<Vec<Fact>> {
    let is_batched = site.opset < 9;
    let operands = site.operands.get(usize::from(is_batched)..).unwrap_or_default();
    let n_scanned = usize::try_from(site.required_int("num_scan_inputs")?).ok();
    let n_state = n_scanned.and_then(|n| operands.len().checked_sub(n));
    let n_state = n_state.ok_or_else(|| Stop::wrong("num_scan_inputs does not fit the operands"))?;
    let facts: Vec<Fact> = operands.iter().map(|fact| fact.cloned().unwrap_or_default()).collect();
    let (state, scanned) = facts.split_at(n_state);
    let mut batch = Length::UNKNOWN;
    let mut without_batch = |fact: &Fact| -> Inferred<Fact> {
        let (fact, length) = if is_batched { row(fact, 0)? } else { return Ok(fact.clone()) };
        batch = if batch.is_unknown() { length } else { batch.clone() };
        Ok(fact)
    };
    let state: Vec<Fact> = state.iter().map(&mut without_batch).collect::<Inferred<_>>()?;
    let mut n_rounds = Length::UNKNOWN;
    let mut rows = Vec::with_capacity(scanned.len());
    let in_axes = site.op.ints("scan_input_axes")?.unwrap_or_default();
    for (idx, fact) in scanned.iter().enumerate() {
        let (fact, length) = row(&without_batch(fact)?, in_axes.get(idx).copied().unwrap_or(0))?;
        rows.push(fact);
        n_rounds = if n_rounds.as_known().is_some() || length.is_unknown() { n_rounds } else { length };
    }
    let (state, given) = settle(site, state, |state| [state, &rows].concat())?;
    let out_axes = site.op.ints("scan_output_axes")?.unwrap_or_default();
    let collected = given.iter().skip(n_state).enumerate();
    let collected =
        collected.map(|(idx, fact)| stacked(fact, out_axes.get(idx).copied().unwrap_or(0), &n_rounds));
    let facts: Vec<Fact> = state.into_iter().map(Ok).chain(collected).collect::<Inferred<_>>()?;
    facts.into_iter().map(|fact| if is_batched { stacked(&fact, 0, &batch) } else { Ok(fact) }).collect()
}

/// Elements of sequences, and tensors as they are, go in; what comes out are elements of sequences.
fn map(site: &Site<'_>) -> Inferred<Vec<Fact>> {
    site.required(0)?;
    let element = |fact: &Option<&Fact>| match fact {
        Some(Fact::Sequence(element)) => (**element).clone(),
        Some(other) => (*other).clone(),
        None => Fact::Unknown,
    };
    let inputs: Vec<Fact> = site.operands.iter().map(element).collect();
    Ok(site.run("body", &inputs)?.into_iter().map(sequence).collect())
}
