//! Which layers gain by balancing, found on rows that they read.

use crate::evaluator::Evaluator;
use crate::rounding::rounded_up;
use crate::row_error::relative_error;
use crate::sample::{Rows, Sampled, Samples};
use intact8_ir::{Model, Pass, Place, Result};
use intact8_quant::{Balance, Calibration, LayerRecord, QuantConfig, Record, balances_for_free};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// How strongly ranges are moved where nobody says.
const STRENGTH: f64 = 0.7;

/// A layer is balanced if no more than this part of its error is left: dividing costs a multiplication at run time.
const WORTH_IT: f64 = 0.7;

/// How many rows are looked at together.
const N_ROWS: usize = 64;

/// The configuration with a strength for every layer that can be balanced, as cheaply as is asked for, and has none of its
/// own.
pub(crate) fn with_candidates(config: &QuantConfig, model: &Model) -> QuantConfig {
    let mut balanced = config.clone();
    for (layer, _) in config.enabled(model).iter().filter(|(layer, _)| layer.can_learn_rounding()) {
        if !config.balance_nodes && !balances_for_free(model, layer) {
            continue;
        }
        if let Some(of_layer) = balanced.layers.get_mut(&layer.name) {
            of_layer.dmq_balancer_param.get_or_insert(STRENGTH);
        }
    }
    balanced
}

/// Keeps of a record that holds nothing but factors those of the layers that gain, and of those that were asked to be
/// balanced; layers that read one activation go together.
pub(crate) fn keep_the_better(
    model: &Model,
    config: &QuantConfig,
    factors: &mut Record,
    samples: &Samples,
    evaluator: &mut impl Evaluator,
) -> Result<()> {
    let is_asked = |name: &String| config.layers[name].dmq_balancer_param.is_some();
    let mut of_place: BTreeMap<Place, Vec<String>> = BTreeMap::new();
    for (layer, _) in config.enabled(model) {
        if factors.layers.contains_key(&layer.name) {
            of_place.entry(layer.inputs(model)[0]).or_default().push(layer.name);
        }
    }
    let doubtful: Vec<Vec<String>> =
        of_place.into_values().filter(|together| !together.iter().any(is_asked)).collect();
    if doubtful.is_empty() {
        return Ok(());
    }
    let plain = alone(config, |name| doubtful.iter().flatten().any(|doubtful| doubtful == name));
    let mut balanced = model.clone();
    Balance { config: &plain, record: factors }.run(&mut balanced)?;
    let mut errors: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    samples.for_each_group(model, config, evaluator, |group, rows| {
        let group: Vec<(&Sampled, &Rows)> = group
            .iter()
            .zip(rows)
            // A layer of a branch that is never taken has no rows.
            .filter(|(sampled, rows)| plain.layers[&sampled.layer.name].quant_enable && rows.n_rows() > 0)
            .collect();
        let here = alone(&plain, |name| group.iter().any(|(sampled, _)| sampled.layer.name == name));
        let as_is = errors_of(model, &here, &group, &Record::default())?;
        let in_balance = errors_of(&balanced, &here, &group, factors)?;
        for ((sampled, _), pair) in group.iter().zip(as_is.into_iter().zip(in_balance)) {
            errors.insert(sampled.layer.name.clone(), pair.into());
        }
        Ok(())
    })?;
    for together in doubtful {
        let errors = || together.iter().filter_map(|name| errors.get(name));
        let [as_is, in_balance] = [0, 1].map(|which| errors().map(|error| error[which]).sum::<f64>());
        if in_balance >= WORTH_IT * as_is {
            factors.layers.retain(|name, _| !together.contains(name));
        }
    }
    Ok(())
}

/// The configuration with just some of its layers.
pub(crate) fn alone(config: &QuantConfig, is_kept: impl Fn(&str) -> bool) -> QuantConfig {
    let others: Vec<String> = config.layers.keys().filter(|name| !is_kept(name)).cloned().collect();
    QuantConfig { tensor_quantize: vec![], ..config.rolled_back(&others) }
}

/// The errors of layers whose ranges are those of the rows. The weights are balanced in the model if there are factors.
fn errors_of(
    model: &Model,
    config: &QuantConfig,
    group: &[(&Sampled, &Rows)],
    factors: &Record,
) -> Result<Vec<f64>> {
    let balance = |name: &String| factors.layers.get(name).map_or(&[][..], |entry| &entry.balance);
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
                let factors = balance(&sampled.layer.name);
                let tensor = (!range.is_empty()).then(|| sampled.reading.as_tensor(rows, range, factors))?;
                Some((input(sampled), tensor))
            };
            calibration.observe_all(&few.par_iter().filter_map(read).collect())?;
        }
    }
    let record = calibration.finish()?;
    drop(calibration);
    let error = |(sampled, rows): &(&Sampled, &Rows)| {
        let name = &sampled.layer.name;
        let mut entry = LayerRecord { balance: balance(name).to_vec(), ..record.layer(name)?.clone() };
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
    use crate::evaluator::Batches;
    use intact8_ir::Tensor;

    /// Layers of both branches read one value; each may gain, and each has inputs of its own once it is balanced.
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
        let mut data = Batches(vec![batch(1.0), batch(-1.0)]);
        let config = QuantConfig { batch_num: 2, ..QuantConfig::for_model(&model) };
        let record = calibrate(&model, &config, &mut data).unwrap();
        let balanced = record.layers.values().filter(|entry| !entry.balance.is_empty());
        assert_eq!(balanced.count(), 2, "{:?}", record.layers.keys());
    }
}
