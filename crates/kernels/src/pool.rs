//! Maximum and average pooling over one to three spatial dimensions, plane by plane.
//!
//! The caller passes the size of the output, and so chooses between rounding up and down.
//! Pooling over whole planes is faster as a reduction.

mod reference;

use crate::error::{Result, expect_len};
use crate::loops::{LoopKernel, best};
use crate::sliding::{Combine, Plane, slide};
use crate::window::{Window, expect_positive, spatial};

/// The sizes of a pool with one to three spatial dimensions; all lists have one entry for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Images times channels.
    pub planes: usize,
    /// Spatial sizes of the input.
    pub input: Vec<usize>,
    /// Spatial sizes of the output.
    pub output: Vec<usize>,
    /// Spatial sizes of the window.
    pub kernel: Vec<usize>,
    /// Steps of the window, at least 1.
    pub strides: Vec<usize>,
    /// Distances between the taps of the window, at least 1.
    pub dilations: Vec<usize>,
    /// Padding before the input.
    pub pads_begin: Vec<usize>,
    /// Padding after the input; affects only averages that include it.
    pub pads_end: Vec<usize>,
}

/// The divisor of an average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divisor {
    /// The number of taps on the input, without those on padding.
    Inside,
    /// The number of taps on the input and on the padding, without those outside of the padding.
    InsideAndPadding,
}

/// An element type of maximum pooling.
pub trait Ordered: Copy + Default + PartialOrd + Send + Sync {
    /// The smallest value of the type.
    const LOWEST: Self;
}

impl Ordered for f32 {
    const LOWEST: f32 = f32::NEG_INFINITY;
}

impl Ordered for f64 {
    const LOWEST: f64 = f64::NEG_INFINITY;
}

impl Ordered for i8 {
    const LOWEST: i8 = i8::MIN;
}

impl Ordered for u8 {
    const LOWEST: u8 = u8::MIN;
}

/// Maximum pooling with the best kernel; see [`LoopKernel::max_pool`].
///
/// # Errors
/// As [`LoopKernel::max_pool`].
pub fn max_pool<T: Ordered>(shape: &PoolShape, input: &[T], output: &mut [T]) -> Result<()> {
    best().max_pool(shape, input, output)
}

/// Average pooling with the best kernel; see [`LoopKernel::average_pool`].
///
/// # Errors
/// As [`LoopKernel::average_pool`].
pub fn average_pool(shape: &PoolShape, divisor: Divisor, input: &[f32], output: &mut [f32]) -> Result<()> {
    best().average_pool(shape, divisor, input, output)
}

/// Maximum pooling that also returns the index of each maximum in its plane, the first one of equals; -1 for a window
/// that covers only padding.
///
/// # Errors
/// As [`LoopKernel::max_pool`].
pub fn max_pool_with_indices<T: Ordered>(
    shape: &PoolShape,
    input: &[T],
    output: &mut [T],
    indices: &mut [i64],
) -> Result<()> {
    let window = shape.window(input.len(), output.len())?;
    expect_len("the indices", indices.len(), output.len())?;
    reference::max_pool_with_indices(&window, input, output, indices);
    Ok(())
}

impl LoopKernel {
    /// The largest element under the window, ignoring NaN; [`LOWEST`](Ordered::LOWEST) if there is none.
    ///
    /// # Errors
    /// If a list has another length than `input`, a size that must be positive is not,
    /// or the length of a slice does not match the shape.
    pub fn max_pool<T: Ordered>(&self, shape: &PoolShape, input: &[T], output: &mut [T]) -> Result<()> {
        let window = shape.window(input.len(), output.len())?;
        match self.isa {
            Some(isa) if is_sliding_faster(&window) => {
                let weights = vec![T::LOWEST; window.taps()];
                let planes = planes(&window, input, &weights, T::LOWEST, output);
                slide(isa, window, Largest(std::marker::PhantomData), T::LOWEST, planes);
            }
            _ => reference::max_pool(&window, input, output),
        }
        Ok(())
    }

    /// The sum of the elements under the window, in order, divided by their number; 0 if there are none.
    ///
    /// # Errors
    /// As [`max_pool`](Self::max_pool).
    pub fn average_pool(
        &self,
        shape: &PoolShape,
        divisor: Divisor,
        input: &[f32],
        output: &mut [f32],
    ) -> Result<()> {
        let window = shape.window(input.len(), output.len())?;
        match self.isa {
            Some(isa) if is_sliding_faster(&window) => {
                let weights = vec![0.0; window.taps()];
                slide(isa, window, Sum, 0.0, planes(&window, input, &weights, 0.0, output));
            }
            _ => reference::sum_pool(&window, input, output),
        }
        let counts = shape.counts(&window, divisor);
        for plane in output.chunks_exact_mut(window.output_len().max(1)) {
            plane.iter_mut().zip(&counts).for_each(|(sum, count)| *sum /= count);
        }
        Ok(())
    }
}

/// Whether copying into sheets is faster: a window with the width of the input is faster without.
fn is_sliding_faster(window: &Window) -> bool {
    window.output[2] >= 4 && window.input_len() > 0
}

fn planes<'a, C: Combine<Sum = T, Value = T>, T>(
    window: &Window,
    input: &'a [T],
    weights: &'a [T],
    start: T,
    output: &'a mut [T],
) -> Vec<Plane<'a, C>>
where
    T: Copy,
{
    let planes = input.chunks_exact(window.input_len()).zip(output.chunks_exact_mut(window.output_len()));
    planes.map(|(input, output)| Plane { input, weights, start, output }).collect()
}

/// The maximum, ignoring NaN.
#[derive(Clone, Copy)]
struct Largest<T>(std::marker::PhantomData<T>);

impl<T: Ordered> Combine for Largest<T> {
    type Value = T;
    type Sum = T;

    #[inline(always)]
    fn combine(self, _fused: bool, sum: T, value: T, _weight: T) -> T {
        if value > sum { value } else { sum }
    }
}

/// The sum.
#[derive(Clone, Copy)]
struct Sum;

impl Combine for Sum {
    type Value = f32;
    type Sum = f32;

    #[inline(always)]
    fn combine(self, _fused: bool, sum: f32, value: f32, _weight: f32) -> f32 {
        sum + value
    }
}

impl PoolShape {
    /// The sizes in the form that the kernels use; checks the numbers of elements too.
    pub(crate) fn window(&self, input_len: usize, output_len: usize) -> Result<Window> {
        let rank = self.input.len();
        let window = Window {
            input: spatial("the input", &self.input, rank, 1)?,
            output: spatial("the output", &self.output, rank, 1)?,
            kernel: spatial("the kernel", &self.kernel, rank, 1)?,
            strides: spatial("the strides", &self.strides, rank, 1)?,
            dilations: spatial("the dilations", &self.dilations, rank, 1)?,
            pads_begin: spatial("the pads before", &self.pads_begin, rank, 0)?,
        };
        spatial("the pads after", &self.pads_end, rank, 0)?;
        expect_positive("kernel sizes", window.kernel)?;
        expect_positive("strides", window.strides)?;
        expect_positive("dilations", window.dilations)?;
        window.check_reach()?;
        expect_len("the input", input_len, self.planes.saturating_mul(window.input_len()))?;
        expect_len("the output", output_len, self.planes.saturating_mul(window.output_len()))?;
        Ok(window)
    }

    /// The divisor for each output of a plane.
    pub(crate) fn counts(&self, window: &Window, divisor: Divisor) -> Vec<f32> {
        let mut pads_end = [0; 3];
        pads_end[3 - self.pads_end.len()..].copy_from_slice(&self.pads_end);
        let count = |axis: usize, output: usize| {
            let taps = (0..window.kernel[axis]).filter(|tap| match divisor {
                Divisor::Inside => window.source(axis, output, *tap).is_some(),
                Divisor::InsideAndPadding => {
                    let padded = output * window.strides[axis] + tap * window.dilations[axis];
                    padded < (window.input[axis] + window.pads_begin[axis]).saturating_add(pads_end[axis])
                }
            });
            taps.count()
        };
        // If no tap counts, the sum is 0, and so is the average.
        let counts =
            window.outputs().map(|[d, h, w]| (count(0, d) * count(1, h) * count(2, w)).max(1) as f32);
        counts.collect()
    }
}
