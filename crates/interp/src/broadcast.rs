//! Broadcasting, as NumPy and ONNX define it: shapes are aligned at their last dimensions, and dimensions of 1 are
//! repeated.

use crate::room::n_elements;
use intact8_ir::{Element, Error, Result};

/// The broadcast shape of several shapes; an error if its number of elements is too large.
pub(crate) fn broadcast_shape(shapes: &[&[usize]]) -> Result<Vec<usize>> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut result = vec![1; rank];
    for shape in shapes {
        for (out, &dim) in result[rank - shape.len()..].iter_mut().zip(*shape) {
            match (*out, dim) {
                (1, dim) => *out = dim,
                (_, 1) => {}
                (a, b) if a == b => {}
                _ => return Err(Error::invalid_data(format!("shapes {shapes:?} do not broadcast"))),
            }
        }
    }
    n_elements(&result)?;
    Ok(result)
}

/// `f(a, b)` for every pair of elements after broadcasting, in the order of `shape`, the broadcast shape of the two.
pub(crate) fn zip<A: Element, B: Element, O>(
    (a, a_shape): (&[A], &[usize]),
    (b, b_shape): (&[B], &[usize]),
    shape: &[usize],
    f: impl Fn(&A, &B) -> O,
) -> Vec<O> {
    let mut out = Vec::with_capacity(shape.iter().product());
    for_each_row([a_shape, b_shape], shape, |[a_at, b_at], [a_step, b_step], n| match (a_step, b_step) {
        (1, 1) => out.extend(a[a_at..a_at + n].iter().zip(&b[b_at..b_at + n]).map(|(a, b)| f(a, b))),
        (1, _) => out.extend(with_same(&a[a_at..a_at + n], &b[b_at], &f)),
        (_, 1) => out.extend(with_same(&b[b_at..b_at + n], &a[a_at], |b, a| f(a, b))),
        _ => out.extend((0..n).map(|_| f(&a[a_at], &b[b_at]))),
    });
    out
}

/// `a = f(a, b)` for every element of `a`, to whose shape `b` broadcasts.
pub(crate) fn zip_in_place<A: Element, B: Element>(
    (a, shape): (&mut [A], &[usize]),
    (b, b_shape): (&[B], &[usize]),
    f: impl Fn(&A, &B) -> A,
) {
    let mut rest = a;
    for_each_row([b_shape], shape, |[b_at], [b_step], n| {
        let row;
        (row, rest) = std::mem::take(&mut rest).split_at_mut(n);
        match b_step {
            1 => row.iter_mut().zip(&b[b_at..b_at + n]).for_each(|(a, b)| *a = f(a, b)),
            _ => {
                let b = &b[b_at];
                row.iter_mut().for_each(|a| *a = f(a, b));
            }
        }
    });
}

/// A row, combined with a single element of the other operand.
fn with_same<'a, A, B, O>(
    row: &'a [A],
    other: &'a B,
    f: impl Fn(&A, &B) -> O + 'a,
) -> impl Iterator<Item = O> + 'a {
    row.iter().map(move |element| f(element, other))
}

/// The elements repeated to `shape`.
pub(crate) fn expand<A: Element>(a: &[A], a_shape: &[usize], shape: &[usize]) -> Vec<A> {
    let mut out = Vec::with_capacity(shape.iter().product());
    for_each_row([a_shape], shape, |[at], [step], n| match step {
        1 => out.extend_from_slice(&a[at..at + n]),
        _ => out.extend(std::iter::repeat_n(a[at].clone(), n)),
    });
    out
}

/// Visits `shape` in rows: `row(starts, steps, n)` receives, for each operand, the index of the row's first element and
/// the step to the next one, 0 or 1. Dimensions that all operands treat equally are merged into one row where possible.
pub(crate) fn for_each_row<const N: usize>(
    operands: [&[usize]; N],
    shape: &[usize],
    mut row: impl FnMut([usize; N], [usize; N], usize),
) {
    let Some(mut rows) = BroadcastRows::of(operands, shape) else { return };
    loop {
        row(rows.starts, rows.steps, rows.n);
        if !rows.advance() {
            return;
        }
    }
}

/// An iterator over the rows of a broadcast. It is independent of the element types, so that it is compiled only once.
struct BroadcastRows<const N: usize> {
    starts: [usize; N],
    steps: [usize; N],
    n: usize,
    /// The outer dimensions, innermost first: the length, and the step of each operand, 0 where it is repeated.
    outer: Vec<(usize, [usize; N])>,
    index: Vec<usize>,
}

impl<const N: usize> BroadcastRows<N> {
    /// The first row, if there is one.
    fn of(operands: [&[usize]; N], shape: &[usize]) -> Option<BroadcastRows<N>> {
        if shape.contains(&0) {
            return None;
        }
        let mut dims: Vec<(usize, [usize; N])> = Vec::new();
        let mut strides = [1; N];
        for (back, &n) in shape.iter().rev().enumerate() {
            let mut steps = [0; N];
            for (k, operand) in operands.iter().enumerate() {
                let own = operand.len().checked_sub(back + 1).map_or(1, |idx| operand[idx]);
                if own != 1 {
                    steps[k] = strides[k];
                }
                strides[k] *= own;
            }
            match dims.last_mut() {
                _ if n == 1 => {}
                Some((inner, inner_steps)) if (0..N).all(|k| steps[k] == inner_steps[k] * *inner) => {
                    *inner *= n;
                }
                _ => dims.push((n, steps)),
            }
        }
        let (n, steps) = if dims.is_empty() { (1, [0; N]) } else { dims.remove(0) };
        Some(BroadcastRows { starts: [0; N], steps, n, index: vec![0; dims.len()], outer: dims })
    }

    /// Moves to the next row, if there is one.
    fn advance(&mut self) -> bool {
        for (index, &(len, steps)) in self.index.iter_mut().zip(&self.outer) {
            *index += 1;
            (0..N).for_each(|k| self.starts[k] += steps[k]);
            if *index < len {
                return true;
            }
            *index = 0;
            (0..N).for_each(|k| self.starts[k] -= steps[k] * len);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, element by element.
    fn reference(a_shape: &[usize], b_shape: &[usize], shape: &[usize]) -> Vec<(i64, i64)> {
        let source = |own: &[usize], index: &[usize]| {
            let index = &index[index.len() - own.len()..];
            own.iter().zip(index).fold(0, |at, (&n, &i)| at * n + if n == 1 { 0 } else { i }) as i64
        };
        let n_elements: usize = shape.iter().product();
        let at = |mut flat: usize| {
            let mut index = vec![0; shape.len()];
            for (i, &n) in index.iter_mut().zip(shape).rev() {
                (*i, flat) = (flat % n, flat / n);
            }
            (source(a_shape, &index), source(b_shape, &index))
        };
        (0..n_elements).map(at).collect()
    }

    #[test]
    fn pairs_agree_with_the_definition() {
        let shapes: [&[usize]; 8] = [&[], &[1], &[3], &[2, 1], &[2, 3], &[4, 2, 3], &[4, 1, 1], &[1, 2, 1]];
        for a in shapes {
            for b in shapes {
                let Ok(shape) = broadcast_shape(&[a, b]) else { continue };
                let values =
                    |shape: &[usize]| (0..shape.iter().product::<usize>() as i64).collect::<Vec<i64>>();
                let found = zip((&values(a), a), (&values(b), b), &shape, |a, b| (*a, *b));
                assert_eq!(found, reference(a, b, &shape), "{a:?} {b:?}");
                if shape == *a {
                    let mut joined: Vec<i64> = values(a).iter().map(|a| a * 100).collect();
                    zip_in_place((&mut joined, a), (&values(b), b), |a, b| a + b);
                    let expected = found.iter().map(|(a, b)| a * 100 + b);
                    assert!(joined.into_iter().eq(expected), "{a:?} {b:?}");
                }
            }
        }
        assert!(broadcast_shape(&[&[2], &[3]]).is_err());
        assert_eq!(broadcast_shape(&[&[0], &[1]]).unwrap(), [0]);
        assert!(broadcast_shape(&[&[0, 1 << 40, 1], &[0, 1, 1 << 40]]).is_err());
    }
}
