//! The forms in which a quantized model is written, each a list of passes.
//!
//! They read nothing but the graph: QuantizeLinear and DequantizeLinear around layers, whoever put them there.

use crate::passes::{
    CarryThrough, DropClippedActivations, ExpandWeights, FloatConstants, FoldChannelFactors,
    FoldQuantizedWeights, LowerToAscend, LowerToInteger, LowerToQLinear, RemoveRequantization,
    SignedActivations, UnsignedActivations,
};
use crate::profile::{PROFILES, Profile};
use quantfit_ir::{DType, Error, Pass, Pipeline, Result};

/// A form of quantized models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flavour {
    /// QuantizeLinear and DequantizeLinear around float operators, with integer weights.
    Qdq,
    /// QLinearConv and QLinearMatMul: integers from layer to layer.
    QOperator,
    /// ConvInteger and MatMulInteger: integers inside each layer.
    Integer,
    /// The deploy form of Huawei's AMCT, for the compiler of Ascend processors.
    Ascend,
}

impl Flavour {
    /// Every form, the default first.
    pub const ALL: &[Flavour] = &[Flavour::Qdq, Flavour::QOperator, Flavour::Integer, Flavour::Ascend];

    /// The name that `--deploy` takes.
    pub fn name(self) -> &'static str {
        match self {
            Flavour::Qdq => "qdq",
            Flavour::QOperator => "qoperator",
            Flavour::Integer => "integer",
            Flavour::Ascend => "ascend",
        }
    }

    /// The form of that name.
    pub fn named(name: &str) -> Result<Flavour> {
        Flavour::ALL.iter().copied().find(|flavour| flavour.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Flavour::ALL.iter().map(|flavour| flavour.name()).collect();
            Error::invalid_config(format!(
                "there is no deploy form {name:?}; use one of {}",
                names.join(", ")
            ))
        })
    }
}

/// How models are made for a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emission {
    /// What they are to run on.
    pub target: &'static Profile,
    /// Whether [`Flavour::QOperator`] may use operators of ONNX Runtime's own, in the domain `com.microsoft`.
    pub contrib: bool,
    /// Whether [`Flavour::Ascend`] keeps only the 19 bits of a scale that the device keeps.
    pub short_scales: bool,
}

impl Default for Emission {
    fn default() -> Emission {
        Emission { target: &PROFILES[0], contrib: false, short_scales: false }
    }
}

/// Makes the model that runs on a target of one that simulates quantization.
pub fn emit(flavour: Flavour, how: &Emission) -> Pipeline<'static> {
    let &Emission { target, contrib, short_scales } = how;
    let mut passes: Vec<Box<dyn Pass>> = vec![Box::new(FoldQuantizedWeights)];
    if flavour == Flavour::Ascend {
        passes.push(Box::new(DropClippedActivations));
        passes.push(Box::new(SignedActivations));
        passes.push(Box::new(LowerToAscend { short_scales }));
        passes.push(Box::new(FloatConstants { dtypes: &[DType::I8, DType::U8, DType::I16, DType::I32] }));
        return Pipeline(passes);
    }
    passes.push(Box::new(FoldChannelFactors));
    if flavour != Flavour::Integer {
        passes.push(Box::new(CarryThrough { operators: target.carrying }));
    }
    passes.push(Box::new(DropClippedActivations));
    if target.unsigned {
        passes.push(Box::new(UnsignedActivations));
    }
    match flavour {
        Flavour::Qdq if !target.integer_bias => {
            passes.push(Box::new(FloatConstants { dtypes: &[DType::I32] }))
        }
        Flavour::QOperator => passes.push(Box::new(LowerToQLinear { contrib })),
        _ => {}
    }
    if flavour != Flavour::Qdq {
        passes.push(Box::new(LowerToInteger));
        passes.push(Box::new(RemoveRequantization));
    }
    passes.push(Box::new(ExpandWeights { target }));
    Pipeline(passes)
}
