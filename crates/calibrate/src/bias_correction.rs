//! Bias correction: the mean error of each output channel of a layer when it is quantized.
//!
//! All of the data count, not only sampled rows: the rest of a mean error is the same at every position, so pooling does not
//! average it away as it does other errors. For linear layers the means of the inputs suffice; other layers are replayed. The
//! correction itself is a pass of [`intact8_quant`].

mod linear;
mod replayed;

use crate::by_value::ByValue;
use crate::calibrated::BiasShifts;
use crate::data::Batches;
use crate::float_model::FloatModel;
use crate::parts::run_parts;
use crate::passes::{Halt, Passes};
use crate::replay::{Replay, ReplayState};
use crate::sample::linear_layers;
use crate::states::{CalibrationPass, ChannelErrors, PassContent};
use intact8_ir::{Error, Model, Result, Tensor};
use intact8_quant::passes::has_bias;
use intact8_quant::{Layer, QuantConfig, Record};
use linear::{InputSums, LinearLayer};
use replayed::OutputSums;

/// The mean of float minus quantized output of each output channel, for the enabled layers whose outputs have channels, or of
/// these only those with a bias, if the configuration allows no [`bias_nodes`](QuantConfig::bias_nodes). Each
/// layer is quantized alone, on its inputs in the float model; `smoothed` is that model with smoothed weights.
pub(crate) fn mean_errors(
    float: &FloatModel<'_>,
    smoothed: &Model,
    config: &QuantConfig,
    record: &Record,
    passes: &mut Passes<'_, '_>,
) -> Result<BiasShifts, Halt> {
    let may_be_corrected = |layer: &Layer| config.bias_nodes || has_bias(float.model(), layer);
    let linear = linear_layers(float.model(), config)?.into_iter();
    let linear = linear.filter(|sampled| may_be_corrected(&sampled.layer));
    let (linear, too_large): (Vec<_>, Vec<_>) =
        linear.partition(|sampled| float.memory().allows(linear::bytes(sampled)));
    for sampled in too_large {
        let why = float.memory().refuses(linear::bytes(&sampled), "its bias is not corrected");
        passes.batches.observer.left_out(&sampled.layer.name, &why);
    }
    let enabled = float.prepared().enabled(config).into_iter().map(|(_, layer, _)| layer);
    let others = enabled.filter(|layer| !layer.can_learn_rounding() && may_be_corrected(layer));
    let others: Vec<(isize, &Layer)> =
        others.filter_map(|layer| Some((layer.output_axis()?, layer))).collect();
    let names = linear.iter().map(|sampled| &sampled.layer).chain(others.iter().map(|(_, layer)| *layer));
    let names: Vec<String> = names.map(|layer| layer.name.clone()).collect();
    let state = passes.pass(CalibrationPass::BiasCorrection, |batches| {
        let linear = linear.into_iter().map(|sampled| LinearLayer::new(smoothed, sampled, record));
        let linear = linear.collect::<Result<Vec<_>>>()?;
        let replay = |(axis, layer)| Ok((axis, Replay::new(float, config, record, layer)?));
        let replays: Vec<(isize, Replay<'_>)> = others.into_iter().map(replay).collect::<Result<_>>()?;
        Ok(PassContent::ChannelErrors(channel_errors(float, &linear, &replays, batches)?))
    })?;
    let errors = match state {
        PassContent::ChannelErrors(errors) if errors.len() == names.len() => errors,
        _ => return Err(Error::invalid_data("the state of the pass is that of other layers").into()),
    };
    let mut shifts =
        BiasShifts(names.into_iter().zip(&errors).map(|(name, errors)| (name, errors.means())).collect());
    shifts.0.retain(|name, errors| {
        let is_finite = errors.iter().all(|error| error.is_finite());
        if !is_finite {
            passes
                .batches
                .observer
                .left_out(name, "a quantized value exceeds the largest float: its bias is not corrected");
        }
        is_finite
    });
    Ok(shifts)
}

/// The errors of linear layers and of replayed ones, in this order.
fn channel_errors(
    float: &FloatModel<'_>,
    linear: &[LinearLayer<'_>],
    replays: &[(isize, Replay<'_>)],
    batches: &mut Batches<'_>,
) -> Result<Vec<ChannelErrors>> {
    let linear_by_value = ByValue::of(linear.iter().map(LinearLayer::values));
    let replays_by_value = ByValue::of(replays.iter().map(|(_, replay)| replay.values()));
    let executor = float.watched(linear_by_value.values().chain(replays_by_value.values()))?;
    let run_batch = |_, inputs: &[Tensor]| {
        let mut input_sums: Vec<InputSums> = linear.iter().map(LinearLayer::empty_sums).collect();
        let states = replays.iter().map(|(_, replay)| (replay.start_batch(), OutputSums::default()));
        let mut states: Vec<(ReplayState, OutputSums)> = states.collect();
        run_parts(&*executor, executor.parts(inputs), |_, value, tensor| {
            for idx in linear_by_value.at(value) {
                linear[idx].observe(&mut input_sums[idx], value, tensor)?;
            }
            for idx in replays_by_value.at(value) {
                let ((axis, replay), (state, sums)) = (&replays[idx], &mut states[idx]);
                if let Some((_, quantized)) = replay.observe(state, value, tensor)? {
                    sums.observe(tensor, &quantized, *axis)?;
                }
            }
            Ok(())
        })?;
        let of_linear = linear.iter().zip(&input_sums).map(|(layer, sums)| layer.errors(sums));
        let of_replays = states.into_iter().map(|(_, sums)| sums.errors());
        Ok(of_linear.chain(of_replays).collect::<Vec<_>>())
    };
    let mut errors = vec![ChannelErrors::default(); linear.len() + replays.len()];
    batches.in_parallel(run_batch, |of_batch| {
        for (errors, (sums, n)) in errors.iter_mut().zip(of_batch) {
            errors.add(&sums, n);
        }
        Ok(())
    })?;
    Ok(errors)
}

/// The sum of a batch with 32 significant bits, which is more than a bias has: so the digits of exact sums stay few.
fn shortened(sum: f64) -> f64 {
    const N_DROPPED: u32 = f64::MANTISSA_DIGITS - 32;
    let rounded = sum.to_bits() + (1 << (N_DROPPED - 1));
    if sum.is_finite() { f64::from_bits(rounded >> N_DROPPED << N_DROPPED) } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::Share;
    use crate::states::CalibrationStates;
    use intact8_interp::{Interpreter, Session};
    use intact8_ir::Pass;
    use intact8_quant::passes::Smooth;
    use intact8_quant::{Calibration, LayerRecord, Preparation, Prepared};

    fn numbers(shape: &[usize], seed: usize) -> Tensor {
        let value = |idx: usize| ((idx * 7919 + seed * 104_729 + 13) % 1009) as f32 / 250.0 - 1.5;
        Tensor::new(shape, (0..shape.iter().product()).map(value).collect())
    }

    /// A Conv and a MatMul, smoothed or not: the mean error computed from the means of the inputs is that of a replay. The layers
    /// have no bias, since a replay rounds it.
    #[test]
    fn the_mean_error_of_a_linear_layer_is_that_of_its_replay() {
        let text = "model m opset 17\n%x = input : f32[2,4,9,8]\n%w = const splat(1.0) : f32[6,2,3,3]\n\
                    %y = Conv(%x, %w) {group = 2, pads = [1, 1, 1, 0], strides = [2, 1]} @conv\n\
                    %v = const splat(1.0) : f32[8,5]\n%z = MatMul(%x, %v) @fc\nreturn %y, %z\n";
        let mut model: Model = text.parse().unwrap();
        for (name, seed) in [("w", 1), ("v", 2)] {
            let value = model.main().value_named(name).unwrap();
            let tensor = numbers(model.main().constant(value).unwrap().shape(), seed);
            let constant = model.main_mut().add(intact8_ir::Node::constant(format!("{name}.1"), tensor), &[]);
            model.main_mut().replace_uses(value, constant.into());
        }
        model.remove_dead();
        let config = QuantConfig { batch_num: Some(2), ..QuantConfig::for_model(&model) };
        let mut data = vec![vec![numbers(&[2, 4, 9, 8], 3)], vec![numbers(&[2, 4, 9, 8], 4)]];
        let how = Preparation { equalize: false, ..Preparation::default() };
        let (prepared, runtime) =
            (Prepared::new(&model, &how, None, &mut ()).unwrap(), Interpreter::default());
        let float = FloatModel::new(&prepared, &runtime).unwrap();
        let model = prepared.model();
        for factors in [vec![], vec![0.5, 2.0, 1.5, 0.8]] {
            let mut smoothed = model.clone();
            let mut record = Record::default();
            let entry = LayerRecord { smoothing: factors.clone(), ..LayerRecord::default() };
            record.layers.insert("conv".to_owned(), entry);
            record.layers.insert("fc".to_owned(), LayerRecord::default());
            Smooth { config: &config, record: &record }.run(&mut smoothed).unwrap();
            let mut calibration = Calibration::new(&smoothed, &config).unwrap();
            let session = Session::new(&smoothed).unwrap();
            for batch in &data {
                session.run_tapped(batch, &mut |value, tensor| calibration.observe(value, tensor)).unwrap();
            }
            let mut found = calibration.ranges().unwrap();
            found.layers.get_mut("conv").unwrap().smoothing = factors;
            let mut observer = ();
            let mut batches = Batches::new(&mut data, 2, &mut observer);
            let mut passes = Passes {
                batches: &mut batches,
                states: &mut CalibrationStates::default(),
                share: Share::Whole,
                keeps: false,
                n_done: 0,
            };
            let means = mean_errors(&float, &smoothed, &config, &found, &mut passes).ok().unwrap().0;
            for (_, layer, _) in prepared.enabled(&config) {
                let replay = Replay::new(&float, &config, &found, layer).unwrap();
                let session = Session::new(model).unwrap();
                let mut errors = ChannelErrors::default();
                for batch in &data {
                    let (mut state, mut sums) = (replay.start_batch(), OutputSums::default());
                    let mut tap = |value, tensor: &Tensor| -> Result<()> {
                        if let Some((_, quantized)) = replay.observe(&mut state, value, tensor)? {
                            sums.observe(tensor, &quantized, layer.output_axis().unwrap())?;
                        }
                        Ok(())
                    };
                    session.run_tapped(batch, &mut tap).unwrap();
                    let (sums, n) = sums.errors();
                    errors.add(&sums, n);
                }
                let expected = errors.means();
                assert!(expected.iter().any(|mean| mean.abs() > 1e-4), "{expected:?}");
                for (found, expected) in means[&layer.name].iter().zip(&expected) {
                    assert!((found - expected).abs() < 2e-5, "{}: {found} {expected}", layer.name);
                }
            }
        }
    }
}
