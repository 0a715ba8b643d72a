//! What follows the sums of a convolution: a residual is added, then an activation is applied.

use crate::elementwise::Unary;
use crate::isa::Isa;
use crate::loops::{LoopKernel, best};

/// The operations on the output of a convolution, in this order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// A summand for each element, blocked like the output.
    pub residual: Option<&'a [f32]>,
    /// The activation; [`Unary::Relu`] and [`Unary::Clip`] are part of the store, others a pass over cached rows.
    pub activation: Option<Unary>,
}

/// The output with the operations on it.
pub(super) struct Output<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) residual: Option<&'a [f32]>,
    pub(super) activation: Activation,
    pub(super) batch: usize,
}

/// An activation as the kernels apply it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Activation {
    /// The bounds of the result, if that is all.
    pub(super) clamp: Option<[f32; 2]>,
    /// Any other function.
    function: Option<Unary>,
    loops: LoopKernel,
}

impl<'a> Epilogue<'a> {
    /// The output with these operations; without an instruction set the activation is that of the best.
    pub(super) fn output(self, isa: Option<Isa>, batch: usize, data: &'a mut [f32]) -> Output<'a> {
        let loops = isa.map_or(best(), |isa| LoopKernel { name: isa.name(), isa: Some(isa) });
        let clamp = match self.activation {
            Some(Unary::Relu) => Some([0.0, f32::INFINITY]),
            Some(Unary::Clip { min, max }) => Some([min, max]),
            _ => None,
        };
        let function = self.activation.filter(|_| clamp.is_none());
        Output { data, residual: self.residual, activation: Activation { clamp, function, loops }, batch }
    }
}

impl Activation {
    /// Applies the function to values that are already clamped.
    pub(super) fn apply(&self, values: &mut [f32]) {
        if let Some(function) = self.function {
            self.loops.unary_in_place(function, values);
        }
    }

    /// Clamps the values, or applies the function.
    pub(super) fn clamp_and_apply(&self, values: &mut [f32]) {
        if let Some([min, max]) = self.clamp {
            self.loops.unary_in_place(Unary::Clip { min, max }, values);
        }
        self.apply(values);
    }
}
