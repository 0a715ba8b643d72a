//! Unique: the distinct elements, or distinct slices along an axis.

use crate::axes::{self, Along};
use crate::blocks::Blocks;
use crate::number::{Number, by_value};
use crate::op::{CompileContext, Kernel, Outputs};
use crate::stand_in::widened;
use intact8_ir::{Complex, DType, Element, Result, Tensor, with_element};
use std::cmp::Ordering;

/// The types with an order.
pub(super) const TYPES: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::Bf16,
    DType::I8,
    DType::U8,
    DType::I16,
    DType::U16,
    DType::I32,
    DType::U32,
    DType::I64,
    DType::U64,
    DType::Bool,
    DType::Str,
    DType::C64,
    DType::C128,
];

/// Outputs are the distinct elements, the first index of each, the index of the distinct element for each element, and
/// counts.
pub(super) fn unique(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (axis, sorted) = (ctx.op.int("axis")?, ctx.flag("sorted", true)?);
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let (x, axis) = match axis {
            Some(axis) => (x.clone(), axes::axis(axis, x.shape().len())?),
            None => (x.reshaped(&[x.len()]).expect("the number of elements is the same"), 0),
        };
        let along = Along::of(x.shape(), axis);
        call.reserve::<[usize; 4]>(&[along.len])?;
        let wide = widened(&x, call)?;
        let groups = with_element!(wide.dtype(), [F32 F64 I32 I64 U64 Bool Str C64 C128],
            T => groups(along, wide.values::<T>()?), other => return Err(crate::number::unexpected(other)));
        let Groups { mut firsts, mut of, mut counts } = groups;
        if !sorted {
            let mut order: Vec<usize> = (0..firsts.len()).collect();
            order.sort_unstable_by_key(|&group| firsts[group]);
            let mut renamed = vec![0; order.len()];
            order.iter().enumerate().for_each(|(new, &old)| renamed[old] = new);
            (firsts, counts) = order.iter().map(|&old| (firsts[old], counts[old])).unzip();
            of.iter_mut().for_each(|group| *group = renamed[*group]);
        }
        let starts: Vec<usize> = firsts.iter().map(|first| first * along.inner).collect();
        let mut shape = x.shape().to_vec();
        shape[axis] = firsts.len();
        let Along { outer, len, inner } = along;
        let differing =
            Blocks { outer, outer_step: len * inner, starts: &starts, len: inner }.read(&x, &shape, call)?;
        let list =
            |list: Vec<usize>| Tensor::new(&[list.len()], list.into_iter().map(|n| n as i64).collect());
        Ok(Outputs::from_iter([differing, list(firsts), list(of), list(counts)].map(Into::into)))
    }))
}

/// Groups of equal slices, in ascending order.
struct Groups {
    /// The first slice of each group.
    firsts: Vec<usize>,
    /// The group of each slice.
    of: Vec<usize>,
    counts: Vec<usize>,
}

fn groups<T: Ordered>(along: Along, values: &[T]) -> Groups {
    let Along { outer, len, inner } = along;
    let slice = |at: usize| {
        let rows = (0..if inner == 0 { 0 } else { outer }).map(move |row| (row * len + at) * inner);
        rows.flat_map(|start| &values[start..start + inner])
    };
    let order = |&a: &usize, &b: &usize| {
        let mut pairs = slice(a).zip(slice(b)).map(|(a, b)| a.order(b));
        pairs.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    };
    let mut slices: Vec<usize> = (0..len).collect();
    // Stable, so that the first slice of each group is the first in the tensor.
    sort(&mut slices, &order);
    let mut groups = Groups { firsts: vec![], of: vec![0; len], counts: vec![] };
    for (idx, &slice_idx) in slices.iter().enumerate() {
        match groups.counts.last_mut() {
            Some(count) if order(&slices[idx - 1], &slice_idx).is_eq() => *count += 1,
            _ => {
                groups.firsts.push(slice_idx);
                groups.counts.push(1);
            }
        }
        groups.of[slice_idx] = groups.firsts.len() - 1;
    }
    groups
}

/// Sorting is compiled once instead of for every element type.
fn sort(slices: &mut [usize], order: &dyn Fn(&usize, &usize) -> Ordering) {
    slices.sort_by(order);
}

/// A type that can be sorted. NaN is larger than all numbers and equal to itself.
trait Ordered: Element {
    fn order(&self, other: &Self) -> Ordering;
}

macro_rules! ordered {
    ($($ty:ty: $order:expr;)*) => {
        $(impl Ordered for $ty {
            fn order(&self, other: &Self) -> Ordering { $order(self, other) }
        })*
    };
}

ordered! {
    f32: by_value; f64: by_value; i32: Ord::cmp; i64: Ord::cmp; u64: Ord::cmp;
    bool: Ord::cmp; String: Ord::cmp;
    Complex<f32>: by_parts; Complex<f64>: by_parts;
}

fn by_parts<T: Number>(a: &Complex<T>, b: &Complex<T>) -> Ordering {
    by_value(&a.re, &b.re).then(by_value(&a.im, &b.im))
}
