//! Pooling without a fast kernel: any number of dimensions, f64, powers, and indices of maxima.

use super::PoolSizes;
use crate::number::Number;
use crate::ops::taps::{Run, Taps};
use crate::real::Real;
use intact8_ir::Element;
use intact8_kernels::pool::Divisor;

/// The order of indices in a plane.
#[derive(Clone, Copy)]
pub(super) enum Order {
    /// Row-major: the last dimension varies fastest.
    RowMajor,
    /// Column-major: the first dimension varies fastest.
    ColumnMajor,
}

/// Calls `run` for each contiguous run of each plane, with the input and the output of the plane.
fn for_each_run<T, U>(sizes: &PoolSizes, x: &[T], out: &mut [U], mut run: impl FnMut(Run, &[T], &mut [U])) {
    let taps = Taps::new(&sizes.window, &sizes.shape.input, &sizes.shape.output);
    let [in_len, out_len] = [&sizes.shape.input, &sizes.shape.output].map(|s| s.iter().product::<usize>());
    if in_len > 0 && out_len > 0 {
        for (x, out) in x.chunks_exact(in_len).zip(out.chunks_exact_mut(out_len)) {
            taps.for_each_run(|found| run(found, x, out));
        }
    }
}

/// The sum of `f` over the elements under each window.
fn sum<R: Real>(sizes: &PoolSizes, x: &[R], out: &mut [R], f: impl Fn(R) -> R) {
    for_each_run(sizes, x, out, |run, x, out| {
        let from = x[run.source..].iter().step_by(run.step);
        out[run.target..run.target + run.len].iter_mut().zip(from).for_each(|(y, &x)| *y += f(x));
    });
}

pub(super) fn average<R: Real>(sizes: &PoolSizes, divisor: Divisor, x: &[R], out: &mut [R]) {
    sum(sizes, x, out, |x| x);
    let n_outputs = sizes.shape.output.iter().product::<usize>();
    let count_along = |axis: usize, at: usize| {
        let window = &sizes.window;
        let (begin, input) = (window.pads_begin[axis], sizes.shape.input[axis]);
        let within = match divisor {
            Divisor::Inside => begin..begin + input,
            Divisor::InsideAndPadding => 0..begin + input + window.pads_end[axis],
        };
        let first = at * window.strides[axis];
        (0..window.kernel[axis])
            .filter(|tap| within.contains(&(first + tap * window.dilations[axis])))
            .count()
    };
    let count = |mut at: usize| {
        let axes = sizes.shape.output.iter().enumerate().rev();
        let counts = axes.map(|(axis, &n)| {
            let along = count_along(axis, at % n);
            at /= n;
            along
        });
        R::from_f64(counts.product::<usize>().max(1) as f64)
    };
    let counts: Vec<R> = (0..n_outputs).map(count).collect();
    for plane in out.chunks_exact_mut(n_outputs.max(1)) {
        plane.iter_mut().zip(&counts).for_each(|(y, &count)| *y = *y / count);
    }
}

pub(super) fn lp<R: Real>(sizes: &PoolSizes, p: i32, x: &[R], out: &mut [R]) {
    match p {
        1 => sum(sizes, x, out, R::magnitude),
        2 => sum(sizes, x, out, |x| x * x),
        _ => sum(sizes, x, out, |x| x.magnitude().powf(R::from_f64(p.into()))),
    }
    out.iter_mut().for_each(|y| *y = root(p, *y));
}

/// `(Σ |x|^p)^(1/p)`
pub(super) fn lp_norm<R: Real>(p: i32, x: &[R]) -> R {
    let sum: f64 = x.iter().map(|x| x.magnitude().to_f64().powi(p)).sum();
    R::from_f64(root(p, sum))
}

fn root<R: Real>(p: i32, sum: R) -> R {
    match p {
        1 => sum,
        2 => sum.sqrt(),
        _ => sum.powf(R::ONE / R::from_f64(p.into())),
    }
}

/// Maxima, and the index of each in its plane, the first one of equals; -1 for a window that covers only padding. NaN
/// is ignored.
pub(super) fn max<T: Number>(sizes: &PoolSizes, x: &[T], out: &mut [T], indices: &mut [i64]) {
    let mut best: Vec<(T, i64)> = vec![(T::LOWEST, -1); out.len()];
    for_each_run(sizes, x, &mut best, |run, x, best| {
        for (idx, best) in best[run.target..run.target + run.len].iter_mut().enumerate() {
            let source = run.source + idx * run.step;
            let x = x[source];
            if x > best.0 || (best.1 < 0 && !x.is_nan()) {
                *best = (x, source as i64);
            }
        }
    });
    for ((out, index), best) in out.iter_mut().zip(indices).zip(best) {
        (*out, *index) = best;
    }
}

/// Converts indices in planes to indices in the whole input.
pub(super) fn globalize(sizes: &PoolSizes, order: Order, indices: &mut [i64]) {
    let (input, n_outputs) = (&sizes.shape.input, sizes.shape.output.iter().product::<usize>());
    let in_len: usize = input.iter().product();
    for (plane, indices) in indices.chunks_exact_mut(n_outputs.max(1)).enumerate() {
        for index in indices.iter_mut().filter(|index| **index >= 0) {
            let mut row_major = *index as usize;
            if let Order::ColumnMajor = order {
                let mut rest = std::mem::take(&mut row_major);
                let mut step = in_len;
                for &n in input.iter().rev() {
                    step /= n;
                    row_major += rest % n * step;
                    rest /= n;
                }
            }
            *index = (plane * in_len + row_major) as i64;
        }
    }
}

/// Copies a tensor into the start of a larger one of the same rank.
pub(super) fn embed<T: Element>(from: &[T], from_shape: &[usize], to: &mut [T], to_shape: &[usize]) {
    let (Some((_, inner)), Some((_, to_inner))) = (from_shape.split_first(), to_shape.split_first()) else {
        return to.clone_from_slice(from);
    };
    if from.is_empty() {
        return;
    }
    let [len, to_len] = [inner, to_inner].map(|shape| shape.iter().product::<usize>());
    for (from, to) in from.chunks_exact(len).zip(to.chunks_exact_mut(to_len)) {
        embed(from, inner, to, to_inner);
    }
}
