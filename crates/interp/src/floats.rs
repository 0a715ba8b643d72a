//! Functions on float tensors of every width: 16-bit floats are computed in f32 and rounded once.

use crate::call::Call;
use crate::number::{Number, unexpected};
use crate::op::{Outputs, one};
use intact8_ir::{DType, Result, bf16, f16};

/// The number of elements that are computed at a time if the computation needs temporary memory: enough for several
/// threads, and small in memory.
pub(crate) const PIECE: usize = 1 << 18;

/// Changes the float tensor in the first slot in place: f32 by `single`, f64 element by element by `double`, 16-bit
/// floats in pieces by `single`.
pub(crate) fn map_floats(
    call: &mut Call<'_, '_>,
    single: impl Fn(&mut [f32]),
    double: impl Fn(f64) -> f64,
) -> Result<Outputs> {
    let mut x = call.take(0)?;
    call.context.reserve(x.byte_size() as u64)?;
    match x.dtype() {
        DType::F32 => single(x.values_mut()?),
        DType::F64 => x.values_mut::<f64>()?.iter_mut().for_each(|x| *x = double(*x)),
        DType::F16 => in_pieces(x.values_mut::<f16>()?, single),
        DType::Bf16 => in_pieces(x.values_mut::<bf16>()?, single),
        other => return Err(unexpected(other)),
    }
    one(x)
}

/// Replaces every element by a function of it.
pub(crate) fn for_each(f: impl Fn(f32) -> f32) -> impl Fn(&mut [f32]) {
    move |values| values.iter_mut().for_each(|x| *x = f(*x))
}

fn in_pieces<T: Number>(values: &mut [T], single: impl Fn(&mut [f32])) {
    let mut wide = vec![0.0; values.len().min(PIECE)];
    for piece in values.chunks_mut(PIECE) {
        let wide = &mut wide[..piece.len()];
        wide.iter_mut().zip(&*piece).for_each(|(wide, x)| *wide = x.to_f32());
        single(wide);
        piece.iter_mut().zip(wide).for_each(|(x, wide)| *x = T::from_f32(*wide));
    }
}
