//! What lengths are called: how a length becomes a dimension of a type.

use crate::length::{Length, Sum};
use intact8_ir::Dim;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// The lengths of one model.
#[derive(Default)]
pub(crate) struct Names {
    /// How many unnamed lengths there are.
    n_unnamed: Cell<u32>,
    /// What the model calls lengths that are not a single symbol: `S+1` may be its `total`.
    aliases: RefCell<BTreeMap<Sum, String>>,
}

impl Names {
    /// A length that nothing is known of, and that is equal to itself alone.
    pub(crate) fn unnamed(&self) -> Length {
        let number = self.n_unnamed.get();
        // When numbers run out, two lengths could be taken for one.
        let Some(next) = number.checked_add(1) else { return Length::UNKNOWN };
        self.n_unnamed.set(next);
        Length::unnamed(number)
    }

    /// Remembers that the model calls a length by a symbol. The first name stays.
    pub(crate) fn call(&self, length: &Length, symbol: &str) {
        let is_plain = length.as_known().is_some() || length.as_symbol().is_some();
        if let Some(sum) = length.as_sum().filter(|_| !is_plain) {
            self.aliases.borrow_mut().entry(sum.clone()).or_insert_with(|| symbol.to_owned());
        }
    }

    /// What a type can say of a length. What the model has no name for is called by how it is computed, as in `2*S+1`.
    pub(crate) fn dim(&self, length: &Length) -> Dim {
        let known = length.as_known().and_then(|number| usize::try_from(number).ok());
        let alias = || self.aliases.borrow().get(length.as_sum()?).cloned().or_else(|| length.spelled());
        match (known, length.as_symbol()) {
            (Some(number), _) => Dim::Known(number),
            (None, Some(symbol)) => Dim::Symbol(symbol.to_owned()),
            (None, None) => alias().map_or(Dim::Unknown, Dim::Symbol),
        }
    }
}
