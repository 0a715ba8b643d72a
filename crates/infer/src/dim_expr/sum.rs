//! The canonical form of dimension expressions: sums of products of variables. `DimExpr` has their arithmetic.

use std::rc::Rc;

/// The terms, with different atoms and without zeros, the leading one first: the one with more atoms, then the one with
/// later atoms. Multiplication preserves this order, which division relies on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sum(pub(super) Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Term {
    /// The factors, in order; none for a number.
    pub(super) atoms: Vec<Atom>,
    pub(super) coefficient: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Atom {
    Symbol(Rc<str>),
    Unnamed(u32),
    /// A sum divided by an integer of at least 2, rounded down. All coefficients are positive and less than the
    /// divisor, so that the form is canonical.
    Quotient(Rc<Sum>, i64),
}

impl Sum {
    /// The number of terms and factors, including those of quotients.
    pub(super) fn size(&self) -> usize {
        let atom = |atom: &Atom| if let Atom::Quotient(sum, _) = atom { 1 + sum.size() } else { 1 };
        self.0.iter().map(|term| 1 + term.atoms.iter().map(atom).sum::<usize>()).sum()
    }

    /// The number, if it is one.
    pub(super) fn as_known(&self) -> Option<i64> {
        match self.0.as_slice() {
            [] => Some(0),
            [Term { atoms, coefficient }] if atoms.is_empty() => Some(*coefficient),
            _ => None,
        }
    }

    /// The sum and its divisor without the common factor of the divisor and all coefficients. The remainder of the
    /// constant does not affect a quotient that is rounded down.
    pub(super) fn reduced(&self, divisor: i64) -> (Sum, i64) {
        let terms = self.0.iter().filter(|term| !term.atoms.is_empty());
        let common = terms.fold(divisor, |common, term| greatest_common_divisor(common, term.coefficient));
        let reduced = self.0.iter().map(|Term { atoms, coefficient }| Term {
            atoms: atoms.clone(),
            coefficient: coefficient.div_euclid(common),
        });
        (Sum(reduced.filter(|term| term.coefficient != 0).collect()), divisor / common)
    }

    /// The sum, the divisor, and the constant, if this is a single quotient plus a constant.
    pub(super) fn as_divided_again(&self) -> Option<(&Sum, i64, i64)> {
        let (quotient, rest) = match self.0.as_slice() {
            [quotient] => (quotient, 0),
            [quotient, Term { atoms, coefficient }] if atoms.is_empty() => (quotient, *coefficient),
            _ => return None,
        };
        match quotient.atoms.as_slice() {
            [Atom::Quotient(sum, divisor)] if quotient.coefficient == 1 => Some((sum, *divisor, rest)),
            _ => None,
        }
    }

    /// A lower bound, if one is found easily.
    pub(super) fn lower_bound(&self) -> Option<i64> {
        let mut bound = 0i64;
        for Term { atoms, coefficient } in &self.0 {
            if *coefficient < 0 && !atoms.is_empty() {
                return None;
            }
            // The product of nonnegative factors is at least the product of their lower bounds.
            let least = atoms.iter().try_fold(1i64, |product, atom| {
                product.checked_mul(atom.least().filter(|&least| least >= 0)?)
            })?;
            bound = bound.checked_add(coefficient.checked_mul(least)?)?;
        }
        Some(bound)
    }

    pub(super) fn has_unnamed(&self) -> bool {
        self.0.iter().flat_map(|term| &term.atoms).any(|atom| match atom {
            Atom::Symbol(_) => false,
            Atom::Unnamed(_) => true,
            Atom::Quotient(sum, _) => sum.has_unnamed(),
        })
    }

    /// The formula, if it contains only symbols. Division is rounded down.
    pub(super) fn formula(&self) -> Option<String> {
        let mut formula = String::new();
        for Term { atoms, coefficient } in &self.0 {
            formula += if *coefficient < 0 {
                "-"
            } else if formula.is_empty() {
                ""
            } else {
                "+"
            };
            let number = Some(coefficient.unsigned_abs()).filter(|&n| n != 1 || atoms.is_empty());
            let factors = atoms.iter().map(Atom::formula).collect::<Option<Vec<String>>>()?;
            let is_product = number.is_some() || factors.len() > 1;
            let factors =
                factors.into_iter().map(|factor| if is_product { enclosed(factor) } else { factor });
            formula +=
                &number.map(|n| n.to_string()).into_iter().chain(factors).collect::<Vec<_>>().join("*");
        }
        Some(if formula.is_empty() { "0".to_owned() } else { formula })
    }
}

impl Atom {
    /// The smallest possible value.
    fn least(&self) -> Option<i64> {
        match self {
            Atom::Symbol(_) => Some(1),
            Atom::Unnamed(_) => Some(0),
            Atom::Quotient(sum, divisor) => Some(sum.lower_bound()?.div_euclid(*divisor)),
        }
    }

    fn formula(&self) -> Option<String> {
        match self {
            Atom::Symbol(name) => Some(name.to_string()),
            Atom::Unnamed(_) => None,
            Atom::Quotient(sum, divisor) => Some(format!("{}/{divisor}", enclosed(sum.formula()?))),
        }
    }
}

/// The greatest common divisor of two positive numbers.
fn greatest_common_divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A factor, in parentheses if it contains an operator, also as part of a name.
fn enclosed(factor: String) -> String {
    if factor.contains(['+', '-', '*', '/', ' ']) { format!("({factor})") } else { factor }
}
