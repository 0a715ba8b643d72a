//! Lengths of dimensions before anything runs: sums of products of lengths that nobody knows yet.
//!
//! `[N,16,4,4]` holds `256·N` elements; divided by 256 they are `N` again, and that is how the -1 of a Reshape finds
//! its symbol. A length is therefore a polynomial with integer coefficients, its variables being the model's symbols
//! and the unnamed lengths: one of those for each dimension that is unknown, so that what is computed from it twice
//! is known to be the same. In the model's types it is a number, or a symbol such as `N` or `2*N+1`; unnamed lengths are
//! `?` there.
//!
//! A symbol is taken to be at least 1, an unnamed length at least 0. So `x[:, -1:]` of `[N,S]` is `[N,1]`, which is
//! not true of an empty batch, while how many boxes a NonMaxSuppression selects may well be none.
//!
//! Elements of shape tensors are lengths too, and may be negative. What overflows or gets too long is unknown.

mod sum;

pub(crate) use sum::Sum;

use std::collections::BTreeMap;
use std::ops::{Add, Mul, Neg, Sub};
use sum::{Atom, Term};

/// What has more terms and factors is unknown.
const MAX_SIZE: usize = 24;

/// An integer that may depend on lengths that are not known.
#[derive(Debug, Clone)]
pub(crate) struct Length(Option<Sum>);

impl Length {
    /// Nothing is known, and it is equal to nothing, not even to itself.
    pub(crate) const UNKNOWN: Length = Length(None);

    /// A number; unknown if it is out of range.
    pub(crate) fn known(number: impl TryInto<i64>) -> Length {
        number.try_into().map_or(Length::UNKNOWN, |number| Length::term(vec![], number))
    }

    /// A length that has a name.
    pub(crate) fn symbol(name: &str) -> Length {
        Length::term(vec![Atom::Symbol(name.into())], 1)
    }

    /// The length of that number among those without a name.
    pub(crate) fn unnamed(number: u32) -> Length {
        Length::term(vec![Atom::Unnamed(number)], 1)
    }

    fn term(atoms: Vec<Atom>, coefficient: i64) -> Length {
        Length::sum([Term { atoms, coefficient }])
    }

    fn sum(terms: impl IntoIterator<Item = Term>) -> Length {
        let mut sum: BTreeMap<(usize, Vec<Atom>), i64> = BTreeMap::new();
        for Term { atoms, coefficient } in terms {
            let total = sum.entry((atoms.len(), atoms)).or_default();
            let Some(new) = total.checked_add(coefficient) else { return Length::UNKNOWN };
            *total = new;
        }
        let terms = sum.into_iter().rev().filter(|(_, coefficient)| *coefficient != 0);
        let terms: Vec<Term> = terms.map(|((_, atoms), coefficient)| Term { atoms, coefficient }).collect();
        Length(Some(Sum(terms)).filter(|sum| sum.size() <= MAX_SIZE))
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

    /// How it is computed from symbols, if from them alone. Division is rounded down.
    pub(crate) fn spelled(&self) -> Option<String> {
        self.0.as_ref()?.spelled()
    }

    /// What tells it from other lengths, if anything is known.
    pub(crate) fn as_sum(&self) -> Option<&Sum> {
        self.0.as_ref()
    }

    /// Whether nothing is known, not even what it is computed from.
    pub(crate) fn is_unknown(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it is a single length without a name.
    pub(crate) fn is_unnamed(&self) -> bool {
        let is_one = |sum: &Sum| matches!(sum.0.as_slice(), [term] if term.coefficient == 1 && matches!(*term.atoms, [Atom::Unnamed(_)]));
        self.0.as_ref().is_some_and(is_one)
    }

    /// Whether it is that number.
    pub(crate) fn is(&self, number: i64) -> bool {
        self.as_known() == Some(number)
    }

    /// Whether the two are surely equal.
    pub(crate) fn equals(&self, other: &Length) -> bool {
        self.0.is_some() && self.0 == other.0
    }

    /// Whether the two surely differ.
    pub(crate) fn differs(&self, other: &Length) -> bool {
        (self - other).lower_bound() >= Some(1) || (other - self).lower_bound() >= Some(1)
    }

    /// Whether it is surely no less than another.
    pub(crate) fn is_at_least(&self, other: &Length) -> bool {
        (self - other).lower_bound() >= Some(0)
    }

    /// The smaller one, if it is known which.
    pub(crate) fn min(&self, other: &Length) -> Length {
        if other.is_at_least(self) {
            self.clone()
        } else if self.is_at_least(other) {
            other.clone()
        } else {
            Length::UNKNOWN
        }
    }

    /// The greater one, if it is known which.
    pub(crate) fn max(&self, other: &Length) -> Length {
        -&(-self).min(&-other)
    }

    /// The least that it can be, where that is finite and easily seen.
    fn lower_bound(&self) -> Option<i64> {
        self.0.as_ref()?.lower_bound()
    }

    /// The quotient by a positive number, rounded down.
    pub(crate) fn floor_div(&self, divisor: i64) -> Length {
        let Some(sum) = self.0.as_ref().filter(|_| divisor > 0) else { return Length::UNKNOWN };
        // Multiples of the divisor come out of the division; what is left has small positive coefficients.
        let part = |f: fn(i64, i64) -> i64| {
            let part = move |Term { atoms, coefficient }: &Term| Term {
                atoms: atoms.clone(),
                coefficient: f(*coefficient, divisor),
            };
            Length::sum(sum.0.iter().map(part))
        };
        let outside = part(i64::div_euclid);
        let Length(Some(inside)) = part(i64::rem_euclid) else { return Length::UNKNOWN };
        if inside.as_known().is_some() {
            return outside;
        }
        let (inside, divisor) = inside.reduced(divisor);
        // A quotient that is divided again is one of what it is a quotient of.
        let quotient = inside.as_divided_again().and_then(|(sum, first, rest)| {
            let more = Length::known(rest.checked_mul(first)?);
            Some((&Length(Some(sum.clone())) + &more).floor_div(first.checked_mul(divisor)?))
        });
        let quotient =
            quotient.unwrap_or_else(|| Length::term(vec![Atom::Quotient(inside.into(), divisor)], 1));
        &outside + &quotient
    }

    /// The quotient by a positive number, rounded up.
    pub(crate) fn ceil_div(&self, divisor: i64) -> Length {
        match self.as_known() {
            _ if divisor < 1 => Length::UNKNOWN,
            Some(number) => {
                let is_rounded = number.rem_euclid(divisor) != 0;
                &Length::known(number.div_euclid(divisor)) + &Length::known(i64::from(is_rounded))
            }
            None => (self + &Length::known(divisor - 1)).floor_div(divisor),
        }
    }

    /// The quotient, if the division leaves nothing over.
    pub(crate) fn exact_div(&self, divisor: &Length) -> Length {
        let mut quotient = Vec::new();
        let (mut rest, Some(lead)) = (self.clone(), divisor.0.as_ref().and_then(|sum| sum.0.first())) else {
            return Length::UNKNOWN;
        };
        while let Some(top) = rest.0.as_ref().and_then(|sum| sum.0.first()) {
            let (Some(0), Some(atoms)) =
                (top.coefficient.checked_rem(lead.coefficient), without(&top.atoms, &lead.atoms))
            else {
                return Length::UNKNOWN;
            };
            // Each step removes the leading term, so it ends; but what takes many steps is nobody's shape.
            if quotient.len() == MAX_SIZE {
                return Length::UNKNOWN;
            }
            let term = Term { atoms, coefficient: top.coefficient / lead.coefficient };
            quotient.push(term.clone());
            rest = &rest - &(divisor * &Length::sum([term]));
        }
        if rest.is_unknown() { Length::UNKNOWN } else { Length::sum(quotient) }
    }

    /// The product of several.
    pub(crate) fn product<'a>(lengths: impl IntoIterator<Item = &'a Length>) -> Length {
        lengths.into_iter().fold(Length::known(1), |product, length| &product * length)
    }

    /// The same without unnamed lengths: what holds for every element of a sequence, or every run of a body.
    pub(crate) fn without_unnamed(&self) -> Length {
        Length(self.0.clone().filter(|sum| !sum.has_unnamed()))
    }
}

/// The atoms of a product divided by some of them.
fn without(atoms: &[Atom], divisor: &[Atom]) -> Option<Vec<Atom>> {
    let mut rest = atoms.to_vec();
    for atom in divisor {
        rest.remove(rest.iter().position(|other| other == atom)?);
    }
    Some(rest)
}

impl Add for &Length {
    type Output = Length;
    fn add(self, other: &Length) -> Length {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Length::sum(a.0.iter().chain(&b.0).cloned()),
            _ => Length::UNKNOWN,
        }
    }
}

impl Mul for &Length {
    type Output = Length;
    fn mul(self, other: &Length) -> Length {
        let (Some(a), Some(b)) = (&self.0, &other.0) else { return Length::UNKNOWN };
        let pairs = a.0.iter().flat_map(|a| b.0.iter().map(move |b| (a, b)));
        let products = pairs.map(|(a, b)| {
            let mut atoms = [a.atoms.as_slice(), b.atoms.as_slice()].concat();
            atoms.sort_unstable();
            Some(Term { atoms, coefficient: a.coefficient.checked_mul(b.coefficient)? })
        });
        products.collect::<Option<Vec<Term>>>().map_or(Length::UNKNOWN, Length::sum)
    }
}

impl Neg for &Length {
    type Output = Length;
    fn neg(self) -> Length {
        &Length::known(-1) * self
    }
}

impl Sub for &Length {
    type Output = Length;
    fn sub(self, other: &Length) -> Length {
        self + &-other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a length is for given values of `A`, `B` and the unnamed length 0.
    fn evaluate(length: &Length, values: [i64; 3]) -> i64 {
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

    fn length() -> impl Strategy<Value = Length> {
        let atom =
            || prop_oneof![Just(Length::symbol("A")), Just(Length::symbol("B")), Just(Length::unnamed(0))];
        let term = (-3i64..4, proptest::collection::vec(atom(), 0..2))
            .prop_map(|(n, atoms)| &Length::known(n) * &Length::product(&atoms));
        proptest::collection::vec(term, 1..3)
            .prop_map(|terms| terms.iter().fold(Length::known(0), |sum, term| &sum + term))
    }

    proptest! {
        #[test]
        fn arithmetic_is_that_of_the_values(a in length(), b in length(), x in 1i64..9, y in 1i64..9, z in 0i64..9) {
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
    fn sums_are_spelled_as_they_are_computed() {
        let [n, a, total] = [Length::known(2), Length::symbol("A"), Length::symbol("A+B")];
        assert_eq!((&(&n * &a) - &Length::known(1)).spelled().as_deref(), Some("2*A-1"));
        assert_eq!((&(&n * &total) + &a).spelled().as_deref(), Some("2*(A+B)+A"));
        assert_eq!((-&(&a * &a)).spelled().as_deref(), Some("-A*A"));
        assert_eq!((&a + &Length::unnamed(0)).spelled(), None);
        let half = (&a - &Length::known(1)).floor_div(2);
        assert_eq!((&half + &Length::known(1)).spelled().as_deref(), Some("(A+1)/2"));
        assert_eq!((&n * &half).spelled().as_deref(), Some("2*((A+1)/2)-2"));
        assert_eq!(a.floor_div(2).floor_div(3).spelled().as_deref(), Some("A/6"));
        assert!(a.ceil_div(2).equals(&(&half + &Length::known(1))));
    }

    #[test]
    fn overflow_is_unknown() {
        let large = Length::known(i64::MAX);
        assert!((&large + &Length::known(1)).is_unknown());
        assert!((&large * &Length::known(2)).is_unknown());
        assert!(Length::known(i64::MIN).exact_div(&Length::known(-1)).is_unknown());
        assert!((-&Length::known(i64::MIN)).is_unknown());
        assert!(Length::known(usize::MAX).is_unknown());
        assert!(!Length::UNKNOWN.equals(&Length::UNKNOWN));
    }
}
