//! The names of the operators in ONNX's own domain, `ai.onnx`. This file does not define their meaning.

/// Whether ONNX's own domain has an operator of that name in some version; deprecated operators count. The names of a few
/// operators that other tools write into that domain count, too.
pub fn is_onnx_operator(name: &str) -> bool {
    [OPERATORS, EXPERIMENTAL, FOREIGN].iter().any(|names| names.binary_search(&name).is_ok())
}

/// The operator of ONNX's own domain that is likely to be meant by a name that it does not have: the same but for case, or for
/// at most two edits. Other names are operators that exporters have left in that domain, and no misspellings.
pub(crate) fn meant_onnx_operator(name: &str) -> Option<&'static str> {
    const MOST_EDITS: usize = 2;
    let lower = name.to_lowercase();
    let edits = |other: &'static str| {
        let is_near = other.len().abs_diff(name.len()) <= MOST_EDITS;
        let n_edits = is_near.then(|| strsim::damerau_levenshtein(&lower, &other.to_lowercase()))?;
        // Of short names two edits leave nothing.
        (2 * n_edits < name.len() && n_edits <= MOST_EDITS).then_some((n_edits, other))
    };
    let nearest = OPERATORS.iter().filter_map(|other| edits(other)).min_by_key(|(n_edits, _)| *n_edits);
    nearest.map(|(_, other)| other)
}

/// The operators of versions 1 to 28, deprecated ones included.
#[rustfmt::skip]
const OPERATORS: &[&str] = &[
    "Abs", "Acos", "Acosh", "Add", "AffineGrid", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan",
    "Atanh", "Attention", "AveragePool", "BatchNormalization", "Bernoulli", "BitCast", "BitShift",
    "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "BlackmanWindow", "Cast", "CastLike",
    "CausalConvWithState", "Ceil", "Celu", "CenterCropPad", "Clip", "Col2Im", "Compress", "Concat",
    "ConcatFromSequence", "Constant", "ConstantOfShape", "Conv", "ConvInteger", "ConvTranspose", "Cos",
    "Cosh", "CumProd", "CumSum", "DFT", "DeformConv", "DepthToSpace", "DequantizeLinear", "Det", "Div",
    "Dropout", "DynamicQuantizeLinear", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike",
    "Flatten", "Floor", "GRU", "Gather", "GatherElements", "GatherND", "Gelu", "Gemm", "GlobalAveragePool",
    "GlobalLpPool", "GlobalMaxPool", "Greater", "GreaterOrEqual", "GridSample", "GroupNormalization",
    "HammingWindow", "HannWindow", "HardSigmoid", "HardSwish", "Hardmax", "Identity", "If", "ImageDecoder",
    "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LSTM", "LayerNormalization", "LeakyRelu", "Less",
    "LessOrEqual", "LinearAttention", "Log", "LogSoftmax", "Loop", "LpNormalization", "LpPool", "MatMul",
    "MatMulInteger", "Max", "MaxPool", "MaxRoiPool", "MaxUnpool", "Mean", "MeanVarianceNormalization",
    "MelWeightMatrix", "Min", "Mish", "Mod", "Mul", "Multinomial", "Neg", "NegativeLogLikelihoodLoss",
    "NonMaxSuppression", "NonZero", "Not", "OneHot", "Optional", "OptionalGetElement", "OptionalHasElement",
    "Or", "PRelu", "Pad", "Pow", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "RMSNormalization",
    "RNN", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Range", "Reciprocal",
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare", "RegexFullMatch", "Relu", "Reshape", "Resize",
    "ReverseSequence", "RoiAlign", "RotaryEmbedding", "Round", "STFT", "Scan", "Scatter", "ScatterElements",
    "ScatterND", "Selu", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase",
    "SequenceInsert", "SequenceLength", "SequenceMap", "Shape", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh",
    "Size", "Slice", "Softmax", "SoftmaxCrossEntropyLoss", "Softplus", "Softsign", "SpaceToDepth", "Split",
    "SplitToSequence", "Sqrt", "Squeeze", "StringConcat", "StringNormalizer", "StringSplit", "Sub", "Sum",
    "SwiGLU", "Swish", "Tan", "Tanh", "TensorScatter", "TfIdfVectorizer", "ThresholdedRelu", "Tile", "TopK",
    "Transpose", "Trilu", "Unique", "Unsqueeze", "Upsample", "Where", "Xor",
];

/// Experimental operators of early releases, which some files still hold.
#[rustfmt::skip]
const EXPERIMENTAL: &[&str] = &[
    "ATen", "Affine", "ConstantFill", "Crop", "DynamicSlice", "GRUUnit", "GivenTensorFill", "ImageScaler",
    "LoopIndexTensor", "ParametricSoftplus", "Scale", "ScaledTanh",
];

/// Operators that other tools write into ONNX's own domain: AMCT its deploy operators, ONNX Runtime a normalization.
#[rustfmt::skip]
const FOREIGN: &[&str] = &[
    "AscendAntiQuant", "AscendDequant", "AscendQuant", "AscendWeightQuant", "SimplifiedLayerNormalization",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_for_the_search() {
        for names in [OPERATORS, EXPERIMENTAL, FOREIGN] {
            assert!(names.is_sorted_by(|a, b| a < b));
        }
        assert!(is_onnx_operator("Conv") && is_onnx_operator("Xor") && is_onnx_operator("Abs"));
    }

    #[test]
    fn misspellings_are_told_from_foreign_operators() {
        for (misspelt, meant) in
            [("Conw", "Conv"), ("RELU", "Relu"), ("Matmul", "MatMul"), ("Soft_max", "Softmax")]
        {
            assert!(!is_onnx_operator(misspelt));
            assert_eq!(meant_onnx_operator(misspelt), Some(meant));
        }
        for foreign in ["EfficientNMS_TRT", "Plugin", "prim", "X", ""] {
            assert_eq!(meant_onnx_operator(foreign), None, "{foreign}");
        }
    }
}
