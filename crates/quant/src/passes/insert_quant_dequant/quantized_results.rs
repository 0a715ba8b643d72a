//! Results of layers that are quantized for all of their uses, and the activations that hold the same integers.

use crate::layer::Layer;
use crate::params::QuantParams;
use crate::passes::moves;
use crate::record::LayerRecord;
use intact8_ir::{Graph, OperatorTrait, ValueId};
use std::collections::HashMap;

/// The parameters of the quantized results of a graph.
pub(super) struct Results<'a>(HashMap<ValueId, &'a QuantParams>);

impl<'a> Results<'a> {
    /// Of the entries of a graph, those of results.
    pub(super) fn of(entries: &[&'a (Layer, LayerRecord)]) -> Results<'a> {
        let results = entries.iter().filter(|(layer, _)| layer.quantizes_result);
        Results(results.map(|(layer, entry)| (layer.node.into(), &entry.activations[0])).collect())
    }

    /// The entry of a layer, with the parameters of a quantized result for activations that are one, or that were only moved from
    /// one. Other operands of a node that joins values have the parameters of its result.
    pub(super) fn adopted(&self, graph: &Graph, layer: &Layer, entry: &LayerRecord) -> LayerRecord {
        let mut entry = entry.clone();
        let joins =
            graph.node(layer.node).as_op().is_some_and(|op| op.has(OperatorTrait::AllOperandsAreData));
        let joined = self.0.get(&layer.node.into()).filter(|_| joins && !layer.quantizes_result);
        for (&slot, params) in layer.activations.iter().zip(&mut entry.activations) {
            let moved = graph.operand(layer.node, slot).and_then(|value| self.moved_from(graph, value));
            if let Some(adopted) = moved.or(joined.copied()).filter(|adopted| adopted.bits == params.bits) {
                *params = adopted.clone();
            }
        }
        entry
    }

    /// The parameters of the quantized result that a value was moved from.
    fn moved_from(&self, graph: &Graph, mut value: ValueId) -> Option<&'a QuantParams> {
        loop {
            if let Some(params) = self.0.get(&value) {
                return Some(params);
            }
            let op = graph.node(value.node).as_op()?;
            let is_moved = op.is("Split")
                || value.slot == 0
                    && op.has(OperatorTrait::MovesData)
                    && !op.has(OperatorTrait::AllOperandsAreData)
                    && moves(graph, value.node);
            value = graph.operand(value.node, 0).filter(|_| is_moved)?;
        }
    }
}
