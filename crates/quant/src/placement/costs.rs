//! The measured times of operators on a runtime, as sums of a part per node and parts per unit of work.
//!
//! `cargo xtask bench --costs` measures them with random shapes on one thread, and fits these numbers. Only their ratios matter.

use super::work::{Shape, Work};

/// A time in nanoseconds as a function of the work of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Per node.
    pub node: f64,
    /// Per multiplication.
    pub product: f64,
    /// Per element of a window at each of its positions, in one channel.
    pub tap: f64,
    /// Per element of a window at each of its positions, in all channels of a group.
    pub column: f64,
    /// Per element of the first operand.
    pub input: f64,
    /// Per element of the result.
    pub output: f64,
    /// Per element of the weight.
    pub weight: f64,
}

impl Cost {
    /// Nothing.
    pub const FREE: Cost =
        Cost { node: 0.0, product: 0.0, tap: 0.0, column: 0.0, input: 0.0, output: 0.0, weight: 0.0 };

    /// The time of a node's work.
    pub(super) fn of(&self, work: &Work) -> f64 {
        let parts = [
            (self.product, work.products),
            (self.tap, work.taps),
            (self.column, work.columns),
            (self.input, work.inputs),
            (self.output, work.outputs),
            (self.weight, work.weights),
        ];
        parts.iter().fold(self.node, |sum, &(each, n)| sum + each * n as f64)
    }
}

/// The result of an operator in int8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Result8 {
    /// Integers: the operator runs in int8 only if its result is quantized.
    Integers,
    /// Floats, or integers at no further cost.
    Floats,
    /// The integers of its operand, moved or clipped: the operator runs on integers as soon as its operand and its result are
    /// quantized alike, and need not be a layer.
    Moved,
}

/// The times of an operator in float and in int8.
#[derive(Debug, Clone, Copy)]
pub struct OperatorCosts {
    /// The operator, in ONNX's own domain.
    pub op: &'static str,
    /// The kind of product that the row is for.
    pub shape: Shape,
    /// The time in float, where the operator before it is computed in float too, and may be fused with it.
    pub float: Cost,
    /// The time in float after a DequantizeLinear.
    pub after_integers: Cost,
    /// The time in int8.
    pub int8: Cost,
    /// The time in int8 where the convolution before it, if there is one, is computed in float: the layout of the integers is
    /// another then.
    pub after_floats: Cost,
    /// The result in int8.
    pub result: Result8,
}

/// The times of a runtime.
#[derive(Debug)]
pub struct RuntimeCosts {
    /// The operators that have a form in int8.
    pub operators: &'static [OperatorCosts],
    /// The time of a QuantizeLinear per element, and per element of an image in addition, whose layout changes.
    pub quantize: (Cost, Cost),
    /// The time of a DequantizeLinear, likewise.
    pub dequantize: (Cost, Cost),
    /// The number of elements of a value in float that fits into the processor's cache.
    pub cached: usize,
    /// The time of a conversion per element of larger values, relative to that of smaller ones.
    pub uncached: usize,
}

impl RuntimeCosts {
    /// The row of an operator and a kind of product.
    pub(super) fn row(&self, op: &str, shape: Shape) -> Option<&'static OperatorCosts> {
        self.operators.iter().find(|row| row.op == op && row.shape == shape)
    }
}

/// A time per node and per element of the result.
const fn each(node: f64, output: f64) -> Cost {
    Cost { node, output, ..Cost::FREE }
}

/// A time per node and per element of the first operand.
const fn each_input(node: f64, input: f64) -> Cost {
    Cost { node, input, ..Cost::FREE }
}

/// A row for an operator whose time does not depend on the operators before it.
const fn row(op: &'static str, shape: Shape, float: Cost, int8: Cost, result: Result8) -> OperatorCosts {
    OperatorCosts { op, shape, float, after_integers: float, int8, after_floats: int8, result }
}

/// A row for a function that is free in float after a convolution, and costs `alone` after a DequantizeLinear.
const fn fused(op: &'static str, float: Cost, alone: Cost, int8: Cost, result: Result8) -> OperatorCosts {
    OperatorCosts { op, shape: Shape::Any, float, after_integers: alone, int8, after_floats: int8, result }
}

/// ONNX Runtime 1.32 on x86 with VNNI.
pub(crate) static ONNXRUNTIME_X86: RuntimeCosts = RuntimeCosts {
    operators: &[
        row(
            "Conv",
            Shape::Pointwise,
            Cost { node: 300.0, product: 0.0073, input: 0.048, output: 0.037, weight: 0.014, ..Cost::FREE },
            Cost { node: 900.0, product: 0.00172, input: 0.061, output: 0.045, ..Cost::FREE },
            Result8::Integers,
        ),
        row(
            "Conv",
            Shape::Window,
            Cost { node: 1100.0, product: 0.0092, input: 0.08, ..Cost::FREE },
            Cost { node: 1200.0, product: 0.00174, tap: 0.53, column: 0.0142, output: 0.138, ..Cost::FREE },
            Result8::Integers,
        ),
        row(
            "Conv",
            Shape::Column,
            Cost { node: 1400.0, product: 0.0147, input: 0.26, output: 0.26, ..Cost::FREE },
            Cost { node: 1000.0, product: 0.00172, column: 0.059, output: 0.07, ..Cost::FREE },
            Result8::Integers,
        ),
        row(
            "Conv",
            Shape::Sequence,
            Cost { node: 400.0, product: 0.0073, column: 0.178, output: 0.053, weight: 0.16, ..Cost::FREE },
            Cost { node: 900.0, product: 0.00136, tap: 0.8, column: 0.033, output: 0.067, ..Cost::FREE },
            Result8::Integers,
        ),
        row(
            "Conv",
            Shape::Depthwise,
            Cost { node: 400.0, product: 0.0077, input: 0.017, output: 0.076, ..Cost::FREE },
            Cost { node: 1200.0, product: 0.0138, output: 0.09, ..Cost::FREE },
            Result8::Integers,
        ),
        row(
            "Gemm",
            Shape::Any,
            Cost { node: 200.0, product: 0.0068, input: 0.055, output: 0.01, weight: 0.023, ..Cost::FREE },
            Cost { node: 800.0, product: 0.0016, input: 0.028, output: 0.16, weight: 0.008, ..Cost::FREE },
            Result8::Floats,
        ),
        row(
            "MatMul",
            Shape::Any,
            Cost { node: 200.0, product: 0.0068, input: 0.055, output: 0.01, weight: 0.023, ..Cost::FREE },
            Cost { node: 700.0, product: 0.0016, input: 0.028, output: 0.14, weight: 0.008, ..Cost::FREE },
            Result8::Floats,
        ),
        fused("Add", each(200.0, 0.06), each(300.0, 0.123), each(700.0, 0.1), Result8::Integers),
        fused("Mul", each(200.0, 0.07), each(300.0, 0.121), each(700.0, 0.186), Result8::Integers),
        fused("Sigmoid", each(200.0, 0.07), each(300.0, 0.229), each(300.0, 0.24), Result8::Integers),
        fused("LeakyRelu", Cost::FREE, each(300.0, 0.184), each(300.0, 0.244), Result8::Integers),
        row("Softmax", Shape::Any, each(500.0, 0.356), each(1500.0, 2.2), Result8::Integers),
        // As a depthwise convolution, see `pool-by-conv`; otherwise ONNX Runtime has a slow kernel.
        row(
            "AveragePool",
            Shape::Depthwise,
            each_input(300.0, 0.05),
            Cost { node: 1200.0, product: 0.0138, output: 0.09, ..Cost::FREE },
            Result8::Integers,
        ),
        row(
            "AveragePool",
            Shape::Window,
            each_input(300.0, 0.05),
            Cost { node: 1500.0, product: 0.5, ..Cost::FREE },
            Result8::Integers,
        ),
        row(
            "GlobalAveragePool",
            Shape::Any,
            each_input(300.0, 0.044),
            each_input(300.0, 0.04),
            Result8::Integers,
        ),
        fused("Relu", Cost::FREE, each(300.0, 0.083), Cost::FREE, Result8::Moved),
        fused("Clip", Cost::FREE, each(300.0, 0.089), Cost::FREE, Result8::Moved),
        // After a convolution in int8 the last dimension counts channels, and a faster kernel is used.
        OperatorCosts {
            op: "MaxPool",
            shape: Shape::Any,
            float: each_input(300.0, 0.05),
            after_integers: each_input(300.0, 0.05),
            int8: each_input(300.0, 0.094),
            after_floats: each_input(300.0, 3.0),
            result: Result8::Moved,
        },
        row("Concat", Shape::Any, each(300.0, 0.137), each(700.0, 0.035), Result8::Moved),
        row("Resize", Shape::Any, each(700.0, 0.21), each(700.0, 0.08), Result8::Moved),
        row("Transpose", Shape::Any, each(300.0, 0.116), each(300.0, 0.039), Result8::Moved),
        // Channels are the last dimension after a convolution in int8 already.
        OperatorCosts {
            op: "Transpose",
            shape: Shape::ChannelsLast,
            float: each(300.0, 2.2),
            after_integers: each(300.0, 2.2),
            int8: each(300.0, 0.04),
            after_floats: each(300.0, 2.0),
            result: Result8::Moved,
        },
        row("Transpose", Shape::Shuffle, each(300.0, 2.2), each(300.0, 2.0), Result8::Moved),
        row("Slice", Shape::Any, each(300.0, 0.1), each(300.0, 0.03), Result8::Moved),
        row("Split", Shape::Any, each(300.0, 0.08), each(300.0, 0.02), Result8::Moved),
        row("Gather", Shape::Any, each(300.0, 0.1), each(300.0, 0.03), Result8::Moved),
        row("Expand", Shape::Any, each(300.0, 0.1), each(300.0, 0.03), Result8::Moved),
        row("Flatten", Shape::Any, each(200.0, 0.0), each(200.0, 0.0), Result8::Moved),
        row("Reshape", Shape::Any, each(200.0, 0.0), each(200.0, 0.0), Result8::Moved),
        row("Squeeze", Shape::Any, each(200.0, 0.0), each(200.0, 0.0), Result8::Moved),
        row("Unsqueeze", Shape::Any, each(200.0, 0.0), each(200.0, 0.0), Result8::Moved),
    ],
    quantize: (each(300.0, 0.057), each(1000.0, 0.1)),
    dequantize: (each(300.0, 0.085), each(700.0, 0.06)),
    cached: 1 << 19,
    uncached: 3,
};
