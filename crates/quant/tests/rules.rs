//! Rules of quantization with a threshold, tested on both sides of it.

use intact8_ir::Model;
use intact8_quant::{LayerRecord, QuantConfig, QuantParams, Record, fake_quant};

/// The scale of the weight and the integer of the bias, of a layer with the scales 0.5 and 0.25 and that bias.
fn weight_scale_and_bias(bias: f32) -> (f32, Option<i32>) {
    let text = format!(
        "model m opset 17\n%x = input : f32[N,1]\n%w = const [1.0] : f32[1,1]\n%b = const [{bias:?}] : f32[1]\n\
         %y = Gemm(%x, %w, %b) @fc : f32[N,1]\nreturn %y\n"
    );
    let mut model: Model = text.parse().expect("the text is a model");
    let config = QuantConfig::for_model(&model);
    let entry = LayerRecord {
        activations: vec![QuantParams::per_tensor(0.5, 0, 8)],
        weights: vec![QuantParams::per_tensor(0.25, 0, 8)],
        ..LayerRecord::default()
    };
    let record = Record { layers: [("fc".to_owned(), entry)].into() };
    fake_quant(&config, &record).run(&mut model).expect("the record fits");
    let constant = |name: &str| model.main().constant(model.main().value_named(name)?);
    let scale =
        constant("fc.w.scale").and_then(|scale| scale.values::<f32>().ok()).expect("there is a scale")[0];
    (scale, constant("fc.b.q").and_then(|integers| Some(integers.values::<i32>().ok()?[0])))
}

/// In units of 0.125, the greatest bias of 32-bit integers, with room for the products, is 2³⁰.
#[test]
fn the_scale_of_a_weight_grows_until_the_bias_has_31_bits() {
    let limit = (1u32 << 30) as f32;
    assert_eq!(weight_scale_and_bias(0.125 * 1000.0), (0.25, Some(1000)));
    assert_eq!(weight_scale_and_bias(0.125 * limit * 0.999), (0.25, Some(1_072_668_096)));
    let (scale, bias) = weight_scale_and_bias(0.125 * limit * 2.0);
    assert!((0.5..0.500_01).contains(&scale), "{scale}");
    assert!((limit * 0.999..=limit).contains(&(bias.unwrap() as f32)), "{bias:?}");
}
