//! The table of operators: one row for each operator, one file for each family.

use crate::row::OpRow;

mod attention;
mod broadcast;
mod classical;
mod contrib;
mod control;
mod convolution;
mod elementwise;
mod generate;
mod grid;
mod index;
pub(crate) mod join;
mod loss;
mod matmul;
mod normalize;
mod pool;
mod quantize;
mod recurrent;
mod reduce;
pub(crate) mod reshape;
mod select;
mod sequence;
mod signal;
pub(crate) mod slice;
mod text;
mod window;

/// The families of each domain.
static OPS: &[(&str, &[&[OpRow]])] = &[
    (
        "",
        &[
            attention::ROWS,
            broadcast::ROWS,
            control::ROWS,
            convolution::ROWS,
            elementwise::ROWS,
            generate::ROWS,
            grid::ROWS,
            index::ROWS,
            join::ROWS,
            loss::ROWS,
            matmul::ROWS,
            normalize::ROWS,
            pool::ROWS,
            quantize::ROWS,
            recurrent::ROWS,
            reduce::ROWS,
            reshape::ROWS,
            select::ROWS,
            sequence::ROWS,
            signal::ROWS,
            slice::ROWS,
            text::ROWS,
        ],
    ),
    ("ai.onnx.ml", &[classical::ROWS]),
    ("ai.onnx.preview", &[attention::PREVIEW]),
    ("ai.onnx.preview.training", &[loss::TRAINING]),
    ("com.microsoft", &[contrib::ROWS]),
];

/// The row of an operator.
pub(crate) fn find(domain: &str, name: &str) -> Option<&'static OpRow> {
    let mut families = OPS.iter().filter(|(found, _)| *found == domain).flat_map(|(_, families)| *families);
    families.find_map(|rows| rows.iter().find(|row| row.name == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_by_name() {
        for rows in OPS.iter().flat_map(|(_, families)| *families) {
            let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
            assert!(names.is_sorted(), "{names:?}");
        }
    }

    #[test]
    fn every_operator_has_one_row() {
        for (domain, families) in OPS {
            let mut names: Vec<&str> =
                families.iter().flat_map(|rows| rows.iter().map(|row| row.name)).collect();
            names.sort_unstable();
            let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
            assert_eq!(twice, None, "in {domain:?}");
        }
    }
}
