//! The measured times of operators on a runtime, as sums of a part per node and parts per unit of work.
//!
//! `cargo xtask bench --costs` measures them with random shapes on one thread, and writes the tables. Only their ratios matter.

use super::work::{Shape, Work};

/// A time in nanoseconds as a function of the work of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Per node.
    pub node: f64,
    /// Per multiplication, where kernels compute 16 output channels at a time.
    pub product: f64,
    /// Per element of a window at each of its positions, in one channel.
    pub tap: f64,
    /// Per element of a window at each of its positions, in all channels.
    pub column: f64,
    /// Per position of a window in each group.
    pub group: f64,
    /// Per element of the first operand.
    pub input: f64,
    /// Per element of the result.
    pub output: f64,
    /// Per element of the weight.
    pub weight: f64,
}

impl Cost {
    /// Nothing.
    pub const FREE: Cost = Cost::new([0.0; 8]);

    /// The parts in the order of the fields.
    pub const fn new([node, product, tap, column, group, input, output, weight]: [f64; 8]) -> Cost {
        Cost { node, product, tap, column, group, input, output, weight }
    }

    /// The time of a node's work.
    pub(super) fn of(&self, work: &Work) -> f64 {
        let parts = [
            (self.product, work.products),
            (self.tap, work.taps),
            (self.column, work.columns),
            (self.group, work.groups),
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
    /// Integers, and the runtime computes the operator in int8 wherever its operand and its result are quantized, although that may
    /// take longer: its result in float must not be quantized.
    Merged,
    /// None: the operator has no form in int8.
    Never,
}

/// The times of an operator in float and in int8.
///
/// After a convolution of the same arithmetic, values have the layout of its images, and a function may be fused with it.
#[derive(Debug, Clone, Copy)]
pub struct OperatorCosts {
    /// The operators, in ONNX's own domain.
    pub ops: &'static [&'static str],
    /// The kind of node that the row is for.
    pub shape: Shape,
    /// The time in float after a convolution in float.
    pub float: Cost,
    /// The time in float after anything else.
    pub float_alone: Cost,
    /// The time in int8 after a convolution in int8.
    pub int8: Cost,
    /// The time in int8 after anything else.
    pub int8_alone: Cost,
    /// The result in int8.
    pub result: Result8,
}

/// The times of a runtime.
#[derive(Debug)]
pub struct RuntimeCosts {
    /// The operators whose times are known.
    pub operators: &'static [OperatorCosts],
    /// The time of a QuantizeLinear.
    pub quantize: Cost,
    /// The time of a DequantizeLinear.
    pub dequantize: Cost,
    /// Whether an Add of a constant after a product in int8 is part of the product, so that a correction of its bias takes no time.
    pub fuses_biases: bool,
    /// The number of elements of an image that fits into the processor's cache.
    pub cached: usize,
    /// The time of a conversion or a change of layout per element of larger values, relative to that of smaller ones.
    pub uncached: f64,
}

/// The samples of a batch, for what fits into the cache.
const BATCH: usize = 4;

impl RuntimeCosts {
    /// The row of an operator and a kind of node.
    pub(super) fn row(&self, op: &str, shape: Shape) -> Option<&'static OperatorCosts> {
        self.operators.iter().find(|row| row.ops.contains(&op) && row.shape == shape)
    }

    /// The time of a conversion of a number of elements.
    pub(super) fn conversion(&self, cost: &Cost, n: usize) -> f64 {
        cost.of(&Work { outputs: n, ..Work::default() }) * self.slower(n)
    }

    /// The relative time per element of a value that is read from memory, if it does not fit into the cache.
    pub(super) fn slower(&self, n: usize) -> f64 {
        if n.saturating_mul(BATCH) > self.cached { self.uncached } else { 1.0 }
    }
}
