//! Dimension expressions: dimensions as polynomials in symbolic and unknown dimensions.
//!
//! `[N,16,4,4]` has `256·N` elements; divided by 256 that is `N` again, which is the symbol for the -1 of a Reshape.
//! A dimension is therefore a polynomial with integer coefficients. Its variables are the symbols of the model and the
//! unnamed dimensions: one for each unknown dimension, so that two results computed from it are known to be equal.
//! In types a dimension is a number, or a symbol such as `N` or `2*N+1`; unnamed dimensions are `?`.
//!
//! A symbol is assumed to be at least 1, an unnamed dimension at least 0. So `x[:, -1:]` of `[N,S]` is `[N,1]`, which
//! is false for `S = 0`, but the number of boxes that a NonMaxSuppression selects may be 0.
//!
//! Elements of shape tensors are dimension expressions too, and may be negative. An expression that overflows or
//! becomes too long is unknown.

mod sum;

pub(crate) use sum::Sum;

use std::collections::BTreeMap;
use std::ops::{Add, Mul, Neg, Sub};
use sum::{Atom, Term};

/// The largest number of terms and factors; longer expressions are unknown.
const MAX_SIZE: usize = 24;

/// An integer that may depend on symbolic and unknown dimensions.
#[derive(Debug, Clone)]
pub(crate) struct DimExpr(Option<Sum>);

impl DimExpr {
    /// Unknown; not equal to any expression, not even to itself.
    pub(crate) const UNKNOWN: DimExpr = DimExpr(None);

    /// A number; unknown if it is out of range.
    pub(crate) fn known(number: impl TryInto<i64>) -> DimExpr {
        number.try_into().map_or(DimExpr::UNKNOWN, |number| DimExpr::term(vec![], number))
    }

    /// A symbolic dimension.
    pub(crate) fn symbol(name: &str) -> DimExpr {
        DimExpr::term(vec![Atom::Symbol(name.into())], 1)
    }

    /// The unnamed dimension with the given number.
    pub(crate) fn unnamed(number: u32) -> DimExpr {
        DimExpr::term(vec![Atom::Unnamed(number)], 1)
    }

    fn term(atoms: Vec<Atom>, coefficient: i64) -> DimExpr {
        DimExpr::sum([Term { atoms, coefficient }])
    }

    fn sum(terms: impl IntoIterator<Item = Term>) -> DimExpr {
        let mut sum: BTreeMap<(usize, Vec<Atom>), i64> = BTreeMap::new();
        for Term { atoms, coefficient } in terms {
            let total = sum.entry((atoms.len(), atoms)).or_default();
            let Some(new) = total.checked_add(coefficient) else { return DimExpr::UNKNOWN };
            *total = new;
        }
        let terms = sum.into_iter().rev().filter(|(_, coefficient)| *coefficient != 0);
        let terms: Vec<Term> = terms.map(|((_, atoms), coefficient)| Term { atoms, coefficient }).collect();
        DimExpr(Some(Sum(terms)).filter(|sum| sum.size() <= MAX_SIZE))
    }

    /// The number, if it is one.
    pub(crate) fn as_known(&self) -> Option<i64> {
        self.0.as_ref()?.as_known()
    }

    /// The symbol, if it is one.
    pub(crate) fn as_symbol(&self) -> Option<&str> {
        match self.0.as_ref()?.0.as_slice() {
            [Term { atoms, coefficient: 1 }] => match atoms.as_slice() {
                [Atom::Symbol(name)] => Some(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// The formula, if it contains only symbols. Division is rounded down.
    pub(crate) fn formula(&self) -> Option<String> {
        self.0.as_ref()?.formula()
    }

    /// The canonical form, unless the expression is unknown.
    pub(crate) fn as_sum(&self) -> Option<&Sum> {
        self.0.as_ref()
    }

    /// Whether the expression is unknown.
    pub(crate) fn is_unknown(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it is a single unnamed dimension.
    pub(crate) fn is_unnamed(&self) -> bool {
        let is_one = |sum: &Sum| matches!(sum.0.as_slice(), [term] if term.coefficient == 1 && matches!(*term.atoms, [Atom::Unnamed(_)]));
        self.0.as_ref().is_some_and(is_one)
    }

    /// Whether it is the given number.
    pub(crate) fn is(&self, number: i64) -> bool {
        self.as_known() == Some(number)
    }

    /// Whether the two are equal for all values of the variables.
    pub(crate) fn equals(&self, other: &DimExpr) -> bool {
        self.0.is_some() && self.0 == other.0
    }

    /// Whether the two differ for all values of the variables.
    pub(crate) fn differs(&self, other: &DimExpr) -> bool {
        (self - other).lower_bound() >= Some(1) || (other - self).lower_bound() >= Some(1)
    }

    /// Whether it is greater than or equal to the other for all values of the variables.
    pub(crate) fn is_at_least(&self, other: &DimExpr) -> bool {
        (self - other).lower_bound() >= Some(0)
    }

    /// The smaller one, or unknown if it depends on the variables.
    pub(crate) fn min(&self, other: &DimExpr) -> DimExpr {
        if other.is_at_least(self) {
            self.clone()
        } else if self.is_at_least(other) {
            other.clone()
        } else {
            DimExpr::UNKNOWN
        }
    }

    /// The greater one, or unknown if it depends on the variables.
    pub(crate) fn max(&self, other: &DimExpr) -> DimExpr {
        -&(-self).min(&-other)
    }

    /// A lower bound, if one is found easily.
    fn lower_bound(&self) -> Option<i64> {
        self.0.as_ref()?.lower_bound()
    }

    /// The quotient by a positive number, rounded down.
    pub(crate) fn floor_div(&self, divisor: i64) -> DimExpr {
        let Some(sum) = self.0.as_ref().filter(|_| divisor > 0) else { return DimExpr::UNKNOWN };
        // Multiples of the divisor are divided exactly; the rest has positive coefficients less than the divisor.
        let part = |f: fn(i64, i64) -> i64| {
            let part = move |Term { atoms, coefficient }: &Term| Term {
                atoms: atoms.clone(),
                coefficient: f(*coefficient, divisor),
            };
            DimExpr::sum(sum.0.iter().map(part))
        };
        let outside = part(i64::div_euclid);
        let DimExpr(Some(inside)) = part(i64::rem_euclid) else { return DimExpr::UNKNOWN };
        if inside.as_known().is_some() {
            return outside;
        }
        let (inside, divisor) = inside.reduced(divisor);
        // (x / a) / b = x / (a · b) for division rounded down.
        let quotient = inside.as_divided_again().and_then(|(sum, first, rest)| {
            let more = DimExpr::known(rest.checked_mul(first)?);
            Some((&DimExpr(Some(sum.clone())) + &more).floor_div(first.checked_mul(divisor)?))
        });
        let quotient =
            quotient.unwrap_or_else(|| DimExpr::term(vec![Atom::Quotient(inside.into(), divisor)], 1));
        &outside + &quotient
    }

    /// The quotient by a positive number, rounded up.
    pub(crate) fn ceil_div(&self, divisor: i64) -> DimExpr {
        match self.as_known() {
            _ if divisor < 1 => DimExpr::UNKNOWN,
            Some(number) => {
                let is_rounded = number.rem_euclid(divisor) != 0;
                &DimExpr::known(number.div_euclid(divisor)) + &DimExpr::known(i64::from(is_rounded))
            }
            None => (self + &DimExpr::known(divisor - 1)).floor_div(divisor),
        }
    }

    /// The quotient, or unknown if the division leaves a remainder.
    pub(crate) fn exact_div(&self, divisor: &DimExpr) -> DimExpr {
        let mut quotient = Vec::new();
        let (mut rest, Some(lead)) = (self.clone(), divisor.0.as_ref().and_then(|sum| sum.0.first())) else {
            return DimExpr::UNKNOWN;
        };
        while let Some(top) = rest.0.as_ref().and_then(|sum| sum.0.first()) {
            let (Some(0), Some(atoms)) =
                (top.coefficient.checked_rem(lead.coefficient), without(&top.atoms, &lead.atoms))
            else {
                return DimExpr::UNKNOWN;
            };
            // Each step removes the leading term, so the loop ends; real shapes need few steps.
            if quotient.len() == MAX_SIZE {
                return DimExpr::UNKNOWN;
            }
            let term = Term { atoms, coefficient: top.coefficient / lead.coefficient };
            quotient.push(term.clone());
            rest = &rest - &(divisor * &DimExpr::sum([term]));
        }
        if rest.is_unknown() { DimExpr::UNKNOWN } else { DimExpr::sum(quotient) }
    }

    /// The product of several expressions.
    pub(crate) fn product<'a>(lengths: impl IntoIterator<Item = &'a DimExpr>) -> DimExpr {
        lengths.into_iter().fold(DimExpr::known(1), |product, length| &product * length)
    }

    /// The expression, or unknown if it contains unnamed dimensions, which differ between the elements of a sequence
    /// and between the runs of a body.
    pub(crate) fn without_unnamed(&self) -> DimExpr {
        DimExpr(self.0.clone().filter(|sum| !sum.has_unnamed()))
    }
}

/// The atoms of a product without some of them.
fn without(atoms: &[Atom], divisor: &[Atom]) -> Option<Vec<Atom>> {
    let mut rest = atoms.to_vec();
    for atom in divisor {
        rest.remove(rest.iter().position(|other| other == atom)?);
    }
    Some(rest)
}

impl Add for &DimExpr {
    type Output = DimExpr;
    fn add(self, other: &DimExpr) -> DimExpr {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => DimExpr::sum(a.0.iter().chain(&b.0).cloned()),
            _ => DimExpr::UNKNOWN,
        }
    }
}

impl Mul for &DimExpr {
    type Output = DimExpr;
    fn mul(self, other: &DimExpr) -> DimExpr {
        let (Some(a), Some(b)) = (&self.0, &other.0) else { return DimExpr::UNKNOWN };
        let pairs = a.0.iter().flat_map(|a| b.0.iter().map(move |b| (a, b)));
        let products = pairs.map(|(a, b)| {
            let mut atoms = [a.atoms.as_slice(), b.atoms.as_slice()].concat();
            atoms.sort_unstable();
            Some(Term { atoms, coefficient: a.coefficient.checked_mul(b.coefficient)? })
        });
        products.collect::<Option<Vec<Term>>>().map_or(DimExpr::UNKNOWN, DimExpr::sum)
    }
}

impl Neg for &DimExpr {
    type Output = DimExpr;
    fn neg(self) -> DimExpr {
        &DimExpr::known(-1) * self
    }
}

impl Sub for &DimExpr {
    type Output = DimExpr;
    fn sub(self, other: &DimExpr) -> DimExpr {
        self + &-other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The value of an expression for given values of `A`, `B` and the unnamed dimension 0.
    fn evaluate(length: &DimExpr, values: [i64; 3]) -> i64 {
        sum(length.as_sum().expect("small numbers do not overflow"), values)
    }

    fn sum(of: &Sum, values: [i64; 3]) -> i64 {
        let atom = |atom: &Atom| match atom {
            Atom::Symbol(name) => values[usize::from(&**name == "B")],
            Atom::Unnamed(_) => values[2],
            Atom::Quotient(of, divisor) => sum(of, values).div_euclid(*divisor),
        };
        of.0.iter().map(|term| term.coefficient * term.atoms.iter().map(atom).product::<i64>()).sum()
    }

    fn length() -> impl Strategy<Value = DimExpr> {
        let atom =
            || prop_oneof![Just(DimExpr::symbol("A")), Just(DimExpr::symbol("B")), Just(DimExpr::unnamed(0))];
        let term = (-3i64..4, proptest::collection::vec(atom(), 0..2))
            .prop_map(|(n, atoms)| &DimExpr::known(n) * &DimExpr::product(&atoms));
        proptest::collection::vec(term, 1..3)
            .prop_map(|terms| terms.iter().fold(DimExpr::known(0), |sum, term| &sum + term))
    }

    proptest! {
        #[test]
        fn arithmetic_agrees_with_that_of_the_values(a in length(), b in length(), x in 1i64..9, y in 1i64..9, z in 0i64..9) {
            let values = [x, y, z];
            let [av, bv] = [&a, &b].map(|length| evaluate(length, values));
            prop_assert_eq!(evaluate(&(&a + &b), values), av + bv);
            prop_assert_eq!(evaluate(&(&a - &b), values), av - bv);
            prop_assert_eq!(evaluate(&(&a * &b), values), av * bv);
            let (quotient, floor, ceil) = (a.exact_div(&b), a.floor_div(3), a.ceil_div(3));
            prop_assert!(quotient.is_unknown() || evaluate(&quotient, values) * bv == av);
            prop_assert!(floor.is_unknown() || evaluate(&floor, values) == av.div_euclid(3));
            prop_assert!(ceil.is_unknown() || evaluate(&ceil, values) == -(-av).div_euclid(3));
            let twice = (&floor + &b).floor_div(2);
            prop_assert!(twice.is_unknown() || evaluate(&twice, values) == (av.div_euclid(3) + bv).div_euclid(2));
            prop_assert!(!twice.is_at_least(&a) || evaluate(&twice, values) >= av);
            prop_assert!(!a.equals(&b) || av == bv);
            prop_assert!(!a.differs(&b) || av != bv);
            prop_assert!(!a.is_at_least(&b) || av >= bv);
            prop_assert!(a.min(&b).is_unknown() || evaluate(&a.min(&b), values) == av.min(bv));
            prop_assert!(a.max(&b).is_unknown() || evaluate(&a.max(&b), values) == av.max(bv));
        }

        #[test]
        fn a_product_divides_by_its_factors(a in length(), b in length()) {
            prop_assume!(!b.is(0));
            prop_assert!((&a * &b).exact_div(&b).equals(&a));
        }
    }

    #[test]
    fn formulas_are_printed_with_their_operations() {
        let [n, a, total] = [DimExpr::known(2), DimExpr::symbol("A"), DimExpr::symbol("A+B")];
        assert_eq!((&(&n * &a) - &DimExpr::known(1)).formula().as_deref(), Some("2*A-1"));
        assert_eq!((&(&n * &total) + &a).formula().as_deref(), Some("2*(A+B)+A"));
        assert_eq!((-&(&a * &a)).formula().as_deref(), Some("-A*A"));
        assert_eq!((&a + &DimExpr::unnamed(0)).formula(), None);
        let half = (&a - &DimExpr::known(1)).floor_div(2);
        assert_eq!((&half + &DimExpr::known(1)).formula().as_deref(), Some("(A+1)/2"));
        assert_eq!((&n * &half).formula().as_deref(), Some("2*((A+1)/2)-2"));
        assert_eq!(a.floor_div(2).floor_div(3).formula().as_deref(), Some("A/6"));
        assert!(a.ceil_div(2).equals(&(&half + &DimExpr::known(1))));
    }

    #[test]
    fn overflow_is_unknown() {
        let large = DimExpr::known(i64::MAX);
        assert!((&large + &DimExpr::known(1)).is_unknown());
        assert!((&large * &DimExpr::known(2)).is_unknown());
        assert!(DimExpr::known(i64::MIN).exact_div(&DimExpr::known(-1)).is_unknown());
        assert!((-&DimExpr::known(i64::MIN)).is_unknown());
        assert!(DimExpr::known(usize::MAX).is_unknown());
        assert!(!DimExpr::UNKNOWN.equals(&DimExpr::UNKNOWN));
    }
}
