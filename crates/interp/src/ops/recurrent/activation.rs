//! The activation functions of recurrent layers, each with its parameters.

use crate::number::Number;
use crate::op::CompileContext;
use crate::product::Factor;
use crate::real::Real;
use intact8_ir::{Attr, Error, Result};
use intact8_kernels::elementwise::{Unary, unary_in_place};

/// A function with its parameters `alpha` and `beta`, if it has them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Activation {
    kind: Kind,
    alpha: f32,
    beta: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Affine,
    Elu,
    HardSigmoid,
    LeakyRelu,
    Relu,
    ScaledTanh,
    Sigmoid,
    Softplus,
    Softsign,
    Tanh,
    ThresholdedRelu,
}

/// The functions by name, with the default parameters; `None` if the function lacks the parameter.
const KNOWN: &[(&str, Kind, Option<f32>, Option<f32>)] = &[
    ("Affine", Kind::Affine, Some(1.0), Some(0.0)),
    ("Elu", Kind::Elu, Some(1.0), None),
    ("HardSigmoid", Kind::HardSigmoid, Some(0.2), Some(0.5)),
    ("LeakyRelu", Kind::LeakyRelu, Some(0.01), None),
    ("Relu", Kind::Relu, None, None),
    ("ScaledTanh", Kind::ScaledTanh, Some(1.0), Some(1.0)),
    ("Sigmoid", Kind::Sigmoid, None, None),
    ("Softplus", Kind::Softplus, None, None),
    ("Softsign", Kind::Softsign, None, None),
    ("Tanh", Kind::Tanh, None, None),
    ("ThresholdedRelu", Kind::ThresholdedRelu, Some(1.0), None),
];

impl Activation {
    pub(super) const SIGMOID: Activation = Activation { kind: Kind::Sigmoid, alpha: 0.0, beta: 0.0 };
    pub(super) const TANH: Activation = Activation { kind: Kind::Tanh, alpha: 0.0, beta: 0.0 };

    /// The functions of each direction. Parameters are assigned in order to the functions that have them.
    pub(super) fn read(
        ctx: &CompileContext<'_>,
        defaults: &[Activation],
        n_directions: usize,
    ) -> Result<Vec<Vec<Activation>>> {
        let names = match ctx.op.attrs.get("activations") {
            None => return Ok(vec![defaults.to_vec(); n_directions]),
            Some(Attr::Strs(names)) => names,
            Some(_) => return Err(Error::invalid_model("activations must be strings")),
        };
        if names.len() != defaults.len() * n_directions {
            let (found, expected) = (names.len(), defaults.len() * n_directions);
            return Err(Error::invalid_model(format!("expected {expected} activations, found {found}")));
        }
        let mut alphas = ctx.op.floats("activation_alpha")?.unwrap_or_default().iter().copied();
        let mut betas = ctx.op.floats("activation_beta")?.unwrap_or_default().iter().copied();
        let functions = names.iter().map(|name| {
            let is_meant = |(known, ..): &&(&str, _, _, _)| known.as_bytes().eq_ignore_ascii_case(name);
            let &(_, kind, alpha, beta) = KNOWN.iter().find(is_meant).ok_or_else(|| {
                let name = String::from_utf8_lossy(name);
                Error::invalid_model(format!("{name:?} is not an activation of recurrent layers"))
            })?;
            let alpha = alpha.map_or(0.0, |default| alphas.next().unwrap_or(default));
            let beta = beta.map_or(0.0, |default| betas.next().unwrap_or(default));
            Ok(Activation { kind, alpha, beta })
        });
        let functions: Vec<Activation> = functions.collect::<Result<_>>()?;
        Ok(functions.chunks_exact(defaults.len()).map(<[Activation]>::to_vec).collect())
    }

    /// The definition of the function.
    fn exactly(self, x: f64) -> f64 {
        let [alpha, beta] = [self.alpha, self.beta].map(f64::from);
        match self.kind {
            Kind::Affine => alpha * x + beta,
            Kind::Elu if x < 0.0 => alpha * x.exp_m1(),
            Kind::LeakyRelu if x < 0.0 => alpha * x,
            Kind::Relu if x < 0.0 => 0.0,
            Kind::ThresholdedRelu if x < alpha => 0.0,
            Kind::Elu | Kind::LeakyRelu | Kind::Relu | Kind::ThresholdedRelu => x,
            Kind::HardSigmoid => (alpha * x + beta).clamp(0.0, 1.0),
            Kind::ScaledTanh => alpha * (beta * x).tanh(),
            Kind::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Kind::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Kind::Softsign => x / (1.0 + x.abs()),
            Kind::Tanh => x.tanh(),
        }
    }

    /// The kernel for f32.
    fn fast(self) -> Option<Unary> {
        match self.kind {
            Kind::Elu => Some(Unary::Elu { alpha: self.alpha }),
            Kind::HardSigmoid => Some(Unary::HardSigmoid { slope: self.alpha, offset: self.beta }),
            Kind::LeakyRelu => Some(Unary::LeakyRelu { slope: self.alpha }),
            Kind::Relu => Some(Unary::Relu),
            Kind::Sigmoid => Some(Unary::Sigmoid),
            Kind::Softplus => Some(Unary::Softplus),
            Kind::Tanh => Some(Unary::Tanh),
            Kind::Affine | Kind::ScaledTanh | Kind::Softsign | Kind::ThresholdedRelu => None,
        }
    }
}

/// A type of computation for recurrent layers.
pub(super) trait Gate: Real + Factor {
    /// Applies the function to each number.
    fn activate(function: Activation, values: &mut [Self]);
}

impl Gate for f32 {
    fn activate(function: Activation, values: &mut [f32]) {
        match function.fast() {
            Some(unary) => unary_in_place(unary, values),
            None => values.iter_mut().for_each(|x| *x = function.exactly(x.to_f64()) as f32),
        }
    }
}

impl Gate for f64 {
    fn activate(function: Activation, values: &mut [f64]) {
        values.iter_mut().for_each(|x| *x = function.exactly(*x));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_agree_with_the_definitions() {
        for &(name, kind, alpha, beta) in KNOWN {
            let function = Activation { kind, alpha: alpha.unwrap_or(0.0), beta: beta.unwrap_or(0.0) };
            let inputs: Vec<f32> = (-40..=40).map(|x| x as f32 / 8.0).collect();
            let mut outputs = inputs.clone();
            f32::activate(function, &mut outputs);
            for (x, y) in inputs.iter().zip(outputs) {
                let exact = function.exactly(f64::from(*x));
                assert!((f64::from(y) - exact).abs() <= 1e-6, "{name}({x}) is {y} instead of {exact}");
            }
        }
    }
}
