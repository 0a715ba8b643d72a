//! Deploy formats: how a quantized model is written for a runtime, each a list of passes.
//!
//! The passes use only the graph: QuantizeLinear and DequantizeLinear around layers, inserted by any tool.

use crate::passes::{
    CarryThrough, ClipIntegers, DropClippedActivations, ExpandWeights, FloatConstants, FoldChannelFactors,
    FoldQuantizedWeights, LowerToAscend, LowerToInteger, LowerToQLinear, PadIntegers, QuantizeAddedBias,
    RemoveRequantization, ShareConstants, SignedActivations, SignedWeights, SqueezeReduced, Trim,
    UnsignedActivations,
};
use crate::profile::{PROFILES, Profile};
use intact8_ir::{DType, Error, Pass, Pipeline, Result};

/// The operators in which a quantized model is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeployFormat {
    /// QuantizeLinear and DequantizeLinear around float operators, with integer weights.
    Qdq,
    /// QLinearConv and QLinearMatMul: integers from layer to layer.
    QOperator,
    /// ConvInteger and MatMulInteger: integers inside each layer.
    Integer,
    /// The deploy model of Huawei's AMCT, for the compiler of Ascend processors.
    Ascend,
}

impl DeployFormat {
    /// Every format, the default first.
    pub const ALL: &[DeployFormat] =
        &[DeployFormat::Qdq, DeployFormat::QOperator, DeployFormat::Integer, DeployFormat::Ascend];

    /// The name, which is a value of `--deploy`.
    pub fn name(self) -> &'static str {
        match self {
            DeployFormat::Qdq => "qdq",
            DeployFormat::QOperator => "qoperator",
            DeployFormat::Integer => "integer",
            DeployFormat::Ascend => "ascend",
        }
    }

    /// The format of that name. An error if there is none.
    pub fn named(name: &str) -> Result<DeployFormat> {
        DeployFormat::ALL.iter().copied().find(|format| format.name() == name).ok_or_else(|| {
            let names: Vec<&str> = DeployFormat::ALL.iter().map(|format| format.name()).collect();
            Error::invalid_config(format!(
                "there is no deploy format {name:?}; use one of {}",
                names.join(", ")
            ))
        })
    }
}

/// The options of deploy models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emission {
    /// The runtime.
    pub target: &'static Profile,
    /// Whether [`DeployFormat::QOperator`] may use operators of ONNX Runtime's own, in the domain `com.microsoft`.
    pub contrib: bool,
    /// Whether [`DeployFormat::Ascend`] keeps only the 19 bits of a scale that the device keeps.
    pub short_scales: bool,
}

impl Default for Emission {
    fn default() -> Emission {
        Emission { target: &PROFILES[0], contrib: false, short_scales: false }
    }
}

/// The passes that convert a fake-quant model to the model that runs on a target. They do not check that the target can run it;
/// [`Deployed::of`](crate::Deployed::of) does.
pub fn emit(format: DeployFormat, how: &Emission) -> Pipeline<'static> {
    Pipeline(match format {
        DeployFormat::Qdq => qdq(how.target),
        DeployFormat::QOperator => qoperator(how.target, how.contrib),
        DeployFormat::Integer => integer(how.target),
        DeployFormat::Ascend => ascend(how.short_scales),
    })
}

fn qdq(target: &'static Profile) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<Box<dyn Pass>> = vec![
        Box::new(FoldQuantizedWeights),
        Box::new(FoldChannelFactors),
        Box::new(CarryThrough { operators: target.carrying }),
        Box::new(DropClippedActivations),
        // A function that clips less than its quantization must not prevent the layer before it from returning integers.
        Box::new(CarryThrough { operators: target.clipping }),
        Box::new(QuantizeAddedBias),
        Box::new(FloatConstants { dtypes: if target.integer_bias { &[] } else { &[DType::I32] } }),
    ];
    passes.extend(signs(target));
    passes.extend(apart(target));
    passes.extend([
        Box::new(ClipIntegers) as Box<dyn Pass>,
        Box::new(ExpandWeights { target }),
        Box::new(ShareConstants),
        Box::new(Trim),
    ]);
    passes
}

fn qoperator(target: &'static Profile, contrib: bool) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<Box<dyn Pass>> = vec![
        Box::new(FoldQuantizedWeights),
        Box::new(FoldChannelFactors),
        Box::new(CarryThrough { operators: target.carrying }),
        Box::new(DropClippedActivations),
        Box::new(CarryThrough { operators: target.clipping }),
    ];
    passes.extend(signs(target));
    passes.extend(apart(target));
    passes.extend([
        Box::new(ClipIntegers) as Box<dyn Pass>,
        Box::new(LowerToQLinear { contrib }),
        Box::new(LowerToInteger),
        Box::new(RemoveRequantization),
        Box::new(ExpandWeights { target }),
        Box::new(ShareConstants),
        Box::new(Trim),
    ]);
    passes
}

fn integer(target: &'static Profile) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<Box<dyn Pass>> =
        vec![Box::new(FoldQuantizedWeights), Box::new(FoldChannelFactors), Box::new(DropClippedActivations)];
    passes.extend(signs(target));
    passes.extend(apart(target));
    passes.extend([
        Box::new(LowerToInteger) as Box<dyn Pass>,
        Box::new(RemoveRequantization),
        Box::new(ExpandWeights { target }),
        Box::new(ShareConstants),
        Box::new(Trim),
    ]);
    passes
}

fn ascend(short_scales: bool) -> Vec<Box<dyn Pass>> {
    vec![
        Box::new(FoldQuantizedWeights),
        Box::new(DropClippedActivations),
        Box::new(SignedActivations),
        Box::new(SignedWeights),
        Box::new(LowerToAscend { short_scales }),
        // The compiler knows no DequantizeLinear.
        Box::new(FloatConstants { dtypes: &[DType::I8, DType::U8, DType::I16, DType::I32] }),
        Box::new(ShareConstants),
        Box::new(Trim),
    ]
}

/// The passes that keep apart what the target would fuse into something else.
fn apart(target: &Profile) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<Box<dyn Pass>> = Vec::new();
    if target.fuses_reductions {
        passes.push(Box::new(SqueezeReduced));
    }
    if target.moves_zero_points {
        passes.push(Box::new(PadIntegers));
    }
    passes
}

/// The passes that make activations unsigned, or activations and weights signed: signed activations by unsigned weights are
/// the one product of bytes that runtimes have no kernel for.
fn signs(target: &Profile) -> Vec<Box<dyn Pass>> {
    match target.unsigned {
        true => vec![Box::new(UnsignedActivations)],
        false => vec![Box::new(SignedActivations), Box::new(SignedWeights)],
    }
}
