//! Smoothing (SmoothQuant, AMCT's DMQ): which layers gain by it is found on rows that they read.

use crate::calibrated::SmoothingFactors;
use crate::data::Batches;
use crate::float_model::FloatModel;
use crate::rounding::rounded_up;
use crate::row_error::relative_error;
use crate::sample::{Rows, Sampled, Samples};
use intact8_ir::{Model, Pass, Result, ValueRef};
use intact8_quant::passes::{Smooth, smoothed_for_free};
use intact8_quant::{Calibration, LayerRecord, QuantConfig, Record};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// How strongly ranges are moved from activations to weights where the configuration does not say.
const STRENGTH: f64 = 0.7;

/// A layer is smoothed if no more than this part of its error is left: the division costs a multiplication at run time.
const WORTH_IT: f64 = 0.7;

/// How many rows are processed together.
const N_ROWS: usize = 64;

/// The configuration with a strength for every layer that can be smoothed, as cheaply as the configuration asks for, and has none of
/// its own.
pub(crate) fn with_candidates(config: &QuantConfig, model: &Model) -> QuantConfig {
    let mut smoothed = config.clone();
    let for_free = smoothed_for_free(model);
    for (layer, _) in config.enabled(model).iter().filter(|(layer, _)| layer.can_learn_rounding()) {
        if !config.balance_nodes && !for_free.contains(&layer.name) {
            continue;
        }
        if let Some(of_layer) = smoothed.layers.get_mut(&layer.name) {
            of_layer.dmq_balancer_param.get_or_insert(STRENGTH);
        }
    }
    smoothed
}

/// The factors of the layers that gain, and of those that the configuration wants smoothed; layers that read one activation go
/// together.
pub(crate) fn worthwhile(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    mut factors: SmoothingFactors,
    samples: &Samples,
    batches: &mut Batches<'_>,
) -> Result<SmoothingFactors> {
    let model = float.model();
    let is_required = |name: &String| config.layers[name].dmq_balancer_param.is_some();
    let mut of_place: BTreeMap<ValueRef, Vec<String>> = BTreeMap::new();
    for (_, layer, _) in float.prepared().enabled(config) {
        if factors.0.contains_key(&layer.name) {
            of_place.entry(layer.inputs(model)[0]).or_default().push(layer.name.clone());
        }
    }
    let optional: Vec<Vec<String>> =
        of_place.into_values().filter(|together| !together.iter().any(is_required)).collect();
    if optional.is_empty() {
        return Ok(factors);
    }
    let names: BTreeSet<&str> = optional.iter().flatten().map(String::as_str).collect();
    let plain = only(config, |name| names.contains(name));
    let mut smoothed = model.clone();
    Smooth { config: &plain, record: &factors.record() }.run(&mut smoothed)?;
    let mut errors: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    samples.for_each_group(float.executor(), batches, |group, rows| {
        let group: Vec<(&Sampled, &Rows)> = group
            .iter()
            .zip(rows)
            // A layer of a branch that is never taken has no rows.
            .filter(|(sampled, rows)| plain.layers[&sampled.layer.name].quant_enable && rows.n_rows() > 0)
            .collect();
        let here: BTreeSet<&str> = group.iter().map(|(sampled, _)| sampled.layer.name.as_str()).collect();
        let here = only(&plain, |name| here.contains(name));
        let as_is = errors_of(model, &here, &group, &SmoothingFactors::default())?;
        let if_smoothed = errors_of(&smoothed, &here, &group, &factors)?;
        for ((sampled, _), pair) in group.iter().zip(as_is.into_iter().zip(if_smoothed)) {
            errors.insert(sampled.layer.name.clone(), pair.into());
        }
        Ok(())
    })?;
    for together in optional {
        let errors = || together.iter().filter_map(|name| errors.get(name));
        let [as_is, if_smoothed] = [0, 1].map(|which| errors().map(|error| error[which]).sum::<f64>());
        if if_smoothed >= WORTH_IT * as_is {
            together.iter().for_each(|name| drop(factors.0.remove(name)));
        }
    }
    Ok(factors)
}

/// The configuration with only some of its layers enabled, and no single inputs.
pub(crate) fn only(config: &QuantConfig, is_kept: impl Fn(&str) -> bool) -> QuantConfig {
    let mut config = QuantConfig { tensor_quantize: vec![], ..config.clone() };
    for (name, layer) in &mut config.layers {
        layer.quant_enable &= is_kept(name);
    }
    config
}

/// The errors of layers whose ranges are those of the rows. The weights of the model are smoothed if there are factors.
fn errors_of(
    model: &Model,
    config: &QuantConfig,
    group: &[(&Sampled, &Rows)],
    factors: &SmoothingFactors,
) -> Result<Vec<f64>> {
    let mut calibration = Calibration::new(model, config)?;
    let mut seen = BTreeSet::new();
    // In this model: balanced, the layers of two branches that read one value have a Mul each.
    let input = |sampled: &Sampled| sampled.layer.inputs(model)[0];
    let unlike: Vec<_> = group.iter().rev().filter(|(sampled, _)| seen.insert(input(sampled))).collect();
    // The tensors are copies; a few at once leave no thread idle.
    for few in unlike.chunks(2 * rayon::current_num_threads()) {
        let n_rows = few.iter().map(|(_, rows)| rows.n_rows()).max().unwrap_or(0);
        for start in (0..n_rows).step_by(N_ROWS) {
            let read = |(sampled, rows): &&(&Sampled, &Rows)| {
                let range = start..(start + N_ROWS).min(rows.n_rows());
                let factors = factors.of_layer(&sampled.layer.name);
                let tensor = (!range.is_empty()).then(|| sampled.reading.as_tensor(rows, range, factors))?;
                Some((input(sampled), tensor))
            };
            calibration.observe_all(&few.par_iter().filter_map(read).collect())?;
        }
    }
    let record: Record = calibration.ranges()?;
    drop(calibration);
    let error = |(sampled, rows): &(&Sampled, &Rows)| {
        let name = &sampled.layer.name;
        let smoothing = factors.of_layer(name).to_vec();
        let mut entry = LayerRecord { smoothing, ..record.layer(name)?.clone() };
        // Learning takes long.
        if !sampled.is_learned() {
            entry.rounded_up = rounded_up(model, config, sampled, rows, &entry)?;
        }
        relative_error(model, sampled, rows, &entry, config.correct_bias)
    };
    group.par_iter().map(error).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate;
    use intact8_interp::Interpreter;
    use intact8_ir::Tensor;
    use intact8_quant::{Preparation, Prepared};

    /// Layers of both branches read one value; each may gain, and each has an input of its own once it is smoothed.
    #[test]
    fn layers_of_two_branches_read_one_value() {
        let branch = |name: &str, weight: &str| {
            format!(
                "{name} = graph {name} {{\n%{name}.x = capture\n%{name}.w = const [{weight}] : f32[2,2]\n\
                 %{name}.y = MatMul(%{name}.x, %{name}.w)\nreturn %{name}.y\n}}"
            )
        };
        let text = format!(
            "model m opset 17\n%x = input : f32[8,2]\n%zero = const [0.0] : f32[]\n%sum = ReduceSum(%x) {{keepdims = 0}}\n\
             %c = Greater(%sum, %zero)\n%y = If(%c; %x, %x) {{{}, {}}}\nreturn %y\n",
            branch("else_branch", "0.001, -0.002, 1.0, 0.5"),
            branch("then_branch", "0.002, 0.001, -0.5, 1.0")
        );
        let model: Model = text.parse().unwrap();
        // The second column is small beside the first, and its weights are large.
        let batch = |sign: f32| {
            let value =
                |idx: usize| sign * if idx.is_multiple_of(2) { 100.0 } else { 0.01 } * (idx + 1) as f32;
            Tensor::new(&[8, 2], (0..16).map(value).collect())
        };
        let mut data = vec![vec![batch(1.0)], vec![batch(-1.0)]];
        let config = QuantConfig { batch_num: 2, ..QuantConfig::for_model(&model) };
        let prepared = Prepared::new(&model, &Preparation::default(), None, &mut ()).unwrap();
        let runtime = Interpreter::default();
        let float = FloatModel::new(&prepared, &runtime).unwrap();
        let calibrated = calibrate(&float, &config, &mut data, &mut ()).unwrap();
        assert_eq!(calibrated.smoothing.0.len(), 2, "{:?}", calibrated.smoothing);
    }
}
