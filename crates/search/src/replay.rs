//! One layer alone, quantized, on what the float model gives it.
//!
//! The replay is streamed: as soon as the float model has made a layer's inputs and output, the quantized layer runs on
//! the same inputs. No activation is stored.

use quantfit_interp::Session;
use quantfit_ir::{Error, Model, Place, Result, Tensor, ValueId, isolate};
use quantfit_quant::{Layer, QuantConfig, Record, fake_quant};

/// A layer waiting for what it reads and what it gave.
pub(crate) struct Replay {
    pub(crate) layer: Layer,
    /// The layer alone, quantized.
    session: Session,
    /// What it reads, as far as it has come.
    inputs: Vec<(Place, Option<Tensor>)>,
    output: Place,
}

impl Replay {
    /// A replay of a layer of the model with its entry of the record.
    pub(crate) fn new(model: &Model, config: &QuantConfig, record: &Record, layer: &Layer) -> Result<Replay> {
        let graph = model.graphs()[layer.graph];
        let mut alone = isolate(model, graph, layer.node);
        let names = alone.graph.inputs().iter().map(|&id| &alone.graph.node(id).outputs[0].name);
        let place = |name: &String| {
            let value = graph.value_named(name).expect("an isolated input has the name of the operand");
            (model.origin(Place { graph: layer.graph, value }), None)
        };
        let inputs = names.map(place).collect();
        fake_quant(config, record).run(&mut alone).map_err(|error| error.at(&layer.name))?;
        let outputs = &graph.node(layer.node).outputs;
        let slot = outputs.iter().position(|value| !value.name.is_empty()).unwrap_or(0);
        let output = Place { graph: layer.graph, value: ValueId { node: layer.node, slot } };
        Ok(Replay { layer: layer.clone(), session: Session::new(&alone)?, inputs, output })
    }

    /// Takes in a value of the float model. If it is the layer's output, `compare` gets the layer, its inputs, this output,
    /// and the first output of the quantized layer.
    pub(crate) fn see(
        &mut self,
        place: Place,
        tensor: &Tensor,
        compare: impl FnOnce(&Layer, &[Tensor], &Tensor, &Tensor) -> Result<()>,
    ) -> Result<()> {
        for (_, input) in self.inputs.iter_mut().filter(|(wanted, _)| *wanted == place) {
            *input = Some(tensor.clone());
        }
        if place != self.output {
            return Ok(());
        }
        // An input from outside a loop is made once, and read in each iteration.
        let inputs: Option<Vec<Tensor>> = self.inputs.iter().map(|(_, input)| input.clone()).collect();
        let Some(inputs) = inputs else {
            let message = "the layer reads a value that is not made when the model runs; disable the layer";
            return Err(Error::unsupported(message).at(&self.layer.name));
        };
        let quantized = self.session.run(&inputs).map_err(|error| error.at(&self.layer.name))?;
        compare(&self.layer, &inputs, tensor, &quantized[0]).map_err(|error| error.at(&self.layer.name))
    }
}
