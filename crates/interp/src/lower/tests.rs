//! The pictures of the passes, and laws of lowering.

use super::*;
use crate::{Interpreter, Limits, Session};
use intact8_ir::{Pass, Runtime, Tensor};

/// The blocks of a language in the documentation of a file.
fn blocks(source: &str, language: &str) -> Vec<String> {
    let mut found = vec![];
    let mut lines = source.lines().map(|line| line.trim_start_matches("/// "));
    while let Some(line) = lines.next() {
        if line == format!("```{language}") {
            let block = lines.by_ref().take_while(|line| *line != "```");
            found.push(block.map(|line| format!("{line}\n")).collect());
        }
    }
    found
}

#[test]
fn passes_change_models_as_in_their_pictures() {
    let passes: &[(&dyn Pass, &str)] = &[
        (&blocked::BlockChannels, include_str!("blocked.rs")),
        (&byte_pools::FuseBytePools, include_str!("byte_pools.rs")),
        (&byte_products::FuseByteProducts, include_str!("byte_products.rs")),
        (&byte_sums::FuseByteSums, include_str!("byte_sums.rs")),
        (&chains::FuseChains, include_str!("chains.rs")),
        (&float_products::FuseFloatProducts, include_str!("float_products.rs")),
        (&moved_bytes::MoveBytes, include_str!("moved_bytes.rs")),
        (&slices::MergeSlices, include_str!("slices.rs")),
        (&transposes::SinkTransposes, include_str!("transposes.rs")),
    ];
    for (pass, source) in passes {
        let (before, after) = (blocks(source, "qir before"), blocks(source, "qir after"));
        assert_eq!(before.len(), after.len(), "{}", pass.name());
        assert!(!before.is_empty(), "{} has no picture", pass.name());
        for (before, after) in before.iter().zip(&after) {
            let mut model: Model = before.parse().unwrap();
            model.opsets.insert(DOMAIN.to_owned(), 1);
            assert!(pass.run(&mut model).unwrap(), "{}", pass.name());
            intact8_ir::verify(&model).unwrap();
            let expected: Model = after.parse().unwrap();
            assert_eq!(model.to_string(), expected.to_string(), "{}", pass.name());
            assert!(!pass.run(&mut model).unwrap(), "{} changes its own result", pass.name());
        }
    }
}

/// A model that states the domain is refused, not run.
#[test]
fn files_can_not_use_the_domain() {
    let text = "model m opset 17, intact8.lowered 1\n%x = input : u8[2]\n%t = const splat(1) : u8[256]\n\
        %y = intact8.lowered::Table(%x, %t)\nreturn %y\n";
    let model: Model = text.parse().unwrap();
    let interpreter = Interpreter::default();
    let error = interpreter.compile(&model).err().unwrap().to_string();
    assert!(error.contains("the domain intact8.lowered is that of lowered models"), "{error}");
}

/// A network of bytes computes what the floats between its quantizers stand for.
#[test]
fn lowered_models_return_what_the_models_return() {
    let text = "model m opset 17\n%x = input : f32[2,3,6,6]\n%s = const [0.02] : f32[]\n%z = const [128] : u8[]\n\
        %q = QuantizeLinear(%x, %s, %z)\n%a = DequantizeLinear(%q, %s, %z)\n\
        %v = const splat(3) : i8[4,3,3,3]\n%t = const [0.01] : f32[]\n%w = DequantizeLinear(%v, %t)\n\
        %b = const [0.5, -0.5, 0.25, 0.0] : f32[4]\n\
        %c = Conv(%a, %w, %b) {pads = [1, 1, 1, 1]} @conv\n%r = Relu(%c)\n%rq = QuantizeLinear(%r, %s, %z)\n\
        %rd = DequantizeLinear(%rq, %s, %z)\n%g = Sigmoid(%rd)\n%m = Mul(%rd, %g)\n%mq = QuantizeLinear(%m, %s, %z)\n\
        %md = DequantizeLinear(%mq, %s, %z)\n%e = Add(%md, %rd)\n%eq = QuantizeLinear(%e, %s, %z)\n\
        %ed = DequantizeLinear(%eq, %s, %z)\n%u = const splat(-2) : i8[2,4,1,1]\n%ud = DequantizeLinear(%u, %t)\n\
        %f = Conv(%ed, %ud) @last\nreturn %f\n";
    let model: Model = text.parse().unwrap();
    let values = (0..2 * 3 * 36).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.03).collect();
    let inputs = [Tensor::new(&[2, 3, 6, 6], values)];
    let lowered = lower(&model).unwrap().unwrap();
    intact8_ir::verify(&lowered).unwrap();
    let lowered = lowered.to_string();
    assert!(["::Conv", "::Table", "::Sum"].iter().all(|name| lowered.contains(name)), "{lowered}");
    assert_eq!(lowered.matches("Transpose").count(), 2, "{lowered}");
    let interpreter = Interpreter::default();
    let found = interpreter.compile(&model).unwrap().run(&inputs).unwrap();
    let expected = Session::as_written(&model, Limits::default()).unwrap().run(&inputs).unwrap();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.shape(), expected.shape());
        let pairs = found.values::<f32>().unwrap().iter().zip(expected.values::<f32>().unwrap());
        pairs.for_each(|(a, b)| assert!((a - b).abs() <= 1e-4, "{a} {b}"));
    }
}

/// The only use of the product is that of a subgraph, in a slot that no sum has.
#[test]
fn a_product_that_a_subgraph_captures_is_no_summand() {
    let text = "model m opset 17\n%c = input : bool[]\n%q = input : u8[2,2]\n%s = const [0.5] : f32[]\n\
        %z = const [0] : u8[]\n%a = DequantizeLinear(%q, %s, %z)\n%i = const [1, 2, 3, 4] : i8[2,2]\n\
        %w = DequantizeLinear(%i, %s)\n%p = MatMul(%a, %w) @product\n\
        %y = If(%c; %a, %a, %p) {else_branch = graph {\n%a = capture : f32[2,2]\nreturn %a\n}, \
        then_branch = graph {\n%a = capture : f32[2,2]\n%p = capture : f32[2,2]\n%t = Sub(%a, %p)\nreturn %t\n}}\n\
        return %y\n";
    let model: Model = text.parse().unwrap();
    let inputs = [Tensor::scalar(true), Tensor::new(&[2, 2], vec![1u8, 2, 3, 4])];
    let expected = Session::as_written(&model, Limits::default()).unwrap().run(&inputs).unwrap();
    assert_eq!(Session::new(&model).unwrap().run(&inputs).unwrap(), expected);
}

/// Weights are packed for the sizes of the first run; others are as right.
#[test]
fn lowered_models_run_on_inputs_of_other_sizes() {
    let text = "model m opset 17\n%x = input : f32[N,20,H,W]\n%w = const splat(0.125) : f32[24,20,3,3]\n\
        %c = Conv(%x, %w) {pads = [1, 1, 1, 1], strides = [2, 1]} @first\n%r = Relu(%c)\n\
        %v = const splat(-0.25) : f32[24,1,3,3]\n%d = Conv(%r, %v) {group = 24, pads = [1, 1, 1, 1]} @second\n\
        %a = Add(%d, %r)\n%y = GlobalAveragePool(%a) @pool\nreturn %a, %y\n";
    let model: Model = text.parse().unwrap();
    let lowered = Session::lowered(&model).unwrap().to_string();
    assert!(
        lowered.matches("BlockedConv").count() == 2 && lowered.contains("BlockedGlobalAveragePool"),
        "{lowered}"
    );
    let (session, written) =
        (Session::new(&model).unwrap(), Session::as_written(&model, Limits::default()).unwrap());
    for shape in [[1, 20, 6, 6], [2, 20, 9, 5], [1, 20, 1, 1], [1, 20, 6, 6], [0, 20, 4, 4]] {
        let n_elements = shape.iter().product::<usize>();
        let values = (0..n_elements).map(|i| (i * 31 % 97) as f32 * 0.02 - 1.0).collect();
        let inputs = [Tensor::new(&shape, values)];
        assert_eq!(session.run(&inputs).unwrap(), written.run(&inputs).unwrap(), "{shape:?}");
    }
}

/// A run may feed other weights than the defaults of inputs.
#[test]
fn defaults_of_inputs_are_no_constants() {
    let weights = [
        "%w = input splat(0.5) : f32[16,16,3,3]\n%c = Conv(%x, %w) {pads = [1, 1, 1, 1]}\n%y = Relu(%c)\n",
        "%w = input splat(0.5) : f32[16,16]\n%m = MatMul(%x, %w)\n%b = input splat(0.25) : f32[16]\n%y = Add(%m, %b)\n",
        "%q = QuantizeLinear(%x, %s, %z)\n%d = DequantizeLinear(%q, %s, %z)\n%w = input splat(2) : i8[16,16,3,3]\n\
         %v = DequantizeLinear(%w, %s)\n%c = Conv(%d, %v) {pads = [1, 1, 1, 1]}\n%r = QuantizeLinear(%c, %s, %z)\n\
         %y = DequantizeLinear(%r, %s, %z)\n",
        "%t = input [0.0, 6.0] : f32[2]\n%a = Add(%x, %k)\n%l = input [0.5] : f32[]\n%e = Clip(%a, %l)\n%y = Sigmoid(%e)\n",
    ];
    let interpreter = Interpreter::default();
    for nodes in weights {
        let shape = if nodes.contains("MatMul") { "[4,16]" } else { "[1,16,4,4]" };
        let text = format!(
            "model m opset 17\n%x = input : f32{shape}\n%s = const [0.1] : f32[]\n%z = const [0] : u8[]\n\
             %k = const [0.125] : f32[]\n{nodes}return %y\n"
        );
        let model: Model = text.parse().unwrap();
        let shape: &[usize] = if nodes.contains("MatMul") { &[4, 16] } else { &[1, 16, 4, 4] };
        let values = (0..shape.iter().product()).map(|i: usize| (i * 37 % 101) as f32 * 0.02 - 1.0).collect();
        let x = Tensor::new(shape, values);
        let written = Session::as_written(&model, Limits::default()).unwrap();
        let lowered = interpreter.compile(&model).unwrap();
        let inputs = model.main().inputs().iter().skip(1).map(|&id| {
            let default = model.main().node(id).as_constant().unwrap();
            match default.values::<f32>() {
                Ok(values) => Tensor::new(default.shape(), values.iter().map(|value| value - 0.75).collect()),
                Err(_) => {
                    let bytes = default.values::<i8>().unwrap();
                    Tensor::new(default.shape(), bytes.iter().map(|byte| byte - 3).collect())
                }
            }
        });
        let fed: Vec<Tensor> = std::iter::once(x.clone()).chain(inputs).collect();
        for inputs in [&[x][..], &fed] {
            let (found, expected) = (lowered.run(inputs).unwrap(), written.run(inputs).unwrap());
            assert_eq!(found, expected, "{text}");
        }
    }
}

/// Slices of every second row and column are read once, and resized blocks stay blocks; the bits are those of the model.
#[test]
fn slices_and_resizing_between_convolutions_keep_the_bits() {
    let text = "model m opset 17\n%x = input : f32[N,3,H,W]\n%zero = const [0] : i64[1]\n%one = const [1] : i64[1]\n\
        %end = const [1000] : i64[1]\n%two = const [2] : i64[1]\n%three = const [3] : i64[1]\n\
        %r = Slice(%x, %zero, %end, %two, %two)\n%p = Slice(%r, %one, %end, %three, %two)\n\
        %s = Slice(%x, %one, %end, %two, %two)\n%q = Slice(%s, %one, %end, %three, %two)\n\
        %f = Concat(%p, %q) {axis = 1}\n%w = const splat(0.125) : f32[16,6,3,3]\n\
        %c = Conv(%f, %w) {pads = [1, 1, 1, 1], strides = [2, 2]} @first\n\
        %n = const [1.0, 1.0, 2.0, 2.0] : f32[4]\n\
        %u = Resize(%c, _, %n) {mode = \"nearest\", coordinate_transformation_mode = \"asymmetric\", nearest_mode = \"floor\"}\n\
        %d = Concat(%u, %u) {axis = 1}\n%m = MaxPool(%d) {kernel_shape = [3, 3], pads = [1, 1, 1, 1]}\n\
        %v = const splat(-0.25) : f32[32,1,3,3]\n%y = Conv(%m, %v) {group = 32, pads = [1, 1, 1, 1]} @last\nreturn %y\n";
    let model: Model = text.parse().unwrap();
    let lowered = Session::lowered(&model).unwrap().to_string();
    let counts = ["Slice(", "Unblock(", "::Block("].map(|name| lowered.matches(name).count());
    assert_eq!(counts, [2, 1, 0], "{lowered}");
    let (session, written) =
        (Session::new(&model).unwrap(), Session::as_written(&model, Limits::default()).unwrap());
    for shape in [[1, 3, 12, 17], [2, 3, 8, 6], [1, 3, 40, 34]] {
        let n_elements = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..n_elements).map(|i| (i * 37 % 101) as f32 * 0.03 - 1.5).collect();
        let inputs = [Tensor::new(&shape, values)];
        assert_eq!(session.run(&inputs).unwrap(), written.run(&inputs).unwrap(), "{shape:?}");
    }
}
