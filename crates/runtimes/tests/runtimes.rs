//! The runtimes against our interpreter, for each runtime whose library is found. Without a library its tests are reported as
//! ignored; with `INTACT8_REQUIRE_RUNTIMES=1` they fail.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use intact8_interp::Session;
use intact8_ir::{DType, ErrorKind, Model, Runtime, Tap, Tensor};
use intact8_runtimes::{LoadedRuntime, RUNTIMES};
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeMap;
use std::path::Path;

fn main() {
    let is_required = std::env::var_os("INTACT8_REQUIRE_RUNTIMES").is_some();
    let mut trials = Vec::new();
    for kind in RUNTIMES {
        let found = kind.find(None).unwrap_or_else(|error| panic!("{error}"));
        for (name, test) in TESTS {
            let name = match &found {
                Some(_) => format!("{}::{name}", kind.name),
                None => format!("{}::{name} (no library of {} was found)", kind.name, kind.title),
            };
            let path = found.clone();
            let run = move || match path {
                Some(path) => {
                    test(&kind.load(&path)?);
                    Ok(())
                }
                None => Err(Failed::from("no library was found")),
            };
            trials.push(Trial::test(name, run).with_ignored_flag(found.is_none() && !is_required));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

type Test = fn(&LoadedRuntime);

const TESTS: &[(&str, Test)] = &[
    ("the_name_has_the_version", the_name_has_the_version),
    ("networks_have_the_outputs_of_the_interpreter", networks_have_the_outputs_of_the_interpreter),
    ("element_types_pass_through", element_types_pass_through),
    ("strings_pass_through_or_are_an_error", strings_pass_through_or_are_an_error),
    ("empty_tensors_and_scalars_pass_through", empty_tensors_and_scalars_pass_through),
    ("inputs_with_a_default_may_be_left_out", inputs_with_a_default_may_be_left_out),
    ("outputs_that_are_sequences_are_left_out", outputs_that_are_sequences_are_left_out),
    ("taps_see_the_values_of_the_interpreter", taps_see_the_values_of_the_interpreter),
    ("values_in_subgraphs_can_not_be_tapped", values_in_subgraphs_can_not_be_tapped),
    ("one_model_runs_in_several_threads", one_model_runs_in_several_threads),
    ("what_can_not_run_is_an_error", what_can_not_run_is_an_error),
    ("a_profile_has_the_products", a_profile_has_the_products),
];

fn model(body: &str) -> Model {
    format!("model m opset 21\n{body}").parse().unwrap()
}

fn run(runtime: &LoadedRuntime, model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    runtime.compile(model).unwrap().run(inputs).unwrap()
}

/// Whether floats agree to a relative error of 1e-4, and other elements exactly.
fn agree(found: &Tensor, expected: &Tensor) -> bool {
    if found.dtype() != DType::F32 || expected.dtype() != DType::F32 {
        return found == expected;
    }
    let pairs = found.values::<f32>().unwrap().iter().zip(expected.values::<f32>().unwrap());
    found.shape() == expected.shape()
        && pairs
            .into_iter()
            .all(|(found, expected)| (found - expected).abs() <= 1e-4 * expected.abs().max(1.0))
}

fn the_name_has_the_version(runtime: &LoadedRuntime) {
    let name = runtime.name();
    let version = name.strip_prefix(runtime.kind().title).unwrap().trim();
    let numbers: Vec<_> = version.split('.').map(|number| number.parse::<u32>()).collect();
    assert!(numbers.len() >= 2 && numbers.iter().all(Result::is_ok), "{name}");
}

fn networks_have_the_outputs_of_the_interpreter(runtime: &LoadedRuntime) {
    for name in ["digits", "digits-hard"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(name);
        let bytes = std::fs::read(path.join("model.onnx")).unwrap();
        let model = intact8_onnx::import(&bytes, None).unwrap();
        let values = (0..3 * 64).map(|idx| (idx * idx % 17) as f32 / 17.0).collect();
        let input = Tensor::new(&[3, 1, 8, 8], values);
        let expected = Session::new(&model).unwrap().run(std::slice::from_ref(&input)).unwrap();
        let found = run(runtime, &model, &[input]);
        assert!(agree(&found[0], &expected[0]), "{name}: {found:?}");
    }
}

fn element_types_pass_through(runtime: &LoadedRuntime) {
    use DType::{Bf16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    let numbers = Tensor::new(&[3], vec![0.0f32, 1.0, 3.0]);
    for dtype in [F32, F64, F16, Bf16, I8, U8, I16, U16, I32, U32, I64, U64, Bool] {
        let to_it = model(&format!(
            "%x = input : f32[3]\n%y = Cast(%x) {{to = {}}} : {dtype}[3]\nreturn %y\n",
            dtype.number()
        ));
        let expected = Session::new(&to_it).unwrap().run(std::slice::from_ref(&numbers)).unwrap();
        let found = run(runtime, &to_it, std::slice::from_ref(&numbers));
        assert_eq!(found, expected, "{dtype}");
        let from_it =
            model(&format!("%x = input : {dtype}[3]\n%y = Cast(%x) {{to = 1}} : f32[3]\nreturn %y\n"));
        let back = Session::new(&from_it).unwrap().run(&expected).unwrap();
        assert_eq!(run(runtime, &from_it, &expected), back, "{dtype}");
    }
}

fn strings_pass_through_or_are_an_error(runtime: &LoadedRuntime) {
    let model = model("%x = input : str[2]\n%y = Identity(%x) : str[2]\nreturn %y\n");
    let words = Tensor::new(&[2], vec!["é".to_owned(), String::new()]);
    match runtime.compile(&model).and_then(|executor| executor.run(std::slice::from_ref(&words))) {
        Ok(found) => assert_eq!(found, [words]),
        Err(error) => assert_eq!(error.kind, ErrorKind::Unsupported, "{error}"),
    }
}

fn empty_tensors_and_scalars_pass_through(runtime: &LoadedRuntime) {
    let add = model("%x = input : f32[N,2]\n%b = input : f32[]\n%y = Add(%x, %b) : f32[N,2]\nreturn %y\n");
    let empty = [Tensor::new::<f32>(&[0, 2], vec![]), Tensor::scalar(1.0f32)];
    assert_eq!(run(runtime, &add, &empty), [Tensor::new::<f32>(&[0, 2], vec![])]);
    let sum = model("%x = input : f32[3]\n%y = ReduceSum(%x) {keepdims = 0} : f32[]\nreturn %y\n");
    let found = run(runtime, &sum, &[Tensor::new(&[3], vec![1.0f32, 2.0, 3.5])]);
    assert_eq!(found, [Tensor::scalar(6.5f32)]);
}

fn inputs_with_a_default_may_be_left_out(runtime: &LoadedRuntime) {
    let add =
        model("%x = input : f32[2]\n%b = input [1.0, 2.0] : f32[2]\n%y = Add(%x, %b) : f32[2]\nreturn %y\n");
    let input = Tensor::new(&[2], vec![1.0f32, 1.0]);
    assert_eq!(run(runtime, &add, std::slice::from_ref(&input)), [Tensor::new(&[2], vec![2.0f32, 3.0])]);
    let executor = runtime.compile(&add).unwrap();
    let inputs = [input.clone(), input.clone(), input];
    let message = executor.run(&inputs).unwrap_err().to_string();
    assert!(message.contains("the model has 2 inputs, but 3 are fed"), "{message}");
}

fn outputs_that_are_sequences_are_left_out(runtime: &LoadedRuntime) {
    let model = model(
        "%x = input : f32[2]\n%s = SequenceConstruct(%x) : seq(f32[2])\n%y = Neg(%x) : f32[2]\nreturn %s, %y\n",
    );
    let input = Tensor::new(&[2], vec![1.0f32, 1.0]);
    match runtime.compile(&model).and_then(|executor| executor.run(&[input])) {
        Ok(found) => assert_eq!(found, [Tensor::new(&[2], vec![-1.0f32, -1.0])]),
        Err(error) => assert_eq!(error.kind, ErrorKind::Unsupported, "{error}"),
    }
}

fn taps_see_the_values_of_the_interpreter(runtime: &LoadedRuntime) {
    let model = model(
        "%x = input : f32[2,2]\n%w = const [1.0, -2.0, 3.0, 4.0] : f32[2,2]\n%h = MatMul(%x, %w)\n%r = Relu(%h)\n\
         %y = Add(%r, %x) : f32[2,2]\nreturn %y, %r\n",
    );
    let input = Tensor::new(&[2, 2], vec![1.0f32, 2.0, -3.0, 4.0]);
    let tapped = |run: &dyn Fn(Tap<'_>)| {
        let mut values = Vec::new();
        run(&mut |value, tensor| {
            values.push((value, tensor.clone()));
            Ok(())
        });
        values
    };
    let executor = runtime.compile(&model).unwrap();
    let found = tapped(&|tap| {
        let outputs = executor.run_tapped(std::slice::from_ref(&input), tap).unwrap();
        assert_eq!(outputs, executor.run(std::slice::from_ref(&input)).unwrap());
    });
    let session = Session::new(&model).unwrap();
    let expected = tapped(&|tap| drop(session.run_tapped(std::slice::from_ref(&input), tap).unwrap()));
    assert_eq!(found, expected);
    let failing = executor.run_tapped(&[input], &mut |_, _| Err(intact8_ir::Error::cancelled("enough")));
    assert_eq!(failing.unwrap_err().kind, ErrorKind::Cancelled);
}

fn values_in_subgraphs_can_not_be_tapped(runtime: &LoadedRuntime) {
    let model = model(
        "%x = input : f32[2]\n%c = input : bool[]\n%y = If(%c; %x, %x) {else_branch = graph e {\n%e.x = capture\n\
         %n = Neg(%e.x)\nreturn %n\n}, then_branch = graph t {\n%t.x = capture\n%a = Abs(%t.x)\nreturn %a\n}} : f32[2]\n\
         return %y\n",
    );
    let executor = runtime.compile(&model).unwrap();
    let inputs = [Tensor::new(&[2], vec![1.0f32, -2.0]), Tensor::scalar(true)];
    assert_eq!(executor.run(&inputs).unwrap(), [Tensor::new(&[2], vec![1.0f32, 2.0])]);
    let error = executor.run_tapped(&inputs, &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.to_string().contains("is computed in a subgraph"), "{error}");
}

fn one_model_runs_in_several_threads(runtime: &LoadedRuntime) {
    let model = model("%x = input : f32[4]\n%y = Mul(%x, %x) : f32[4]\nreturn %y\n");
    let executor = runtime.compile(&model).unwrap();
    let results: BTreeMap<usize, f32> = std::thread::scope(|scope| {
        let run = |number: usize| {
            let executor = &executor;
            scope.spawn(move || {
                let input = Tensor::full(&[4], number as f32);
                let outputs = (0..20).map(|_| executor.run(std::slice::from_ref(&input)).unwrap()[0].clone());
                (number, outputs.last().unwrap().values::<f32>().unwrap()[3])
            })
        };
        let threads: Vec<_> = (0..8).map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(results.iter().all(|(&number, &square)| square == (number * number) as f32), "{results:?}");
    let one_thread = runtime.clone().with_threads(1);
    assert_eq!(run(&one_thread, &model, &[Tensor::full(&[4], 3.0f32)]), [Tensor::full(&[4], 9.0f32)]);
}

fn what_can_not_run_is_an_error(runtime: &LoadedRuntime) {
    let text =
        "model m opset 21, nobody 1\n%x = input : f32[2]\n%y = nobody::Thing(%x) : f32[2]\nreturn %y\n";
    let unknown: Model = text.parse().unwrap();
    let error = runtime.compile(&unknown).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.to_string().starts_with(&runtime.name()), "{error}");
    let model = model("%x = input : f32[2]\n%y = Neg(%x) : f32[2]\nreturn %y\n");
    assert!(runtime.compile(&model).unwrap().run(&[Tensor::new(&[3], vec![1.0f32; 3])]).is_err());
    let other = runtime.kind().load(Path::new("/no/such/library")).err().unwrap().to_string();
    assert!(other.starts_with("/no/such/library: can't be loaded: this process uses"), "{other}");
}

/// A runtime has its own nodes; the name of a product's has the name of the node or of its result.
fn a_profile_has_the_products(runtime: &LoadedRuntime) {
    let text = "%x = input : f32[2,16,8,8]\n%w = const splat(0.5) : f32[16,16,3,3]\n%h = Conv(%x, %w) @first\n\
                %r = Relu(%h)\n%y = Conv(%r, %w) @second\nreturn %y\n";
    let inputs = [Tensor::new(&[2, 16, 8, 8], vec![0.25f32; 2048])];
    let time = std::time::Duration::from_millis(20);
    let found = runtime.profile(&model(text), &inputs, time).unwrap();
    assert_eq!(found.is_some(), runtime.kind().name == "onnxruntime");
    let Some(found) = found else { return };
    let products: Vec<_> = found.iter().filter(|node| node.operator.contains("Conv")).collect();
    assert_eq!(products.len(), 2, "{found:?}");
    assert!(products.iter().all(|node| node.seconds > 0.0 && node.seconds < 0.1), "{found:?}");
    for names in [["first", "r"], ["second", "y"]] {
        let is_of =
            |node: &&&intact8_runtimes::ProfiledNode| names.iter().any(|name| node.name.starts_with(name));
        assert_eq!(products.iter().filter(is_of).count(), 1, "{found:?}");
    }
    assert!(runtime.profile(&model(text), &[Tensor::new(&[1], vec![0.5f32])], time).is_err());
}
