//! Chains against the model as it is written.

use super::FuseChains;
use crate::{Limits, Session};
use intact8_ir::{DType, Model, Pass, Tensor};
use proptest::prelude::*;
use std::fmt::Write;

const FUNCTIONS: [&str; 12] = [
    "Relu(#a)",
    "Sigmoid(#a)",
    "Tanh(#a)",
    "LeakyRelu(#a) {alpha = 0.3}",
    "HardSigmoid(#a)",
    "Clip(#a, %low, %high)",
    "Clip(#a, _, %high)",
    "Pow(#a, %two)",
    "Pow(#a, %three)",
    "Erf(#a)",
    "Neg(#a)",
    "Exp(#a)",
];
const PAIRS: [&str; 6] =
    ["Add(#a, #b)", "Sub(#a, #b)", "Mul(#a, #b)", "Div(#a, #b)", "Max(#a, #b)", "Min(#a, #b)"];

/// How a random model is made.
#[derive(Debug, Clone)]
struct Recipe {
    shape: Vec<usize>,
    /// For each input: which dimensions are 1, how many of the first ones are absent, and whether it is of bytes.
    inputs: Vec<(Vec<bool>, usize, bool)>,
    /// For each operation: the choices of the operator and its operands.
    steps: Vec<[usize; 3]>,
    is_quantized: bool,
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let shapes = prop_oneof![
        prop::collection::vec(1..8usize, 0..4),
        (1..3usize, 1..40usize, 1..200usize).prop_map(|(a, b, c)| vec![a, b, c]),
        (1..3usize, 1..9usize, 1..30usize, 1..30usize).prop_map(|(a, b, c, d)| vec![a, b, c, d]),
        (0..3usize, 4000..9000usize).prop_map(|(a, b)| vec![a, b]),
    ];
    let input = (prop::collection::vec(prop::bool::weighted(0.3), 4), 0..9usize, prop::bool::weighted(0.3));
    let inputs = prop::collection::vec(input, 1..5);
    let steps = prop::collection::vec(prop::array::uniform3(0..1000usize), 2..10);
    (shapes, inputs, steps, any::<bool>()).prop_map(|(shape, inputs, steps, is_quantized)| Recipe {
        shape,
        inputs,
        steps,
        is_quantized,
    })
}

impl Recipe {
    fn model(&self) -> (Model, Vec<Tensor>) {
        let mut text = "model m opset 17\n".to_owned();
        let (mut values, mut tensors) = (vec![], vec![]);
        for (idx, (is_one, absent, is_bytes)) in self.inputs.iter().enumerate() {
            let own = self.shape.iter().zip(is_one).map(|(&n, is_one)| if *is_one { 1 } else { n });
            let own: Vec<usize> = own.skip(absent.saturating_sub(4).min(self.shape.len())).collect();
            let element = |i: usize| (i * 7919 + idx * 104_729) % 251;
            let elements = 0..own.iter().product();
            let ty = if *is_bytes { "u8" } else { "f32" };
            let dims = own.iter().map(|n| n.to_string()).collect::<Vec<String>>().join(",");
            writeln!(text, "%i{idx} = input : {ty}[{dims}]").unwrap();
            if *is_bytes {
                tensors.push(Tensor::new(&own, elements.map(|i| element(i) as u8).collect()));
                values.push(format!("%d{idx}"));
            } else {
                tensors.push(Tensor::new(&own, elements.map(|i| element(i) as f32 * 0.03 - 3.0).collect()));
                values.push(format!("%i{idx}"));
            }
        }
        text += "%low = const [-0.5] : f32[]\n%high = const [1.5] : f32[]\n%two = const [2.0] : f32[]\n\
            %three = const [3.0] : f32[1]\n%s = const [0.05] : f32[]\n%z = const [120] : u8[]\n";
        for (idx, _) in self.inputs.iter().enumerate().filter(|(_, (_, _, is_bytes))| *is_bytes) {
            writeln!(text, "%d{idx} = DequantizeLinear(%i{idx}, %s, %z)").unwrap();
        }
        for (idx, [operator, a, b]) in self.steps.iter().enumerate() {
            let n = values.len();
            let recent = |choice: usize| if choice.is_multiple_of(2) { n - 1 } else { choice / 2 % n };
            let (a, b) = (&values[recent(*a)], &values[recent(*b)]);
            let all = FUNCTIONS.iter().chain(&PAIRS).chain(&PAIRS);
            let operator = all.clone().nth(operator % all.count()).unwrap();
            writeln!(text, "%y{idx} = {}", operator.replace("#a", a).replace("#b", b)).unwrap();
            values.push(format!("%y{idx}"));
        }
        let result = values.last().unwrap();
        let output = if self.is_quantized { "%q" } else { result };
        if self.is_quantized {
            writeln!(text, "%q = QuantizeLinear({result}, %s, %z)").unwrap();
        }
        writeln!(text, "return {output}").unwrap();
        (text.parse().unwrap_or_else(|error| panic!("{error}\n{text}")), tensors)
    }
}

/// The bits of floats, where all NaNs are the same, or bytes.
fn bits(tensor: &Tensor) -> Vec<u32> {
    match tensor.dtype() {
        DType::U8 => tensor.values::<u8>().unwrap().iter().map(|&byte| byte.into()).collect(),
        DType::I64 => tensor.values::<i64>().unwrap().iter().map(|&number| number as u32).collect(),
        DType::F16 => {
            tensor.values::<intact8_ir::f16>().unwrap().iter().map(|x| x.to_bits().into()).collect()
        }
        _ => {
            let floats = tensor.values::<f32>().unwrap().iter();
            floats.map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect()
        }
    }
}

/// The model with its chains merged.
fn merged(model: &Model) -> Model {
    let mut merged = model.clone();
    merged.opsets.insert(crate::lower::DOMAIN.to_owned(), 1);
    FuseChains.run(&mut merged).unwrap();
    intact8_ir::verify(&merged).unwrap();
    merged
}

/// Runs the model with merged chains and the model as it is written, which must return the same bits; the number of chains.
fn compare(model: &Model, inputs: &[Tensor]) -> usize {
    intact8_ir::verify(model).unwrap();
    let merged = merged(model);
    let expected = Session::as_written(model, Limits::default()).unwrap().run(inputs).unwrap();
    let found = Session::of_lowered(&merged).unwrap().run(inputs);
    let found = found.unwrap_or_else(|error| panic!("{error}\n{merged}"));
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((found.dtype(), found.shape()), (expected.dtype(), expected.shape()), "{merged}");
        assert!(bits(found) == bits(expected), "{merged}");
    }
    merged.to_string().matches("::Chain(").count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_chain_returns_the_bits_of_its_operators(recipe in recipes()) {
        let (model, inputs) = recipe.model();
        compare(&model, &inputs);
    }
}

fn model(lines: &str) -> Model {
    format!("model m opset 17\n{lines}").parse().unwrap()
}

fn ramp(shape: &[usize]) -> Tensor {
    Tensor::new(shape, (0..shape.iter().product()).map(|i: usize| i as f32 * 0.37 - 4.0).collect())
}

#[test]
fn activations_that_are_written_out_are_one_chain() {
    let gelu = "%x = input : f32[N,96]\n%r = input : f32[N,96]\n%k3 = const [3.0] : f32[]\n%a = const [0.044715] : f32[]\n\
        %b = const [0.797885] : f32[]\n%one = const [1.0] : f32[]\n%half = const [0.5] : f32[]\n%p = Pow(%x, %k3)\n\
        %m = Mul(%p, %a)\n%s = Add(%x, %m)\n%t = Mul(%s, %b)\n%h = Tanh(%t)\n%o = Add(%h, %one)\n%g = Mul(%x, %half)\n\
        %y = Mul(%g, %o)\n%z = Add(%y, %r)\nreturn %z\n";
    let inputs = [ramp(&[99, 96]), ramp(&[99, 96])];
    assert_eq!(compare(&model(gelu), &inputs), 1);
    let merged = merged(&model(gelu)).to_string();
    assert!(!merged.contains(" = Mul(") && !merged.contains(" = Add("), "{merged}");
}

/// The Sigmoid of a number for each channel is not computed for each position.
#[test]
fn steps_of_another_shape_are_computed_in_it() {
    let text = "%x = input : f32[2,5,7,9]\n%e = input : f32[2,5,1,1]\n%g = Sigmoid(%e)\n%h = Add(%g, %g)\n\
        %m = Mul(%x, %h)\n%y = Relu(%m)\nreturn %y\n";
    assert_eq!(compare(&model(text), &[ramp(&[2, 5, 7, 9]), ramp(&[2, 5, 1, 1])]), 1);
}

/// The types follow from no statement: a Cast to f16.
#[test]
fn other_types_than_f32_are_computed_by_the_operators() {
    let text = "%x = input : f32[2,3]\n%c = Cast(%x) {to = 10}\n%s = Sigmoid(%c)\n%m = Mul(%c, %s)\n%y = Tanh(%m)\nreturn %y\n";
    assert_eq!(compare(&model(text), &[ramp(&[2, 3])]), 1);
}

#[test]
fn values_with_other_uses_and_integers_are_not_merged() {
    let text = "%x = input : f32[2,3]\n%i = input : i64[2]\n%s = Sigmoid(%x)\n%m = Mul(%x, %s)\n%j = Add(%i, %i)\n\
        %k = Mul(%j, %j)\nreturn %s, %m, %k\n";
    let inputs = [ramp(&[2, 3]), Tensor::new(&[2], vec![3i64, -4])];
    assert_eq!(compare(&model(text), &inputs), 0);
}

/// A run may feed a value in place of the default.
#[test]
fn defaults_of_inputs_are_no_constants() {
    let text =
        "%x = input : f32[2,3]\n%e = input [2.0] : f32[]\n%p = Pow(%x, %e)\n%y = Relu(%p)\nreturn %y\n";
    assert_eq!(compare(&model(text), &[ramp(&[2, 3]), Tensor::scalar(3.0f32)]), 0);
}

#[test]
fn shapes_that_do_not_broadcast_are_an_error() {
    let text = "%x = input : f32[A]\n%w = input : f32[B]\n%a = Add(%x, %w)\n%y = Relu(%a)\nreturn %y\n";
    let error = Session::of_lowered(&merged(&model(text))).unwrap().run(&[ramp(&[2]), ramp(&[3])]);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("do not broadcast"), "{error}");
}
