//! Multiplication of quantized bytes, with a quantized result.

use super::{Affine, COST, Quantized, ROUNDER, limited, reference};
use crate::isa::Loops;
use crate::loops::{LoopKernel, best};
use crate::parallel;

/// How the product of two quantized numbers is quantized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProductScaling<T> {
    /// The zero points of the operands.
    pub zeros: [T; 2],
    /// The product of the operands' scales, divided by the scale of the result.
    pub factor: f32,
    /// The zero point of the result.
    pub zero_point: T,
}

/// Multiplies with the best kernel; see [`LoopKernel::mul_bytes`].
pub fn mul_bytes<T: Quantized>(scaling: ProductScaling<T>, a: &[T], b: &[T], output: &mut [T]) {
    best().mul_bytes(scaling, a, b, output);
}

impl LoopKernel {
    /// `output = saturate(round_half_even(((a - a_zero) · (b - b_zero)) as f32 · factor) + zero_point)` for integers of
    /// at most 8 bits; `b` is repeated if it is shorter, as the factors of channels in channels-last order are.
    ///
    /// # Panics
    /// If `a` and the output differ in length, or `b` does not divide them.
    pub fn mul_bytes<T: Quantized>(&self, scaling: ProductScaling<T>, a: &[T], b: &[T], output: &mut [T]) {
        assert_eq!(a.len(), output.len(), "operand and output differ in length");
        if a.is_empty() {
            return;
        }
        assert!(
            !b.is_empty() && a.len().is_multiple_of(b.len()),
            "the second operand does not divide the first"
        );
        let is_repeated = b.len() < a.len();
        parallel::for_each_rows(COST, if is_repeated { b.len() } else { 1 }, output, |range, output| {
            let a = &a[range.clone()];
            let b = if is_repeated { b } else { &b[range] };
            match self.isa {
                Some(isa) => isa.run(MulBytes { scaling, a, b, output }),
                None => reference::mul_bytes(scaling, a, b, output),
            }
        });
    }
}

struct MulBytes<'a, T> {
    scaling: ProductScaling<T>,
    a: &'a [T],
    b: &'a [T],
    output: &'a mut [T],
}

impl<T: Quantized> Loops for MulBytes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let ProductScaling { zeros, factor, zero_point } = self.scaling;
        let [a_zero, b_zero] = zeros.map(T::to_i32);
        let affine = Affine::of(1.0, zero_point);
        let (low, high) = affine.bounds();
        let offset = affine.zero_point.wrapping_sub(ROUNDER.to_bits() as i32);
        let rows = self.a.chunks(self.b.len()).zip(self.output.chunks_mut(self.b.len()));
        for (a, output) in rows {
            for ((a, b), q) in a.iter().zip(self.b).zip(output) {
                let product = (a.to_i32() - a_zero) * (b.to_i32() - b_zero);
                let steps = limited(product as f32 * factor, low, high);
                *q = T::from_i32((steps.to_bits() as i32).wrapping_add(offset));
            }
        }
    }
}
