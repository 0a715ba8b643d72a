//! Replay: one layer alone runs quantized on its inputs in the float model.
//!
//! It happens while the float model runs: as soon as a layer's inputs and output are computed, the quantized layer runs on the
//! same inputs. No activation is stored.

use crate::float_model::FloatModel;
use intact8_ir::{Error, Executor, GraphId, Result, Tensor, ValueRef, isolate};
use intact8_quant::{Layer, QuantConfig, Record, fake_quant};

/// A layer that can be replayed, on several batches at once: each batch has a [`ReplayState`].
pub struct Replay<'a> {
    layer: Layer,
    /// The layer alone, quantized.
    executor: Box<dyn Executor + 'a>,
    /// Its inputs; captured constants are known from the start.
    inputs: Vec<(ValueRef, Option<Tensor>)>,
    output: ValueRef,
}

/// The inputs of a replayed layer on one batch, as far as they are computed.
pub struct ReplayState(Vec<Option<Tensor>>);

impl<'a> Replay<'a> {
    /// A replay of a layer of the float model with its entry of the record.
    ///
    /// # Errors
    /// If the record does not fit the layer, or the runtime can't run it.
    pub fn new(
        float: &FloatModel<'a>,
        config: &QuantConfig,
        record: &Record,
        layer: &Layer,
    ) -> Result<Replay<'a>> {
        let model = float.model();
        let graph = model.graph(layer.graph);
        let mut alone = isolate(model, layer.graph, layer.node);
        let names = alone.main().inputs().iter().map(|&id| &alone.main().node(id).outputs[0].name);
        let input = |name: &String| {
            let value = graph.value_named(name).expect("an isolated input has the name of the operand");
            let source = model.producer(ValueRef { graph: layer.graph, value });
            // A run does not report a captured constant.
            (source, model.graph(source.graph).constant(source.value).cloned())
        };
        let inputs = names.map(input).collect();
        fake_quant(config, record).run(&mut alone).map_err(|error| error.at(&layer.name))?;
        let output = layer.output(model);
        let executor = float.runtime().compile(&alone)?;
        Ok(Replay { layer: layer.clone(), executor, inputs, output })
    }

    /// The layer.
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// The values that [`observe`](Replay::observe) uses.
    pub fn values(&self) -> Vec<ValueRef> {
        self.inputs.iter().map(|(source, _)| *source).chain([self.output]).collect()
    }

    /// The state at the start of a batch.
    pub fn start_batch(&self) -> ReplayState {
        ReplayState(self.inputs.iter().map(|(_, constant)| constant.clone()).collect())
    }

    /// Receives a value of the float model. If it is the layer's output, the quantized layer runs, and its inputs and its first
    /// output are returned.
    ///
    /// # Errors
    /// If the layer can't be run, or an input was not computed before.
    pub fn observe(
        &self,
        state: &mut ReplayState,
        value: ValueRef,
        tensor: &Tensor,
    ) -> Result<Option<(Vec<Tensor>, Tensor)>> {
        for ((source, _), input) in self.inputs.iter().zip(&mut state.0) {
            if *source == value {
                *input = Some(tensor.clone());
            }
        }
        if value != self.output {
            return Ok(None);
        }
        // An input from outside a loop is computed once and used in each iteration; elsewhere the inputs are freed after use.
        let inputs: Option<Vec<Tensor>> = match self.layer.graph {
            GraphId::MAIN => state.0.iter_mut().map(Option::take).collect(),
            _ => state.0.iter().cloned().collect(),
        };
        let Some(inputs) = inputs else {
            let message = "an input of the layer is not computed when the model runs; disable the layer";
            return Err(Error::unsupported(message).at(&self.layer.name));
        };
        let quantized = self.executor.run(&inputs).map_err(|error| error.at(&self.layer.name))?;
        let quantized = quantized.into_iter().next();
        Ok(quantized.map(|quantized| (inputs, quantized)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_interp::Interpreter;
    use intact8_ir::Model;
    use intact8_quant::{LayerRecord, Preparation, Prepared, QuantParams};

    #[test]
    fn a_captured_constant_is_an_input_from_the_start() {
        let text = "model m opset 17\n%c = input : bool[]\n%x = input : f32[1,2]\n%b = const [1.0, 2.0] : f32[2]\n\
                    %y = If(%c; %x, %x, %b) {else_branch = graph {\n  %x.1 = capture\n  return %x.1\n}, \
                    then_branch = graph {\n  %x.2 = capture\n  %b.2 = capture\n  \
                    %w = const [1.0, 0.0, 0.0, 1.0] : f32[2,2]\n  %z = Gemm(%x.2, %w, %b.2) @fc\n  return %z\n}}\n\
                    %s = Add(%y, %b)\nreturn %s\n";
        let model: Model = text.parse().unwrap();
        let (prepared, runtime) =
            (Prepared::new(&model, &Preparation::default(), None, &mut ()).unwrap(), Interpreter::default());
        let float = FloatModel::new(&prepared, &runtime).unwrap();
        let config = QuantConfig::for_model(&model);
        let layer = &prepared.layers()[prepared.layers().id("fc").unwrap()];
        let params = || vec![QuantParams::per_tensor(1.0, 0, 8)];
        let entry = LayerRecord { activations: params(), weights: params(), ..LayerRecord::default() };
        let record = Record { layers: [("fc".to_owned(), entry)].into() };
        let replay = Replay::new(&float, &config, &record, layer).unwrap();
        let (x, sum) = (Tensor::new(&[1, 2], vec![3.0f32, 4.0]), Tensor::new(&[1, 2], vec![4.0f32, 6.0]));
        let input = ValueRef { graph: GraphId::MAIN, value: model.main().value_named("x").unwrap() };
        let mut state = replay.start_batch();
        assert!(replay.observe(&mut state, input, &x).unwrap().is_none());
        let (_, quantized) = replay.observe(&mut state, replay.output, &sum).unwrap().unwrap();
        assert_eq!(quantized.values::<f32>().unwrap(), sum.values::<f32>().unwrap());
    }
}
