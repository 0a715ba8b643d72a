//! The records of searches: which parameters depend on which layers.

use crate::*;

/// Layers in a row; each is followed by a Relu or by an Add of its input.
fn network(weights: &[[f32; 4]], skips: &[bool]) -> Model {
    let mut text = "model m opset 17\n%v0 = input : f32[N,2]\n".to_owned();
    for (idx, weight) in weights.iter().enumerate() {
        text += &format!(
            "%w{idx} = const {weight:?} : f32[2,2]\n%m{idx} = MatMul(%v{idx}, %w{idx}) @layer{idx}\n"
        );
        text += &match skips[idx] {
            true => format!("%v{} = Add(%m{idx}, %v{idx}) @sum{idx}\n", idx + 1),
            false => format!("%v{} = Relu(%m{idx})\n", idx + 1),
        };
    }
    text += &format!("return %v{}\n", weights.len());
    text.parse().unwrap()
}

proptest! {
    /// The parameters of a layer depend on other layers only if they share its input: the range of the input is clipped by the
    /// error that all of them make. So it suffices to calibrate once. A layer and the Add of its input are therefore rolled back
    /// together here. Smoothing is turned off: it divides and multiplies in the float model, which changes the last bits of the inputs of later layers.
    #[test]
    fn the_record_of_a_trial_is_a_part_of_the_record_of_all(
        weights in prop::collection::vec(prop::array::uniform4(-2.0f32..2.0), 1..6),
        skips in prop::array::uniform5(any::<bool>()),
        quantized: u16,
        joint_quant: bool,
    ) {
        let model = network(&weights, &skips);
        let plain = |config| QuantConfig { auto_balance: false, joint_quant, ..config };
        let all = record(&model, plain);
        let names: Vec<String> = all.layers.keys().cloned().collect();
        let is_rolled_back = |name: &&String| {
            let idx: u16 = name.trim_start_matches(char::is_alphabetic).parse().unwrap();
            quantized >> idx & 1 == 0
        };
        let rolled_back: Vec<String> = names.iter().filter(is_rolled_back).cloned().collect();
        let trial = record(&model, |config| plain(config).rolled_back(&rolled_back));
        prop_assert_eq!(trial.layers.len(), names.len() - rolled_back.len());
        for (layer, entry) in &trial.layers {
            prop_assert_eq!(entry, &all.layers[layer], "{} without {:?}", layer, rolled_back);
        }
    }
}

#[test]
fn the_record_of_the_result_is_a_part_of_the_record_of_all() {
    let all = record(&model(), |config| config);
    let result = TestSearch::new(&["b"]).run(TestOptions::default()).unwrap().outcome.unwrap().record;
    assert_eq!(result.layers.keys().collect::<Vec<_>>(), ["a", "c", "d"]);
    let is_same = |(layer, entry): (&String, &intact8_quant::LayerRecord)| {
        intact8_quant::LayerRecord { prepared: false, ..entry.clone() } == all.layers[layer]
    };
    assert!(result.layers.iter().all(is_same));
}

/// Two subgraphs capture one constant and compute a weight from it; preparation makes a copy for each. Without the copies the
/// layers would have two activations, one of which is a constant of the outer graph.
#[test]
fn a_weight_captured_by_two_subgraphs_is_not_an_activation() {
    let branch = |x: &str, y: &str, n: usize| {
        format!(
            "%{y} = If(%c; %{x}, %{x}, %w) {{else_branch = graph {{
  %x.e{n} = capture
  return %x.e{n}
}}, then_branch = graph {{
  %x.t{n} = capture
  %w.t{n} = capture
  %t.t{n} = Transpose(%w.t{n})
  %z.t{n} = MatMul(%x.t{n}, %t.t{n}) @layer{n}
  %u.t{n} = MatMul(%z.t{n}, %w.t{n}) @after{n}
  return %u.t{n}
}}}}
"
        )
    };
    let head = "model m opset 17
%c = const [true] : bool[]
%x = input : f32[N,2]
%w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
";
    let model: Model =
        format!("{head}{}{}return %y\n", branch("x", "p", 1), branch("p", "y", 2)).parse().unwrap();
    let prepared = prepared(&model);
    let config = QuantConfig::for_model(prepared.model());
    assert_eq!(config.layers.keys().collect::<Vec<_>>(), ["after1", "after2", "layer1", "layer2"]);
    let mut config = QuantConfig::default();
    config.layers.insert("after1".to_owned(), intact8_quant::LayerConfig::default());
    assert_eq!(
        config.check(&model).unwrap_err().to_string(),
        "layer \"after1\": can't be quantized: input 1 is a constant that several subgraphs use; remove it"
    );
}
