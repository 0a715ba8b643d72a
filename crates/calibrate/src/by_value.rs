//! The layers that each value of a running model concerns: so that a value is not offered to all layers.

use intact8_ir::ValueRef;
use std::collections::HashMap;

/// For each value the positions, in a list of layers, of those that it is an input or the output of; ascending.
#[derive(Default)]
pub(crate) struct ByValue(HashMap<ValueRef, Vec<usize>>);

impl ByValue {
    /// The positions of layers with these inputs and outputs.
    pub(crate) fn of<V: IntoIterator<Item = ValueRef>>(layers: impl Iterator<Item = V>) -> ByValue {
        let mut by_value: HashMap<ValueRef, Vec<usize>> = HashMap::new();
        for (position, values) in layers.enumerate() {
            for value in values {
                let positions = by_value.entry(value).or_default();
                if positions.last() != Some(&position) {
                    positions.push(position);
                }
            }
        }
        ByValue(by_value)
    }

    /// The values that concern a layer.
    pub(crate) fn values(&self) -> impl Iterator<Item = ValueRef> {
        self.0.keys().copied()
    }

    /// The positions of the layers that a value concerns.
    pub(crate) fn at(&self, value: ValueRef) -> impl Iterator<Item = usize> {
        self.0.get(&value).into_iter().flatten().copied()
    }
}
