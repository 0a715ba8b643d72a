//! The choice between two arithmetics for each of many nodes, such that the sum of all times is least: a minimum cut.
//!
//! It knows neither operators nor runtimes.

use petgraph::Direction;
use petgraph::algo::dinics;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use std::collections::{BTreeMap, VecDeque};

/// A node of the choice, or one that is always in float.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(Option<usize>);

impl Place {
    /// The place of everything that is always in float.
    pub(super) const FLOAT: Place = Place(None);
}

/// The times of all choices, in picoseconds.
#[derive(Default)]
pub(super) struct Choices {
    /// The times of each place in float and in integers.
    places: Vec<[i64; 2]>,
    /// The times that are spent if the first place is in float and the second in integers.
    conversions: BTreeMap<(usize, usize), i64>,
}

/// More than any sum of times; sums of it still fit.
const NEVER: i64 = 1 << 50;

impl Choices {
    /// A new place, with its times in float and in integers in nanoseconds.
    pub(super) fn place(&mut self, float: f64, integers: f64) -> Place {
        self.places.push([picoseconds(float), picoseconds(integers)]);
        Place(Some(self.places.len() - 1))
    }

    /// Adds a time that is spent if one place is in float and another in integers.
    pub(super) fn conversion(&mut self, in_float: Place, in_integers: Place, time: f64) {
        let time = picoseconds(time);
        let sum = match (in_float.0, in_integers.0) {
            // What is always in float is never in integers.
            (_, None) => return,
            (None, Some(integers)) => &mut self.places[integers][1],
            (Some(float), Some(integers)) if float != integers && time > 0 => {
                self.conversions.entry((float, integers)).or_default()
            }
            _ => return,
        };
        *sum = (*sum + time).min(NEVER);
    }

    /// Adds the times of a place in float and in integers, which depend on whether another place is in float or in integers: exactly,
    /// unless they are less between different arithmetics than between equal ones.
    pub(super) fn dependent(
        &mut self,
        other: Place,
        place: Place,
        after_float: [f64; 2],
        after_integers: [f64; 2],
    ) {
        let [alike, apart] = [after_integers, after_float].map(|[float, integers]| integers - float);
        if other == Place::FLOAT {
            return self.more(place, apart);
        }
        self.more(other, after_integers[0] - after_float[0]);
        self.more(place, alike);
        self.conversion(other, place, apart - alike);
    }

    /// Adds a time to a place in integers, or if it is negative, to the place in float.
    fn more(&mut self, place: Place, time: f64) {
        if let Some(place) = place.0 {
            let sum = &mut self.places[place][usize::from(time >= 0.0)];
            *sum = (*sum + picoseconds(time.abs())).min(NEVER);
        }
    }

    /// Rules out that one place is in float and another in integers.
    pub(super) fn forbid(&mut self, in_float: Place, in_integers: Place) {
        self.conversion(in_float, in_integers, f64::INFINITY);
    }

    /// Whether each place is in integers, in a choice of the least time in which some places are in integers, or in float, as
    /// `required`.
    pub(super) fn solve(&self, required: &[(Place, bool)]) -> impl Fn(Place) -> bool + use<> {
        let chosen = self.chosen(required);
        move |place: Place| place.0.is_some_and(|place| chosen[place])
    }

    /// The least time in nanoseconds, less a constant, of a choice with some places as `required`.
    pub(super) fn least(&self, required: &[(Place, bool)]) -> f64 {
        let chosen = self.chosen(required);
        let own =
            self.places.iter().zip(&chosen).map(|(times, &in_integers)| times[usize::from(in_integers)]);
        let between = self.conversions.iter();
        let between = between.filter(|((float, integers), _)| !chosen[*float] && chosen[*integers]);
        own.chain(between.map(|(_, time)| *time)).sum::<i64>() as f64 / 1e3
    }

    /// Whether each place is in integers, by its number.
    fn chosen(&self, required: &[(Place, bool)]) -> Vec<bool> {
        let mut chosen = Chosen::new(self);
        for (place, in_integers) in required {
            if let Some(place) = place.0 {
                chosen.in_integers[place] = Some(*in_integers);
            }
        }
        chosen.decide_alone();
        chosen.decide_together();
        chosen.in_integers.into_iter().map(|in_integers| in_integers == Some(true)).collect()
    }
}

fn picoseconds(time: f64) -> i64 {
    ((time.max(0.0) * 1e3) as i64).min(NEVER)
}

/// The choice so far.
struct Chosen<'a> {
    choices: &'a Choices,
    /// The conversions of each place in float to others in integers.
    to: Vec<Vec<(usize, i64)>>,
    /// The conversions of others in float to each place in integers.
    from: Vec<Vec<(usize, i64)>>,
    /// Whether each place is in integers, as far as it is decided.
    in_integers: Vec<Option<bool>>,
}

impl<'a> Chosen<'a> {
    fn new(choices: &'a Choices) -> Chosen<'a> {
        let n = choices.places.len();
        let (mut to, mut from) = (vec![vec![]; n], vec![vec![]; n]);
        for (&(float, integers), &time) in &choices.conversions {
            to[float].push((integers, time));
            from[integers].push((float, time));
        }
        Chosen { choices, to, from, in_integers: vec![None; n] }
    }

    /// The time of a place in integers less that in float, with the conversions to and from places that are decided.
    fn difference(&self, place: usize) -> i64 {
        let [float, integers] = self.choices.places[place];
        let decided = |ends: &[(usize, i64)], as_wanted: bool| -> i64 {
            ends.iter()
                .filter(|(end, _)| self.in_integers[*end] == Some(as_wanted))
                .map(|(_, time)| time)
                .sum()
        };
        integers - float + decided(&self.from[place], false) - decided(&self.to[place], true)
    }

    /// Decides the places whose own times outweigh all conversions around them, again and again: most of a network. So the
    /// rest is small.
    fn decide_alone(&mut self) {
        let mut pending: VecDeque<usize> = (0..self.in_integers.len()).collect();
        while let Some(place) = pending.pop_front() {
            if self.in_integers[place].is_some() {
                continue;
            }
            let open = |ends: &[(usize, i64)]| -> i64 {
                ends.iter().filter(|(end, _)| self.in_integers[*end].is_none()).map(|(_, time)| time).sum()
            };
            let difference = self.difference(place);
            let decision = match () {
                () if difference + open(&self.from[place]) <= 0 => true,
                () if difference - open(&self.to[place]) >= 0 => false,
                () => continue,
            };
            self.in_integers[place] = Some(decision);
            let around = self.from[place].iter().chain(&self.to[place]).map(|(end, _)| *end);
            pending.extend(around.filter(|&end| self.in_integers[end].is_none()));
        }
    }

    /// Decides the rest by a minimum cut: places in float are on the side of the source, those in integers on that of the sink.
    fn decide_together(&mut self) {
        let rest: Vec<usize> =
            (0..self.in_integers.len()).filter(|&place| self.in_integers[place].is_none()).collect();
        if rest.is_empty() {
            return;
        }
        let mut network: DiGraph<(), u64> = DiGraph::new();
        let (source, sink) = (network.add_node(()), network.add_node(()));
        let nodes: BTreeMap<usize, NodeIndex> =
            rest.iter().map(|&place| (place, network.add_node(()))).collect();
        for (&place, &node) in &nodes {
            match self.difference(place) {
                more @ 1.. => network.add_edge(source, node, more as u64),
                less => network.add_edge(node, sink, less.unsigned_abs()),
            };
            for (end, time) in &self.to[place] {
                if let Some(&end) = nodes.get(end) {
                    network.add_edge(node, end, time.unsigned_abs());
                }
            }
        }
        let (_, flows) = dinics(&network, source, sink);
        // What the source still reaches is in float.
        let mut is_float = vec![false; network.node_count()];
        let mut pending = vec![source];
        is_float[source.index()] = true;
        while let Some(node) = pending.pop() {
            let forward = network.edges(node).filter(|edge| flows[edge.id().index()] < *edge.weight());
            let backward =
                network.edges_directed(node, Direction::Incoming).filter(|edge| flows[edge.id().index()] > 0);
            for next in forward.map(|edge| edge.target()).chain(backward.map(|edge| edge.source())) {
                if !std::mem::replace(&mut is_float[next.index()], true) {
                    pending.push(next);
                }
            }
        }
        for (place, node) in nodes {
            self.in_integers[place] = Some(!is_float[node.index()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The least time of all choices, by trying each.
    fn by_trying(places: &[(u32, u32)], conversions: &[(usize, usize, u32)]) -> u64 {
        let time = |choice: u32| {
            let is_integer = |place: usize| choice >> place & 1 == 1;
            let own = places.iter().enumerate().map(|(place, &(float, integers))| {
                u64::from(if is_integer(place) { integers } else { float })
            });
            let between = conversions
                .iter()
                .filter(|&&(float, integers, _)| !is_integer(float) && is_integer(integers))
                .map(|&(_, _, time)| u64::from(time));
            own.chain(between).sum::<u64>()
        };
        (0..1 << places.len()).map(time).min().unwrap()
    }

    proptest! {
        #[test]
        fn the_choice_is_the_fastest_of_all(
            places in prop::collection::vec((0u32..50, 0u32..50), 1..8),
            conversions in prop::collection::vec((0usize..8, 0usize..8, 0u32..40), 0..20),
        ) {
            let n = places.len();
            let conversions: Vec<_> =
                conversions.into_iter().map(|(a, b, time)| (a % n, b % n, time)).filter(|(a, b, _)| a != b).collect();
            let mut choices = Choices::default();
            let of: Vec<Place> =
                places.iter().map(|&(float, integers)| choices.place(float.into(), integers.into())).collect();
            conversions.iter().for_each(|&(a, b, time)| choices.conversion(of[a], of[b], time.into()));
            let chosen = choices.solve(&[]);
            let time = |place: usize| u64::from(if chosen(of[place]) { places[place].1 } else { places[place].0 });
            let between: u64 = conversions
                .iter()
                .filter(|&&(float, integers, _)| !chosen(of[float]) && chosen(of[integers]))
                .map(|&(_, _, time)| u64::from(time))
                .sum();
            let least = by_trying(&places, &conversions);
            prop_assert_eq!((0..n).map(time).sum::<u64>() + between, least);
            prop_assert_eq!(choices.least(&[]), least as f64);
        }
    }

    #[test]
    fn times_depend_on_another_place() {
        let (after_float, after_integers) = ([3.0, 9.0], [4.0, 2.0]);
        for other_in_integers in [false, true] {
            for in_integers in [false, true] {
                let mut choices = Choices::default();
                let (other, place) = (choices.place(0.0, 0.0), choices.place(0.0, 0.0));
                choices.dependent(other, place, after_float, after_integers);
                // The time of this choice, apart from that of float after float.
                let [[other_float, other_integers], [float, integers]] =
                    [choices.places[0], choices.places[1]];
                let own = [other_float, other_integers][usize::from(other_in_integers)]
                    + [float, integers][usize::from(in_integers)];
                let between = choices.conversions.values().sum::<i64>();
                let sum = own + if !other_in_integers && in_integers { between } else { 0 };
                let expected = if other_in_integers { after_integers } else { after_float };
                // 2.0 more: the time in integers is less by that, so it is added in float.
                let time = expected[usize::from(in_integers)] - 3.0 + 2.0;
                assert_eq!(sum, picoseconds(time), "{other_in_integers} {in_integers}");
            }
        }
    }

    #[test]
    fn what_is_required_is_chosen_and_the_rest_is_the_fastest() {
        let mut choices = Choices::default();
        let (first, second) = (choices.place(1.0, 0.0), choices.place(1.0, 5.0));
        choices.conversion(second, first, 3.0);
        let chosen = |required: &[(Place, bool)]| {
            let is_int8 = choices.solve(required);
            ([first, second].map(is_int8), choices.least(required))
        };
        assert_eq!(chosen(&[]), ([false, false], 2.0));
        assert_eq!(chosen(&[(first, true)]), ([true, false], 4.0));
        assert_eq!(chosen(&[(second, true)]), ([true, true], 5.0));
    }

    #[test]
    fn a_forbidden_choice_is_not_made() {
        let mut choices = Choices::default();
        let (moved, user) = (choices.place(0.0, 10.0), choices.place(30.0, 0.0));
        choices.forbid(moved, user);
        let chosen = choices.solve(&[]);
        assert!(chosen(moved) && chosen(user));
        let mut choices = Choices::default();
        let user = choices.place(30.0, 0.0);
        choices.forbid(Place::FLOAT, user);
        assert!(!choices.solve(&[])(user));
    }
}
