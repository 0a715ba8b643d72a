//! How many dimensions a value has, as far as types and a few operators tell.
//!
//! This is no shape inference: it follows one operand upwards until something is certain, and gives up early.

use intact8_ir::{Graph, ValueId};

/// How far up it looks.
const MAX_STEPS: usize = 64;

/// Operators whose result has as many dimensions as their first operand.
const KEEPS_RANK: &[&str] = &[
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "DequantizeLinear",
    "Dropout",
    "Elu",
    "Erf",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LayerNormalization",
    "LeakyRelu",
    "MaxPool",
    "Pad",
    "QuantizeLinear",
    "Relu",
    "Selu",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Tanh",
    "Transpose",
];

/// The number of dimensions of a value, if it can be told.
pub(crate) fn rank(graph: &Graph, value: ValueId) -> Option<usize> {
    let mut value = value;
    let mut at_least = 0;
    let mut is_factor = false;
    for _ in 0..MAX_STEPS {
        if let Some(rank) = stated(graph, value) {
            // A vector times a matrix is a vector, but of what follows on the way nothing is known then.
            return (rank >= 2 || !is_factor).then(|| rank.max(at_least));
        }
        let id = value.node;
        let op = graph.node(id).as_op().filter(|op| op.domain.is_empty())?;
        let operand = |slot: usize| graph.operand(id, slot);
        value = match op.name.as_str() {
            "Flatten" | "Gemm" => return Some(at_least.max(2)),
            "Conv" | "ConvTranspose" => operand(1)?,
            "Reshape" => {
                let rank = graph.constant(operand(1)?)?.len();
                return (rank >= 2 || !is_factor).then(|| rank.max(at_least));
            }
            "Add" | "Sub" | "Mul" | "Div" => match (stated(graph, operand(0)?), stated(graph, operand(1)?)) {
                (_, Some(rank)) => {
                    at_least = at_least.max(rank);
                    operand(0)?
                }
                (Some(rank), None) => {
                    at_least = at_least.max(rank);
                    operand(1)?
                }
                (None, None) => return None,
            },
            "MatMul" => {
                at_least = at_least.max(stated(graph, operand(1)?).filter(|&rank| rank >= 2)?);
                is_factor = true;
                operand(0)?
            }
            name if value.slot == 0 && KEEPS_RANK.contains(&name) => operand(0)?,
            _ => return None,
        };
    }
    None
}

/// The number of dimensions that a value's type or constant states.
fn stated(graph: &Graph, value: ValueId) -> Option<usize> {
    let of_type = || Some(graph.value(value).tensor_type()?.shape.as_ref()?.len());
    graph.constant(value).map(|tensor| tensor.shape().len()).or_else(of_type)
}
