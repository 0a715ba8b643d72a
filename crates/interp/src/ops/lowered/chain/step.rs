//! The steps of a chain: operators of ONNX, each with its operands, in a readable form for an attribute.

use crate::number::Number;
use crate::op::Operand;
use intact8_ir::{Attr, DType, Error, Op, Result, Tensor};
use intact8_kernels::elementwise::{Binary, Unary};
use std::fmt::{Display, Formatter};
use std::str::FromStr;

/// An operator with its operands: `LeakyRelu y0 alpha=0.1`, where `x0` is the first operand of the chain and `y0` the result of
/// its first step.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The operator; its attributes are floats.
    pub(crate) op: Op,
    pub(crate) operands: Vec<Link>,
}

/// An operand of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// The optional operand is absent.
    Absent,
    /// An operand of the chain.
    Operand(usize),
    /// The result of an earlier step.
    Step(usize),
}

/// What a step computes of f32.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Operation {
    /// A function of the first operand.
    Unary(Unary),
    /// Arithmetic of two operands.
    Binary(Binary),
    /// A power of the first operand with a constant exponent.
    Power(f32),
    /// The floats that bytes stand for.
    Dequantize(Coding),
    /// Bytes.
    Quantize(Coding),
}

/// The constant scale and zero point of all elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Coding {
    pub(crate) scale: f32,
    pub(crate) zero_point: i32,
    /// The type of the zero point, if there is one.
    pub(crate) dtype: Option<DType>,
}

impl Operation {
    /// What an operator computes; `None` if a chain can't compute it.
    pub(crate) fn of(op: &Op, operands: &[Operand<'_>]) -> Option<Operation> {
        if !op.domain.is_empty() || matches!(operands.first()?, Operand::Absent) {
            return None;
        }
        let single = |slot: usize| match *constant(operands, slot)?.values::<f32>().ok()? {
            [number] => Some(number),
            _ => None,
        };
        let is_absent = |slot: usize| matches!(operands.get(slot), None | Some(Operand::Absent));
        let is_pair = operands.len() == 2 && !is_absent(1);
        let binary = |operation| Some(Operation::Binary(operation)).filter(|_| is_pair);
        let operation = match op.name.as_str() {
            "Add" => binary(Binary::Add),
            "Div" => binary(Binary::Div),
            "Max" => binary(Binary::Max),
            "Min" => binary(Binary::Min),
            "Mul" => binary(Binary::Mul),
            "Sub" => binary(Binary::Sub),
            "Pow" => Some(Operation::Power(single(1)?)),
            "DequantizeLinear" => return Coding::of(op, operands).map(Operation::Dequantize),
            "QuantizeLinear" => return Coding::of(op, operands).map(Operation::Quantize),
            "Clip" if op.attrs.is_empty() => {
                let bound = |slot, default| if is_absent(slot) { Some(default) } else { single(slot) };
                let (min, max) = (bound(1, f32::LEAST)?, bound(2, f32::GREATEST)?);
                Some(Operation::Unary(Unary::Clip { min, max })).filter(|_| !(is_absent(1) && is_absent(2)))
            }
            _ => return function(op).filter(|_| operands.len() == 1).map(Operation::Unary),
        };
        operation.filter(|_| op.attrs.is_empty())
    }

    /// The number of operands that are data; the others are constants of the operation.
    pub(crate) fn n_data(self) -> usize {
        if matches!(self, Operation::Binary(_)) { 2 } else { 1 }
    }

    /// Whether the operator is defined for floats only.
    pub(crate) fn is_of_floats(self) -> bool {
        match self {
            Operation::Unary(function) => {
                !matches!(function, Unary::Abs | Unary::Neg | Unary::Relu | Unary::Clip { .. })
            }
            Operation::Dequantize(_) => true,
            Operation::Binary(_) | Operation::Power(_) | Operation::Quantize(_) => false,
        }
    }
}

/// A function without operands but the first.
fn function(op: &Op) -> Option<Unary> {
    let name = op.name.as_str();
    let known: &[&str] = match name {
        "Elu" | "LeakyRelu" | "Swish" => &["alpha"],
        "HardSigmoid" => &["alpha", "beta"],
        "Clip" => &["min", "max"],
        "Gelu" => &["approximate"],
        _ => &[],
    };
    if !op.attrs.keys().all(|name| known.contains(&name.as_str())) {
        return None;
    }
    let of = |name: &str, default: f32| op.float(name).ok().map(|number| number.unwrap_or(default));
    Some(match name {
        "Abs" => Unary::Abs,
        "Ceil" => Unary::Ceil,
        "Clip" => Unary::Clip { min: op.float("min").ok()??, max: op.float("max").ok()?? },
        "Elu" => Unary::Elu { alpha: of("alpha", 1.0)? },
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Floor" => Unary::Floor,
        "Gelu" if op.str("approximate").ok()?.unwrap_or("none") == "none" => Unary::Gelu,
        "HardSigmoid" => Unary::HardSigmoid { slope: of("alpha", 0.2)?, offset: of("beta", 0.5)? },
        "HardSwish" => Unary::HardSwish,
        "LeakyRelu" => Unary::LeakyRelu { slope: of("alpha", 0.01)? },
        "Log" => Unary::Log,
        "Neg" => Unary::Neg,
        "Reciprocal" => Unary::Reciprocal,
        "Relu" => Unary::Relu,
        "Round" => Unary::Round,
        "Sigmoid" => Unary::Sigmoid,
        "Softplus" => Unary::Softplus,
        "Sqrt" => Unary::Sqrt,
        "Swish" if of("alpha", 1.0)? == 1.0 => Unary::Silu,
        "Tanh" => Unary::Tanh,
        _ => return None,
    })
}

fn constant<'a>(operands: &[Operand<'a>], slot: usize) -> Option<&'a Tensor> {
    match operands.get(slot) {
        Some(Operand::Constant(tensor)) => Some(tensor),
        _ => None,
    }
}

impl Coding {
    fn of(op: &Op, operands: &[Operand<'_>]) -> Option<Coding> {
        let is_plain = |name: &str| op.int(name).is_ok_and(|value| value.is_none_or(|value| value == 0));
        if !["block_size", "output_dtype", "precision"].into_iter().all(is_plain) {
            return None;
        }
        let is_single = |tensor: &&Tensor| matches!(tensor.shape(), [] | [1]);
        let scale = *constant(operands, 1).filter(is_single)?.values::<f32>().ok()?.first()?;
        if matches!(operands.get(2), None | Some(Operand::Absent)) {
            return Some(Coding { scale, zero_point: 0, dtype: None });
        }
        let zero = constant(operands, 2).filter(is_single)?;
        let zero_point = match zero.dtype() {
            DType::I8 => i32::from(*zero.values::<i8>().ok()?.first()?),
            DType::U8 => i32::from(*zero.values::<u8>().ok()?.first()?),
            _ => return None,
        };
        Some(Coding { scale, zero_point, dtype: Some(zero.dtype()) })
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.op.name)?;
        for operand in &self.operands {
            match operand {
                Link::Absent => write!(f, " _")?,
                Link::Operand(idx) => write!(f, " x{idx}")?,
                Link::Step(idx) => write!(f, " y{idx}")?,
            }
        }
        for (name, attr) in &self.op.attrs {
            if let Attr::Float(number) = attr {
                write!(f, " {name}={number}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Step {
    type Err = Error;

    fn from_str(text: &str) -> Result<Step> {
        let wrong = || Error::invalid_model(format!("{text:?} is not a step of a chain"));
        let mut words = text.split(' ');
        let (mut op, mut operands) = (Op::new(words.next().ok_or_else(wrong)?), vec![]);
        for word in words {
            if let Some((name, number)) = word.split_once('=') {
                let number = number.parse().map_err(|_| wrong())?;
                op.attrs.insert(name.to_owned(), Attr::Float(number));
                continue;
            }
            let number = |digits: &str| digits.parse().map_err(|_| wrong());
            operands.push(match word.split_at_checked(1).ok_or_else(wrong)? {
                ("_", "") => Link::Absent,
                ("x", digits) => Link::Operand(number(digits)?),
                ("y", digits) => Link::Step(number(digits)?),
                _ => return Err(wrong()),
            });
        }
        Ok(Step { op, operands })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_are_written() {
        for text in
            ["Add x0 y12", "Clip y0 _ x1", "LeakyRelu y1 alpha=0.1", "HardSigmoid x0 alpha=1 beta=-inf"]
        {
            assert_eq!(text.parse::<Step>().unwrap().to_string(), text);
        }
        for text in ["", "Add z0", "Add x", "Add x0 y-1", "Elu x0 alpha=b", "Add x0  x1"] {
            let step = text.parse::<Step>();
            assert!(step.is_err() || text.is_empty(), "{text:?} {step:?}");
        }
    }
}
