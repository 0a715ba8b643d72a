//! The ladder: layers that return from float on another rung.

use crate::*;

/// A scorer whose score is the names of those of its layers that have activations of 8 bits.
struct LayersIn8Bits(Vec<&'static str>);

impl Scorer for LayersIn8Bits {
    type Score = Vec<String>;

    fn score(
        &mut self,
        subject: Subject<'_>,
        _: &mut Scoring<'_, Vec<String>>,
    ) -> Result<Vec<String>, BoxError> {
        let graph = model_of(subject).main();
        let is_8_bits = |name: &str| {
            let zero_point =
                graph.value_named(&format!("{name}.x.offset")).and_then(|value| graph.constant(value));
            zero_point.is_some_and(|zero_point| zero_point.dtype() == DType::I8)
        };
        Ok(self.0.iter().filter(|name| is_8_bits(name)).map(|name| (*name).to_owned()).collect())
    }
}

#[test]
fn layers_stay_on_the_first_rung_that_satisfies() {
    let ladder: Vec<&Rung> = LADDER.iter().collect();
    for wide in [vec!["b"], vec!["a", "d"], vec!["a", "b", "c", "d"]] {
        let (model, runtime) = (model(), Interpreter::default());
        let prepared = prepared(&model);
        let float = FloatModel::new(&prepared, &runtime).unwrap();
        let config = QuantConfig::for_model(prepared.model());
        let mut strategy = Minimal;
        let options = SearchOptions { ladder: &ladder, ..SearchOptions::new(&mut strategy) };
        let roles = Roles {
            data: &mut Data::default(),
            scorer: &mut LayersIn8Bits(wide.clone()),
            judge: &mut Sensitive(wide.clone()),
            observer: &mut (),
        };
        let report = search(&float, &model, &config, roles, options).unwrap();
        assert!(report.untried().is_empty() && report.ending == Ending::Finished);
        let outcome = report.outcome.unwrap();
        assert!(outcome.rolled_back.is_empty());
        let rungs: Vec<_> =
            outcome.rungs.iter().map(|(&layer, &rung)| (report.table.name(layer), rung)).collect();
        assert_eq!(rungs, wide.iter().map(|&layer| (layer, "int16")).collect::<Vec<_>>());
        for (layer, config) in &outcome.quantized.config().layers {
            let bits = if wide.contains(&layer.as_str()) { 16 } else { 8 };
            assert_eq!(config.activation_quant_params.num_bits, bits);
            assert_eq!(outcome.record.layers[layer].activations[0].bits, bits);
        }
        let mut tried: Vec<_> =
            report.history.iter().map(|trial| (&trial.rolled_back, &trial.rungs)).collect();
        tried.sort();
        assert!(tried.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

#[test]
fn layers_that_no_rung_satisfies_stay_in_float() {
    let ladder: Vec<&Rung> = LADDER.iter().collect();
    let report =
        TestSearch::new(&["a", "c"]).run(TestOptions { ladder: &ladder, ..TestOptions::default() }).unwrap();
    assert!(report.untried().is_empty());
    let outcome = report.outcome.unwrap();
    assert_eq!((outcome.rolled_back.len(), outcome.rungs.len()), (2, 0));
    // If the trials are used up before the last rung, the best trial so far is the result.
    let most = report.history.len() - 1;
    let report = TestSearch::new(&["a", "c"]).run(TestOptions {
        ladder: &ladder,
        max_trials: Some(most),
        ..TestOptions::default()
    });
    let report = report.unwrap();
    assert_eq!((report.ending, report.history.len()), (Ending::OutOfTrials, most));
    assert_eq!(report.outcome.unwrap().rolled_back.len(), 2);
}

#[test]
fn a_rung_whose_operator_set_the_model_can_not_have_is_left_out() {
    // GroupNormalization of opset 18 has no form in opset 21, which 16 bits need.
    let text = "model m opset 18\n%x = input : f32[N,2]\n%w = const [1.0, 0.5, -2.0, 0.25] : f32[2,2]\n\
                %p = MatMul(%x, %w) @a\n%one = const [1.0] : f32[1]\n%zero = const [0.0] : f32[1]\n\
                %n = GroupNormalization(%p, %one, %zero) {num_groups = 1} @norm\n%q = MatMul(%n, %w) @b\n\
                return %q\n";
    let ladder: Vec<&Rung> = LADDER.iter().collect();
    let mut test = TestSearch::new(&["b"]);
    test.model = text.parse().unwrap();
    test.prepared = prepared(&test.model);
    let report = test.run(TestOptions { ladder: &ladder, ..TestOptions::default() }).unwrap();
    assert_eq!(report.ending, Ending::Finished);
    let left_out: Vec<_> =
        report.rungs_left_out.iter().map(|(rung, error)| (*rung, error.to_string())).collect();
    assert_eq!(left_out.len(), 1);
    assert_eq!(left_out[0].0, "int16");
    assert!(left_out[0].1.starts_with("norm: GroupNormalization can't be raised"), "{}", left_out[0].1);
    assert_eq!(report.outcome.unwrap().rolled_back, test.set(&["b"]));
}
