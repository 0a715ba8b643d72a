//! Hostile models return a result or an error within the limits: no panic, no abort, no endless run.

use intact8_interp::{Limits, Session};
use intact8_ir::{Error, ErrorKind, Model, Tensor};
use proptest::prelude::*;
use proptest::sample::select;

const LIMITS: Limits = Limits { memory: 1 << 20, steps: 2_000 };

/// An operator: its operands, its integer attributes, and its other attributes.
#[derive(Debug)]
struct Subject {
    name: &'static str,
    operands: &'static [Kind],
    integers: &'static [&'static str],
    rest: &'static str,
}

/// The kind of an operand.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Elements of any type and shape.
    Any,
    /// f32 of any shape.
    Floats,
    /// Small indices, of any shape.
    Indices,
    /// A list of integers of any size.
    List,
    /// One integer of any size.
    Number,
    /// Conditions.
    Bools,
    /// Two values.
    Pair,
    /// Strings.
    Texts,
}

const fn subject(
    name: &'static str,
    operands: &'static [Kind],
    integers: &'static [&'static str],
    rest: &'static str,
) -> Subject {
    Subject { name, operands, integers, rest }
}

static SUBJECTS: &[Subject] = {
    use Kind::*;
    &[
        subject("ArgMax", &[Floats], &["axis", "keepdims", "select_last_index"], ""),
        subject("ArgMin", &[Any], &["axis"], ""),
        subject("CenterCropPad", &[Any, List], &[], ""),
        subject("Compress", &[Any, Bools], &["axis"], ""),
        subject("Concat", &[Any, Any], &["axis"], ""),
        subject("ConstantOfShape", &[List], &[], ""),
        subject("CumSum", &[Floats, Number], &["exclusive", "reverse"], ""),
        subject("DepthToSpace", &[Any], &["blocksize"], ""),
        subject("Expand", &[Any, List], &[], ""),
        subject("EyeLike", &[Any], &["k", "dtype"], ""),
        subject("Flatten", &[Any], &["axis"], ""),
        subject("Gather", &[Any, Indices], &["axis"], ""),
        subject("GatherElements", &[Any, Indices], &["axis"], ""),
        subject("GatherND", &[Any, Indices], &["batch_dims"], ""),
        subject(
            "If",
            &[Bools],
            &[],
            "then_branch = graph {\n%a = const [1] : i64[1]\n%b = Neg(%a)\nreturn %a, %b\n}, \
             else_branch = graph {\n%c = const [2] : i64[1]\n%d = Neg(%c)\nreturn %c, %d\n}",
        ),
        subject(
            "Loop",
            &[Number, Bools, Any],
            &[],
            "body = graph {\n%i = input\n%c = input\n%v = input\n\
             %d = Identity(%c)\n%w = Concat(%v, %v) {axis = 0}\nreturn %d, %w, %i\n}",
        ),
        subject("NonZero", &[Any], &[], ""),
        subject("OneHot", &[Indices, Number, Pair], &["axis"], ""),
        subject("Pad", &[Any, List], &[], ""),
        subject("Pad", &[Floats, List], &[], "mode = \"reflect\""),
        subject("Pad", &[Floats, List], &[], "mode = \"wrap\""),
        subject("Pad", &[Floats, List], &[], "mode = \"edge\""),
        subject("Range", &[Number, Number, Number], &[], ""),
        subject("Reshape", &[Any, List], &["allowzero"], ""),
        subject("ReverseSequence", &[Any, List], &["time_axis", "batch_axis"], ""),
        subject(
            "Scan",
            &[Floats, Floats],
            &["num_scan_inputs"],
            "scan_input_axes = [-1], scan_output_axes = [1], scan_output_directions = [1], \
             body = graph {\n%s = input\n%t = input\n%u = Add(%s, %t)\n%v = Neg(%t)\nreturn %u, %v\n}",
        ),
        subject("ScatterElements", &[Any, Indices, Any], &["axis"], ""),
        subject("ScatterND", &[Floats, Indices, Floats], &[], "reduction = \"add\""),
        subject("Shape", &[Any], &["start", "end"], ""),
        subject("Slice", &[Any, List, List, List, List], &[], ""),
        subject("Slice", &[Any, Number, Number, Number, Number], &[], ""),
        subject("SpaceToDepth", &[Any], &["blocksize"], ""),
        subject("Split", &[Any, List], &["axis"], ""),
        subject("Split", &[Any], &["axis", "num_outputs"], ""),
        subject("SplitToSequence", &[Any, List], &["axis", "keepdims"], ""),
        subject("SplitToSequence", &[Any, Number], &["axis"], ""),
        subject("Squeeze", &[Any, List], &[], ""),
        subject("StringConcat", &[Texts, Texts], &[], ""),
        subject("StringNormalizer", &[Texts], &["is_case_sensitive"], "stopwords = [\"a\"]"),
        subject("StringSplit", &[Texts], &["maxsplit"], ""),
        subject("TensorScatter", &[Floats, Floats, List], &["axis"], ""),
        subject("TensorScatter", &[Floats, Floats, List], &["axis"], "mode = \"circular\""),
        subject(
            "TfIdfVectorizer",
            &[Indices],
            &["min_gram_length", "max_gram_length", "max_skip_count"],
            "mode = \"TF\", ngram_counts = [0, 1], ngram_indexes = [0, 1], pool_int64s = [1, 1, 2]",
        ),
        subject("Tile", &[Any, List], &[], ""),
        subject("TopK", &[Floats, Number], &["axis", "largest"], ""),
        subject("Transpose", &[Any], &[], ""),
        subject("Trilu", &[Any, Number], &["upper"], ""),
        subject("Unique", &[Any], &["axis", "sorted"], ""),
        subject("Unsqueeze", &[Any, List], &[], ""),
    ]
};

fn integer() -> impl Strategy<Value = i64> {
    let extremes = vec![i64::MIN, i64::MIN + 1, -(1 << 32), 1 << 20, 1 << 31, 1 << 62, i64::MAX];
    prop_oneof![8 => -4i64..6, 1 => select(extremes)]
}

fn list(values: &[i64]) -> String {
    format!("{values:?} : i64[{}]", values.len())
}

/// A constant in text form, without its name.
fn operand(kind: Kind) -> BoxedStrategy<String> {
    let shape = prop::collection::vec(prop_oneof![1 => Just(0usize), 9 => 1usize..5], 0..5);
    let filled = move |element: &'static str, dtype: &'static str| {
        shape.clone().prop_map(move |dims| format!("splat({element}) : {dtype}{dims:?}")).boxed()
    };
    let any = select(vec![
        ("1.0", "f32"),
        ("1", "i8"),
        ("\"a b\"", "str"),
        ("true", "bool"),
        ("1.0", "f64"),
        ("1", "i64"),
    ]);
    match kind {
        Kind::Any => any.prop_flat_map(move |(element, dtype)| filled(element, dtype)).boxed(),
        Kind::Floats => filled("1.5", "f32"),
        Kind::Indices => prop_oneof![filled("0", "i64"), filled("1", "i64"), filled("-1", "i64")].boxed(),
        Kind::List => prop::collection::vec(integer(), 0..5).prop_map(|values| list(&values)).boxed(),
        Kind::Number => integer().prop_map(|value| format!("[{value}] : i64[]")).boxed(),
        Kind::Bools => filled("true", "bool"),
        Kind::Pair => Just("[0.0, 1.0] : f32[2]".to_owned()).boxed(),
        Kind::Texts => filled("\"a,b\"", "str"),
    }
}

fn model() -> impl Strategy<Value = String> {
    let text = |(subject, operands, integers, are_present): (&Subject, Vec<String>, Vec<i64>, Vec<bool>)| {
        let constants: String =
            operands.iter().enumerate().map(|(idx, text)| format!("%x{idx} = const {text}\n")).collect();
        let names: Vec<String> = (0..operands.len()).map(|idx| format!("%x{idx}")).collect();
        let attrs =
            subject.integers.iter().zip(&integers).zip(&are_present).filter(|(_, is_present)| **is_present);
        let mut attrs: Vec<String> = attrs.map(|((name, value), _)| format!("{name} = {value}")).collect();
        attrs.extend((!subject.rest.is_empty()).then(|| subject.rest.to_owned()));
        let (names, attrs) = (names.join(", "), attrs.join(", "));
        format!("model m opset 24\n{constants}%y, %z = {}({names}) {{{attrs}}}\nreturn %y\n", subject.name)
    };
    (0..SUBJECTS.len()).prop_flat_map(move |idx| {
        let subject = &SUBJECTS[idx];
        let operands: Vec<_> = subject.operands.iter().map(|&kind| operand(kind)).collect();
        let integers = prop::collection::vec(integer(), subject.integers.len());
        let are_present = prop::collection::vec(prop::bool::weighted(0.8), subject.integers.len());
        (Just(subject), operands, integers, are_present).prop_map(text)
    })
}

fn run(text: &str, inputs: &[Tensor], limits: Limits) -> Result<Vec<Tensor>, Error> {
    let model: Model = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    Session::with_limits(&model, limits)?.run(inputs)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_model_panics(text in model()) {
        drop(run(&text, &[], LIMITS));
    }
}

/// A chain of thirty operations on tensors of a million elements of 4 bytes.
fn chain(begin: &str) -> String {
    (0..30).map(|idx| format!("%{begin}{} = Transpose(%{begin}{idx})\n", idx + 1)).collect()
}

/// Whether the memory is sufficient, and one byte less is not.
fn needs(text: &str, inputs: &[Tensor], memory: u64) -> bool {
    let limits = |memory| Limits { memory, steps: 1_000 };
    let refused = run(text, inputs, limits(memory - 1)).is_err_and(|error| error.kind == ErrorKind::Limit);
    refused && run(text, inputs, limits(memory)).is_ok()
}

#[test]
fn memory_is_freed_after_the_last_use() {
    let x = [Tensor::new(&[1000, 1000], vec![1.0f32; 1_000_000])];
    let size = 4_000_000;
    let text = format!("model m opset 21\n%a0 = input\n{}return %a30\n", chain("a"));
    assert!(needs(&text, &x, 2 * size));

    let function = format!("function local::F() opset 21\n%b0 = input\n{}return %b30\n", chain("b"));
    let calls = "%a0 = input\n%a1 = local::F(%a0)\n%a2 = local::F(%a1)\n%a3 = local::F(%a2)\nreturn %a3\n";
    let text = format!("model m opset 21, local 1\n{calls}{function}");
    assert!(needs(&text, &x, 3 * size));

    let body =
        format!("%i = input\n%c = input\n%b0 = input\n{}%d = Identity(%c)\nreturn %d, %b30\n", chain("b"));
    let text = format!(
        "model m opset 21\n%n = const [5] : i64[]\n%a0 = input\n%y = Loop(%n, _, %a0) {{body = graph {{\n{body}}}}}\nreturn %y\n"
    );
    assert!(needs(&text, &x, 3 * size + 1));
}

#[test]
fn the_memory_of_sequences_is_counted() {
    let x = [Tensor::new(&[1000, 1000], vec![1.0f32; 1_000_000])];
    let text = "model m opset 21\n%x = input\n%s = SequenceConstruct(%x, %x, %x)\n%e = SequenceErase(%s)\n\
                %y = ConcatFromSequence(%e) {axis = 0}\nreturn %y\n";
    // Two in the sequence, and two concatenated.
    assert!(needs(text, &x, 4 * 4_000_000 + 2 * 128));
}
