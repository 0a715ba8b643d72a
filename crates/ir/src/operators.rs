//! The names of the operators in ONNX's own domain, `ai.onnx`. What they mean is not known here.

/// Whether ONNX's own domain has an operator of that name in some version, be it deprecated. The names of a few
/// operators that other tools write into that domain count, too.
pub fn is_onnx_operator(name: &str) -> bool {
    [OPERATORS, EXPERIMENTAL, FOREIGN].iter().any(|names| names.binary_search(&name).is_ok())
}

/// The operator of ONNX's own domain whose name takes the fewest edits to reach.
pub(crate) fn nearest_onnx_operator(name: &str) -> &'static str {
    // No name is that long; what is, as a hostile file has it, must not take long to compare.
    let name: String = name.chars().take(64).collect();
    let name = name.as_str();
    let distance = |other: &&&str| {
        let [lower, other_lower] = [name, other].map(str::to_lowercase);
        (strsim::damerau_levenshtein(&lower, &other_lower), strsim::damerau_levenshtein(name, other))
    };
    OPERATORS.iter().min_by_key(distance).copied().unwrap_or_default()
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

/// What other tools write into ONNX's own domain: AMCT its deploy operators, ONNX Runtime a normalization.
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
    fn misspelt_operators_have_a_nearest_one() {
        for (misspelt, meant) in
            [("Conw", "Conv"), ("RELU", "Relu"), ("Matmul", "MatMul"), ("Soft_max", "Softmax")]
        {
            assert!(!is_onnx_operator(misspelt));
            assert_eq!(nearest_onnx_operator(misspelt), meant);
        }
    }
}
