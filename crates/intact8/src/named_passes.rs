//! The passes that need neither a configuration nor a record, by name. Options of a pass are those of a default run for the
//! default target.

use intact8_infer::InferShapes;
use intact8_interp::FoldConstants;
use intact8_ir::{DType, Error, Pass, Result};
use intact8_quant::deploy::PROFILES;
use intact8_quant::passes::{
    CarryForward, CarryThrough, ClipIntegers, ComputeInF32, DropClippedActivations, EqualizeAcrossLayers,
    ExpandWeights, FloatConstants, FoldBatchNorm, FoldChannelFactors, FoldPads, FoldQuantizedWeights,
    FoldScaleShift, FoldShifts, FuseBatchNorm, GatherIntegers, KeepFloatWeights, LowerBatchNorm,
    LowerToAscend, LowerToInteger, LowerToQLinear, NameNodes, PadIntegers, PoolByConv, QuantizeAddedBias,
    RaiseOpset, ReadAscend, RemoveNoOps, RemoveRequantization, SeparateProducts, ShapeOfIntegers,
    ShareConstants, ShiftAfterPool, SignedActivations, SignedWeights, SinkConstants, SplitIntegers,
    SqueezeReduced, Trim, Unfuse, UnsignedActivations, WidenAddedBias,
};

/// A pass that can be run by its name.
pub struct NamedPass {
    /// The name in kebab-case.
    pub name: &'static str,
    /// A short description.
    pub about: &'static str,
    make: fn() -> Box<dyn Pass>,
}

impl NamedPass {
    /// The pass.
    pub fn pass(&self) -> Box<dyn Pass> {
        (self.make)()
    }

    /// The pass with this name.
    ///
    /// # Errors
    /// If there is none; the message has the nearest name and lists all.
    pub fn named(name: &str) -> Result<&'static NamedPass> {
        NAMED_PASSES.iter().find(|pass| pass.name == name).ok_or_else(|| {
            let short: String = name.chars().take(64).collect();
            let distance = |pass: &&NamedPass| strsim::damerau_levenshtein(&short, pass.name);
            let nearest = NAMED_PASSES.iter().min_by_key(distance).map_or("", |pass| pass.name);
            let all: Vec<&str> = NAMED_PASSES.iter().map(|pass| pass.name).collect();
            Error::invalid_config(format!(
                "there is no pass {name:?}; did you mean {nearest:?}; the passes are {}",
                all.join(", ")
            ))
        })
    }
}

macro_rules! named {
    ($($name:literal $about:literal $make:expr;)*) => {
        &[$(NamedPass { name: $name, about: $about, make: || Box::new($make) },)*]
    };
}

/// Every pass that can be run by its name, in the order in which a default run has them.
pub const NAMED_PASSES: &[NamedPass] = named! {
    "name-nodes" "names every operation uniquely" NameNodes;
    "unfuse" "writes fused products as Conv, Gemm or MatMul and what follows" Unfuse;
    "fold-constants" "computes operations whose operands are all constant" FoldConstants;
    "sink-constants" "moves constants into the subgraphs that capture them" SinkConstants;
    "infer-shapes" "writes down the type of every value" InferShapes;
    "compute-in-f32" "computes networks of f16, bf16 and f64 in f32" ComputeInF32;
    "remove-no-ops" "removes operations that change nothing" RemoveNoOps;
    "fold-scale-shift" "folds Mul, Div, Add and Sub by constants into layers" FoldScaleShift { skip: &[] };
    "fold-batch-norm" "folds a BatchNormalization into the layer before it" FoldBatchNorm { skip: &[] };
    "lower-batch-norm" "replaces a BatchNormalization by the layer after it, or by Mul and Add" LowerBatchNorm { skip: &[], into_next: true };
    "fold-pads" "folds a Pad into the Conv after it" FoldPads;
    "shift-after-pool" "adds constants after a pooling instead of before it" ShiftAfterPool;
    "fold-shifts" "folds the addition of constants into the biases of the layers after it" FoldShifts { skip: &[] };
    "equalize-across-layers" "applies cross-layer equalization" EqualizeAcrossLayers;
    "raise-opset" "rewrites the model in opset 21" RaiseOpset { to: 21 };
    "fold-quantized-weights" "computes QuantizeLinear of constants" FoldQuantizedWeights;
    "gather-integers" "looks rows up in tables of integers, and scales them" GatherIntegers;
    "fold-channel-factors" "folds a Mul by positive constants into the layers before it" FoldChannelFactors { skip: &[] };
    "carry-through" "quantizes before data-moving operations what is quantized after them" CarryThrough { operators: PROFILES[0].carrying };
    "drop-clipped-activations" "removes a Relu or Clip that quantization makes unnecessary" DropClippedActivations;
    "quantize-added-bias" "stores the bias that is added to a MatMul as 32-bit integers" QuantizeAddedBias;
    "float-constants" "computes DequantizeLinear of 32-bit constants" FloatConstants { dtypes: &[DType::I32] };
    "unsigned-activations" "quantizes activations to unsigned bytes" UnsignedActivations;
    "signed-activations" "quantizes activations to signed bytes" SignedActivations;
    "signed-weights" "stores unsigned bytes before a DequantizeLinear as signed ones" SignedWeights;
    "squeeze-reduced" "puts a Squeeze between a reduction and the quantization of its result" SqueezeReduced;
    "separate-products" "quantizes between products of matrices with a third dimension" SeparateProducts;
    "pad-integers" "pads integers before an AveragePool that counts its padding" PadIntegers;
    "clip-integers" "clips integers where floats were clipped between two codings" ClipIntegers;
    "lower-to-qlinear" "computes with integers from one QuantizeLinear to the next" LowerToQLinear { contrib: false };
    "lower-to-integer" "computes layers with ConvInteger and MatMulInteger" LowerToInteger;
    "remove-requantization" "removes a DequantizeLinear and a QuantizeLinear that cancel" RemoveRequantization;
    "fuse-batch-norm" "writes a Mul and an Add of constants for each channel as one BatchNormalization" FuseBatchNorm;
    "carry-forward" "quantizes after data-moving operations what is quantized before them" CarryForward;
    "expand-weights" "writes the DequantizeLinear of weights of float layers as Casts and a Mul" ExpandWeights { target: &PROFILES[0], is_fake_quant: false };
    "widen-added-bias" "gives the floats added to a product of integers the shape [1, n]" WidenAddedBias;
    "keep-float-weights" "keeps ONNX Runtime from quantizing the weights of float layers" KeepFloatWeights { integer_bias: true };
    "lower-to-ascend" "writes quantized layers as AMCT's deploy model has them" LowerToAscend;
    "pool-by-conv" "writes an AveragePool of integers as a Conv of single channels" PoolByConv;
    "split-integers" "repeats the quantization of an activation after a Split" SplitIntegers { operators: PROFILES[0].carrying };
    "shape-of-integers" "makes Shape use integers where a value is quantized" ShapeOfIntegers;
    "share-constants" "stores a constant once that is held several times" ShareConstants;
    "trim" "removes unused nodes, types, functions and operator sets" Trim;
    "read-ascend" "writes AMCT's deploy model with operators of ONNX" ReadAscend;
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_passes() {
        for named in NAMED_PASSES {
            assert_eq!(named.pass().name(), named.name);
        }
    }
}
