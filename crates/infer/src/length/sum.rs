//! Polynomials: sums of products of what is not known. How they are added and multiplied is the business of `Length`.

use std::rc::Rc;

/// Terms by their atoms, all different, none zero, the leading one first: more atoms lead, then those later in order.
/// That order survives multiplication, which is what dividing relies on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sum(pub(super) Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Term {
    /// The factors, in order; none for a plain number.
    pub(super) atoms: Vec<Atom>,
    pub(super) coefficient: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Atom {
    Symbol(Rc<str>),
    Unnamed(u32),
    /// A sum divided by a number of at least 2, rounded down. All coefficients are positive and less than the number, so
    /// that a quotient is written in one way.
    Quotient(Rc<Sum>, i64),
}

impl Sum {
    /// How many terms and factors it has, those of quotients included.
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

    /// The sum and its divisor without a factor that the divisor and all coefficients have in common. What is left over
    /// of the plain number changes no quotient that is rounded down.
    pub(super) fn reduced(&self, divisor: i64) -> (Sum, i64) {
        let terms = self.0.iter().filter(|term| !term.atoms.is_empty());
        let common = terms.fold(divisor, |common, term| greatest_common_divisor(common, term.coefficient));
        let reduced = self.0.iter().map(|Term { atoms, coefficient }| Term {
            atoms: atoms.clone(),
            coefficient: coefficient.div_euclid(common),
        });
        (Sum(reduced.filter(|term| term.coefficient != 0).collect()), divisor / common)
    }

    /// The sum, the divisor, and the number beside it, if this is a single quotient and perhaps a number.
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

    /// The least that it can be, where that is finite and easily seen.
    pub(super) fn lower_bound(&self) -> Option<i64> {
        let mut bound = 0i64;
        for Term { atoms, coefficient } in &self.0 {
            if *coefficient < 0 && !atoms.is_empty() {
                return None;
            }
            // Factors that are not negative multiply to no less than their least values do.
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

    /// How it is computed from symbols, if from them alone. Division is rounded down.
    pub(super) fn spelled(&self) -> Option<String> {
        let mut spelled = String::new();
        for Term { atoms, coefficient } in &self.0 {
            spelled += if *coefficient < 0 {
                "-"
            } else if spelled.is_empty() {
                ""
            } else {
                "+"
            };
            let number = Some(coefficient.unsigned_abs()).filter(|&n| n != 1 || atoms.is_empty());
            let factors = atoms.iter().map(Atom::spelled).collect::<Option<Vec<String>>>()?;
            let is_product = number.is_some() || factors.len() > 1;
            let factors =
                factors.into_iter().map(|factor| if is_product { enclosed(factor) } else { factor });
            spelled +=
                &number.map(|n| n.to_string()).into_iter().chain(factors).collect::<Vec<_>>().join("*");
        }
        Some(if spelled.is_empty() { "0".to_owned() } else { spelled })
    }
}

impl Atom {
    /// The least that it can be.
    fn least(&self) -> Option<i64> {
        match self {
            Atom::Symbol(_) => Some(1),
            Atom::Unnamed(_) => Some(0),
            Atom::Quotient(sum, divisor) => Some(sum.lower_bound()?.div_euclid(*divisor)),
        }
    }

    fn spelled(&self) -> Option<String> {
        match self {
            Atom::Symbol(name) => Some(name.to_string()),
            Atom::Unnamed(_) => None,
            Atom::Quotient(sum, divisor) => Some(format!("{}/{divisor}", enclosed(sum.spelled()?))),
        }
    }
}

/// Of two positive numbers.
fn greatest_common_divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A factor in brackets if it is computed, or its name looks like it.
fn enclosed(factor: String) -> String {
    if factor.contains(['+', '-', '*', '/', ' ']) { format!("({factor})") } else { factor }
}
