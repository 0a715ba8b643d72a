//! Comparisons of small models, with results computed by hand.

use super::*;

#[test]
fn differences_of_a_clipped_value_and_its_use() {
    let float: Model = "model m opset 17
%x = input : f32[4]
%r = Relu(%x)
%y = Neg(%r)
return %y
"
    .parse()
    .unwrap();
    let quantized: Model = "model m opset 17
%x = input : f32[4]
%r = Relu(%x)
%scale = const [0.5] : f32[]
%offset = const [-128] : i8[]
%q = QuantizeLinear(%r, %scale, %offset)
%dq = DequantizeLinear(%q, %scale, %offset)
%y = Neg(%dq)
return %y
"
    .parse()
    .unwrap();
    let input = Tensor::new(&[4], vec![-1.0f32, 0.25, 3.0, 129.5]);
    let found = compare(&float, &quantized, [Ok(vec![input])]).unwrap();
    let names: Vec<(&str, &str)> = found.iter().map(|d| (d.value.as_str(), d.op.as_str())).collect();
    assert_eq!(names, [("x", ""), ("r", "Relu"), ("y", "Neg")]);
    assert_eq!((found[0].sqnr, found[0].quantized_range, found[0].clipped), (200.0, None, None));
    // 255 steps of ½ from 0 upwards; one of four values, 129.5, is above 127.75.
    assert_eq!((found[1].range, found[1].quantized_range), ([0.0, 129.5], Some([0.0, 127.5])));
    assert_eq!((found[1].max_error, found[1].clipped), (0.0, Some(0.25)));
    assert_eq!((found[1].clipped_by_activation, &*found[1].used_by), (Some(0.0), &["y".to_owned()][..]));
    // 0.25 becomes 0 and 129.5 becomes 127.5.
    assert_eq!(found[2].max_error, 2.0);
    let (signal, noise) = (0.0625 + 9.0 + 129.5 * 129.5, 0.0625 + 4.0);
    assert!((found[2].sqnr - 10.0 * f64::log10(signal / noise)).abs() < 1e-12);
    // It is computed from a value without noise, which counts as 40 dB.
    assert_eq!((found[1].step, found[2].step), (0.0, 40.0 - found[2].sqnr));
    let cosine = (9.0 + 129.5 * 127.5) / (signal * (9.0 + 127.5 * 127.5)).sqrt();
    assert!((found[2].cosine - cosine).abs() < 1e-12);
}

#[test]
fn models_without_a_value_in_common_are_an_error() {
    let model = |x: &str, y: &str| -> Model {
        format!("model m opset 17\n%{x} = input : f32[1]\n%{y} = Relu(%{x})\nreturn %{y}\n").parse().unwrap()
    };
    let inputs = [Ok(vec![Tensor::new(&[1], vec![1.0f32])])];
    let error = compare(&model("a", "b"), &model("c", "d"), inputs).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the models have no value in common; compare a model with its own quantized model"
    );
}

#[test]
fn what_an_activation_function_cuts_as_well_is_told_apart() {
    let float: Model = "model m opset 17
%x = input : f32[4]
%h = Neg(%x)
%r = Relu(%h)
%y = Abs(%r)
return %y
"
    .parse()
    .unwrap();
    // The integers take the place of the Relu.
    let quantized: Model = "model m opset 17
%x = input : f32[4]
%h = Neg(%x)
%scale = const [0.5] : f32[]
%offset = const [-128] : i8[]
%q = QuantizeLinear(%h, %scale, %offset)
%dq = DequantizeLinear(%q, %scale, %offset)
%y = Abs(%dq) @last
return %y
"
    .parse()
    .unwrap();
    let input = Tensor::new(&[4], vec![1.0f32, 2.0, -3.0, -129.5]);
    let found = compare(&float, &quantized, [Ok(vec![input])]).unwrap();
    let hidden = found.iter().find(|difference| difference.value == "h").unwrap();
    // -1 and -2 are cut by the Relu too; 129.5 is beyond 127.5 by calibration.
    assert_eq!((hidden.clipped, hidden.clipped_by_activation), (Some(0.75), Some(0.5)));
    assert_eq!((&*hidden.node, &hidden.used_by[..]), ("h", &["last".to_owned()][..]));
}
