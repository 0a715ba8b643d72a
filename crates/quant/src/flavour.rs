//! The forms in which a quantized model is written, each a list of passes.
//!
//! They read nothing but the graph: QuantizeLinear and DequantizeLinear around layers, whoever put them there.

use crate::passes::{
    CarryThrough, ClipIntegers, DropClippedActivations, ExpandWeights, FloatConstants, FoldChannelFactors,
    FoldQuantizedWeights, LowerToAscend, LowerToInteger, LowerToQLinear, QuantizeAddedBias,
    RemoveRequantization, ShareConstants, SignedActivations, Trim, UnsignedActivations,
};
use crate::profile::{PROFILES, Profile};
use intact8_ir::{DType, Error, Pass, Pipeline, Result};

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
    Pipeline(match flavour {
        Flavour::Qdq => qdq(how.target),
        Flavour::QOperator => qoperator(how.target, how.contrib),
        Flavour::Integer => integer(how.target),
        Flavour::Ascend => ascend(how.short_scales),
    })
}

fn qdq(target: &'static Profile) -> Vec<Box<dyn Pass>> {
    vec![
        Box::new(FoldQuantizedWeights),
        Box::new(FoldChannelFactors),
        Box::new(CarryThrough { operators: target.carrying }),
        Box::new(DropClippedActivations),
        // What clips less than its quantization does must not keep the layer in front from giving integers.
        Box::new(CarryThrough { operators: target.clipping }),
        Box::new(QuantizeAddedBias),
        Box::new(FloatConstants { dtypes: if target.integer_bias { &[] } else { &[DType::I32] } }),
        signs(target),
        Box::new(ClipIntegers),
        Box::new(ExpandWeights { target }),
        Box::new(ShareConstants),
        Box::new(Trim),
    ]
}

fn qoperator(target: &'static Profile, contrib: bool) -> Vec<Box<dyn Pass>> {
    vec![
        Box::new(FoldQuantizedWeights),
        Box::new(FoldChannelFactors),
        Box::new(CarryThrough { operators: target.carrying }),
        Box::new(DropClippedActivations),
        Box::new(CarryThrough { operators: target.clipping }),
        signs(target),
        Box::new(ClipIntegers),
        Box::new(LowerToQLinear { contrib }),
        Box::new(LowerToInteger),
        Box::new(RemoveRequantization),
        Box::new(ExpandWeights { target }),
        Box::new(ShareConstants),
        Box::new(Trim),
    ]
}

fn integer(target: &'static Profile) -> Vec<Box<dyn Pass>> {
    vec![
        Box::new(FoldQuantizedWeights),
        Box::new(FoldChannelFactors),
        Box::new(DropClippedActivations),
        signs(target),
        Box::new(LowerToInteger),
        Box::new(RemoveRequantization),
        Box::new(ExpandWeights { target }),
        Box::new(ShareConstants),
        Box::new(Trim),
    ]
}

fn ascend(short_scales: bool) -> Vec<Box<dyn Pass>> {
    vec![
        Box::new(FoldQuantizedWeights),
        Box::new(DropClippedActivations),
        Box::new(SignedActivations),
        Box::new(LowerToAscend { short_scales }),
        // The compiler knows no DequantizeLinear.
        Box::new(FloatConstants { dtypes: &[DType::I8, DType::U8, DType::I16, DType::I32] }),
        Box::new(ShareConstants),
        Box::new(Trim),
    ]
}

/// What makes activations unsigned, or signed.
fn signs(target: &Profile) -> Box<dyn Pass> {
    if target.unsigned { Box::new(UnsignedActivations) } else { Box::new(SignedActivations) }
}
