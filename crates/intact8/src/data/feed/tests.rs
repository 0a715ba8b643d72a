//! Tests: which samples are fed in which batches, and arrays that do not fit.

use super::*;
use crate::data::{Array, npy, write_npz};
use std::collections::BTreeMap;
use std::path::Path;

fn arrays(arrays: &[(&str, Tensor)]) -> BTreeMap<String, Array> {
    arrays.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone().into())).collect()
}

fn data(given: &[(&str, Tensor)]) -> DataSet {
    DataSet::new("data.npz", arrays(given))
}

/// A model with inputs of these types, whose outputs are inputs.
fn model(inputs: &[(&str, &str)], outputs: &str) -> Model {
    let inputs: String = inputs.iter().map(|(name, ty)| format!("%{name} = input : {ty}\n")).collect();
    format!("model m opset 17\n{inputs}{outputs}").parse().unwrap()
}

fn of_type(ty: &str) -> Model {
    model(&[("x", ty)], "return %x\n")
}

/// A tensor of consecutive numbers.
fn counted(shape: &[usize]) -> Tensor {
    Tensor::new(shape, (0..shape.iter().product::<usize>()).map(|n| n as f32).collect())
}

fn values(feed: &Feed, samples: Range<usize>) -> Vec<Vec<f32>> {
    let inputs = feed.inputs(samples).unwrap();
    inputs.iter().map(|tensor| tensor.values::<f32>().unwrap().to_vec()).collect()
}

fn write(folder: &Path, name: &str, given: &[(&str, Tensor)]) {
    let file = std::fs::File::create(folder.join(name)).unwrap();
    write_npz(file, given.iter().map(|(name, tensor)| (*name, tensor))).unwrap();
}

#[test]
fn a_fixed_batch_is_filled_with_the_last_sample() {
    let data = data(&[("x", Tensor::new(&[3, 1], vec![1.0f32, 2.0, 3.0]))]);
    let feed = data.feed(&of_type("f32[2,1]"), &Feeding::default()).unwrap();
    assert_eq!(feed.batches().collect::<Vec<_>>(), [0..2, 2..3]);
    assert_eq!(values(&feed, 2..3), [[3.0, 3.0]]);
    let feeding = Feeding { batch: Some(2), ..Feeding::default() };
    let feed = data.feed(&of_type("f32[?,1]"), &feeding).unwrap();
    assert_eq!(values(&feed, 2..3), [[3.0]]);
}

#[test]
fn arrays_that_do_not_fit_are_errors() {
    let message = |array: (&str, Tensor), ty: &str| {
        data(&[array]).feed(&of_type(ty), &Feeding::default()).unwrap_err().to_string()
    };
    let x = || Tensor::new(&[1, 1], vec![1.0f32]);
    assert_eq!(
        message(("y", x()), "f32[?,?]"),
        "data.npz: has no array \"x\", which the model requires; it has \"y\""
    );
    assert_eq!(
        message(("x", x()), "f32[?,2]"),
        "data.npz: array \"x\": has the shape [1,1], the model requires f32[?,2]"
    );
    assert_eq!(
        message(("x", counted(&[5, 2])), "f32[2]"),
        "data.npz: array \"x\": has the shape [5,2], the model requires f32[2]; if the model takes one sample at a \
         time, save a file for each in a folder, and state --batch-axis none"
    );
    assert_eq!(
        message(("x", Tensor::scalar(1i64)), "f32[]"),
        "data.npz: array \"x\": is i64, the model requires f32"
    );
    assert_eq!(
        message(("x", Tensor::new::<f32>(&[0, 1], vec![])), "f32[?,?]"),
        "data.npz: there are no samples"
    );
}

#[test]
fn inputs_without_a_batch_axis_are_fed_as_they_are() {
    let both = model(&[("x", "f32[N,1]"), ("table", "f32[3,2]"), ("s", "f32[]")], "return %x, %table, %s\n");
    let data = data(&[("x", counted(&[3, 1])), ("table", counted(&[3, 2])), ("s", Tensor::scalar(7.0f32))]);
    let feed = data.feed(&both, &Feeding { batch: Some(2), ..Feeding::default() }).unwrap();
    assert_eq!((feed.n_samples(), feed.n_batches()), (3, 2));
    assert_eq!(values(&feed, 2..3), [vec![2.0], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0], vec![7.0]]);
    let fixed = model(&[("x", "f32[1,1]"), ("table", "f32[3,2]")], "return %x, %table\n");
    let feed = data.feed(&fixed, &Feeding::default()).unwrap();
    assert_eq!(values(&feed, 1..2), [vec![1.0], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]);
}

#[test]
fn time_major_arrays_are_cut_along_the_dimension_of_the_output() {
    let sums = "%a = const [0] : i64[1]\n%y = ReduceSum(%x, %a) {keepdims = 0}\nreturn %y\n";
    for ty in ["f32[T,N,1]", "f32[?,?,1]", "f32[3,4,1]"] {
        let data = data(&[("x", counted(&[3, 4, 1]))]);
        let feed = data.feed(&model(&[("x", ty)], sums), &Feeding::default()).unwrap();
        assert_eq!((feed.n_samples(), feed.output_axis(0)), (4, Some(0)), "{ty}");
    }
    let data = data(&[("x", counted(&[3, 4, 1]))]);
    let feed = |ty: &str, axis: &str| {
        let batch_axes = if axis.is_empty() { vec![] } else { vec![axis.parse().unwrap()] };
        data.feed(&of_type(ty), &Feeding { batch: Some(2), batch_axes, ..Feeding::default() })
    };
    let found = feed("f32[T,N,1]", "").unwrap();
    assert_eq!(
        (values(&found, 2..4), found.output_axis(0)),
        (vec![vec![2.0, 3.0, 6.0, 7.0, 10.0, 11.0]], Some(1))
    );
    assert!(found.notes().is_empty());
    // Nothing tells the dimensions apart, so the choice is said.
    let found = feed("f32[p,q,1]", "").unwrap();
    assert_eq!((found.n_samples(), !found.notes().is_empty()), (3, true));
    for axis in ["1", "x=1"] {
        let found = feed("f32[p,q,1]", axis).unwrap();
        assert_eq!((found.n_samples(), found.output_axis(0), found.notes().len()), (4, Some(1), 0));
    }
    let whole = feed("f32[p,q,1]", "none").unwrap();
    assert_eq!((whole.n_samples(), whole.output_axis(0), values(&whole, 0..1)[0].len()), (1, None, 12));
    let message = |axis: &str| feed("f32[p,q,1]", axis).unwrap_err().to_string();
    assert_eq!(message("x=3"), "data.npz: batch axis: input \"x\" has 3 dimensions, so there is no axis 3");
    assert_eq!(
        message("z=1"),
        "data.npz: batch axis: \"z\" is not an input of the model; its inputs are [\"x\"]"
    );
    assert!("x=first".parse::<BatchAxis>().is_err());
}

#[test]
fn states_of_a_recurrence_have_the_batch_axis_of_its_input() {
    let ends = model(&[("x", "f32[s0,s1,2]"), ("h", "f32[1,s1,2]")], "%y = Add(%x, %h)\nreturn %y\n");
    let data = data(&[("x", counted(&[3, 4, 2])), ("h", counted(&[1, 4, 2]))]);
    let feed = data.feed(&ends, &Feeding { batch: Some(1), ..Feeding::default() }).unwrap();
    assert_eq!((feed.n_samples(), values(&feed, 1..2)[1].clone()), (4, vec![2.0, 3.0]));
}

#[test]
fn a_dimension_that_is_no_batch_axis_is_never_cut() {
    let axes = |ty: &str, rest: &str, shape: &[usize]| {
        let data = data(&[("x", counted(shape))]);
        let feed = data.feed(&model(&[("x", ty)], rest), &Feeding::default()).unwrap();
        (feed.n_samples(), feed.inputs(feed.batches().next().unwrap()).unwrap()[0].shape().to_vec())
    };
    // The batch size is fixed, and the size of the images is not.
    assert_eq!(axes("f32[1,3,H,W]", "%y = Relu(%x)\nreturn %y\n", &[5, 3, 4, 6]), (5, vec![1, 3, 4, 6]));
    let weights = "%w = const [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5] : f32[1,4,2]\n%r = const [0.5, 0.5, 0.5, 0.5] : f32[1,4,1]\n";
    let lstm = format!("{weights}%y, %h = LSTM(%x, %w, %r) {{hidden_size = 1}}\nreturn %h\n");
    assert_eq!(axes("f32[p,q,2]", &lstm, &[7, 5, 2]), (5, vec![7, 5, 2]));
    assert_eq!(axes("f32[p,1,2]", &lstm, &[7, 5, 2]), (5, vec![7, 1, 2]));
    assert_eq!(axes("f32[7,N,2]", &lstm, &[7, 5, 2]), (5, vec![7, 5, 2]));
}

#[test]
fn an_input_of_another_length_must_be_stated() {
    let graph = model(&[("nodes", "f32[n_nodes,2]"), ("edges", "f32[2,n_edges]")], "return %nodes, %edges\n");
    let data = data(&[("nodes", counted(&[5, 2])), ("edges", counted(&[2, 7]))]);
    assert_eq!(
        data.feed(&graph, &Feeding::default()).unwrap_err().to_string(),
        "data.npz: batch axis: which dimension of input \"edges\" counts samples is not known; state --batch-axis edges=AXIS, or edges=none to feed the array as it is"
    );
    let feeding = Feeding { batch_axes: vec!["none".parse().unwrap()], ..Feeding::default() };
    assert_eq!(data.feed(&graph, &feeding).unwrap().n_batches(), 1);
}

#[test]
fn files_of_a_folder_are_batches_and_single_samples_are_joined() {
    let folder = tempfile::tempdir().unwrap();
    let lengths = model(&[("x", "f32[N,T]")], "return %x\n");
    write(folder.path(), "a.npz", &[("x", counted(&[3, 2]))]);
    write(folder.path(), "b1.npz", &[("x", counted(&[1, 2])), ("labels", Tensor::new(&[1], vec![1i64]))]);
    write(folder.path(), "b2.npz", &[("x", counted(&[2])), ("labels", Tensor::scalar(2i64))]);
    write(folder.path(), "b3.npz", &[("x", counted(&[2])), ("labels", Tensor::scalar(3i64))]);
    write(folder.path(), "c.npz", &[("x", counted(&[5]))]);
    std::fs::write(folder.path().join("readme.txt"), "no data").unwrap();
    let data = DataSet::read(folder.path()).unwrap();
    let feed = data.feed(&lengths, &Feeding::default()).unwrap();
    assert_eq!(feed.batches().collect::<Vec<_>>(), [0..3, 3..4, 4..6, 6..7]);
    assert_eq!((feed.n_samples(), feed.n_batches()), (7, 4));
    assert_eq!(feed.inputs(4..6).unwrap()[0].shape(), [2, 2]);
    assert_eq!(feed.inputs(6..7).unwrap()[0].shape(), [1, 5]);
    assert_eq!(feed.batches_of(&[6, 2, 5, 0, 3, 1, 4]), [vec![6], vec![3], vec![2, 0, 1], vec![5, 4]]);
    let at = folder.path().join("a.npz");
    assert_eq!(
        data.targets("labels", &feed).unwrap_err().to_string(),
        format!("{}: has no array \"labels\", which the metric requires", at.display())
    );
    std::fs::remove_file(at).unwrap();
    std::fs::remove_file(folder.path().join("c.npz")).unwrap();
    let data = DataSet::read(folder.path()).unwrap();
    let feed = data.feed(&lengths, &Feeding::default()).unwrap();
    let labels: Vec<i64> = data
        .targets("labels", &feed)
        .unwrap()
        .iter()
        .flat_map(|labels| labels.values::<i64>().unwrap()[0..].to_vec())
        .collect();
    assert_eq!(labels, [1, 2, 3]);
}

#[test]
fn an_array_alone_is_the_only_input() {
    let folder = tempfile::tempdir().unwrap();
    let (file, pictures) = (folder.path().join("x.npy"), folder.path().join("pictures"));
    let mut written = Vec::new();
    npy::write(&mut written, &counted(&[3, 2])).unwrap();
    std::fs::write(&file, written).unwrap();
    let data = DataSet::read(&file).unwrap();
    let feed = data.feed(&of_type("f32[N,2]"), &Feeding::default()).unwrap();
    assert_eq!(values(&feed, 1..3), [[2.0, 3.0, 4.0, 5.0]]);
    let two = model(&[("x", "f32[N,2]"), ("z", "f32[N,2]")], "return %x, %z\n");
    let message = data.feed(&two, &Feeding::default()).unwrap_err().to_string();
    assert!(
        message
            .ends_with("is one array, and the model requires 2; save an .npz with an array for each input")
    );
    std::fs::create_dir(&pictures).unwrap();
    std::fs::write(pictures.join("1.jpg"), "").unwrap();
    let message = DataSet::read(&pictures).unwrap_err().to_string();
    assert!(
        message.contains("holds no .npz, .npy or .safetensors file and no image, but .jpg; save"),
        "{message}"
    );
}

#[test]
fn an_input_named_like_the_array_of_a_metric_is_no_target() {
    let named = model(&[("targets", "f32[N,1]")], "return %targets\n");
    let given = |name: &str| data(&[("targets", counted(&[2, 1])), (name, counted(&[2, 3]))]);
    let feed = given("other").feed(&named, &Feeding::default()).unwrap();
    assert!(!given("other").has_targets("targets", &feed));
    assert_eq!(
        given("other").targets("targets", &feed).unwrap_err().to_string(),
        "data.npz: has no array \"metric.targets\", which the metric requires; \"targets\" is an input of the model"
    );
    assert_eq!(given("metric.targets").targets("targets", &feed).unwrap(), [counted(&[2, 3])]);
}

#[test]
fn arrays_of_strings_are_fed_or_ignored() {
    let texts = Tensor::new(&[2], vec!["a".to_owned(), "ü".to_owned()]);
    let given = [("x", counted(&[2, 1])), ("names", texts.clone())];
    let feed = data(&given).feed(&of_type("f32[N,1]"), &Feeding::default()).unwrap();
    assert_eq!(values(&feed, 0..2), [[0.0, 1.0]]);
    let both = model(&[("names", "str[N]")], "return %names\n");
    let feed = data(&given).feed(&both, &Feeding::default()).unwrap();
    assert_eq!(feed.inputs(0..2).unwrap(), [texts]);
}
