//! Deploy formats: how a quantized model is written for a runtime, each a list of passes.
//!
//! The passes use only the graph: QuantizeLinear and DequantizeLinear around layers, inserted by any tool.

use crate::passes::{
    CarryForward, CarryThrough, ClipIntegers, DropClippedActivations, ExpandWeights, FloatConstants,
    FoldChannelFactors, FoldQuantizedWeights, FuseBatchNorm, GatherIntegers, KeepFloatWeights, LowerToAscend,
    LowerToInteger, LowerToQLinear, PadIntegers, PoolByConv, QuantizeAddedBias, RemoveRequantization,
    SeparateProducts, ShapeOfIntegers, ShareConstants, SignedActivations, SignedWeights, SplitIntegers,
    SqueezeReduced, Trim, UnsignedActivations, WidenAddedBias,
};
use crate::profile::{PROFILES, Profile};
use intact8_ir::{DType, Error, Pass, Pipeline, Result, did_you_mean};

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
            let meant = did_you_mean(name, names.iter().copied());
            let names = names.join(", ");
            Error::invalid_config(format!("there is no deploy format {name:?}{meant}; use one of {names}"))
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
}

impl Default for Emission {
    fn default() -> Emission {
        Emission { target: &PROFILES[0], contrib: false }
    }
}

/// The passes that convert a fake-quant model to the model that runs on a target. They do not check that the target can run it;
/// [`Deployed::of`](crate::Deployed::of) does.
pub fn emit(format: DeployFormat, how: &Emission) -> Pipeline<'static> {
    let mut passes = match format {
        DeployFormat::Qdq => qdq(how.target),
        DeployFormat::QOperator => qoperator(how.target, how.contrib),
        DeployFormat::Integer => integer(how.target),
        DeployFormat::Ascend => ascend(),
    };
    if format != DeployFormat::Ascend {
        passes.extend(fixed(how.target, false));
    }
    passes.extend(stripped());
    Pipeline(passes)
}

/// The passes that make the file of a fake-quant model for a target: the same numbers, which the target's optimizer keeps.
pub fn emit_fake_quant(target: &'static Profile) -> Pipeline<'static> {
    let mut passes = vec![float_bias(target)];
    passes.extend(signs(target));
    passes.extend(apart(target));
    passes.extend(fixed(target, true));
    passes.extend(stripped());
    Pipeline(passes)
}

/// The passes that write layers so that ONNX Runtime's optimizer quantizes nothing more, and leaves a model that loads.
fn fixed(target: &'static Profile, is_fake_quant: bool) -> Vec<Box<dyn Pass>> {
    vec![
        Box::new(FuseBatchNorm),
        Box::new(CarryForward),
        Box::new(ExpandWeights { target, is_fake_quant }),
        Box::new(WidenAddedBias),
        Box::new(KeepFloatWeights { integer_bias: target.integer_bias }),
    ]
}

fn qdq(target: &'static Profile) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<Box<dyn Pass>> = vec![
        Box::new(FoldQuantizedWeights),
        Box::new(GatherIntegers),
        Box::new(FoldChannelFactors { skip: &[] }),
        Box::new(CarryThrough { operators: target.carrying }),
        Box::new(DropClippedActivations),
        // A function that clips less than its quantization must not prevent the layer before it from returning integers.
        Box::new(CarryThrough { operators: target.clipping }),
        Box::new(QuantizeAddedBias),
    ];
    passes.push(float_bias(target));
    passes.extend(signs(target));
    passes.extend(apart(target));
    if target.pools_by_convolution {
        passes.push(Box::new(PoolByConv));
    }
    passes.push(Box::new(ClipIntegers));
    passes.push(Box::new(SplitIntegers { operators: target.carrying }));
    passes.push(Box::new(ShapeOfIntegers));
    passes
}

fn qoperator(target: &'static Profile, contrib: bool) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<Box<dyn Pass>> = vec![
        Box::new(FoldQuantizedWeights),
        Box::new(GatherIntegers),
        Box::new(FoldChannelFactors { skip: &[] }),
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
    ]);
    passes
}

fn integer(target: &'static Profile) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<Box<dyn Pass>> = vec![
        Box::new(FoldQuantizedWeights),
        Box::new(GatherIntegers),
        Box::new(FoldChannelFactors { skip: &[] }),
        Box::new(DropClippedActivations),
    ];
    passes.extend(signs(target));
    passes.extend(apart(target));
    passes.extend([Box::new(LowerToInteger) as Box<dyn Pass>, Box::new(RemoveRequantization)]);
    passes
}

fn ascend() -> Vec<Box<dyn Pass>> {
    vec![
        Box::new(FoldQuantizedWeights),
        Box::new(GatherIntegers),
        Box::new(DropClippedActivations),
        Box::new(SignedActivations),
        Box::new(SignedWeights),
        Box::new(LowerToAscend),
        // The compiler knows no DequantizeLinear.
        Box::new(FloatConstants { dtypes: &[DType::I8, DType::U8, DType::I16, DType::I32] }),
    ]
}

/// The passes that remove what no file needs.
fn stripped() -> [Box<dyn Pass>; 2] {
    [Box::new(ShareConstants), Box::new(Trim)]
}

/// The pass that makes floats of a bias of 32-bit integers, where the target supports none.
fn float_bias(target: &Profile) -> Box<dyn Pass> {
    Box::new(FloatConstants { dtypes: if target.integer_bias { &[] } else { &[DType::I32] } })
}

/// The passes that keep apart what the target would fuse into something else.
fn apart(target: &Profile) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<Box<dyn Pass>> = Vec::new();
    if target.fuses_wrongly {
        passes.push(Box::new(SqueezeReduced));
        passes.push(Box::new(SeparateProducts));
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

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::{Model, verify};

    /// The fake-quant model of two products, of which the second has only its weights in integers, as a file for a target.
    fn fake_quant_file(target: &str) -> String {
        let text = "model m opset 21\n%x = input : f32[1,4,2]\n%s = const [0.5] : f32[]\n%o = const [3] : i8[]\n\
                    %q = QuantizeLinear(%x, %s, %o) : i8[1,4,2]\n%dq = DequantizeLinear(%q, %s, %o) : f32[1,4,2]\n\
                    %w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]\n%ws = const [0.5, 1.0] : f32[2]\n\
                    %wo = const splat(0) : i8[2]\n%w.q = QuantizeLinear(%w, %ws, %wo) {axis = 1}\n\
                    %w.dq = DequantizeLinear(%w.q, %ws, %wo) {axis = 1}\n\
                    %p = MatMul(%dq, %w.dq) : f32[1,4,2]\n%b = const [0.5, 1.5] : f32[2]\n%h = Add(%p, %b)\n\
                    %v = const [1.0, -2.0, 3.0, 4.0] : f32[2,2]\n%v.q = QuantizeLinear(%v, %ws, %wo) {axis = 1}\n\
                    %v.dq = DequantizeLinear(%v.q, %ws, %wo) {axis = 1}\n%y = MatMul(%h, %v.dq)\nreturn %y\n";
        let mut model: Model = text.parse().unwrap();
        emit_fake_quant(Profile::named(target).unwrap()).run(&mut model).unwrap();
        verify(&model).unwrap();
        model.to_string()
    }

    #[test]
    fn a_fake_quant_file_has_the_form_that_its_target_keeps() {
        let kept = [
            // The added bias of a product of integers, which would become a Gemm of floats.
            "= const [0.5, 1.5] : f32[1,2]",
            "%w.dq = DequantizeLinear(%w.q, %ws, %wo) {axis = 1}",
            "%p = MatMul(%dq, %w.dq)",
            // The weights of the product of floats, which would become a MatMulNBits.
            "%v.q_1 = const [2, -2, 6, 4] : i8[2,2]",
            "%v.dq.int = Cast(%v.q_1) {to = 6}",
            "%y = MatMul(%h, %v.dq.mul)",
        ];
        let zero_points = [("onnxruntime-x86", "const [131] : u8[]"), ("generic", "const [3] : i8[]")];
        for (target, zero_point) in zero_points {
            let file = fake_quant_file(target);
            for line in kept.iter().chain([&zero_point]) {
                assert!(file.contains(line), "no {line} for {target}:\n{file}");
            }
        }
    }
}
