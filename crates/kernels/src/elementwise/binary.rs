//! Binary arithmetic of slices with slices or with a scalar. Every operation is rounded once.

use crate::isa::{Isa, Loops};
use crate::loops::{LoopKernel, best};
use crate::parallel;

/// An operation on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a · b`
    Mul,
    /// `a / b`
    Div,
    /// The smaller one; NaN if one is.
    Min,
    /// The larger one; NaN if one is.
    Max,
}

/// An operand: a slice or a scalar.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// One number for each result.
    Slice(&'a [f32]),
    /// The same number for all results.
    Scalar(f32),
}

/// `output[i] = a[i] operation b[i]` with the best kernel; see [`LoopKernel::binary`].
pub fn binary(operation: Binary, a: Operand<'_>, b: Operand<'_>, output: &mut [f32]) {
    best().binary(operation, a, b, output);
}

/// `a[i] = a[i] operation b[i]` with the best kernel; see [`LoopKernel::binary`].
pub fn binary_in_place(operation: Binary, a: &mut [f32], b: Operand<'_>) {
    best().binary_in_place(operation, a, b);
}

impl LoopKernel {
    /// `output[i] = a[i] operation b[i]`.
    ///
    /// # Panics
    /// If a slice differs in length from the output.
    pub fn binary(&self, operation: Binary, a: Operand<'_>, b: Operand<'_>, output: &mut [f32]) {
        a.check(output.len());
        b.check(output.len());
        operation.apply(Compute { isa: self.isa, a, b, output });
    }

    /// `a[i] = a[i] operation b[i]`.
    ///
    /// # Panics
    /// If `b` is a slice that differs in length from `a`.
    pub fn binary_in_place(&self, operation: Binary, a: &mut [f32], b: Operand<'_>) {
        b.check(a.len());
        operation.apply(ComputeInPlace { isa: self.isa, a, b });
    }
}

impl<'a> Operand<'a> {
    fn check(&self, len: usize) {
        if let Operand::Slice(slice) = self {
            assert_eq!(slice.len(), len, "operand and result differ in length");
        }
    }

    fn range(self, range: std::ops::Range<usize>) -> Operand<'a> {
        match self {
            Operand::Slice(slice) => Operand::Slice(&slice[range]),
            Operand::Scalar(_) => self,
        }
    }
}

/// The approximate number of operations per element.
const COST: usize = 2;

/// An operation as a type; implementations mark `of` as `#[inline(always)]`.
trait Operation: Copy + Send + Sync {
    fn of(self, a: f32, b: f32) -> f32;
}

/// A computation that is generic over the operation.
trait WithOperation {
    fn run<O: Operation>(self, operation: O);
}

macro_rules! operations {
    ($($name:ident = |$a:ident, $b:ident| $value:expr;)*) => {
        impl Binary {
            fn apply(self, what: impl WithOperation) {
                match self {
                    $(Binary::$name => what.run($name),)*
                }
            }
        }

        $(
            #[derive(Clone, Copy)]
            struct $name;

            impl Operation for $name {
                #[inline(always)]
                fn of(self, $a: f32, $b: f32) -> f32 {
                    $value
                }
            }
        )*
    };
}

operations! {
    Add = |a, b| a + b;
    Sub = |a, b| a - b;
    Mul = |a, b| a * b;
    Div = |a, b| a / b;
    Min = |a, b| if a < b || a.is_nan() { a } else { b };
    Max = |a, b| if a > b || a.is_nan() { a } else { b };
}

struct Compute<'a> {
    isa: Option<Isa>,
    a: Operand<'a>,
    b: Operand<'a>,
    output: &'a mut [f32],
}

impl WithOperation for Compute<'_> {
    fn run<O: Operation>(self, operation: O) {
        parallel::for_each_piece(COST, self.output, |range, output| {
            let loops = Combine { operation, a: self.a.range(range.clone()), b: self.b.range(range), output };
            match self.isa {
                Some(isa) => isa.run(loops),
                None => loops.run(false),
            }
        });
    }
}

struct ComputeInPlace<'a> {
    isa: Option<Isa>,
    a: &'a mut [f32],
    b: Operand<'a>,
}

impl WithOperation for ComputeInPlace<'_> {
    fn run<O: Operation>(self, operation: O) {
        parallel::for_each_piece(COST, self.a, |range, a| {
            let loops = CombineInPlace { operation, a, b: self.b.range(range) };
            match self.isa {
                Some(isa) => isa.run(loops),
                None => loops.run(false),
            }
        });
    }
}

struct Combine<'a, O> {
    operation: O,
    a: Operand<'a>,
    b: Operand<'a>,
    output: &'a mut [f32],
}

impl<O: Operation> Loops for Combine<'_, O> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let Combine { operation, a, b, output } = self;
        match (a, b) {
            (Operand::Slice(a), Operand::Slice(b)) => {
                for ((c, a), b) in output.iter_mut().zip(a).zip(b) {
                    *c = operation.of(*a, *b);
                }
            }
            (Operand::Slice(a), Operand::Scalar(b)) => {
                for (c, a) in output.iter_mut().zip(a) {
                    *c = operation.of(*a, b);
                }
            }
            (Operand::Scalar(a), Operand::Slice(b)) => {
                for (c, b) in output.iter_mut().zip(b) {
                    *c = operation.of(a, *b);
                }
            }
            (Operand::Scalar(a), Operand::Scalar(b)) => output.fill(operation.of(a, b)),
        }
    }
}

struct CombineInPlace<'a, O> {
    operation: O,
    a: &'a mut [f32],
    b: Operand<'a>,
}

impl<O: Operation> Loops for CombineInPlace<'_, O> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        match self.b {
            Operand::Slice(b) => {
                for (a, b) in self.a.iter_mut().zip(b) {
                    *a = self.operation.of(*a, *b);
                }
            }
            Operand::Scalar(b) => {
                for a in self.a {
                    *a = self.operation.of(*a, b);
                }
            }
        }
    }
}
