//! The ranking: what can be rolled back, the worst first.

use std::cmp::Ordering;
use std::collections::BTreeSet;

/// What can be rolled back, the worst first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking(pub Vec<Ranked>);

/// A place in the ranking: a layer, or several that must move together.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The layers, mostly one. They are rolled back together or not at all.
    pub layers: Vec<String>,
    /// How similar the quantized output is to the original, the mean over the calibration batches; of several layers,
    /// that of the worst.
    pub similarity: f64,
    /// The similarity of the worst output channel, which decides between equals; 0 if the sensitivity does not tell.
    pub worst_channel: f64,
    /// What it costs to leave the layers in float, in multiply-accumulates; 0 if nobody knows.
    pub cost: u64,
}

impl Ranking {
    /// Sorts places by similarity. Of equals the one with the worse channel comes first, then the cheaper one, then the
    /// one that was named first.
    pub fn of(mut places: Vec<Ranked>) -> Ranking {
        places.sort_by(Ranked::worse_first);
        Ranking(places)
    }

    /// The layers of the `n` worst places.
    pub fn worst(&self, n: usize) -> Vec<String> {
        self.layers(0..n.min(self.len()))
    }

    /// The layers of some places.
    pub(crate) fn layers(&self, places: impl IntoIterator<Item = usize>) -> Vec<String> {
        places.into_iter().flat_map(|place| self.0[place].layers.iter().cloned()).collect()
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The place of a layer.
    pub fn place_of(&self, layer: &str) -> Option<&Ranked> {
        self.0.iter().find(|ranked| ranked.layers.iter().any(|other| other == layer))
    }

    /// The places that are rolled back with some layers, in ascending order.
    pub(crate) fn places_of(&self, rolled_back: &[String]) -> Vec<usize> {
        let rolled_back: BTreeSet<&String> = rolled_back.iter().collect();
        let is_in = |place: &usize| self.0[*place].layers.iter().all(|layer| rolled_back.contains(layer));
        (0..self.len()).filter(is_in).collect()
    }

    /// The same ranking with the layers of each group at one place; groups must not share a layer.
    pub(crate) fn grouped(self, groups: &[Vec<String>]) -> Ranking {
        let mut places: Vec<Ranked> = Vec::new();
        for ranked in self.0 {
            let is_mate = |place: &&mut Ranked| {
                let shares = |group: &Vec<String>| {
                    group.contains(&place.layers[0]) && group.contains(&ranked.layers[0])
                };
                groups.iter().any(shares)
            };
            match places.iter_mut().find(is_mate) {
                // Places come the worst first, so the first of a group has its similarity.
                Some(place) => {
                    place.layers.extend(ranked.layers);
                    place.cost += ranked.cost;
                }
                None => places.push(ranked),
            }
        }
        Ranking(places)
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

    fn ranked(layer: &str, similarity: f64, worst_channel: f64, cost: u64) -> Ranked {
        Ranked { layers: vec![layer.to_owned()], similarity, worst_channel, cost }
    }

    #[test]
    fn equals_are_told_apart_by_channel_then_cost_then_order() {
        let places = vec![
            ranked("dear", 0.9, 0.5, 9),
            ranked("cheap", 0.9, 0.5, 1),
            ranked("also cheap", 0.9, 0.5, 1),
            ranked("bad channel", 0.9, 0.1, 9),
            ranked("worst", 0.1, 0.9, 9),
        ];
        assert_eq!(Ranking::of(places).worst(9), ["worst", "bad channel", "cheap", "also cheap", "dear"]);
    }

    #[test]
    fn a_group_has_the_place_of_its_worst_layer() {
        let places =
            ["a", "b", "c", "d"].into_iter().zip(1..).map(|(layer, n)| ranked(layer, f64::from(n), 0.0, 10));
        let ranking = Ranking::of(places.collect()).grouped(&[vec!["d".to_owned(), "b".to_owned()]]);
        assert_eq!(ranking.worst(2), ["a", "b", "d"]);
        let group = ranking.place_of("d").unwrap();
        assert_eq!((group.similarity, group.cost), (2.0, 20));
    }
}
