//! The names of dimensions: the conversion of a dimension expression to the dimension of a type.

use crate::dim_expr::{DimExpr, Sum};
use intact8_ir::Dim;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// The names of the dimensions of one model.
#[derive(Default)]
pub(crate) struct Names {
    /// The number of unnamed dimensions.
    n_unnamed: Cell<u32>,
    /// The model's names for dimensions that are computed: `S+1` may be named `total`.
    aliases: RefCell<BTreeMap<Sum, String>>,
}

impl Names {
    /// A new unknown dimension, which is equal only to itself.
    pub(crate) fn unnamed(&self) -> DimExpr {
        let number = self.n_unnamed.get();
        // If the numbers overflowed, two different dimensions would become equal.
        let Some(next) = number.checked_add(1) else { return DimExpr::UNKNOWN };
        self.n_unnamed.set(next);
        DimExpr::unnamed(number)
    }

    /// Records the model's symbol for a computed dimension. The first name has priority.
    pub(crate) fn call(&self, length: &DimExpr, symbol: &str) {
        let is_plain = length.as_known().is_some() || length.as_symbol().is_some();
        if let Some(sum) = length.as_sum().filter(|_| !is_plain) {
            self.aliases.borrow_mut().entry(sum.clone()).or_insert_with(|| symbol.to_owned());
        }
    }

    /// The dimension in a type. A computed dimension without a name gets its formula as a symbol, such as `2*S+1`.
    pub(crate) fn dim(&self, length: &DimExpr) -> Dim {
        let known = length.as_known().and_then(|number| usize::try_from(number).ok());
        let alias = || self.aliases.borrow().get(length.as_sum()?).cloned().or_else(|| length.formula());
        match (known, length.as_symbol()) {
            (Some(number), _) => Dim::Known(number),
            (None, Some(symbol)) => Dim::Symbol(symbol.to_owned()),
            (None, None) => alias().map_or(Dim::Unknown, Dim::Symbol),
        }
    }
}
