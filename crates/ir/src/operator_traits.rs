//! The properties of operators: one table with a row for each operator, for all passes and crates.
//!
//! It lists facts of ONNX's own domain that hold for all attributes. The interpreter defines how operators
//! compute, and the profiles of runtimes list the operators that a runtime supports.

use crate::Op;

/// A property of an operator. A property that the table does not list is not relied on: passes then leave the operator
/// alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorTrait {
    /// Each element of the result is computed from the element of the first operand at the same position, and from other
    /// operands that are parameters.
    Elementwise,
    /// Each channel of the result is computed from the same channel of the first operand, and `f(a·x) = a·f(x)` for
    /// positive `a`.
    Homogeneous,
    /// Each element of the result is an element of the data operands, chosen by its position or as the greatest: so it can
    /// be computed with integers of one scale as it is with the numbers that they represent. Of Resize, that is true of
    /// the mode `nearest` alone.
    MovesData,
    /// All operands hold data, not only the first.
    AllOperandsAreData,
    /// If the first operand is a feature map, the result is one.
    PassesFeatureMap,
    /// Converts between numbers and the integers that represent them.
    Quantizes,
    /// The result is not determined by the operands.
    Random,
    /// Runs over a sequence, with a state.
    Recurrent,
}

use OperatorTrait::{
    AllOperandsAreData, Elementwise, Homogeneous, MovesData, PassesFeatureMap, Quantizes, Random, Recurrent,
};

/// The operators with properties, by name. Describing another one is adding a row.
const OPERATORS: &[(&str, &[OperatorTrait])] = &[
    ("AveragePool", &[Homogeneous]),
    ("BatchNormalization", &[PassesFeatureMap]),
    ("Bernoulli", &[Random]),
    ("Clip", &[Elementwise, PassesFeatureMap]),
    ("Concat", &[AllOperandsAreData, MovesData, PassesFeatureMap]),
    ("DepthToSpace", &[MovesData]),
    ("DequantizeLinear", &[Quantizes]),
    ("Dropout", &[PassesFeatureMap, Random]),
    ("DynamicQuantizeLinear", &[Quantizes]),
    ("Elu", &[Elementwise, PassesFeatureMap]),
    ("Expand", &[MovesData]),
    ("Flatten", &[MovesData, PassesFeatureMap]),
    ("GRU", &[Recurrent]),
    ("Gather", &[MovesData]),
    ("Gelu", &[Elementwise, PassesFeatureMap]),
    ("GlobalAveragePool", &[Homogeneous]),
    ("GlobalMaxPool", &[Homogeneous]),
    ("HardSigmoid", &[Elementwise, PassesFeatureMap]),
    ("HardSwish", &[Elementwise, PassesFeatureMap]),
    ("Identity", &[Elementwise, Homogeneous, PassesFeatureMap]),
    ("InstanceNormalization", &[PassesFeatureMap]),
    ("LSTM", &[Recurrent]),
    ("LayerNormalization", &[PassesFeatureMap]),
    ("LeakyRelu", &[Elementwise, Homogeneous, PassesFeatureMap]),
    ("MaxPool", &[Homogeneous, MovesData, PassesFeatureMap]),
    ("Mish", &[Elementwise, PassesFeatureMap]),
    ("Multinomial", &[Random]),
    ("PRelu", &[Elementwise, Homogeneous, PassesFeatureMap]),
    ("Pad", &[PassesFeatureMap]),
    ("QuantizeLinear", &[Quantizes]),
    ("RNN", &[Recurrent]),
    ("RandomNormal", &[Random]),
    ("RandomNormalLike", &[Random]),
    ("RandomUniform", &[Random]),
    ("RandomUniformLike", &[Random]),
    ("Relu", &[Elementwise, Homogeneous, PassesFeatureMap]),
    ("Reshape", &[MovesData, PassesFeatureMap]),
    ("Resize", &[MovesData, PassesFeatureMap]),
    ("Sigmoid", &[Elementwise, PassesFeatureMap]),
    ("Slice", &[MovesData, PassesFeatureMap]),
    ("Softplus", &[Elementwise, PassesFeatureMap]),
    ("SpaceToDepth", &[MovesData]),
    ("Split", &[PassesFeatureMap]),
    ("Squeeze", &[MovesData, PassesFeatureMap]),
    ("Tanh", &[Elementwise, PassesFeatureMap]),
    ("Transpose", &[MovesData, PassesFeatureMap]),
    ("Unsqueeze", &[MovesData, PassesFeatureMap]),
];

impl Op {
    /// Whether the operator is known to have a property. Operators outside of ONNX's own domain have none.
    pub fn has(&self, property: OperatorTrait) -> bool {
        let row = OPERATORS.binary_search_by_key(&self.name.as_str(), |(name, _)| name);
        self.domain.is_empty() && row.is_ok_and(|row| OPERATORS[row].1.contains(&property))
    }
}

/// A set of operators of ONNX's own domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorSet {
    /// Those of these names.
    Named(&'static [&'static str]),
    /// All that have a property.
    With(OperatorTrait),
}

impl OperatorSet {
    /// Whether an operator is in the set.
    pub fn contains(&self, op: &Op) -> bool {
        match self {
            OperatorSet::Named(names) => op.domain.is_empty() && names.contains(&op.name.as_str()),
            OperatorSet::With(property) => op.has(*property),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_by_name() {
        assert!(OPERATORS.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn properties_are_those_of_the_own_domain() {
        assert!(Op::new("Relu").has(Homogeneous));
        assert!(!Op::new("Sigmoid").has(Homogeneous));
        assert!(!Op::new("Conv").has(Elementwise));
        let foreign = Op { domain: "com.example".to_owned(), ..Op::new("Relu") };
        assert!(!foreign.has(Homogeneous));
        assert!(OperatorSet::Named(&["Clip"]).contains(&Op::new("Clip")));
        assert!(!OperatorSet::Named(&["Relu"]).contains(&foreign));
        assert!(OperatorSet::With(MovesData).contains(&Op::new("Reshape")));
    }
}
