//! A tall layout in several columns, like the text of a newspaper: the rows of a deep model would be a thin strip.

use super::layout::{BOX_WIDTH, Item, Layout};

/// The distance between two rows.
const ROW_HEIGHT: f64 = 58.0;
/// The height of a box.
pub(super) const BOX_HEIGHT: f64 = 38.0;
/// The space around the drawing, and above and below the boxes of a column.
const MARGIN: f64 = 24.0;
/// The space between two columns, in which edges lead from one to the next.
const GUTTER: f64 = 36.0;
/// The width of a drawing relative to its height, about.
const PROPORTION: f64 = 1.6;
/// The least number of rows of a column.
const LEAST_ROWS: usize = 9;

/// A layout with the place of each item in a drawing.
pub(super) struct Columns {
    /// The middle of each item.
    pub(super) places: Vec<(f64, f64)>,
    /// The path of each line.
    pub(super) paths: Vec<String>,
    /// The size of the drawing.
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A column: its rows, and the places of its left end in the layout and in the drawing.
struct Column {
    rows: std::ops::Range<usize>,
    left: f64,
    shift: f64,
}

impl Columns {
    pub(super) fn of(layout: &Layout) -> Columns {
        let extent = |items: &mut dyn Iterator<Item = &Item>| {
            items.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), item| {
                let half = if item.is_box { BOX_WIDTH / 2.0 } else { 4.0 };
                (least.min(item.x - half), most.max(item.x + half))
            })
        };
        let (least, most) = extent(&mut layout.items.iter());
        let width = (most - least).max(BOX_WIDTH) + GUTTER;
        let wanted = (PROPORTION * layout.n_rows as f64 * ROW_HEIGHT / width).sqrt().round() as usize;
        let n_columns = wanted.clamp(1, (layout.n_rows / LEAST_ROWS).max(1));
        let mut columns: Vec<Column> = Vec::new();
        let mut right = MARGIN;
        for rows in column_rows(layout, n_columns) {
            let (least, most) = extent(&mut layout.items.iter().filter(|item| rows.contains(&item.row)));
            columns.push(Column { rows, left: least, shift: right - least });
            right += most - least + GUTTER;
        }
        let tallest = columns.iter().map(|column| column.rows.len()).max().unwrap_or(0);
        let height = 2.0 * MARGIN + tallest as f64 * ROW_HEIGHT;
        let column_of =
            |row: usize| columns.iter().position(|column| column.rows.contains(&row)).unwrap_or(0);
        let place = |item: &Item| {
            let column = &columns[column_of(item.row)];
            let y = MARGIN + (item.row - column.rows.start) as f64 * ROW_HEIGHT + ROW_HEIGHT / 2.0;
            (item.x + column.shift, y)
        };
        let places: Vec<(f64, f64)> = layout.items.iter().map(place).collect();
        let end = |item: usize, side: f64| {
            let half = if layout.items[item].is_box { BOX_HEIGHT / 2.0 } else { 0.0 };
            (places[item].0, places[item].1 + side * half)
        };
        let path = |&(upper, lower): &(usize, usize)| {
            let (from, to) = (end(upper, 1.0), end(lower, -1.0));
            let (first, last) = (column_of(layout.items[upper].row), column_of(layout.items[lower].row));
            if first == last {
                return within_column(from, to);
            }
            // Down to the end of the column, along the gutter up, and into the next column from above.
            let bottom = MARGIN + columns[first].rows.len() as f64 * ROW_HEIGHT + 4.0;
            let gutter = columns[last].left + columns[last].shift - GUTTER / 2.0;
            format!(
                "M{} {}V{bottom:.0}H{gutter:.0}V{:.0}H{}V{}",
                short(from.0),
                short(from.1),
                MARGIN - 4.0,
                short(to.0),
                short(to.1)
            )
        };
        let paths = layout.lines.iter().map(path).collect();
        Columns { places, paths, width: right - GUTTER + MARGIN, height }
    }
}

/// A line between two items of a column, straight or with two bends.
fn within_column((x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> String {
    let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(short);
    if (x1 - x2).abs() < 0.5 {
        return format!("M{x1} {y1}V{y2}");
    }
    let middle = short(f64::midpoint(y1, y2));
    format!("M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}")
}

/// A coordinate to a tenth of a pixel.
fn short(coordinate: f64) -> f64 {
    (coordinate * 10.0).round() / 10.0
}

/// The rows of each column: of about equal number, cut where few lines cross.
fn column_rows(layout: &Layout, n_columns: usize) -> Vec<std::ops::Range<usize>> {
    let mut crossing = vec![0; layout.n_rows + 1];
    layout.lines.iter().for_each(|&(_, lower)| crossing[layout.items[lower].row] += 1);
    let length = layout.n_rows.div_ceil(n_columns).max(1);
    let slack = length / 8;
    let mut rows = Vec::new();
    let mut start = 0;
    while start < layout.n_rows {
        let wanted = start + length;
        let end = if wanted + slack >= layout.n_rows {
            layout.n_rows
        } else {
            (wanted - slack..=wanted + slack)
                .min_by_key(|&row| (crossing[row], row.abs_diff(wanted)))
                .unwrap_or(wanted)
        };
        rows.push(start..end);
        start = end;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::blocks::tests::residual;
    use super::*;

    #[test]
    fn a_deep_model_fills_a_page_and_every_item_is_within_it() {
        for n_layers in [1, 5, 40, 200] {
            let graph = residual(n_layers);
            let layout = Layout::of(graph.nodes.len(), &graph.edges);
            let columns = Columns::of(&layout);
            assert!(columns.height < 2.2 * columns.width.max(500.0), "{n_layers}");
            for (&(x, y), item) in columns.places.iter().zip(&layout.items) {
                let half = if item.is_box { BOX_WIDTH / 2.0 } else { 0.0 };
                assert!(x - half >= 0.0 && x + half <= columns.width, "{n_layers} {x}");
                assert!(y >= BOX_HEIGHT / 2.0 && y + BOX_HEIGHT / 2.0 <= columns.height, "{n_layers} {y}");
            }
        }
    }
}
