//! The ranking: the layers, or groups of layers, that can be rolled back, the most sensitive first.

use intact8_quant::layer::{LayerId, LayerSet};
use std::cmp::Ordering;

/// The layers, or groups of layers, that can be rolled back, the most sensitive first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking(pub Vec<Ranked>);

/// An entry of the ranking: a layer, or a group of layers that move together.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The layers, at least one. They are rolled back together or not at all.
    pub layers: Vec<LayerId>,
    /// The similarity of the quantized output to the original, the mean over the calibration batches; larger is closer. A
    /// group has the similarity of its most sensitive layer.
    pub similarity: f64,
    /// The similarity of the worst output channel, which breaks ties; 0 if the sensitivity does not report it.
    pub worst_channel: f64,
    /// The cost of leaving the layers in float, in multiply-accumulate operations for one sample; 0 if it is unknown.
    pub cost: u64,
    /// The time that a run loses if the layers are left in float, in nanoseconds, negative if it gains; 0 if it is unknown.
    pub time_lost: f64,
    /// The accuracy that a rollback gains for its time; 0 if no times are known.
    pub gain: f64,
}

impl Ranking {
    /// Sorts entries by ascending similarity. Ties are broken by the worse channel, then by the lower cost, then by the order
    /// of the entries.
    pub fn of(mut entries: Vec<Ranked>) -> Ranking {
        entries.sort_by(Ranked::worse_first);
        Ranking(entries)
    }

    /// The same ranking with the [gain](Ranked::gain) of each entry: its error, by its similarity, divided by the time that is lost.
    /// The mean time of all entries is added to each, so that layers whose rollback costs nothing gain much only if they are
    /// sensitive. The gains are 0 if no time is known.
    pub(crate) fn with_gains(mut self, error: impl Fn(f64) -> f64) -> Ranking {
        let times = self.0.iter().map(|entry| entry.time_lost.max(0.0));
        let mean = times.sum::<f64>() / self.len().max(1) as f64;
        for entry in self.0.iter_mut().filter(|_| mean > 0.0) {
            entry.gain = error(entry.similarity) / (entry.time_lost.max(0.0) + mean);
        }
        self
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

    /// The entry that holds a layer.
    pub fn entry_of(&self, layer: LayerId) -> Option<&Ranked> {
        self.0.iter().find(|ranked| ranked.layers.contains(&layer))
    }

    /// The entries all of whose layers are rolled back, in ascending order.
    pub(crate) fn entries_of(&self, rolled_back: &LayerSet) -> Vec<usize> {
        let is_in = |entry: &usize| self.0[*entry].layers.iter().all(|layer| rolled_back.contains(layer));
        (0..self.len()).filter(is_in).collect()
    }

    /// The same ranking with the layers of each group in one entry, at the rank of the group's most sensitive layer; groups
    /// must not share a layer.
    pub(crate) fn grouped(self, groups: &[LayerSet]) -> Ranking {
        let mut entries: Vec<Ranked> = Vec::new();
        for ranked in self.0 {
            let shares_group = |entry: &&mut Ranked| {
                let holds_both =
                    |group: &LayerSet| group.contains(&entry.layers[0]) && group.contains(&ranked.layers[0]);
                groups.iter().any(holds_both)
            };
            match entries.iter_mut().find(shares_group) {
                // The most sensitive entry is first, so the entry has the similarity of the group already.
                Some(entry) => {
                    entry.layers.extend(ranked.layers);
                    entry.cost += ranked.cost;
                    entry.time_lost += ranked.time_lost;
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
        Ranked { layers: vec![LayerId(layer)], similarity, worst_channel, cost, time_lost: 0.0, gain: 0.0 }
    }

    #[test]
    fn a_rollback_gains_accuracy_for_its_time() {
        let timed = |layer, similarity, time_lost| Ranked { time_lost, ..ranked(layer, similarity, 0.0, 0) };
        // The mean time is 100.
        let entries =
            vec![timed(0, 0.9, 300.0), timed(1, 0.95, 0.0), timed(2, 0.99, -50.0), timed(3, 0.96, 100.0)];
        let gains = |entries: Vec<Ranked>| -> Vec<f64> {
            let ranking = Ranking::of(entries).with_gains(|similarity| 1.0 - similarity);
            ranking.0.iter().map(|entry| (entry.gain * 1e6).round()).collect()
        };
        assert_eq!(gains(entries.clone()), [250.0, 500.0, 200.0, 100.0]);
        let untimed = entries.into_iter().map(|entry| Ranked { time_lost: 0.0, ..entry });
        assert_eq!(gains(untimed.collect()), [0.0; 4]);
    }

    #[test]
    fn ties_are_broken_by_channel_then_cost_then_order() {
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
    fn a_group_has_the_rank_of_its_most_sensitive_layer() {
        let entries = (0..4).map(|layer| ranked(layer, f64::from(layer), 0.0, 10));
        let group = LayerSet::from([LayerId(3), LayerId(1)]);
        let ranking = Ranking::of(entries.collect()).grouped(&[group]);
        assert_eq!(ranking.worst(2), [0, 1, 3].map(LayerId).into());
        let group = ranking.entry_of(LayerId(3)).unwrap();
        assert_eq!((group.similarity, group.cost), (1.0, 20));
    }
}
