//! Float tensors of every width: what is computed for f32 and f64 serves halves too, which are computed in f32 and
//! rounded once.

use crate::call::Call;
use crate::number::{Number, unexpected};
use crate::op::{Outputs, one};
use intact8_ir::{DType, Result, bf16, f16};

/// How many elements are computed at a time where more memory than the result's is needed for them: enough to be worth
/// several threads, and little to hold.
pub(crate) const PIECE: usize = 1 << 18;

/// The float tensor in the first slot, changed in place: by `single` if it is of f32, element by element by `double` if
/// it is of f64. Halves pass through `single` in pieces.
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

/// Every element replaced by a function of it.
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
