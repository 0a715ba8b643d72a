//! Observed values, chosen ranges, and refused values and configurations.

use super::*;
use half::f16;

#[test]
fn values_that_the_layer_can_not_have_are_errors() {
    let (mut calibration, value) = calibration();
    let mut message = |tensor: Tensor| {
        let one = calibration.observe(value, &tensor).unwrap_err().to_string();
        let values = BTreeMap::from([(value, tensor)]);
        assert_eq!(calibration.observe_all(&values).unwrap_err().to_string(), one);
        one
    };
    let wrong = message(Tensor::new(&[2, 3], vec![1.0f32; 6]));
    assert_eq!(
        wrong,
        "the input of fc: the values have the shape [2, 3], and need 2 channels in dimension -1"
    );
    let wrong = message(Tensor::new(&[], vec![1.0f32]));
    assert_eq!(wrong, "the input of fc: the values have the shape [], and need 2 channels in dimension -1");
    assert!(message(Tensor::new(&[1, 2], vec![1i64, 2])).starts_with("the input of fc: "));
    assert!(message(Tensor::new(&[1, 2], vec![1.0, f32::NAN])).contains("NaN"));
    assert!(calibration.statistics()[&value].n_values == 0);
}

/// The calibration of a model with one layer, and the value that is its input.
fn calibration() -> (Calibration, ValueRef) {
    let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 2.0] : f32[2,1]\n\
                %y = MatMul(%x, %w) @fc\nreturn %y\n";
    let model: Model = text.parse().unwrap();
    let calibration = Calibration::new(&model, &QuantConfig::for_model(&model)).unwrap();
    let value = calibration.observed_values().next().unwrap();
    (calibration, value)
}

#[test]
fn fewer_values_than_2048_have_no_candidates() {
    let candidates = |n_values: usize| {
        let (mut calibration, value) = calibration();
        let mut values: Vec<f32> = (0..n_values).map(|idx| (idx as f32 * 0.618_034).fract()).collect();
        values[..2].fill(-100.0);
        calibration.observe(value, &Tensor::new(&[n_values / 2, 2], values)).unwrap();
        calibration.clipping_candidates()
    };
    assert!(candidates(2046).is_empty());
    let found = candidates(2048);
    assert!(found.iter().any(|candidate| candidate.excludes_sentinels), "{found:?}");
    assert!(found.iter().all(|candidate| candidate.users == [("fc".to_owned(), 0)]));
}

/// Squares of weights 1 and 4, of at most 1000 counts.
#[test]
fn the_heaviest_channel_counts_a_thousandfold() {
    let (calibration, value) = calibration();
    let weighted = calibration.statistics()[&value].weighted.as_ref().unwrap();
    assert_eq!((weighted.axis, &weighted.weights[..]), (-1, &[250, 1000][..]));
}

#[test]
fn parameters_follow_the_data() {
    let scale =
        |calibration: &Calibration| calibration.ranges().unwrap().layers["fc"].activations[0].scale[0];
    let evenly_up_to =
        |most: f32| Tensor::new(&[500, 2], (1..=1000).map(|idx| idx as f32 / 1000.0 * most).collect());
    let (mut calibration, value) = calibration();
    assert!(
        calibration
            .ranges()
            .unwrap_err()
            .to_string()
            .contains("no calibration data but zeros reach this layer")
    );
    assert!(calibration.clipping_candidates().is_empty());
    calibration.observe(value, &evenly_up_to(1.0)).unwrap();
    let one = calibration.clone();
    assert!((0.9 / 255.0..1.1 / 255.0).contains(&scale(&calibration)));
    calibration.observe(value, &evenly_up_to(2.0)).unwrap();
    assert!(scale(&calibration) > 1.5 / 255.0);
    let mut merged = one;
    merged.merge(&calibration.statistics).unwrap();
    assert!(scale(&merged) > 1.5 / 255.0);
}

#[test]
fn a_configuration_that_asks_for_more_than_ranges_is_refused() {
    let (mut calibration, value) = calibration();
    calibration.observe(value, &Tensor::new(&[1, 2], vec![1.0f32, -1.0])).unwrap();
    assert_eq!(
        calibration.finish().unwrap_err().to_string(),
        "observation alone provides no smoothing and no rounding of weights and no bias correction, which the \
         configuration asks for; calibrate with intact8-calibrate, or turn it off"
    );
    assert_eq!(calibration.ranges().unwrap().layers.len(), 1);
    calibration.beyond_ranges.clear();
    assert_eq!(calibration.finish().unwrap(), calibration.ranges().unwrap());
}

#[test]
fn scales_of_16_bits() {
    assert_eq!(as_fp16(0.1), 0.099975586);
    // Beyond 65504 and below 2^-14, as the square of one.
    assert_eq!(as_fp16(90_000.0), 90_000.0);
    let tiny = as_fp16(1e-6);
    assert!((tiny / 1e-6 - 1.0).abs() < 1e-3 && f16::from_f32(tiny.sqrt()).to_f32().powi(2) == tiny);
}

#[test]
fn joint_operands_share_a_scale() {
    let text = "model m opset 17\n%x = input : f32[2,2]\n%y = input : f32[2,2]\n%s = Add(%x, %y) @add : f32[2,2]\n\
                %c = Concat(%x, %y) {axis = 0} @concat : f32[4,2]\nreturn %s, %c\n";
    let model: Model = text.parse().unwrap();
    let both = ["add", "concat"].map(|name| (name.to_owned(), LayerConfig::default()));
    for joint_quant in [false, true] {
        let config = QuantConfig { joint_quant, layers: both.clone().into(), ..QuantConfig::default() };
        let mut calibration = Calibration::new(&model, &config).unwrap();
        let values: Vec<ValueRef> = calibration.observed_values().collect();
        for (value, reach) in values.into_iter().zip([1.0f32, 10.0]) {
            let tensor = Tensor::new(&[2, 2], vec![-reach, 0.0, 0.5 * reach, reach]);
            calibration.observe(value, &tensor).unwrap();
        }
        let record = calibration.ranges().unwrap();
        for name in ["add", "concat"] {
            let [a, b] = &record.layers[name].activations[..] else { panic!("{name} has two inputs") };
            assert_eq!(a == b, joint_quant, "{name}");
        }
    }
}
