//! Data that can't be right, or from which little can be learned: each is an error or a warning with its place, before the first trial.

use crate::bad_input::message;
use crate::wrong_use::of_text;
use crate::{Scratch, fixture, intact8};
use intact8::Tensor;

#[test]
fn numbers_that_are_not_finite_are_refused_with_their_place() {
    let scratch = Scratch::new();
    let images = |number: f32| {
        let mut images = Tensor::full(&[3, 1, 8, 8], 0.5f32);
        images.values_mut::<f32>().unwrap()[2 * 64 + 5] = number;
        images
    };
    let labels = || ("labels", Tensor::new(&[3], vec![1i64, 2, 3]));
    let onnx = fixture("digits", "model.onnx");
    for (number, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let eval = scratch.npz("e.npz", &[("input", images(number)), labels()]);
        let expected = format!(
            "e.npz: array \"input\": sample 2 (from 0) holds {shown}; correct the data, or leave the sample out"
        );
        assert_eq!(message(&scratch, &[("eval", &eval)], &[]), format!("error: {expected}"));
        let score = ["score", &onnx, "--eval", &eval, "--no-bench", "--progress", "never"];
        let run = intact8(&score);
        assert!(run.code == 1 && run.stderr.trim_end().ends_with(&expected), "{}", run.stderr);
        let run = intact8(&["compare", &onnx, &onnx, "--input", &eval]);
        assert!(run.code == 1 && run.stderr.trim_end().ends_with(&expected), "{}", run.stderr);
    }
    let mut targets = Tensor::full(&[3, 10], 0.5f32);
    targets.values_mut::<f32>().unwrap()[10] = f32::INFINITY;
    let eval = scratch.npz("e.npz", &[("input", images(0.5)), ("targets", targets)]);
    assert_eq!(
        message(&scratch, &[("eval", &eval)], &["--metric", "mse=1"]),
        "error: e.npz: array \"targets\": sample 1 (from 0) holds inf; correct the data, or leave the sample out"
    );
}

#[test]
fn an_original_whose_output_is_nan_is_refused() {
    let scratch = Scratch::new();
    let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 0.0, 0.0, 1.0] : f32[2,2]\n\
                %h = MatMul(%x, %w) @fc\n%y = Sqrt(%h)\nreturn %y\n";
    for metric in ["top1", "mse<=1", "cosine>=0.9"] {
        let x = Tensor::new(&[3, 2], vec![1.0f32, 2.0, 3.0, -1.0, 1.0, 0.5]);
        let run = of_text(&scratch, text, x, vec![0, 0, 1], &["--metric", metric]);
        let line = "data.npz, though its inputs are finite; leave the sample out, or find the value with `intact8 run --tap`\n";
        assert!(run.code == 1 && run.stderr.ends_with(line), "{metric}: {}", run.stderr);
        assert!(
            run.stderr.contains("error: the original's output is NaN for sample 1 (from 0) of "),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn calibration_data_without_variety_are_remarked() {
    let scratch = Scratch::new();
    let onnx = fixture("digits", "model.onnx");
    let warned = |n: usize, differs: bool| {
        let mut images = Tensor::full(&[n, 1, 8, 8], 0.5f32);
        if differs {
            images.values_mut::<f32>().unwrap()[64 * n - 1] = 0.6;
        }
        let calib = scratch.npz("c.npz", &[("input", images)]);
        let run = intact8(&[
            "calibrate",
            &onnx,
            "--calib",
            &calib,
            "-o",
            &scratch.path("s"),
            "--progress",
            "never",
        ]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stderr.lines().find(|line| line.starts_with("warning: ")).map(str::to_owned)
    };
    let (one, all) = (warned(1, false).unwrap(), warned(3, false).unwrap());
    assert!(one.contains("c.npz: the calibration data have 1 sample; "), "{one}");
    assert!(all.contains("c.npz: all 3 samples of the calibration data are equal; "), "{all}");
    assert_eq!(warned(3, true), None);
}

#[test]
fn more_threads_than_cores_are_warned_of() {
    let n_cores = std::thread::available_parallelism().unwrap().get();
    let scratch = Scratch::new();
    let missing = scratch.path("no.onnx");
    for (threads, is_warned) in [(n_cores + 1, true), (1, false)] {
        let threads = threads.to_string();
        let run = intact8(&["bench", &missing, "--runtime", "none", "--threads", &threads]);
        let line = format!("warning: --threads {threads}: there are {n_cores} cores, ");
        assert_eq!(run.stderr.starts_with(&line), is_warned, "{}", run.stderr);
    }
}
