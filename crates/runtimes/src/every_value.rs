//! The model whose outputs are all of its values, for runtimes that show only outputs.

use intact8_ir::{Error, GraphId, Model, NodeKind, Result, Tap, Tensor, Type, ValueId, ValueRef};

/// A model that returns every value of another.
pub(crate) struct EveryValue {
    /// The model.
    pub(crate) model: Model,
    inputs: Vec<ValueId>,
    /// The outputs of `model`: first those of the other, then its further values.
    outputs: Vec<ValueId>,
    n_outputs: usize,
    /// The computed values in the order of execution.
    computed: Vec<ValueId>,
}

impl EveryValue {
    /// # Errors
    /// If the model computes values in subgraphs, which can't be outputs.
    pub(crate) fn of(model: &Model) -> Result<EveryValue> {
        let is_op = |kind: &NodeKind| matches!(kind, NodeKind::Op(_));
        let inner = model.subgraphs_of(GraphId::MAIN).into_iter().filter(|&id| id != GraphId::MAIN);
        for graph in inner.map(|id| model.graph(id)) {
            if let Some(id) = graph.topo().into_iter().find(|&id| is_op(&graph.node(id).kind)) {
                let message = "is computed in a subgraph, and this runtime shows only values outside of subgraphs; use our \
                               interpreter";
                return Err(Error::unsupported(message).at(graph.node(id).label()));
            }
        }
        let graph = model.main();
        let is_tensor = |value: ValueId| {
            let value = graph.value(value);
            !value.name.is_empty() && matches!(value.ty, None | Some(Type::Tensor(_)))
        };
        let ops = graph.topo().into_iter().filter(|&id| is_op(&graph.node(id).kind));
        let values =
            ops.flat_map(|id| (0..graph.node(id).outputs.len()).map(move |slot| ValueId { node: id, slot }));
        let computed: Vec<ValueId> = values.filter(|&value| is_tensor(value)).collect();
        let mut outputs = graph.outputs().to_vec();
        let n_outputs = outputs.len();
        let further: Vec<ValueId> =
            computed.iter().copied().filter(|value| !outputs.contains(value)).collect();
        outputs.extend(further);
        let inputs = graph.inputs().iter().map(|&id| id.into()).collect();
        let mut all = model.clone();
        all.main_mut().set_outputs(outputs.clone());
        Ok(EveryValue { model: all, inputs, outputs, n_outputs, computed })
    }

    /// Passes the inputs and the computed values to a tap, and returns the outputs of the other model that are tensors. `found` has
    /// a value for each output of the model, `None` if it is no tensor.
    pub(crate) fn show(
        &self,
        inputs: &[Tensor],
        found: Vec<Option<Tensor>>,
        tap: Tap<'_>,
    ) -> Result<Vec<Tensor>> {
        let at = |value: ValueId| ValueRef { graph: GraphId::MAIN, value };
        self.inputs.iter().zip(inputs).try_for_each(|(&value, tensor)| tap(at(value), tensor))?;
        for &value in &self.computed {
            let position = self.outputs.iter().position(|&output| output == value);
            if let Some(tensor) = position.and_then(|position| found[position].as_ref()) {
                tap(at(value), tensor)?;
            }
        }
        Ok(found.into_iter().take(self.n_outputs).flatten().collect())
    }
}
