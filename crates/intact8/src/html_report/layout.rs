//! A layered layout of a graph (Sugiyama, Tagawa and Toda 1981): boxes in rows by the longest way from the inputs, ordered so that
//! few edges cross, and shifted so that edges are nearly straight.
//!
//! An edge over several rows runs through points between the boxes; edges from one box share these points.

/// The width of a box, and of a point of an edge.
pub(super) const BOX_WIDTH: f64 = 148.0;
const POINT_WIDTH: f64 = 8.0;
/// The distance between neighbours in a row.
const GAP: f64 = 14.0;
/// The number of times that rows are ordered, and shifted, down and up.
const N_SWEEPS: usize = 6;
/// The largest number of points; edges beyond that are drawn straight.
const MOST_POINTS: usize = 8000;

/// A box, or a point of an edge.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    /// The row, from the top.
    pub(super) row: usize,
    /// The middle, in pixels.
    pub(super) x: f64,
    /// Whether it is a box.
    pub(super) is_box: bool,
}

/// The positions of boxes, followed by those of points, and the lines between them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    /// The boxes in the order of the nodes, then the points.
    pub(super) items: Vec<Item>,
    /// Pairs of items, the upper one first.
    pub(super) lines: Vec<(usize, usize)>,
    /// The number of rows.
    pub(super) n_rows: usize,
}

impl Layout {
    /// The layout of `n` boxes. Edges lead from lower to higher numbers.
    pub(super) fn of(n: usize, edges: &[(usize, usize)]) -> Layout {
        let rows = rows(n, edges);
        let n_rows = rows.iter().map(|row| row + 1).max().unwrap_or(0);
        let items = rows.into_iter().map(|row| Item { row, x: 0.0, is_box: true }).collect();
        let mut layout = Layout { items, lines: vec![], n_rows };
        layout.route(edges);
        layout.arrange();
        layout
    }

    /// Adds the points and the lines of the edges.
    fn route(&mut self, edges: &[(usize, usize)]) {
        let mut by_source: Vec<(usize, Vec<usize>)> = Vec::new();
        for &(from, to) in edges {
            match by_source.last_mut() {
                Some((source, targets)) if *source == from => targets.push(to),
                _ => by_source.push((from, vec![to])),
            }
        }
        let n_boxes = self.items.len();
        for (source, mut targets) in by_source {
            targets.sort_by_key(|&target| self.items[target].row);
            let (mut end, mut row) = (source, self.items[source].row);
            for target in targets {
                let needed = self.items[target].row.saturating_sub(row + 1);
                if self.items.len() + needed <= n_boxes + MOST_POINTS {
                    for _ in 0..needed {
                        row += 1;
                        self.items.push(Item { row, x: 0.0, is_box: false });
                        self.lines.push((end, self.items.len() - 1));
                        end = self.items.len() - 1;
                    }
                }
                self.lines.push((end, target));
            }
        }
    }

    /// Orders the items of each row, and gives them places.
    fn arrange(&mut self) {
        let (mut above, mut below) = (vec![vec![]; self.items.len()], vec![vec![]; self.items.len()]);
        for &(upper, lower) in &self.lines {
            above[lower].push(upper);
            below[upper].push(lower);
        }
        let mut rows: Vec<Vec<usize>> = vec![vec![]; self.n_rows];
        self.items.iter().enumerate().for_each(|(item, Item { row, .. })| rows[*row].push(item));
        for row in &rows {
            place(&mut self.items, row, |_| None);
        }
        for sweep in 0..4 * N_SWEEPS {
            let is_down = sweep.is_multiple_of(2);
            let neighbours = if is_down { &above } else { &below };
            let row_order: Vec<usize> =
                if is_down { (0..self.n_rows).collect() } else { (0..self.n_rows).rev().collect() };
            for row in row_order {
                let wanted: Vec<(usize, Option<f64>)> =
                    rows[row].iter().map(|&item| (item, mean(&self.items, &neighbours[item]))).collect();
                if sweep < 2 * N_SWEEPS {
                    let at = |&(item, wanted): &(usize, Option<f64>)| wanted.unwrap_or(self.items[item].x);
                    let mut ordered = wanted.clone();
                    ordered.sort_by(|a, b| at(a).total_cmp(&at(b)));
                    rows[row] = ordered.into_iter().map(|(item, _)| item).collect();
                }
                let wanted: std::collections::HashMap<usize, Option<f64>> = wanted.into_iter().collect();
                place(&mut self.items, &rows[row], |item| wanted[&item]);
            }
        }
    }
}

/// The row of each box: one below the lowest that it uses; a box that uses none is just above its highest user.
fn rows(n: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let (mut rows, mut has_source) = (vec![0; n], vec![false; n]);
    // Edges ascend by their upper ends, whose rows are final when they are read.
    for &(from, to) in edges {
        rows[to] = rows[to].max(rows[from] + 1);
        has_source[to] = true;
    }
    let mut highest_user = vec![usize::MAX; n];
    edges.iter().for_each(|&(from, to)| highest_user[from] = highest_user[from].min(rows[to]));
    for node in (0..n).filter(|&node| !has_source[node] && highest_user[node] != usize::MAX) {
        rows[node] = highest_user[node].saturating_sub(1);
    }
    rows
}

fn mean(items: &[Item], neighbours: &[usize]) -> Option<f64> {
    let sum: f64 = neighbours.iter().map(|&item| items[item].x).sum();
    (!neighbours.is_empty()).then(|| sum / neighbours.len() as f64)
}

/// Places the items of a row, in that order, as near as possible to where they are wanted (least squares): by isotonic regression of
/// the wanted places less the room that the items before take.
fn place(items: &mut [Item], row: &[usize], wanted: impl Fn(usize) -> Option<f64>) {
    let width = |item: &Item| if item.is_box { BOX_WIDTH } else { POINT_WIDTH };
    let mut offsets = Vec::with_capacity(row.len());
    let mut offset = 0.0;
    for (idx, &item) in row.iter().enumerate() {
        if idx > 0 {
            offset += (width(&items[row[idx - 1]]) + width(&items[item])) / 2.0 + GAP;
        }
        offsets.push(offset);
    }
    // Groups of neighbours that touch: the sum of their wanted places, and their number.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    for (&item, offset) in row.iter().zip(&offsets) {
        groups.push((wanted(item).unwrap_or(items[item].x) - offset, 1));
        while let [.., (sum, n), (next_sum, next_n)] = groups[..]
            && sum / n as f64 > next_sum / next_n as f64
        {
            groups.truncate(groups.len() - 2);
            groups.push((sum + next_sum, n + next_n));
        }
    }
    let places = groups.iter().flat_map(|&(sum, n)| std::iter::repeat_n(sum / n as f64, n));
    for ((&item, offset), place) in row.iter().zip(offsets).zip(places) {
        items[item].x = place + offset;
    }
}

#[cfg(test)]
mod tests {
    use super::super::blocks::tests::residual;
    use super::*;

    #[test]
    fn lines_lead_down_one_row_and_boxes_do_not_overlap() {
        let graph = residual(60);
        let layout = Layout::of(graph.nodes.len(), &graph.edges);
        for &(upper, lower) in &layout.lines {
            assert_eq!(layout.items[upper].row + 1, layout.items[lower].row);
        }
        for row in 0..layout.n_rows {
            let mut places: Vec<f64> = layout
                .items
                .iter()
                .filter(|item| item.row == row && item.is_box)
                .map(|item| item.x)
                .collect();
            places.sort_by(f64::total_cmp);
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= BOX_WIDTH), "{row} {places:?}");
        }
    }

    #[test]
    fn a_chain_is_straight_and_the_two_sides_of_a_diamond_are_beside_each_other() {
        let layout = Layout::of(4, &[(0, 1), (1, 2), (2, 3)]);
        assert!(layout.items.iter().all(|item| item.x == layout.items[0].x));
        let layout = Layout::of(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
        let rows: Vec<usize> = layout.items.iter().map(|item| item.row).collect();
        assert_eq!(rows, [0, 1, 1, 2]);
        assert!((layout.items[0].x - layout.items[3].x).abs() < 1.0, "{layout:?}");
        assert!(layout.items[1].x != layout.items[2].x);
    }

    #[test]
    fn an_input_is_just_above_its_first_user() {
        let layout = Layout::of(5, &[(0, 1), (1, 2), (2, 4), (3, 4)]);
        assert_eq!(layout.items[3].row, 2);
    }

    #[test]
    fn edges_from_one_box_share_points() {
        // An input that each of many boxes in a chain uses.
        let mut edges: Vec<(usize, usize)> = (2..200).map(|to| (0, to)).collect();
        edges.extend((1..199).map(|from| (from, from + 1)));
        edges.sort_unstable();
        let layout = Layout::of(200, &edges);
        assert!(layout.items.len() < 400, "{}", layout.items.len());
    }
}
