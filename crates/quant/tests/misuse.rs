//! Wrong use of the library returns an error with one clear line, and causes neither a panic nor a wrong model.

use intact8_ir::{Model, Result};
use intact8_quant::{
    DeployFormat, Deployed, Emission, LayerRecord, Preparation, Prepared, QuantConfig, QuantParams, Record,
    fake_quant, layers,
};

fn model() -> Model {
    "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]\n\
     %y = MatMul(%x, %w) @fc : f32[N,2]\n%z = Add(%y, %x) @add : f32[N,2]\nreturn %z\n"
        .parse()
        .expect("the text is a model")
}

fn params(scales: &[f32], bits: u8) -> QuantParams {
    QuantParams { scale: scales.to_vec(), offset: vec![0; scales.len()], bits, block_size: None }
}

fn entry(activation: QuantParams, weight: QuantParams) -> LayerRecord {
    LayerRecord { activations: vec![activation], weights: vec![weight], ..LayerRecord::default() }
}

/// Quantizes the model's one product with an entry of its record.
fn quantize(model: &mut Model, entry: LayerRecord) -> Result<()> {
    let mut config = QuantConfig::for_model(model);
    config.layers.retain(|name, _| name == "fc");
    let record = Record { layers: [("fc".to_owned(), entry)].into() };
    fake_quant(&config, &record).run(model)
}

#[test]
fn quantizing_twice_is_an_error() {
    let mut model = model();
    let good = || entry(params(&[0.5], 8), params(&[0.5, 0.25], 8));
    quantize(&mut model, good()).unwrap();
    let mut config = QuantConfig::for_model(&model);
    config.layers.retain(|name, _| name == "add");
    assert!(config.layers.contains_key("add"));
    let add = LayerRecord { activations: vec![params(&[0.5], 8); 2], ..LayerRecord::default() };
    let record = Record { layers: [("add".to_owned(), add)].into() };
    let error = fake_quant(&config, &record).run(&mut model).unwrap_err().to_string();
    assert!(error.contains("is a QuantizeLinear: the model is already quantized"), "{error}");
}

#[test]
fn an_entry_with_the_wrong_number_of_scales_is_an_error() {
    let message = |entry: LayerRecord| quantize(&mut model(), entry).unwrap_err().to_string();
    let one = || params(&[0.5], 8);
    assert!(
        message(entry(params(&[0.5, 0.5], 8), one()))
            .ends_with("fc: the record has 2 scales of an activation, the layer needs 1")
    );
    assert!(
        message(entry(params(&[], 8), one())).ends_with("fc: activation: there are 0 scales and 0 offsets")
    );
    assert!(
        message(entry(one(), params(&[0.5; 3], 8)))
            .ends_with("fc: the record has 3 weight scales, the layer needs 1 or 2")
    );
    let uneven = QuantParams { offset: vec![0; 2], ..one() };
    assert!(message(entry(uneven, one())).ends_with("fc: activation: there are 1 scales and 2 offsets"));
}

#[test]
fn an_entry_of_no_bits_or_of_too_many_is_an_error() {
    let message = |bits: u8| quantize(&mut model(), entry(params(&[0.5], bits), params(&[0.5], 8)));
    for bits in [0, 1, 17, 255] {
        let error = message(bits).unwrap_err().to_string();
        assert!(error.ends_with(&format!("integers must have 2 to 16 bits, found {bits}")), "{error}");
    }
}

#[test]
fn weights_of_too_few_dimensions_make_no_layer() {
    let is_layer = |operands: &str, text: &str| {
        let text =
            format!("model m opset 17\n%x = input : f32[A,B,C]\n{operands}\n%y = {text} @layer\nreturn %y\n");
        let model: Model = text.parse().unwrap();
        let prepared = Prepared::new(&model, &Preparation::default(), None, &mut ()).unwrap();
        assert_eq!(prepared.layers().len(), layers(&model).len());
        !prepared.layers().is_empty()
    };
    for shape in ["1,4,2", "4,2", "8", ""] {
        let weight = |name: &str, shape: &str| format!("%{name} = const splat(1.0) : f32[{shape}]\n");
        let is_enough = shape == "1,4,2";
        for (input, recurrence) in [(shape, "1,4,1"), ("1,4,2", shape)] {
            let operands = weight("w", input) + &weight("r", recurrence);
            let found = is_layer(&operands, "LSTM(%x, %w, %r) {hidden_size = 1}");
            assert_eq!(found, is_enough, "{input} {recurrence}");
        }
        assert_eq!(is_layer(&weight("w", shape), "Conv(%x, %w)"), is_enough, "{shape}");
        assert_eq!(is_layer(&weight("w", shape), "Gemm(%x, %w)"), shape == "4,2", "{shape}");
    }
}

#[test]
fn a_wrong_number_of_scales_is_an_error() {
    let message = |weight_scales: &str, bias: &str| {
        let text = format!(
            "model m opset 17\n%q = input : i8[N,2]\n%s = const [0.5] : f32[]\n%x = DequantizeLinear(%q, %s)\n\
             %w = const splat(1) : i8[2,3]\n%ws = const splat(0.5) : f32[{weight_scales}]\n\
             %wd = DequantizeLinear(%w, %ws) {{axis = 1}} @weight\n%b = const splat(1) : i32[3]\n\
             %bs = const splat(0.25) : f32[5]\n%bd = DequantizeLinear({bias}) {{axis = 0}} @bias\n\
             %g = Gemm(%x, %wd, %bd)\n%r = Relu(%g)\n%factor = const splat(2.0) : f32[3]\n%y = Mul(%r, %factor)\n\
             return %y\n"
        );
        let model: Model = text.parse().unwrap();
        let messages = DeployFormat::ALL.iter().map(|format| {
            let emission =
                Emission { target: intact8_quant::deploy::Profile::named("generic")?, ..Emission::default() };
            Deployed::of(&model, *format, &emission, &mut ()).map(drop)
        });
        let messages: Vec<String> = messages.map(|found| found.unwrap_err().to_string()).collect();
        assert!(messages.windows(2).all(|pair| pair[0] == pair[1]), "{messages:?}");
        messages[0].clone()
    };
    let of_bias = "bias: has 5 scales along dimension 0, which has the length 3; give it 1 or 3";
    assert_eq!(message("3", "%b, %bs"), of_bias);
    assert_eq!(message("", "%b, %bs"), of_bias);
    let of_weight = "weight: has 2 scales along dimension 1, which has the length 3; give it 1 or 3";
    assert_eq!(message("2", "%b, %bs"), of_weight);
    assert_eq!(message("3", "%b"), "bias: has no scale; give it one, or remove it");
}
