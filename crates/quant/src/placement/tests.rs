//! Placements of small networks, with the times of ONNX Runtime on x86, and of OpenVINO where that is said.

use super::*;

/// What becomes of the default configuration of a model: layers of which only the weights are quantized, functions that are
/// quantized, and layers with a quantized result.
fn placed(lines: &str) -> [Vec<String>; 3] {
    placed_with(lines, false)
}

fn placed_with(lines: &str, products: bool) -> [Vec<String>; 3] {
    placed_by(&ONNXRUNTIME_X86, lines, products)
}

fn placed_by(costs: &RuntimeCosts, lines: &str, products: bool) -> [Vec<String>; 3] {
    let model: Model = format!("model m opset 17\n{lines}").parse().unwrap();
    let mut config = QuantConfig::for_model(&model);
    let usual: Vec<String> = config.layers.keys().cloned().collect();
    Placement::fastest(&model, &config, costs, products, &LayerTimes::new())
        .apply(&mut config, |_| String::new());
    let names = |is_meant: &dyn Fn(&str, &LayerConfig) -> bool| {
        let meant = config.layers.iter().filter(|(name, of_layer)| is_meant(name, of_layer));
        meant.map(|(name, _)| name.clone()).collect()
    };
    [
        names(&|_, of_layer| of_layer.weights_only || !of_layer.quant_enable),
        names(&|name, _| !usual.contains(&name.to_owned())),
        names(&|_, of_layer| of_layer.quantize_output),
    ]
}

const NONE: [&str; 0] = [];

/// Two convolutions of 32 channels on 28 by 28 positions with something between.
fn around(between: &str) -> String {
    format!(
        "%x = input : f32[N,32,28,28]\n%w = const splat(0.5) : f32[32,32,3,3]\n\
         %a = Conv(%x, %w) {{pads = [1, 1, 1, 1]}} @first : f32[N,32,28,28]\n{between}\
         %v = const splat(0.25) : f32[32,32,3,3]\n%y = Conv(%b, %v) {{pads = [1, 1, 1, 1]}} @second\n\
         %z = GlobalAveragePool(%y) @pool\nreturn %z\n"
    )
}

#[test]
fn activation_functions_between_convolutions_are_integers() {
    let [in_float, functions, with_output] = placed(&around("%b = LeakyRelu(%a) {alpha = 0.1} @leaky\n"));
    assert_eq!(
        (in_float, functions, with_output),
        (vec![], vec!["leaky".to_owned()], vec!["pool".to_owned()])
    );
    let silu = "%s = Sigmoid(%a) @sigmoid : f32[N,32,28,28]\n%b = Mul(%a, %s) @mul\n";
    let [in_float, functions, _] = placed(&around(silu));
    assert_eq!((in_float, functions), (vec![], vec!["mul".to_owned(), "sigmoid".to_owned()]));
}

/// OpenVINO fuses functions of single elements with the convolution before them, in float for both arithmetics.
#[test]
fn openvino_computes_functions_of_convolutions_in_float() {
    for between in [
        "%b = LeakyRelu(%a) {alpha = 0.1} @function\n",
        "%s = Sigmoid(%a) @gate : f32[N,32,28,28]\n%b = Mul(%a, %s) @function\n",
    ] {
        let [in_float, functions, _] = placed_by(&OPENVINO_X86, &around(between), false);
        assert!(!in_float.contains(&"first".to_owned()), "{between}");
        assert!(!functions.contains(&"function".to_owned()), "{between}");
        assert!(!functions.contains(&"gate".to_owned()), "{between}");
    }
}

/// No kernel exists for the function, or for the addition of a constant: the result of the convolution is quantized, and
/// dequantized for it.
#[test]
fn convolutions_return_integers_to_functions_in_float() {
    for between in [
        "%b = HardSwish(%a) @swish\n",
        "%r = Relu(%a)\n%c = const splat(0.5) : f32[32,1,1]\n%b = Add(%r, %c) @shift\n",
    ] {
        let [in_float, functions, with_output] = placed(&around(between));
        assert_eq!((in_float, functions), (vec![], vec![]), "{between}");
        assert_eq!(with_output, ["first", "pool"], "{between}");
    }
}

/// 9 elements of one byte each are copied for each of 12544 positions.
#[test]
fn a_convolution_of_few_channels_stays_in_float() {
    let first = |channels: usize| {
        let lines = format!(
            "%x = input : f32[N,{channels},112,112]\n%w = const splat(0.5) : f32[16,{channels},3,3]\n\
             %a = Conv(%x, %w) @first\n%r = Relu(%a)\n%v = const splat(0.25) : f32[64,16,3,3]\n\
             %y = Conv(%r, %v) {{strides = [2, 2]}} @second\n%z = GlobalAveragePool(%y) @pool\nreturn %z\n"
        );
        placed(&lines)[0].clone()
    };
    assert_eq!(first(3), ["first"]);
    assert_eq!(first(16), NONE);
}

/// Bytes whose channels are not the last dimension take 30 times as long to pool.
#[test]
fn pooling_after_a_convolution_in_float_stays_in_float() {
    let lines = |channels: usize| {
        format!(
            "%x = input : f32[N,{channels},64,64]\n%w = const splat(0.5) : f32[8,{channels},3,3]\n\
             %a = Conv(%x, %w) @first\n%p = MaxPool(%a) {{kernel_shape = [2, 2], strides = [2, 2]}} @pool\n\
             %v = const splat(0.25) : f32[8,8,1,1]\n%y = Conv(%p, %v) @second\nreturn %y\n"
        )
    };
    assert_eq!(placed(&lines(1))[0], ["first", "second"]);
}

/// Channels are the last dimension after a convolution in int8 already, so that a transposition there moves rows.
#[test]
fn a_convolution_before_a_transposition_of_channels_is_in_integers() {
    let lines = "%x = input : f32[N,1,49,10]\n%w = const splat(0.5) : f32[128,1,10,4]\n\
                 %a = Conv(%x, %w) {strides = [2, 2]} @first\n%r = Relu(%a)\n\
                 %t = Transpose(%r) {perm = [2, 0, 3, 1]} @turn\n%y = Tanh(%t)\nreturn %y\n";
    assert_eq!(placed(lines)[0], NONE);
}

#[test]
fn a_product_is_in_integers_if_it_is_large() {
    let product = |inner: usize| {
        placed(&format!(
            "%x = input : f32[N,{inner}]\n%w = const splat(0.5) : f32[{inner},{inner}]\n%y = MatMul(%x, %w) @product\n\
             return %y\n"
        ))[0]
            .clone()
    };
    assert_eq!(product(32), ["product"]);
    assert_eq!(product(512), NONE);
}

#[test]
fn recurrences_have_integer_weights_only() {
    let lines = "%x = input : f32[8,N,64]\n%w = const splat(0.5) : f32[1,512,64]\n\
                 %r = const splat(0.5) : f32[1,512,128]\n%y = LSTM(%x, %w, %r) {hidden_size = 128} @lstm\nreturn %y\n";
    assert_eq!(placed(lines), [vec!["lstm".to_owned()], vec![], vec![]]);
}

#[test]
fn a_contradictory_model_is_placed_too() {
    let lines =
        "%x = input : f32[N,3]\n%w = const splat(0.5) : f32[4,4]\n%y = MatMul(%x, %w) @product\nreturn %y\n";
    assert_eq!(placed(lines)[1], NONE);
}

/// Half of the channels pass by two convolutions and are joined with their result, twice.
#[test]
fn channels_are_split_and_joined_as_integers() {
    let mut lines = String::from("%x0 = input : f32[N,64,28,28]\n%n = const splat(32) : i64[2]\n");
    for idx in 0..2 {
        let next = idx + 1;
        lines += &format!(
            "%l{idx}, %r{idx} = Split(%x{idx}, %n) {{axis = 1}} @split{idx} : f32[N,32,28,28], f32[N,32,28,28]\n\
             %w{idx} = const splat(0.5) : f32[64,32,3,3]\n%v{idx} = const splat(0.25) : f32[32,64,3,3]\n\
             %a{idx} = Conv(%r{idx}, %w{idx}) {{pads = [1, 1, 1, 1]}} @first{idx} : f32[N,64,28,28]\n\
             %b{idx} = Conv(%a{idx}, %v{idx}) {{pads = [1, 1, 1, 1]}} @second{idx} : f32[N,32,28,28]\n\
             %x{next} = Concat(%l{idx}, %b{idx}) {{axis = 1}} @join{idx} : f32[N,64,28,28]\n"
        );
    }
    let [in_float, functions, with_output] =
        placed(&(lines + "%y = GlobalAveragePool(%x2) @pool\nreturn %y\n"));
    assert_eq!((in_float, functions), (vec![], vec!["join0".to_owned()]));
    assert_eq!(with_output, ["join0", "pool"]);
}

/// The padding of the pooling is not counted, so no convolution computes it, and its kernel for integers is slow.
#[test]
fn a_pooling_that_is_slow_in_integers_has_float_neighbours() {
    let lines =
        "%b = AveragePool(%a) {kernel_shape = [3, 3], pads = [1, 1, 1, 1]} @average : f32[N,32,28,28]\n";
    let [in_float, _, with_output] = placed(&around(lines));
    assert!(in_float.contains(&"average".to_owned()), "{in_float:?}");
    assert!(!with_output.contains(&"average".to_owned()));
    assert!(in_float.contains(&"second".to_owned()) || in_float.contains(&"first".to_owned()));
}

/// A convolution of few channels is faster in float. Where it must be in integers, results with uses in float are quantized for
/// them.
#[test]
fn products_are_integers_at_any_cost_if_they_are_preferred() {
    let lines = "%x = input : f32[N,3,32,32]\n%w = const splat(0.5) : f32[16,3,3,3]\n\
         %a = Conv(%x, %w) {pads = [1, 1, 1, 1]} @first : f32[N,16,32,32]\n%r = Relu(%a) : f32[N,16,32,32]\n\
         %v = const splat(0.25) : f32[16,16,3,3]\n%b = Conv(%r, %v) {pads = [1, 1, 1, 1]} @second : f32[N,16,32,32]\n\
         %s = Add(%b, %r) @sum : f32[N,16,32,32]\n%t = Relu(%s) : f32[N,16,32,32]\n\
         %c = Conv(%t, %v) {pads = [1, 1, 1, 1]} @third : f32[N,16,32,32]\n%h = HardSwish(%t) : f32[N,16,32,32]\n\
         %y = Mul(%c, %h)\nreturn %y\n";
    assert_eq!(placed(lines)[0], ["first"]);
    let [in_float, _, with_output] = placed_with(lines, true);
    assert_eq!(in_float, NONE);
    assert_eq!(with_output, ["first", "sum", "third"]);
}

/// A convolution that gains by the table and loses when it is measured, and the other way round.
#[test]
fn measured_times_count_in_place_of_the_table() {
    let text = format!("model m opset 17\n{}", around("%b = Relu(%a)\n"));
    let model: Model = text.parse().unwrap();
    let in_float = |measured: LayerTimes| {
        let mut config = QuantConfig::for_model(&model);
        let placement = Placement::fastest(&model, &config, &ONNXRUNTIME_X86, false, &measured);
        placement.apply(&mut config, |_| String::new());
        let layers = config.layers.into_iter().filter(|(_, of_layer)| of_layer.weights_only);
        layers.map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(in_float(LayerTimes::new()), NONE);
    let slow = [1e5, 1e6];
    let all = ["first", "second"].map(|name| (name.to_owned(), slow));
    assert_eq!(in_float(all.clone().into()), ["first", "second"]);
    assert_eq!(in_float([all[1].clone()].into()), ["second"]);
    assert_eq!(in_float([(all[1].0.clone(), [1e6, 1e5])].into()), NONE);
}
