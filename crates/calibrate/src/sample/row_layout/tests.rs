//! Layouts against the operators that they stand for.

use super::*;
use intact8_interp::Session;
use intact8_ir::{Node, Pass};
use intact8_quant::layers;
use intact8_quant::passes::NameNodes;

/// The layout of a layer, an input and its output.
fn run(input: &[usize], weight: &[usize], op: &str) -> (RowLayout, Tensor, Tensor) {
    let (layer, model) = layer(input, weight, op);
    let x = numbers(input);
    let y = Session::new(&model).unwrap().run(std::slice::from_ref(&x)).unwrap().remove(0);
    (RowLayout::new(&model, &layer, true).unwrap(), x, y)
}

fn layer(input: &[usize], weight: &[usize], op: &str) -> (Layer, Model) {
    let show = |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let text = format!(
        "model m opset 17\n%x = input : f32[{}]\n%w = const splat(1.0) : f32[{}]\n%y = {op}\nreturn %y\n",
        show(input),
        show(weight)
    );
    let mut model: Model = text.parse().unwrap();
    NameNodes.run(&mut model).unwrap();
    let w = model.main().value_named("w").unwrap();
    let constant = model.main_mut().add(Node::constant("v", numbers(weight)), &[]);
    model.main_mut().replace_uses(w, constant.into());
    model.remove_dead();
    let layer = layers(&model).remove(0);
    assert!(layer.can_learn_rounding());
    (layer, model)
}

fn numbers(shape: &[usize]) -> Tensor {
    let values = (0..shape.iter().product::<usize>()).map(|idx| ((idx * 37 + 11) % 23) as f32 - 11.0);
    Tensor::new(shape, values.collect())
}

/// All rows of one batch.
fn sampled(layout: &RowLayout, x: &Tensor, y: &Tensor) -> RowSample {
    let mut rows = RowSample::default();
    layout.sample(&mut rows, x, Some(y), (0, 1), &Part { samples: 0..1, n_samples: 1 }).unwrap();
    rows
}

/// Checks that input rows times the weight are the output rows.
fn check(input: &[usize], weight: &[usize], op: &str) {
    let (layout, x, y) = run(input, weight, op);
    let (layer, model) = layer(input, weight, op);
    let rows = sampled(&layout, &x, &y);
    let w = layer.tensor(&model, &layer.weights[0]).values::<f32>().unwrap();
    let n_out = layout.lengths[1];
    let (k, per_group) = (w.len() / n_out, n_out / layout.groups);
    let mut found = Vec::new();
    let n_rows = rows.n_rows();
    let groups: Vec<Vec<f32>> =
        (0..layout.groups).map(|group| layout.group_inputs(&rows, 0..n_rows, group, &[])).collect();
    for row in 0..y.len() / n_out {
        for output in 0..n_out {
            let inputs = &groups[output / per_group][row * k..][..k];
            let at = |tap: usize| {
                if layer.weights[0].axis == 1 { tap * n_out + output } else { output * k + tap }
            };
            found.push(inputs.iter().enumerate().map(|(tap, x)| x * w[at(tap)]).sum::<f32>());
        }
    }
    let outputs = layout.outputs(&rows, 0..n_out);
    assert_eq!(found.len(), outputs.len(), "{op}");
    // The inputs are small integers, the outputs have 11 bits.
    let is_near = |(found, output): (&f32, &f32)| (found - output).abs() <= found.abs() / 2048.0;
    assert!(found.iter().zip(&outputs).all(is_near), "{op}: {found:?} {outputs:?}");
}

#[test]
fn input_rows_times_the_weight_are_the_output_rows() {
    check(&[3, 4], &[4, 5], "Gemm(%x, %w)");
    check(&[3, 4], &[5, 4], "Gemm(%x, %w) {transB = 1}");
    check(&[2, 3, 4], &[4, 5], "MatMul(%x, %w)");
    check(&[2, 3, 7], &[4, 3, 3], "Conv(%x, %w) {pads = [1, 1], strides = [2]}");
    check(&[2, 4, 6, 5], &[6, 2, 3, 2], "Conv(%x, %w) {group = 2, pads = [1, 0, 2, 1], strides = [2, 1]}");
    check(&[1, 3, 9, 8], &[3, 1, 3, 3], "Conv(%x, %w) {group = 3, dilations = [2, 3], pads = [0, 3, 1, 3]}");
    check(&[1, 2, 6, 7], &[3, 2, 2, 4], "Conv(%x, %w) {auto_pad = \"SAME_UPPER\", strides = [2, 3]}");
    check(&[1, 2, 6, 7], &[3, 2, 2, 4], "Conv(%x, %w) {auto_pad = \"SAME_LOWER\"}");
    check(&[1, 2, 6, 7], &[3, 2, 2, 4], "Conv(%x, %w) {auto_pad = \"VALID\", pads = [1, 1, 1, 1]}");
    check(&[1, 2, 3, 4, 3], &[2, 2, 2, 2, 2], "Conv(%x, %w)");
}

/// All rows are sampled here.
#[test]
fn the_sums_of_rows_are_those_of_the_sampled_rows() {
    let shapes: [(&[usize], &[usize], &str); 6] = [
        (&[3, 4], &[4, 5], "MatMul(%x, %w)"),
        (&[2, 3, 7], &[4, 3, 3], "Conv(%x, %w) {pads = [1, 1], strides = [2]}"),
        (&[1, 3, 20, 19], &[4, 3, 3, 2], "Conv(%x, %w) {pads = [1, 0, 2, 1]}"),
        (&[1, 4, 6, 5], &[6, 2, 3, 2], "Conv(%x, %w) {group = 2, pads = [1, 0, 2, 1], strides = [2, 1]}"),
        (&[1, 3, 4, 3], &[3, 1, 3, 3], "Conv(%x, %w) {group = 3, dilations = [2, 4], pads = [3, 4, 3, 4]}"),
        (&[1, 2, 3, 4, 3], &[2, 2, 2, 2, 2], "Conv(%x, %w) {strides = [1, 2, 1]}"),
    ];
    for (input, weight, op) in shapes {
        let (layout, x, y) = run(input, weight, op);
        let rows = sampled(&layout, &x, &y);
        let mut sums = vec![0.0; layout.len()];
        let n_rows = layout.add_rows(x.values().unwrap(), x.shape(), &mut sums).unwrap();
        assert_eq!(n_rows, rows.n_rows(), "{op}");
        let inputs = rows.inputs.block(0..n_rows, 0..layout.len());
        let expected = |idx: usize| inputs.iter().skip(idx).step_by(layout.len()).sum::<f32>();
        let expected: Vec<f64> = (0..layout.len()).map(|idx| f64::from(expected(idx))).collect();
        assert_eq!(sums, expected, "{op}");
    }
}

#[test]
fn the_sample_of_many_rows_is_bounded_and_spread_evenly() {
    let model: Model = "model m opset 17\n%x = input : f32[N,1]\n%w = const [1.0] : f32[1,1]\n\
                        %y = MatMul(%x, %w) @fc\nreturn %y\n"
        .parse()
        .unwrap();
    let layout = RowLayout::new(&model, &layers(&model)[0], true).unwrap();
    let sample = |parts: &[Range<usize>]| {
        let mut rows = RowSample::default();
        for batch in 0..10 {
            for samples in parts {
                let values = samples.clone().map(|idx| (batch * 1000 + idx) as f32).collect();
                let tensor = Tensor::new(&[samples.len(), 1], values);
                let part = Part { samples: samples.clone(), n_samples: 1000 };
                layout.sample(&mut rows, &tensor, Some(&tensor), (batch, 10), &part).unwrap();
            }
        }
        rows.inputs.block(0..rows.n_rows(), 0..1)
    };
    let rows = sample(std::slice::from_ref(&(0..1000)));
    assert_eq!(rows.len(), 512);
    let mean = rows.iter().sum::<f32>() / 512.0;
    assert!((mean - 5000.0).abs() < 40.0, "{mean}");
    // The parts of a batch have the rows of the whole.
    assert_eq!(sample(&[0..1, 1..300, 300..1000]), rows);
}
