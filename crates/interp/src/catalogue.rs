//! The catalogue of the operators that the interpreter supports, for documentation.

use crate::op::NEWEST;
use crate::ops::OPS;
use intact8_ir::DType;
use std::ops::RangeInclusive;

/// An operator with a kernel.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The domain; empty for ONNX's own.
    pub domain: &'static str,
    /// The name.
    pub name: &'static str,
    /// The versions of the domain that the kernel implements.
    pub opsets: RangeInclusive<i64>,
    /// Whether they include the newest supported version.
    pub is_current: bool,
    /// The element types of the first operand; empty for any.
    pub types: &'static [DType],
}

/// Every operator with a kernel, by domain and name, the older versions first.
pub fn operators() -> Vec<Operator> {
    let families = OPS.iter().flat_map(|(domain, families)| families.iter().map(move |rows| (domain, rows)));
    let rows = families.flat_map(|(domain, rows)| rows.iter().map(move |row| (*domain, row)));
    let mut operators: Vec<Operator> = rows
        .map(|(domain, row)| Operator {
            domain,
            name: row.name,
            opsets: row.opsets.clone(),
            is_current: *row.opsets.end() == NEWEST,
            types: row.types,
        })
        .collect();
    operators.sort_by_key(|operator| (operator.domain, operator.name, *operator.opsets.start()));
    operators
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_of_an_operator_has_one_kernel() {
        for pair in operators().windows(2) {
            let [older, newer] = pair else { unreachable!("windows of two are pairs") };
            let are_one = (older.domain, older.name) == (newer.domain, newer.name);
            assert!(!are_one || older.opsets.end() < newer.opsets.start(), "{older:?} and {newer:?}");
        }
    }

    #[test]
    fn families_are_sorted_by_name() {
        for rows in OPS.iter().flat_map(|(_, families)| families.iter()) {
            assert!(rows.is_sorted_by_key(|row| (row.name, *row.opsets.start())), "{}", rows[0].name);
        }
    }
}
