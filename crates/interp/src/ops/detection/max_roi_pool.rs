//! MaxRoiPool: the largest element of every bin of a region; the borders of regions and bins are integers.

use crate::call::Call;
use crate::number::{Number, with_float};
use crate::op::{CompileContext, Kernel, Outputs, one};
use intact8_ir::{Error, Result, Tensor};

pub(super) fn max_roi_pool(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let pooled = ctx.ints("pooled_shape")?.unwrap_or_default();
    let sizes: Vec<usize> = pooled.iter().filter_map(|&size| usize::try_from(size).ok()).collect();
    let (&[height, width], 2) = (sizes.as_slice(), pooled.len()) else {
        return Err(Error::invalid_model(format!("pooled_shape must be two sizes, found {pooled:?}")));
    };
    let scale = ctx.float("spatial_scale", 1.0)?;
    Ok(Box::new(
        move |call| with_float!(call.tensor(0)?.dtype(), T => pool::<T>(call, [height, width], scale)),
    ))
}

fn pool<T: Number>(call: &Call<'_, '_>, pooled: [usize; 2], scale: f32) -> Result<Outputs> {
    let (x, rois) = (call.tensor(0)?, call.tensor(1)?);
    let (&[batch, channels, height, width], &[n_rois, 5]) = (x.shape(), rois.shape()) else {
        let message =
            format!("the input has shape {:?}, but the regions have shape {:?}", x.shape(), rois.shape());
        return Err(Error::invalid_data(message));
    };
    let shape = [n_rois, channels, pooled[0], pooled[1]];
    let mut out = call.zeros::<T>(&shape)?;
    let (x, rois) = (x.values::<T>()?, rois.values::<T>()?);
    let (plane_len, out_len) = (height * width, pooled[0] * pooled[1]);
    if out.is_empty() || plane_len == 0 {
        return one(Tensor::new(&shape, out));
    }
    for (roi, out) in rois.as_chunks::<5>().0.iter().zip(out.chunks_exact_mut(channels * out_len)) {
        let [image, left, top, right, bottom] = roi.map(Number::to_f32);
        if image < 0.0 || image as usize >= batch {
            return Err(Error::invalid_data(format!("image {image} is out of range for a batch of {batch}")));
        }
        let rows = bins(top * scale, bottom * scale, height, pooled[0]);
        let columns = bins(left * scale, right * scale, width, pooled[1]);
        let planes = x[image as usize * channels * plane_len..].chunks_exact(plane_len);
        for (plane, out) in planes.zip(out.chunks_exact_mut(out_len)) {
            let bins = rows.iter().flat_map(|rows| columns.iter().map(move |columns| (rows, columns)));
            for (out, (rows, columns)) in out.iter_mut().zip(bins) {
                let values = rows.clone().flat_map(|row| &plane[row * width..][columns.clone()]);
                *out = values.copied().reduce(|a, b| if b > a { b } else { a }).unwrap_or(T::ZERO);
            }
        }
    }
    one(Tensor::new(&shape, out))
}

/// The elements of every bin between two edges, inclusive.
fn bins(begin: f32, end: f32, len: usize, n_bins: usize) -> Vec<std::ops::Range<usize>> {
    // Halves are rounded away from zero.
    let (begin, end) = (begin.round(), end.round());
    let size = (end - begin + 1.0).max(1.0) / n_bins as f32;
    let inside = |edge: f32| (edge + begin).clamp(0.0, len as f32) as usize;
    let bin = |idx: usize| inside((idx as f32 * size).floor())..inside(((idx + 1) as f32 * size).ceil());
    (0..n_bins).map(bin).collect()
}
