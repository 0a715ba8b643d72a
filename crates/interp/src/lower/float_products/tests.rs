//! Float products against the model as it is written.

use super::FuseFloatProducts;
use crate::{Limits, Session};
use intact8_ir::{Model, Pass, Tensor};
use proptest::prelude::*;

const ACTIVATIONS: [&str; 10] = [
    "",
    "%r = Relu(#)",
    "%r = LeakyRelu(#) {alpha = 0.3}",
    "%r = Sigmoid(#)",
    "%r = Tanh(#)",
    "%r = HardSigmoid(#)",
    "%r = HardSwish(#)",
    "%r = Clip(#, %low, %high)",
    "%r = Clip(#, _, %high)",
    "%g = Sigmoid(#)\n%r = Mul(%g, #)",
];

/// How a random model is made.
#[derive(Debug, Clone)]
struct Recipe {
    /// The dimensions of the first factor before its columns.
    lead: Vec<usize>,
    depth: usize,
    columns: usize,
    /// 0 for MatMul, 1 for Gemm, 2 for Gemm with a transposed matrix.
    operator: usize,
    /// The rank of the bias; 0 for none.
    bias_rank: usize,
    is_bias_first: bool,
    /// Which dimensions of the summand are 1, and how many dimensions it has more or less; none without a summand.
    summand: Option<(Vec<bool>, i32)>,
    activation: usize,
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let lead = prop_oneof![
        prop::collection::vec(0..4usize, 0..4),
        prop::collection::vec(1..30usize, 1..3),
        Just(vec![1]),
        (1..60usize).prop_map(|m| vec![m]),
    ];
    let depth = prop_oneof![0..5usize, 1..140usize, 250..400usize];
    let columns = prop_oneof![0..5usize, 1..140usize];
    let summand = prop::option::of((prop::collection::vec(prop::bool::weighted(0.2), 5), -1..2i32));
    (lead, depth, columns, 0..3usize, 0..4usize, any::<bool>(), summand, 0..ACTIVATIONS.len()).prop_map(
        |(lead, depth, columns, operator, bias_rank, is_bias_first, summand, activation)| Recipe {
            lead: if operator == 0 { lead } else { vec![lead.iter().product()] },
            depth,
            columns,
            operator,
            bias_rank: if operator == 0 { bias_rank } else { bias_rank.min(2) },
            is_bias_first,
            summand,
            activation,
        },
    )
}

fn dims(shape: &[usize]) -> String {
    shape.iter().map(|n| n.to_string()).collect::<Vec<String>>().join(",")
}

fn ramp(shape: &[usize], seed: usize) -> Tensor {
    let elements = 0..shape.iter().product();
    Tensor::new(
        shape,
        elements.map(|i: usize| ((i * 7919 + seed * 104_729) % 251) as f32 * 0.03 - 3.7).collect(),
    )
}

fn constant(name: &str, shape: &[usize], seed: usize) -> String {
    let values =
        ramp(shape, seed).values::<f32>().unwrap().iter().map(|x| format!("{x:?}")).collect::<Vec<_>>();
    format!("%{name} = const [{}] : f32[{}]\n", values.join(", "), dims(shape))
}

impl Recipe {
    fn model(&self) -> (Model, Vec<Tensor>) {
        let &Recipe { depth, columns, bias_rank, .. } = self;
        let x_shape = [&self.lead[..], &[depth]].concat();
        let y_shape = [&self.lead[..], &[columns]].concat();
        let mut inputs = vec![ramp(&x_shape, 1)];
        let mut text = format!("model m opset 17\n%x = input : f32[{}]\n", dims(&x_shape));
        if let Some((is_one, more)) = &self.summand {
            let own = y_shape.iter().zip(is_one).map(|(&n, is_one)| if *is_one { 1 } else { n });
            let own: Vec<usize> = match more {
                1 => [2].into_iter().chain(own).collect(),
                -1 => own.skip(1).collect(),
                _ => own.collect(),
            };
            text += &format!("%z = input : f32[{}]\n", dims(&own));
            inputs.push(ramp(&own, 2));
        }
        text += "%low = const [-0.5] : f32[]\n%high = const [1.5] : f32[]\n";
        let is_transposed = self.operator == 2;
        text += &constant("w", &if is_transposed { [columns, depth] } else { [depth, columns] }, 3);
        if bias_rank > 0 {
            text += &constant("b", &[&vec![1; bias_rank - 1][..], &[columns]].concat(), 4);
        }
        let mut last = "%p";
        text += match (self.operator, bias_rank) {
            (0, _) => "%p = MatMul(%x, %w)\n",
            (1, 0) => "%p = Gemm(%x, %w)\n",
            (1, _) => "%p = Gemm(%x, %w, %b)\n",
            (_, 0) => "%p = Gemm(%x, %w) {transB = 1}\n",
            _ => "%p = Gemm(%x, %w, %b) {transB = 1}\n",
        };
        if self.operator == 0 && bias_rank > 0 {
            text += if self.is_bias_first { "%q = Add(%b, %p)\n" } else { "%q = Add(%p, %b)\n" };
            last = "%q";
        }
        if self.summand.is_some() {
            text += &format!("%s = Add({last}, %z)\n");
            last = "%s";
        }
        let activation = ACTIVATIONS[self.activation];
        if !activation.is_empty() {
            text += &format!("{}\n", activation.replace('#', last));
            last = "%r";
        }
        text += &format!("return {last}\n");
        (text.parse().unwrap_or_else(|error| panic!("{error}\n{text}")), inputs)
    }
}

/// The bits of floats, where all NaNs are the same, and the zeros too.
fn bits(tensor: &Tensor) -> Vec<u32> {
    let bits = |&x: &f32| if x.is_nan() { u32::MAX } else { (x + 0.0).to_bits() };
    tensor.values::<f32>().unwrap().iter().map(bits).collect()
}

/// Runs the model with merged products and the model as it is written, which must return the same; the number of products.
fn compare(model: &Model, inputs: &[Tensor]) -> usize {
    intact8_ir::verify(model).unwrap();
    let mut merged = model.clone();
    merged.opsets.insert(crate::lower::DOMAIN.to_owned(), 1);
    FuseFloatProducts.run(&mut merged).unwrap();
    intact8_ir::verify(&merged).unwrap();
    let expected = Session::as_written(model, Limits::default()).unwrap().run(inputs).unwrap();
    let found = Session::of_lowered(&merged).unwrap().run(inputs);
    let found = found.unwrap_or_else(|error| panic!("{error}\n{merged}"));
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.shape(), expected.shape(), "{merged}");
        assert!(bits(found) == bits(expected), "{merged}");
    }
    merged.to_string().matches("::FloatProduct(").count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_product_returns_the_bits_of_its_operators(recipe in recipes()) {
        let (model, inputs) = recipe.model();
        let is_merged = recipe.activation > 0 || recipe.summand.is_some() || recipe.operator == 0 && recipe.bias_rank > 0;
        assert_eq!(compare(&model, &inputs), usize::from(is_merged));
    }
}

fn model(lines: &str) -> Model {
    format!("model m opset 17\n%x = input : f32[N,3]\n%w = const splat(0.5) : f32[3,2]\n%b = const [0.25, -2.0] : f32[2]\n{lines}")
        .parse()
        .unwrap()
}

#[test]
fn results_with_other_uses_are_not_merged() {
    let inputs = [ramp(&[4, 3], 1)];
    let product = "%p = MatMul(%x, %w)\n%s = Add(%p, %b)\n%r = Relu(%s)\n";
    for (outputs, n_merged) in [("%r", 1), ("%r, %s", 1), ("%r, %p", 0)] {
        assert_eq!(compare(&model(&format!("{product}return {outputs}\n")), &inputs), n_merged, "{outputs}");
    }
    // A residual that is the product itself, and the sum of a product with itself.
    let twice = "%p = MatMul(%x, %w)\n%s = Add(%p, %p)\n%r = Relu(%s)\nreturn %r\n";
    assert_eq!(compare(&model(twice), &inputs), 0);
}

#[test]
fn scaled_and_transposed_products_are_not_merged() {
    let inputs = [ramp(&[4, 3], 1)];
    for attrs in ["alpha = 0.5", "beta = 2.0", "alpha = 0.5, transB = 0"] {
        let text = format!("%p = Gemm(%x, %w, %b) {{{attrs}}}\n%r = Relu(%p)\nreturn %r\n");
        assert_eq!(compare(&model(&text), &inputs), 0, "{attrs}");
    }
    let text = "%t = Transpose(%x)\n%p = Gemm(%t, %w, %b) {transA = 1}\n%r = Relu(%p)\nreturn %r\n";
    assert_eq!(compare(&model(text), &inputs), 0);
}

/// A run may feed a value in place of the default.
#[test]
fn defaults_of_inputs_are_no_constants() {
    let text =
        "%v = input [1.0, 2.0] : f32[2]\n%p = MatMul(%x, %w)\n%s = Add(%p, %v)\n%r = Relu(%s)\nreturn %r\n";
    let inputs = [ramp(&[4, 3], 1), ramp(&[2], 2)];
    let merged = compare(&model(text), &inputs);
    assert_eq!(merged, 1, "the default is a summand");
    let text = "%v = input [1.0, 2.0, 3.0] : f32[3,1]\n%p = MatMul(%x, %v)\n%r = Relu(%p)\nreturn %r\n";
    assert_eq!(compare(&model(text), &[ramp(&[4, 3], 1), ramp(&[3, 1], 2)]), 0);
}

/// The types of a model may be unknown until it runs; a product of another type is an error in both forms.
#[test]
fn operands_that_do_not_match_are_errors() {
    let text = "%p = MatMul(%x, %w)\n%s = Add(%p, %b)\n%r = Relu(%s)\nreturn %r\n";
    let unknown = model(text).to_string().replace("f32[N,3]", "f32[N,K]");
    let session = Session::new(&unknown.parse().unwrap()).unwrap();
    let error = session.run(&[ramp(&[4, 2], 1)]).unwrap_err().to_string();
    assert!(error.contains("matrices of 2 columns and 3 rows can't be multiplied"), "{error}");
    let text = "%c = Cast(%x) {to = 11}\n%p = MatMul(%c, %w)\n%s = Add(%p, %b)\nreturn %s\n";
    let session = Session::new(&model(text)).unwrap();
    assert!(session.run(&[ramp(&[4, 3], 1)]).is_err());
}

/// In a branch the matrix is a constant of the branch, and the summand a captured value.
#[test]
fn products_in_branches_are_merged() {
    let text = "model m opset 17\n%c = input : bool[]\n%x = input : f32[N,2]\n\
        %y = If(%c; %x, %x) {else_branch = graph {\n%x = capture : f32[N,2]\nreturn %x\n}, \
        then_branch = graph {\n%x = capture : f32[N,2]\n%w = const splat(0.5) : f32[2,2]\n%b = const [1.0, 2.0] : f32[2]\n\
        %p = MatMul(%x, %w)\n%s = Add(%p, %b)\n%t = Add(%x, %s)\nreturn %t\n}}\nreturn %y\n";
    let model: Model = text.parse().unwrap();
    for condition in [true, false] {
        assert_eq!(compare(&model, &[Tensor::scalar(condition), ramp(&[5, 2], 1)]), 1);
    }
}
