//! The ranking: what can be rolled back, the most sensitive first.

use intact8_quant::layer::{LayerId, LayerSet};
use std::cmp::Ordering;

/// What can be rolled back, the most sensitive first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking(pub Vec<Ranked>);

/// An entry of the ranking: a layer, or several that move together.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The layers, mostly one. They are rolled back together or not at all.
    pub layers: Vec<LayerId>,
    /// How similar the quantized output is to the original, the mean over the calibration batches; of several layers,
    /// that of the worst.
    pub similarity: f64,
    /// The similarity of the worst output channel, which decides between equals; 0 if the sensitivity does not tell.
    pub worst_channel: f64,
    /// What it costs to leave the layers in float, in multiply-accumulate operations for one sample; 0 if it is not known.
    pub cost: u64,
}

impl Ranking {
    /// Sorts entries by similarity. Of equals the one with the worse channel comes first, then the cheaper one, then the
    /// one that was named first.
    pub fn of(mut entries: Vec<Ranked>) -> Ranking {
        entries.sort_by(Ranked::worse_first);
        Ranking(entries)
    }

    /// The layers of the `n` most sensitive entries.
    pub fn worst(&self, n: usize) -> LayerSet {
        self.layers(0..n.min(self.len()))
    }

    /// The layers of some entries.
    pub(crate) fn layers(&self, entries: impl IntoIterator<Item = usize>) -> LayerSet {
        entries.into_iter().flat_map(|entry| self.0[entry].layers.iter().copied()).collect()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entry of a layer.
    pub fn entry_of(&self, layer: LayerId) -> Option<&Ranked> {
        self.0.iter().find(|ranked| ranked.layers.contains(&layer))
    }

    /// The entries that are rolled back with some layers, in ascending order.
    pub(crate) fn entries_of(&self, rolled_back: &LayerSet) -> Vec<usize> {
        let is_in = |entry: &usize| self.0[*entry].layers.iter().all(|layer| rolled_back.contains(layer));
        (0..self.len()).filter(is_in).collect()
    }

    /// The same ranking with the layers of each group in one entry; groups must not share a layer.
    pub(crate) fn grouped(self, groups: &[LayerSet]) -> Ranking {
        let mut entries: Vec<Ranked> = Vec::new();
        for ranked in self.0 {
            let is_mate = |entry: &&mut Ranked| {
                let shares =
                    |group: &LayerSet| group.contains(&entry.layers[0]) && group.contains(&ranked.layers[0]);
                groups.iter().any(shares)
            };
            match entries.iter_mut().find(is_mate) {
                // The worst entry comes first, so the first of a group has its similarity.
                Some(entry) => {
                    entry.layers.extend(ranked.layers);
                    entry.cost += ranked.cost;
                }
                None => entries.push(ranked),
            }
        }
        Ranking(entries)
    }
}

impl Ranked {
    fn worse_first(&self, other: &Ranked) -> Ordering {
        let by_similarity = self.similarity.total_cmp(&other.similarity);
        let by_channel = || self.worst_channel.total_cmp(&other.worst_channel);
        by_similarity.then_with(by_channel).then(self.cost.cmp(&other.cost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(layer: u32, similarity: f64, worst_channel: f64, cost: u64) -> Ranked {
        Ranked { layers: vec![LayerId(layer)], similarity, worst_channel, cost }
    }

    #[test]
    fn equals_are_ordered_by_channel_then_cost_then_order() {
        let entries = vec![
            ranked(0, 0.9, 0.5, 9),
            ranked(1, 0.9, 0.5, 1),
            ranked(2, 0.9, 0.5, 1),
            ranked(3, 0.9, 0.1, 9),
            ranked(4, 0.1, 0.9, 9),
        ];
        let order: Vec<u32> = Ranking::of(entries).0.iter().map(|ranked| ranked.layers[0].0).collect();
        assert_eq!(order, [4, 3, 1, 2, 0]);
    }

    #[test]
    fn a_group_has_the_rank_of_its_worst_layer() {
        let entries = (0..4).map(|layer| ranked(layer, f64::from(layer), 0.0, 10));
        let group = LayerSet::from([LayerId(3), LayerId(1)]);
        let ranking = Ranking::of(entries.collect()).grouped(&[group]);
        assert_eq!(ranking.worst(2), [0, 1, 3].map(LayerId).into());
        let group = ranking.entry_of(LayerId(3)).unwrap();
        assert_eq!((group.similarity, group.cost), (1.0, 20));
    }
}
