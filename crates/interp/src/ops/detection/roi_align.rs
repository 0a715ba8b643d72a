//! RoiAlign: the average of every bin of a region, from interpolated samples.

use crate::call::Call;
use crate::indices::{integers, position};
use crate::op::{CompileContext, Kernel, Outputs, one};
use crate::real::{Real, numbers, rounded, with_real};
use intact8_ir::{Error, Result};

/// The attributes.
struct Align {
    is_max: bool,
    half_pixel: bool,
    output: [usize; 2],
    /// The samples along each side of a bin; `None` means one for each element.
    n_samples: Option<usize>,
    scale: f32,
}

/// Before opset 16 regions are not shifted by half an element.
pub(super) fn roi_align(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let unknown =
        |name: &str, found: &str| Error::invalid_model(format!("{name} {found:?} is not defined by ONNX"));
    let size = |name: &str, default: i64| {
        let size = usize::try_from(ctx.int(name, default)?).ok().filter(|&size| size <= u32::MAX as usize);
        size.ok_or_else(|| Error::invalid_model(format!("{name} is out of range")))
    };
    let is_max = match ctx.str("mode", "avg")? {
        "avg" => false,
        "max" => true,
        other => return Err(unknown("mode", other)),
    };
    let half_pixel = match ctx.str("coordinate_transformation_mode", "half_pixel")? {
        _ if ctx.opset < 16 => false,
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => return Err(unknown("coordinate_transformation_mode", other)),
    };
    let output = [size("output_height", 1)?, size("output_width", 1)?];
    let n_samples = Some(size("sampling_ratio", 0)?).filter(|&n| n > 0);
    let align = Align { is_max, half_pixel, output, n_samples, scale: ctx.float("spatial_scale", 1.0)? };
    Ok(Box::new(move |call| with_real!(call.tensor(0)?.dtype(), R => align.run::<R>(call))))
}

/// A sample: four elements and their weights.
type Sample<R> = [(usize, R); 4];

impl Align {
    fn run<R: Real>(&self, call: &Call<'_, '_>) -> Result<Outputs> {
        let (x, rois, images) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
        let dtype = x.dtype();
        let (&[batch, channels, height, width], &[n_rois, 4], &[n_images]) =
            (x.shape(), rois.shape(), images.shape())
        else {
            return Err(misfit(x.shape(), rois.shape(), images.shape()));
        };
        if n_rois != n_images || (n_rois > 0 && x.is_empty()) {
            return Err(misfit(x.shape(), rois.shape(), images.shape()));
        }
        let [out_height, out_width] = self.output;
        let shape = [n_rois, channels, out_height, out_width];
        let mut out = call.zeros::<R>(&shape)?;
        if out.is_empty() {
            return one(rounded(dtype, &shape, out)?);
        }
        let (x, rois, images) = (numbers::<R>(x, dtype)?, numbers::<R>(rois, dtype)?, integers(images)?);
        let regions = rois.as_chunks::<4>().0.iter().zip(images.iter());
        for ((roi, &image), out) in regions.zip(out.chunks_exact_mut(channels * out_height * out_width)) {
            let image = position(image, batch)?;
            let (samples, n_each) = self.samples(roi, height, width, call)?;
            let planes = x[image * channels * height * width..].chunks_exact(height * width);
            for (plane, out) in planes.zip(out.chunks_exact_mut(out_height * out_width)) {
                for (bin, out) in out.iter_mut().enumerate().filter(|_| n_each > 0) {
                    *out = self.pool(plane, &samples[bin * n_each..(bin + 1) * n_each]);
                }
            }
        }
        one(rounded(dtype, &shape, out)?)
    }

    /// The mean of the samples, or the largest of their weighted elements (not the largest sample).
    fn pool<R: Real>(&self, plane: &[R], samples: &[Sample<R>]) -> R {
        let weighted = |&(idx, weight): &(usize, R)| plane[idx] * weight;
        if self.is_max {
            let values = samples.iter().flatten().map(weighted);
            return values.reduce(|a, b| if b > a || b.is_nan() { b } else { a }).unwrap_or(R::ZERO);
        }
        let sum = samples.iter().fold(R::ZERO, |sum, sample| {
            let [a, b, c, d] = sample.each_ref().map(weighted);
            sum + (a + b + c + d)
        });
        sum / R::from_f64(samples.len() as f64)
    }

    /// The samples of all bins, and their number in each bin.
    fn samples<R: Real>(
        &self,
        roi: &[R; 4],
        height: usize,
        width: usize,
        call: &Call<'_, '_>,
    ) -> Result<(Vec<Sample<R>>, usize)> {
        let offset = R::from_f32(if self.half_pixel { 0.5 } else { 0.0 });
        let [left, top, right, bottom] = roi.map(|edge| edge * R::from_f32(self.scale) - offset);
        let along = |begin: R, end: R, n_bins: usize| {
            let len = end - begin;
            let len = if self.half_pixel || len >= R::ONE { len } else { R::ONE };
            let bin = len / R::from_f64(n_bins as f64);
            // The number of samples of a region that is not finite exceeds the limit.
            let n_samples = self.n_samples.unwrap_or(bin.to_f64().ceil() as usize);
            (bin, n_samples)
        };
        let [out_height, out_width] = self.output;
        let ((bin_height, n_down), (bin_width, n_across)) =
            (along(top, bottom, out_height), along(left, right, out_width));
        let n_all = call.reserve::<u64>(&[out_height, out_width, n_down, n_across, 8])? / 8;
        let sample_position = |begin: R, bin: R, idx: usize, sample: usize, n: usize| {
            let within = (R::from_f64(sample as f64) + R::from_f32(0.5)) * bin / R::from_f64(n as f64);
            begin + R::from_f64(idx as f64) * bin + within
        };
        let rows: Vec<Vec<Option<Ends<R>>>> = (0..out_height)
            .map(|bin| {
                (0..n_down).map(|i| ends(sample_position(top, bin_height, bin, i, n_down), height)).collect()
            })
            .collect();
        let columns: Vec<Vec<Option<Ends<R>>>> = (0..out_width)
            .map(|bin| {
                (0..n_across)
                    .map(|i| ends(sample_position(left, bin_width, bin, i, n_across), width))
                    .collect()
            })
            .collect();
        let mut samples = Vec::with_capacity(n_all);
        for (rows, columns) in rows.iter().flat_map(|rows| columns.iter().map(move |columns| (rows, columns)))
        {
            for (row, column) in rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column))) {
                samples.push(match (row, column) {
                    (Some([upper, lower]), Some([left, right])) => {
                        let pair = |row: &(usize, R), column: &(usize, R)| {
                            (row.0 * width + column.0, row.1 * column.1)
                        };
                        [pair(upper, left), pair(upper, right), pair(lower, left), pair(lower, right)]
                    }
                    _ => [(0, R::ZERO); 4],
                });
            }
        }
        Ok((samples, n_down * n_across))
    }
}

/// The two elements next to a position, with their weights.
type Ends<R> = [(usize, R); 2];

/// `None` if the position is more than one element outside.
fn ends<R: Real>(position: R, len: usize) -> Option<Ends<R>> {
    if !(-1.0..=len as f64).contains(&position.to_f64()) {
        return None;
    }
    let position = if position < R::ZERO { R::ZERO } else { position };
    let low = position.to_f64() as usize;
    if low + 1 >= len {
        return Some([(len - 1, R::ONE), (len - 1, R::ZERO)]);
    }
    let fraction = position - R::from_f64(low as f64);
    Some([(low, R::ONE - fraction), (low + 1, fraction)])
}

fn misfit(x: &[usize], rois: &[usize], images: &[usize]) -> Error {
    Error::invalid_data(format!(
        "an input of shape {x:?}, regions of shape {rois:?}, images of shape {images:?}"
    ))
}
