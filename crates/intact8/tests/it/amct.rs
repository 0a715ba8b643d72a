//! Files of AMCT: records that were made without intact8's preparation, short definitions, and what is written for Ascend.

use crate::command::json;
use crate::{Scratch, intact8, without_properties};
use intact8::Tensor;

/// A convolution of two channels with a normalization that multiplies them by 8 and 1/4, and a Mul by 4.
const NORMALIZED: &str = "\
model m opset 17
%x = input : f32[N,2,2,2]
%w = const [1.27, -0.5, 0.7, 1.1] : f32[2,2,1,1]
%c = Conv(%x, %w) @conv : f32[N,2,2,2]
%g = const [8.0, 0.25] : f32[2]
%z = const [0.5, -0.5] : f32[2]
%v = const [1.0, 1.0] : f32[2]
%n = BatchNormalization(%c, %g, %z, %z, %v) {epsilon = 0.0} @bn : f32[N,2,2,2]
%k = const [4.0] : f32[]
%y = Mul(%n, %k) @mul : f32[N,2,2,2]
return %y
";

fn model(scratch: &Scratch, text: &str) -> String {
    let path = scratch.path("model.onnx");
    let model = text.parse().expect("the text is a model");
    intact8::save_model(&model, path.as_ref()).expect("the folder can be written to");
    path
}

/// Samples between -1.27 and 1.27.
fn samples(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    Tensor::new(shape, (0..n).map(|idx| ((idx * 37 % 255) as f32 - 127.0) / 100.0).collect())
}

fn record(scratch: &Scratch, entries: &[(&str, &str)]) -> String {
    let entry = |(key, value): &(&str, &str)| format!("record {{ key: \"{key}\" value {{ {value} }} }}\n");
    let text: String = entries.iter().map(entry).collect();
    scratch.text("record.txt", &text).display().to_string()
}

/// The SQNR of the last value of the fake-quant model of a record.
fn sqnr(scratch: &Scratch, text: &str, entries: &[(&str, &str)]) -> f64 {
    let (model, record) = (model(scratch, text), record(scratch, entries));
    let run = intact8(&["convert", &model, "--record", &record, "--save", &scratch.path("c")]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let data = scratch.npz("x.npz", &[("x", samples(&[16, 2, 2, 2]))]);
    let (quantized, found) = (scratch.path("c_fake_quant_model.onnx"), scratch.path("found.json"));
    let run = intact8(&["compare", &model, &quantized, "--input", &data, "--json", &found]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let found = json(scratch, "found.json");
    found.as_array().and_then(|rows| rows.last()).and_then(|row| row["sqnr"].as_f64()).expect("a row has it")
}

#[test]
fn a_record_of_the_original_weights_or_of_the_folded_ones_is_used_as_it_is_meant() {
    let scratch = Scratch::new();
    let of_original = "scale_d: 0.01 offset_d: 0 scale_w: 0.01 scale_w: 0.00866 offset_w: 0 offset_w: 0";
    let of_folded = "scale_d: 0.01 offset_d: 0 scale_w: 0.32 scale_w: 0.00866 offset_w: 0 offset_w: 0";
    for entry in [of_original, of_folded, &format!("{of_original} skip_fusion: true")] {
        let found = sqnr(&scratch, NORMALIZED, &[("conv", entry)]);
        assert!(found > 38.0, "{entry}: {found}");
    }
    let printed = || intact8(&["print", &scratch.path("c_fake_quant_model.onnx")]).stdout;
    assert!(printed().contains(" = Mul("), "the normalization is not folded: {}", printed());
    let entry = "scale_d: 0.01 offset_d: 0 scale_w: 0.0003 scale_w: 0.0003 offset_w: 0 offset_w: 0";
    let (model, record) = (model(&scratch, NORMALIZED), record(&scratch, &[("conv", entry)]));
    let run = intact8(&["convert", &model, "--record", &record, "--save", &scratch.path("c")]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("conv: quantized with the record's scales, the weight loses"),
        "{}",
        run.stderr
    );
}

/// A normalization before a layer, into which AMCT folds nothing.
const NORMALIZED_BEFORE: &str = "\
model m opset 17
%x = input : f32[N,2,2,2]
%g = const [8.0, 0.25] : f32[2]
%z = const [0.5, -0.5] : f32[2]
%v = const [1.0, 1.0] : f32[2]
%n = BatchNormalization(%x, %g, %z, %z, %v) {epsilon = 0.0} @bn : f32[N,2,2,2]
%w = const [1.27, -0.5, 0.7, 1.1] : f32[2,2,1,1]
%y = Conv(%n, %w) @conv : f32[N,2,2,2]
return %y
";

#[test]
fn the_activation_of_a_record_is_the_one_that_the_layer_reads_in_the_original() {
    let scratch = Scratch::new();
    let entry = "scale_d: 0.1 offset_d: 40 scale_w: 0.01 scale_w: 0.0087 offset_w: 0 offset_w: 0";
    let found = sqnr(&scratch, NORMALIZED_BEFORE, &[("conv", entry)]);
    assert!(found > 38.0, "{found}");
}

const LAYERS: &str = "\
model m opset 17
%x = input : f32[N,4]
%w = const [1.27, -0.5, 0.7, 1.1, 0.1, 0.2, -0.3, 0.4, 0.5, 1.0, -1.0, 0.9, 0.8, -0.7, 0.6, 0.5] : f32[4,4]
%a = MatMul(%x, %w) @fc.1 : f32[N,4]
%b = Tanh(%a) : f32[N,4]
%y = MatMul(%b, %w) @fc11 : f32[N,4]
return %y
";

#[test]
fn a_record_without_layers_is_an_error_and_one_of_16_bits_raises_the_model() {
    let scratch = Scratch::new();
    let model = model(&scratch, LAYERS);
    let save = scratch.path("c");
    let convert = |record: &str| intact8(&["convert", &model, "--record", record, "--save", &save]);
    let run = convert(&record(&scratch, &[]));
    assert_eq!((run.code, scratch.files().len()), (1, 2), "{:?}", scratch.files());
    assert!(run.stderr.contains("the record has no layer"), "{}", run.stderr);
    let entry =
        "scale_d: 0.0001 offset_d: 0 scale_w: 0.01 offset_w: 0 act_type: \"INT16\" wts_type: \"INT8\"";
    let run = convert(&record(&scratch, &[("fc.1", entry)]));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let printed = intact8(&["print", &scratch.path("c_fake_quant_model.onnx")]).stdout;
    assert!(printed.starts_with("model m opset 21") && printed.contains(": i16["), "{printed}");
}

#[test]
fn a_definition_and_a_target_make_a_configuration_together() {
    let scratch = Scratch::new();
    let text = LAYERS.replace("MatMul(%b, %w) @fc11", "MatMul(%b, %a) @fc11").replace("[N,4]", "[4,4]");
    let model = model(&scratch, &text);
    let definition = "common_config { ifmr_quantize { dst_type: INT16 } }\n\
                      override_layer_configs { layer_name: \"fc11\" calibration_config { min_max_quantize { } } }";
    let definition = definition.replace("min_max_quantize { }", "min_max_quantize { dst_type: INT8 }");
    let definition = scratch.text("short.cfg", &definition).display().to_string();
    let output = scratch.path("config.json");
    let config = ["config", &model, "--definition", &definition, "-o", &output];
    let run = intact8(&[&config[..], &["--target", "ascend"]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("fc.1 stays float: ascend multiplies activations of 8 bits"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("fc11 has no zero point: ascend supports none for this MatMul"),
        "{}",
        run.stderr
    );
    let written = json(&scratch, "config.json");
    assert_eq!(written["fc.1"]["quant_enable"], false);
    assert_eq!(written["fc11"]["activation_quant_params"]["asymmetric"], false);
    let run = intact8(&[
        "config",
        &model,
        "-o",
        &output,
        "--no-activation-offset",
        "--target",
        "generic",
        "--force",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(json(&scratch, "config.json")["activation_offset"], false);
}

#[test]
fn a_configuration_of_nothing_is_an_error() {
    let scratch = Scratch::new();
    let model = model(&scratch, "model m opset 17\n%x = input : f32[N,4]\n%y = Relu(%x) @relu\nreturn %y\n");
    let run = intact8(&["config", &model, "-o", &scratch.path("config.json")]);
    assert_eq!((run.code, scratch.files()), (1, vec!["model.onnx".to_owned()]));
    assert!(run.stderr.contains("the model has no layer to quantize"), "{}", run.stderr);
}

#[test]
fn convert_and_quantize_write_the_same_parameters_with_short_scales() {
    let scratch = Scratch::new();
    let model = model(&scratch, LAYERS);
    let definition = "fakequant_precision_mode: FORCE_FP16_QUANT\nequalize: false\nauto_balance: false\n\
                      correct_bias: false\nfit_rounding: false";
    let definition = scratch.text("short.cfg", definition).display().to_string();
    let output = scratch.path("config.json");
    let run = intact8(&["config", &model, "--definition", &definition, "-o", &output, "--target", "ascend"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let data = scratch.npz("x.npz", &[("x", samples(&[32, 4]))]);
    let ascend = ["--target", "ascend", "--deploy", "ascend"];
    let save = scratch.path("q");
    let quantize =
        ["quantize", &model, "--calib", &data, "--eval", &data, "--metric", "sqnr>=10", "--save", &save];
    let run = intact8(&[&quantize[..], &ascend, &["--config", &output]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let record = scratch.path("q_scale_offset_record.txt");
    let text = std::fs::read_to_string(&record).expect("the record is written");
    assert!(text.contains("fakequant_precision_mode: \"FORCE_FP16_QUANT\""), "{text}");
    let run = intact8(
        &[&["convert", &model, "--record", &record, "--save", &scratch.path("c")][..], &ascend].concat(),
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    let bytes = |name: &str| std::fs::read(scratch.path(name)).expect("the file is written");
    for name in ["deploy_model.onnx", "fake_quant_model.onnx"] {
        let (scored, converted) = (bytes(&format!("q_{name}")), bytes(&format!("c_{name}")));
        assert!(without_properties(&scored) == converted, "{name}");
    }
    let deployed = intact8::load_model(scratch.path("c_deploy_model.onnx").as_ref()).expect("a model");
    let nodes = deployed.main().dag().node_weights().filter_map(|node| node.as_constant());
    let params: Vec<u64> =
        nodes.filter_map(|tensor| tensor.values::<u64>().ok()).flatten().copied().collect();
    assert!(params.len() == 2 && params.iter().all(|param| param & 0x1FFF == 0), "{params:x?}");
}

#[test]
fn a_model_is_quantized_without_an_evaluator_from_raw_files() {
    let scratch = Scratch::new();
    let model = model(&scratch, LAYERS);
    let data = samples(&[64, 4]);
    let npz = scratch.npz("x.npz", &[("x", data.clone())]);
    let folder = scratch.path("raw");
    std::fs::create_dir(&folder).expect("the folder can be written to");
    for (idx, batch) in data.to_le_bytes().chunks(32 * 16).enumerate() {
        std::fs::write(format!("{folder}/batch{idx}.bin"), batch).expect("the folder can be written to");
    }
    let quantize = |calib: &str, save: &str| {
        intact8(&[
            "quantize",
            &model,
            "--calib",
            calib,
            "--no-eval",
            "--target",
            "generic",
            "--save",
            &scratch.path(save),
        ])
    };
    let run = quantize(&npz, "a/");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let said = "nothing was scored; `intact8 compare` shows the error of each value\n\n files ";
    assert!(run.stdout.starts_with("ship: ") && run.stdout.contains(said), "{}", run.stdout);
    assert_eq!(quantize(&folder, "b/").code, 0);
    let files = ["fake_quant_model.onnx", "deploy_model.onnx", "quant.json", "scale_offset_record.txt"];
    let mut found: Vec<String> = std::fs::read_dir(scratch.path("b"))
        .expect("the folder is made")
        .map(|entry| entry.expect("is there").file_name().into_string().expect("UTF-8"))
        .collect();
    found.sort();
    let mut expected = files.to_vec();
    expected.extend(["final_config.json", "intact8.toml", "report.html", "report.json"]);
    expected.sort_unstable();
    assert_eq!(found, expected);
    let bytes = |name: &str| std::fs::read(scratch.path(name)).expect("the file is written");
    assert!(files.iter().all(|file| bytes(&format!("a/{file}")) == bytes(&format!("b/{file}"))));
    std::fs::write(format!("{folder}/batch9.bin"), [0; 15]).expect("the folder can be written to");
    let run = quantize(&folder, "b/");
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("batch9.bin: has 15 bytes, and a sample of f32 of the shape [4] has 16"),
        "{}",
        run.stderr
    );
    let run = intact8(&["quantize", &model, "--calib", &npz, "--no-eval", "--eval", &npz]);
    assert_eq!(run.code, 2, "{}", run.stderr);
}

#[test]
fn a_record_for_amct_has_its_fields_alone_and_the_whole_one_lies_beside() {
    let scratch = Scratch::new();
    let model = model(&scratch, NORMALIZED);
    let data = scratch.npz("x.npz", &[("x", samples(&[64, 2, 2, 2]))]);
    let quantize =
        ["quantize", &model, "--calib", &data, "--no-eval", "--target", "ascend", "--record-format", "amct"];
    let run = intact8(&[&quantize[..], &["--save", &scratch.path("q")]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("cross-layer equalization is off"), "{}", run.stderr);
    let text = |name: &str| std::fs::read_to_string(scratch.path(name)).expect("the file is written");
    let of_amct = text("q_scale_offset_record.txt");
    let known = [
        "key",
        "scale_d",
        "offset_d",
        "scale_w",
        "offset_w",
        "act_type",
        "wts_type",
        "tensor_balance_factor",
    ];
    let fields = of_amct.lines().filter_map(|line| line.trim().split_once(':').map(|(field, _)| field));
    assert_eq!(fields.filter(|field| !known.contains(field)).collect::<Vec<_>>(), [""; 0], "{of_amct}");
    assert!(text("q_intact8_record.txt").contains("bias_shift"));
    // The scales are those of the original's weights, 1.27 and 1.1 at most.
    let scales: Vec<f32> =
        of_amct.lines().filter_map(|line| line.trim().strip_prefix("scale_w: ")?.parse().ok()).collect();
    assert!(scales.len() == 2 && scales.iter().all(|scale| (0.004..0.011).contains(scale)), "{of_amct}");
    let record = scratch.path("q_scale_offset_record.txt");
    let run = intact8(&["convert", &model, "--record", &record, "--save", &scratch.path("c")]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}
