//! Layers that no calibration data reach but zeros: those in branches that are never taken and in loops that never run, those
//! that see only empty tensors, and those whose activations are 0 throughout.

use crate::data::Batches;
use crate::float_model::FloatModel;
use intact8_ir::{GraphId, Result, Tensor, ValueRef};
use intact8_quant::{Layer, QuantConfig};
use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

/// The enabled layers without a range: on all batches, the layer or one of its inputs is not computed, is empty, or an input
/// holds nothing but zeros. Layers of which only the weights are quantized need no range. The data are read until every other
/// layer is reached, so usually one batch is run.
///
/// # Errors
/// If data or runtime fail.
pub fn unreached_layers(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    batches: &mut Batches<'_>,
) -> Result<Vec<Layer>> {
    let enabled = float.prepared().enabled(config).into_iter();
    let with_ranges = enabled.filter(|(_, _, of_layer)| !of_layer.weights_only).map(|(_, layer, _)| layer);
    let layers: Vec<(&Layer, Vec<Need>)> = with_ranges.map(|layer| (layer, Need::of(layer, float))).collect();
    let missing: RwLock<HashSet<Need>> =
        RwLock::new(layers.iter().flat_map(|(_, needs)| needs).copied().collect());
    let executor = float.watched(layers.iter().flat_map(|(_, needs)| needs).map(|need| need.value))?;
    let is_missing = |need: &Need| missing.read().unwrap_or_else(PoisonError::into_inner).contains(need);
    let run_batch = |_, inputs: &[Tensor]| {
        let mut met: HashSet<Need> = HashSet::new();
        let missing = missing.read().unwrap_or_else(PoisonError::into_inner).clone();
        for part in executor.parts(inputs) {
            if missing.iter().all(|need| met.contains(need)) {
                break;
            }
            executor.run_tapped(&part.inputs, &mut |value, tensor| {
                let needs = [Need { value, is_input: false }, Need { value, is_input: true }];
                met.extend(needs.into_iter().filter(|need| missing.contains(need) && need.is_met_by(tensor)));
                Ok(())
            })?;
        }
        Ok(met)
    };
    batches.in_parallel(run_batch, |met| {
        let mut missing = missing.write().unwrap_or_else(PoisonError::into_inner);
        for need in met {
            missing.remove(&need);
        }
        Ok(())
    })?;
    let unreached = layers.iter().filter(|(_, needs)| needs.iter().any(is_missing));
    Ok(unreached.map(|(layer, _)| (*layer).clone()).collect())
}

/// What a layer needs of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Need {
    value: ValueRef,
    /// Whether the value is an input, which needs a range, or the output: a layer in a branch that is never taken may have
    /// an input from outside, which is computed.
    is_input: bool,
}

impl Need {
    fn of(layer: &Layer, float: &FloatModel<'_>) -> Vec<Need> {
        let inputs = layer.inputs(float.model()).into_iter().map(|value| Need { value, is_input: true });
        // In the main graph a layer runs whenever its inputs are computed.
        let is_conditional = layer.graph != GraphId::MAIN;
        let output = is_conditional.then(|| Need { value: layer.output(float.model()), is_input: false });
        inputs.chain(output).collect()
    }

    fn is_met_by(self, tensor: &Tensor) -> bool {
        match tensor.values::<f32>() {
            Ok(values) if self.is_input => values.iter().any(|&value| value != 0.0),
            _ => !tensor.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CalibrationData, calibrate};
    use intact8_interp::Interpreter;
    use intact8_ir::Model;
    use intact8_quant::{Preparation, Prepared};

    const BRANCH: &str = "model m opset 17\n%x = input : f32[N,1]\n%c = input : bool[]\n%w = const [1.0] : f32[1,1]\n\
                          %y = If(%c; %x, %w, %x, %w) {else_branch = graph {\n%a = capture : f32[N,1]\n\
                          %v = capture : f32[1,1]\n%p = MatMul(%a, %v) @else\nreturn %p\n}, then_branch = graph {\n\
                          %b = capture : f32[N,1]\n%u = capture : f32[1,1]\n%q = MatMul(%b, %u) @then\nreturn %q\n}}\n\
                          return %y\n";

    /// The unreached layers, and the error of a calibration that quantizes their activations all the same.
    fn unreached(text: &str, mut data: Vec<Vec<Tensor>>) -> (Vec<String>, Option<String>) {
        let model: Model = text.parse().unwrap();
        let prepared = Prepared::new(&model, &Preparation::default(), None, &mut ()).unwrap();
        let runtime = Interpreter::default();
        let float = FloatModel::new(&prepared, &runtime).unwrap();
        let mut config =
            QuantConfig { batch_num: Some(data.len()), ..QuantConfig::for_model(prepared.model()) };
        let layers = |config: &QuantConfig, data: &mut dyn CalibrationData| {
            unreached_layers(&float, config, &mut Batches::of(data, config.batch_num, &mut ()).unwrap())
                .unwrap()
        };
        let found = layers(&config, &mut data);
        let error = calibrate(&float, &config, &mut data, &mut ()).err().map(|error| error.to_string());
        config.leave_weights(&found, |_| String::new());
        assert_eq!(layers(&config, &mut data), []);
        calibrate(&float, &config, &mut data, &mut ()).unwrap();
        (found.into_iter().map(|layer| layer.name).collect(), error)
    }

    fn rows(values: &[f32]) -> Tensor {
        Tensor::new(&[values.len(), 1], values.to_vec())
    }

    #[test]
    fn layers_that_see_zeros_or_nothing_are_unreached_in_the_main_graph() {
        let text = "model m opset 17\n%x = input : f32[N,1]\n%e = input : f32[M,1]\n%w = const [1.0] : f32[1,1]\n\
                    %y = MatMul(%x, %w) @known\n%z = MatMul(%e, %w) @other\nreturn %y, %z\n";
        let expected = |name: &str| {
            let message = "no calibration data but zeros reach this layer";
            Some(format!(
                "{name}: {message}; quantize only its weights or none, or calibrate with other data"
            ))
        };
        for other in [&[0.0, 0.0][..], &[]] {
            let data = vec![vec![rows(&[1.0]), rows(other)]; 2];
            assert_eq!(unreached(text, data), (vec!["other".to_owned()], expected("other")), "{other:?}");
        }
        let mut data = vec![vec![rows(&[1.0]), rows(&[0.0])]; 3];
        data[2][1] = rows(&[0.0, -1.0]);
        assert_eq!(unreached(text, data), (vec![], None));
    }

    #[test]
    fn a_recurrence_without_its_first_output_is_reached() {
        let text = "model m opset 17\n%x = input : f32[2,N,1]\n%w = const splat(0.5) : f32[1,4,1]\n\
                    %r = const splat(0.25) : f32[1,4,1]\n_, %h = LSTM(%x, %w, %r) {hidden_size = 1} @lstm\nreturn %h\n";
        let x = Tensor::new(&[2, 1, 1], vec![1.0f32, -1.0]);
        assert_eq!(unreached(text, vec![vec![x]]), (vec![], None));
    }

    #[test]
    fn layers_of_a_branch_that_is_never_taken_are_unreached() {
        let batch = |condition: bool| vec![rows(&[1.0, -1.0]), Tensor::scalar(condition)];
        assert_eq!(unreached(BRANCH, vec![batch(true), batch(true)]).0, ["else"]);
        assert_eq!(unreached(BRANCH, vec![batch(true), batch(false)]).0, [""; 0]);
    }
}
