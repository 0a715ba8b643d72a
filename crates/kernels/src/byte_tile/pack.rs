//! Packed weights, in the order in which the tiles read them: for each group of channels panels with the width of a
//! tile; a panel holds, run by run and group by group along it, the neighbours of one column after the other.

use std::ops::Range;

use super::Tile;
use crate::buffer::AlignedBuffer;

/// The weights of a product, packed for one tile.
#[derive(Debug)]
pub(crate) struct PackedBytes {
    /// Columns of each group of channels.
    group_columns: usize,
    /// Panels of each group of channels.
    group_panels: usize,
    /// Input channels of each group.
    group_inputs: usize,
    groups: usize,
    panel_len: usize,
    tile_columns: usize,
    /// The sum of the weights of each column.
    pub(super) column_sums: Vec<i32>,
    /// The sum of the absolute weights of each column.
    pub(super) column_magnitudes: Vec<i64>,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Quads(AlignedBuffer<i8>),
    Pairs(AlignedBuffer<i16>),
}

/// The sizes of weights: columns and input channels of each group, runs, and elements of each run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WeightLayout {
    pub(crate) groups: usize,
    pub(crate) group_columns: usize,
    pub(crate) group_inputs: usize,
    pub(crate) runs: usize,
    pub(crate) run_len: usize,
}

impl PackedBytes {
    /// `at(column, run, i)` is element `i` of a run; for a tile of bytes it must be a signed byte.
    pub(crate) fn new(
        tile: &Tile,
        layout: WeightLayout,
        at: impl Fn(usize, usize, usize) -> i16,
    ) -> PackedBytes {
        let WeightLayout { groups, group_columns, group_inputs, runs, run_len } = layout;
        let neighbours = tile.group();
        let group_panels = group_columns.div_ceil(tile.columns);
        let padded_len = run_len.next_multiple_of(neighbours);
        let panel_len = runs * padded_len * tile.columns;
        let len = groups * group_panels * panel_len;
        let data = if tile.reads_bytes() {
            Data::Quads(AlignedBuffer::new(len))
        } else {
            Data::Pairs(AlignedBuffer::new(len))
        };
        let (column_sums, column_magnitudes) =
            (vec![0; groups * group_columns], vec![0; groups * group_columns]);
        let tile_columns = tile.columns;
        let mut packed = PackedBytes {
            group_columns,
            group_panels,
            group_inputs,
            groups,
            panel_len,
            tile_columns,
            column_sums,
            column_magnitudes,
            data,
        };
        for panel in 0..packed.n_panels() {
            for (j, column) in packed.columns(panel).enumerate() {
                for run in 0..runs {
                    for i in 0..run_len {
                        let weight = at(column, run, i);
                        let group = (run * padded_len + i) / neighbours;
                        let to = panel * panel_len + (group * tile.columns + j) * neighbours + i % neighbours;
                        packed.column_sums[column] = packed.column_sums[column].wrapping_add(weight.into());
                        packed.column_magnitudes[column] += i64::from(weight.abs());
                        match &mut packed.data {
                            Data::Quads(data) => data.as_mut_slice()[to] = weight as i8,
                            Data::Pairs(data) => data.as_mut_slice()[to] = weight,
                        }
                    }
                }
            }
        }
        packed
    }

    pub(crate) fn n_panels(&self) -> usize {
        self.groups * self.group_panels
    }

    /// The columns of a panel.
    #[inline]
    pub(crate) fn columns(&self, panel: usize) -> Range<usize> {
        let (group, panel) = (panel / self.group_panels, panel % self.group_panels);
        let first = panel * self.tile_columns;
        let end = (first + self.tile_columns).min(self.group_columns);
        group * self.group_columns + first..group * self.group_columns + end
    }

    /// The first input channel of a panel.
    pub(super) fn skip(&self, panel: usize) -> usize {
        panel / self.group_panels * self.group_inputs
    }

    /// The largest of these.
    pub(crate) fn last_skip(&self) -> usize {
        (self.groups - 1) * self.group_inputs
    }

    pub(super) fn quads(&self, panel: usize) -> &[i8] {
        let Data::Quads(data) = &self.data else { unreachable!("packed for another tile") };
        &data.as_slice()[panel * self.panel_len..][..self.panel_len]
    }

    pub(super) fn pairs(&self, panel: usize) -> &[i16] {
        let Data::Pairs(data) = &self.data else { unreachable!("packed for another tile") };
        &data.as_slice()[panel * self.panel_len..][..self.panel_len]
    }
}
