//! Chains: the bits of the same operations one after the other, each on whole tensors.

use intact8_kernels::chain::{Chain, Operand, Source, Step, Values};
use intact8_kernels::elementwise::{self, Binary, Unary};
use intact8_kernels::loops::{LoopKernel, kernels};
use intact8_kernels::quantize::Affine;
use proptest::prelude::*;

use crate::random::Random;

const FUNCTIONS: [Unary; 5] =
    [Unary::Sigmoid, Unary::Relu, Unary::Tanh, Unary::Clip { min: -0.5, max: 0.75 }, Unary::Abs];
const OPERATIONS: [Binary; 6] =
    [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Min, Binary::Max];
const EXPONENTS: [f32; 4] = [2.0, 3.0, 0.5, -1.5];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_chain_has_the_bits_of_its_steps(shape in shapes(), n_operands in 1..5usize, n_steps in 1..9usize, seed: u64) {
        let mut random = Random::new(seed);
        let operands: Vec<Data> = (0..n_operands).map(|_| Data::new(&mut random, &shape)).collect();
        let steps: Vec<Step> = (0..n_steps).map(|idx| step(&mut random, n_operands, idx)).collect();
        let operands_of_chain: Vec<Operand<'_>> = operands.iter().map(Data::operand).collect();
        let chain = Chain { shape: &shape, operands: &operands_of_chain, steps: &steps };
        let n: usize = shape.iter().product();
        let affine = Affine::of(0.02, 7u8);
        for kernel in kernels() {
            let expected = separately(kernel, &operands, &steps, &shape);
            let mut found = vec![1.0; n];
            kernel.chain(chain, &mut found);
            let bits = |values: &[f32]| values.iter().map(|x| if x.is_nan() { !0 } else { x.to_bits() }).collect::<Vec<u32>>();
            prop_assert_eq!(bits(&found), bits(&expected), "{}", kernel.name);
            let (mut found, mut bytes) = (vec![1u8; n], vec![2u8; n]);
            kernel.chain_quantized(chain, affine, &mut found);
            kernel.quantize(affine, &expected, &mut bytes);
            prop_assert_eq!(found, bytes, "{}", kernel.name);
        }
    }
}

/// Short and long rows, around the length of a block, with up to four dimensions.
fn shapes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        prop::collection::vec(0..9usize, 0..4),
        (1..4usize, 1..20usize, 1..300usize).prop_map(|(a, b, c)| vec![a, b, c]),
        (1..4usize, 1..5usize, 500..2100usize).prop_map(|(a, b, c)| vec![a, b, c]),
        (1..3usize, 1..3usize, 1..40usize, 1..40usize).prop_map(|(a, b, c, d)| vec![a, b, c, d]),
        (1..3usize, 30000..70000usize).prop_map(|(a, b)| vec![a, b]),
        (1000..9000usize, 1..40usize).prop_map(|(a, b)| vec![a, b]),
    ]
}

/// Later steps use earlier ones, so that buffers are used again.
fn step(random: &mut Random, n_operands: usize, idx: usize) -> Step {
    let mut source = || match random.below(3) {
        0 => Source::Operand(random.below(n_operands)),
        _ if idx == 0 => Source::Operand(random.below(n_operands)),
        1 => Source::Step(idx - 1),
        _ => Source::Step(random.below(idx)),
    };
    let (a, b) = (source(), source());
    match random.below(4) {
        0 => Step::Unary(FUNCTIONS[random.below(FUNCTIONS.len())], a),
        1 => Step::Power(a, EXPONENTS[random.below(EXPONENTS.len())]),
        _ => Step::Binary(OPERATIONS[random.below(OPERATIONS.len())], a, b),
    }
}

/// An operand: floats of any shape that broadcasts, or bytes of the whole shape.
struct Data {
    shape: Vec<usize>,
    floats: Vec<f32>,
    bytes: Option<Vec<i8>>,
}

const CODING: Affine = Affine { scale: 0.01, zero_point: 3, min: -128, max: 127 };

impl Data {
    fn new(random: &mut Random, shape: &[usize]) -> Data {
        let kind = random.below(6);
        let kept = |random: &mut Random, n: usize| if kind > 1 && random.below(2) == 0 { 1 } else { n };
        let mut own: Vec<usize> = shape.iter().map(|&n| kept(random, n)).collect();
        if kind == 5 {
            own.drain(..random.below(shape.len() + 1));
        }
        let n = own.iter().product();
        if kind == 0 {
            let bytes: Vec<i8> = random.bytes(n).into_iter().map(|byte| byte as i8).collect();
            let floats =
                bytes.iter().map(|&byte| (i32::from(byte) - CODING.zero_point) as f32 * CODING.scale);
            return Data { shape: own, floats: floats.collect(), bytes: Some(bytes) };
        }
        Data { shape: own, floats: random.floats(n), bytes: None }
    }

    fn operand(&self) -> Operand<'_> {
        let values = match &self.bytes {
            Some(bytes) => Values::I8(bytes, CODING),
            None => Values::F32(&self.floats),
        };
        Operand { values, shape: &self.shape }
    }

    /// The elements, repeated to the shape.
    fn whole(&self, shape: &[usize]) -> Vec<f32> {
        let missing = shape.len() - self.shape.len();
        let at = |mut flat: usize| {
            let (mut at, mut stride) = (0, 1);
            for (axis, &n) in shape.iter().enumerate().rev() {
                let own = if axis < missing { 1 } else { self.shape[axis - missing] };
                at += if own == 1 { 0 } else { flat % n * stride };
                (flat, stride) = (flat / n, stride * own);
            }
            self.floats[at]
        };
        (0..shape.iter().product()).map(at).collect()
    }
}

fn separately(kernel: &LoopKernel, operands: &[Data], steps: &[Step], shape: &[usize]) -> Vec<f32> {
    let operands: Vec<Vec<f32>> = operands.iter().map(|operand| operand.whole(shape)).collect();
    let mut results: Vec<Vec<f32>> = vec![];
    for step in steps {
        let of = |source: Source| match source {
            Source::Operand(idx) => &operands[idx],
            Source::Step(idx) => &results[idx],
        };
        let mut result = vec![0.0; shape.iter().product()];
        match *step {
            Step::Unary(function, x) => kernel.unary(function, of(x), &mut result),
            Step::Binary(operation, a, b) => {
                let [a, b] = [a, b].map(|source| elementwise::Operand::Slice(of(source)));
                kernel.binary(operation, a, b, &mut result);
            }
            Step::Power(x, exponent) => {
                let power = |x: f32| match exponent {
                    2.0 => x * x,
                    3.0 => x * x * x,
                    other => x.powf(other),
                };
                result = of(x).iter().map(|x| power(*x)).collect();
            }
        }
        results.push(result);
    }
    results.pop().unwrap()
}
