//! Data of all kinds through the command: folders, strings, time-major arrays, and outputs and inputs that are not batched.

use crate::{Run, Scratch, intact8};
use intact8::Tensor;

/// Writes a model in ONNX's format and returns its path.
fn model(scratch: &Scratch, lines: &str) -> String {
    let path = scratch.path("model.onnx");
    let model = format!("model m opset 17\n{lines}").parse().expect("a model");
    intact8::save_model(&model, path.as_ref()).expect("the folder can be written to");
    path
}

/// Two layers from four values to two.
const LAYERS: &str = "%w = const [1.0, -0.5, 0.25, 2.0, 0.5, 1.5, -1.0, 0.75] : f32[4,2]\n\
                      %v = const [0.5, 1.0, -1.0, 0.75] : f32[2,2]\n\
                      %h = MatMul(%x, %w) @first\n%r = Relu(%h)\n%y = MatMul(%r, %v) @second\n";

fn numbers(shape: &[usize]) -> Tensor {
    let n_values: usize = shape.iter().product();
    Tensor::new(shape, (0..n_values).map(|n| ((n * 7 + n * n * 3) % 23) as f32 / 11.0 - 1.0).collect())
}

fn quantize(scratch: &Scratch, model: &str, data: &str, more: &[&str]) -> Run {
    let save = scratch.path("out/m");
    intact8(&[&["quantize", model, "--calib", data, "--eval", data, "--save", &save], more].concat())
}

fn run(scratch: &Scratch, model: &str, data: &str, more: &[&str]) -> Run {
    let output = scratch.path("o.npz");
    let run = intact8(&[&["run", model, "--input", data, "--output", &output], more].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    run
}

/// An array that `run` wrote.
fn output(scratch: &Scratch, name: &str) -> Tensor {
    let arrays = intact8::data::read_npz(scratch.path("o.npz").as_ref()).expect("the outputs can be read");
    arrays[name].whole().expect("the output can be read")
}

#[test]
fn outputs_that_are_no_tensors_are_left_out_and_named() {
    let scratch = Scratch::new();
    let lines = format!(
        "%x = input : f32[N,4]\n{LAYERS}%parts = SplitToSequence(%h) {{axis = 1}} : seq(f32)\nreturn %parts, %y\n"
    );
    let model = model(&scratch, &lines);
    let data = scratch.npz("d.npz", &[("x", numbers(&[40, 4]))]);
    let found = quantize(&scratch, &model, &data, &["--metric", "sqnr>=20"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    assert!(
        found.stderr.starts_with("output \"parts\": is seq(f32), and is left out of the scores\n"),
        "{}",
        found.stderr
    );
    let found = run(&scratch, &model, &data, &[]);
    assert_eq!(found.stderr, "output \"parts\": is a sequence or an optional value, and is left out\n");
    assert_eq!(output(&scratch, "y").shape(), [40, 2]);
    let found = intact8(&["compare", &model, &scratch.path("out/m_fake_quant_model.onnx"), "--input", &data]);
    assert_eq!((found.code, &*found.stderr), (0, ""));
    assert_eq!(intact8(&["inspect", &model]).code, 0);
}

#[test]
fn arrays_that_are_not_needed_may_be_of_any_type() {
    let scratch = Scratch::new();
    let model = model(&scratch, &format!("%x = input : f32[N,4]\n{LAYERS}return %y\n"));
    let paths = Tensor::new(&[40], (0..40).map(|n| format!("{n}.png")).collect());
    let data = scratch.npz("d.npz", &[("x", numbers(&[40, 4])), ("paths", paths)]);
    let found = quantize(&scratch, &model, &data, &["--metric", "sqnr>=20"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
}

#[test]
fn strings_are_fed_and_written() {
    let scratch = Scratch::new();
    let model = model(
        &scratch,
        "%text = input : str[N]\n%y = StringNormalizer(%text) {case_change_action = \"UPPER\"}\nreturn %y\n",
    );
    let texts = |texts: [&str; 3]| Tensor::new(&[3], texts.map(str::to_owned).to_vec());
    let data = scratch.npz("d.npz", &[("text", texts(["a", "", "straße"]))]);
    run(&scratch, &model, &data, &[]);
    assert_eq!(output(&scratch, "y"), texts(["A", "", "STRASSE"]));
}

#[test]
fn a_table_beside_the_samples_is_fed_as_it_is() {
    let scratch = Scratch::new();
    let lines = format!(
        "%x = input : f32[N,4]\n%table = input : f32[5,3]\n%s = ReduceSum(%table) {{keepdims = 0}}\n{LAYERS}\
         %z = Add(%y, %s)\nreturn %z\n"
    );
    let model = model(&scratch, &lines);
    let data = scratch.npz("d.npz", &[("x", numbers(&[40, 4])), ("table", numbers(&[5, 3]))]);
    assert_eq!(quantize(&scratch, &model, &data, &["--metric", "sqnr>=20"]).code, 0);
    run(&scratch, &model, &data, &["--batch", "7"]);
    assert_eq!(output(&scratch, "z").shape(), [40, 2]);
}

#[test]
fn time_is_never_cut() {
    let scratch = Scratch::new();
    let lines = format!(
        "%t = input : f32[T,N,4]\n%a = const [0] : i64[1]\n%x = ReduceSum(%t, %a) {{keepdims = 0}}\n{LAYERS}return %y\n"
    );
    let path = model(&scratch, &lines);
    let labels = Tensor::new(&[8], (0..8).map(|n| n % 2).collect::<Vec<i64>>());
    let data = scratch.npz("d.npz", &[("t", numbers(&[100, 8, 4])), ("labels", labels)]);
    run(&scratch, &path, &data, &["--batch", "3"]);
    let whole = output(&scratch, "y");
    assert_eq!(whole.shape(), [8, 2]);
    let found = quantize(&scratch, &path, &data, &["--metric", "top1", "--max-drop", "0.5"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    // A result along the second dimension is stacked there.
    let path = model(&scratch, "%t = input : f32[s0,s1,4]\n%y = Relu(%t)\nreturn %y\n");
    run(&scratch, &path, &data, &["--batch", "3", "--batch-axis", "t=1"]);
    assert_eq!(output(&scratch, "y").shape(), [100, 8, 4]);
    let found = run(&scratch, &path, &data, &[]);
    assert!(found.stderr.contains("s0 is taken for the dimension that counts samples"), "{}", found.stderr);
    let found = intact8(&["run", &path, "--input", &data, "--output", &data, "--batch-axis", "t=x"]);
    assert!(found.stderr.contains("must be AXIS or INPUT=AXIS"), "{}", found.stderr);
}

#[test]
fn a_folder_of_samples_is_like_one_file_and_lengths_may_differ() {
    let scratch = Scratch::new();
    let path = model(&scratch, &format!("%x = input : f32[N,4]\n{LAYERS}return %y\n"));
    let (x, labels) =
        (numbers(&[40, 4]), Tensor::new(&[40], (0..40).map(|n| n * n % 2).collect::<Vec<i64>>()));
    let data = scratch.npz("d.npz", &[("x", x.clone()), ("labels", labels.clone())]);
    let folder = scratch.path("samples");
    std::fs::create_dir(&folder).expect("the folder can be written to");
    let (values, labels) = (x.values::<f32>().expect("f32"), labels.values::<i64>().expect("i64"));
    for (idx, (row, &label)) in values.chunks_exact(4).zip(labels).enumerate() {
        let arrays = [("x", Tensor::new(&[4], row.to_vec())), ("labels", Tensor::scalar(label))];
        scratch.npz(&format!("samples/{idx:02}.npz"), &arrays);
    }
    let table = |data: &str| {
        let options = ["--metric", "top1", "--max-drop", "0.5", "--allow-chance"];
        let found = quantize(&scratch, &path, data, &options);
        assert_eq!(found.code, 0, "{}", found.stderr);
        found.stdout.lines().take(4).map(str::to_owned).collect::<Vec<String>>()
    };
    assert_eq!(table(&folder), table(&data));
    run(&scratch, &path, &data, &[]);
    let expected = output(&scratch, "y");
    run(&scratch, &path, &folder, &[]);
    assert_eq!(output(&scratch, "y"), expected);

    let lengths = scratch.path("lengths");
    std::fs::create_dir(&lengths).expect("the folder can be written to");
    let path = model(&scratch, &format!("%x = input : f32[N,T,4]\n{LAYERS}return %y\n"));
    for idx in 0..12 {
        scratch.npz(&format!("lengths/{idx:02}.npz"), &[("x", numbers(&[1 + idx % 2, 3 + idx, 4]))]);
    }
    let found = quantize(&scratch, &path, &lengths, &["--metric", "sqnr>=20", "--metric", "cosine>=0.9"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
}

#[test]
fn wrong_stored_shapes_are_hints_and_named() {
    let scratch = Scratch::new();
    let lines = format!(
        "%x0 = input : f32[N,8]\n%to = const [0, 2, 4] : i64[3]\n%x = Reshape(%x0, %to) : f32[N,8]\n{LAYERS}\
         %back = const [0, -1] : i64[2]\n%z = Reshape(%y, %back)\nreturn %z\n"
    );
    let model = model(&scratch, &lines);
    let data = scratch.npz("d.npz", &[("x0", numbers(&[40, 8]))]);
    let found = quantize(&scratch, &model, &data, &["--metric", "sqnr>=20"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    assert!(
        found.stderr.contains("%x has the stated type f32[N,8], but the inferred type f32[N,2,4]"),
        "{}",
        found.stderr
    );
}

#[test]
fn a_model_input_called_targets_is_no_target() {
    let scratch = Scratch::new();
    let lines = format!("%targets = input : f32[N,4]\n{}return %y\n", LAYERS.replace("%x", "%targets"));
    let model = model(&scratch, &lines);
    let x = || ("targets", numbers(&[40, 4]));
    let data = scratch.npz("d.npz", &[x()]);
    assert_eq!(quantize(&scratch, &model, &data, &["--metric", "sqnr>=20"]).code, 0);
    let data = scratch.npz("d.npz", &[x(), ("metric.targets", numbers(&[40, 2]))]);
    assert_eq!(quantize(&scratch, &model, &data, &["--metric", "mse=0.5"]).code, 0);
    let data = scratch.npz("d.npz", &[x(), ("metric.targets", numbers(&[40, 3]))]);
    let found = quantize(&scratch, &model, &data, &["--metric", "mse=0.5"]);
    assert!(
        found.stderr.contains("returns 2 values for a sample, and the targets have 3"),
        "{}",
        found.stderr
    );
}

#[test]
fn doubles_are_cast_and_this_is_said() {
    let scratch = Scratch::new();
    let model = model(&scratch, &format!("%x = input : f32[N,4]\n{LAYERS}return %y\n"));
    let doubles: Vec<f64> =
        numbers(&[40, 4]).values::<f32>().expect("f32").iter().map(|&x| f64::from(x)).collect();
    let data = scratch.npz("d.npz", &[("x", Tensor::new(&[40, 4], doubles))]);
    let found = quantize(&scratch, &model, &data, &["--metric", "sqnr>=20"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    assert!(found.stdout.starts_with("x: f64 -1..0.91 → f32 -1..0.91\n"), "{}", found.stdout);
    let found = run(&scratch, &model, &data, &[]);
    assert_eq!(found.stderr, "x: f64 -1..0.91 → f32 -1..0.91\n");
}

#[cfg(unix)]
#[test]
fn a_huge_array_of_the_wrong_type_is_refused_at_once() {
    let scratch = Scratch::new();
    let model = model(&scratch, &format!("%x = input : f32[N,4]\n{LAYERS}return %y\n"));
    let path = scratch.path("x.npy");
    let header = "{'descr': '<i8', 'fortran_order': False, 'shape': (1099511627776, 4), }";
    let length = u16::try_from(header.len()).expect("it is short").to_le_bytes();
    let start = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes()].concat();
    std::fs::write(&path, start).expect("the folder can be written to");
    let found = quantize(&scratch, &model, &path, &["--metric", "sqnr>=20"]);
    assert_eq!(found.code, 1);
    assert_eq!(found.stderr, format!("error: {path}: array \"x\": is i64, the model requires f32\n"));
    let pipe = scratch.path("pipe.npz");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo can be run");
    assert!(made.success());
    let found = quantize(&scratch, &model, &pipe, &["--metric", "sqnr>=20"]);
    assert_eq!(found.stderr, format!("error: {pipe}: is not a regular file\n"));
}
