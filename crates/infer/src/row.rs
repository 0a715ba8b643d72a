//! What an operator is to the inference: a row that says what its outputs are made of, and finds their shapes.

use crate::data_type;
use crate::fact::{Elements, Fact, Shape};
use crate::site::{Inferred, Site, Stop};
use crate::values::Output;
use intact8_ir::DType;

/// The versions of ONNX's own operator set whose meaning is known here.
pub(crate) const VERSIONS: std::ops::RangeInclusive<i64> = 7..=28;

/// One operator.
pub(crate) struct OpRow {
    /// The operator's name.
    pub(crate) name: &'static str,
    rule: Rule,
    fold: Option<Fold>,
}

/// How the outputs are found.
enum Rule {
    /// All are tensors: of which element type each is, the last entry standing for all further ones, and of which shape.
    Tensors(&'static [ElementType], ShapeRule),
    /// They may be anything.
    Values(fn(&Site<'_>) -> Inferred<Vec<Fact>>),
}

/// The shapes of the outputs, by slot; `None` or missing where not even the rank is known.
pub(crate) type ShapeRule = fn(&Site<'_>) -> Inferred<Vec<Option<Shape>>>;

/// The elements of an output, where they follow from what is known.
pub(crate) type Fold = fn(&Site<'_>, Output<'_>) -> Option<Elements>;

/// Which element type an output has.
pub(crate) enum ElementType {
    /// Always this one.
    Is(DType),
    /// That of an operand.
    Like(usize),
    /// The one that so many operands, from the first on, have in common.
    Common(usize),
    /// The one that an attribute names, if it is there, or else a default.
    Named(&'static str, Option<DType>),
    /// Something else.
    By(fn(&Site<'_>) -> Inferred<Option<DType>>),
}

impl OpRow {
    /// An operator whose outputs are tensors.
    pub(crate) const fn tensors(
        name: &'static str,
        element_types: &'static [ElementType],
        shapes: ShapeRule,
    ) -> OpRow {
        OpRow { name, rule: Rule::Tensors(element_types, shapes), fold: None }
    }

    /// An operator whose outputs may be anything.
    pub(crate) const fn values(name: &'static str, rule: fn(&Site<'_>) -> Inferred<Vec<Fact>>) -> OpRow {
        OpRow { name, rule: Rule::Values(rule), fold: None }
    }

    /// The same row, with what it does to elements.
    pub(crate) const fn folds(self, fold: Fold) -> OpRow {
        let OpRow { name, rule, .. } = self;
        OpRow { name, rule, fold: Some(fold) }
    }

    /// What is known of the outputs, and why it is not more.
    pub(crate) fn infer(&self, site: &Site<'_>) -> (Vec<Fact>, Option<Stop>) {
        let (mut facts, stop) = match &self.rule {
            Rule::Values(rule) => match rule(site) {
                Ok(facts) => (facts, None),
                Err(stop) => (vec![], Some(stop)),
            },
            Rule::Tensors(element_types, rule) => tensors(site, element_types, *rule),
        };
        facts.resize_with(site.n_outputs, Fact::default);
        if let Some(fold) = self.fold {
            facts.iter_mut().enumerate().for_each(|(slot, fact)| add_elements(site, fold, slot, fact));
        }
        (facts, stop)
    }
}

/// The element types are known even where the shapes are not.
fn tensors(site: &Site<'_>, element_types: &[ElementType], rule: ShapeRule) -> (Vec<Fact>, Option<Stop>) {
    let (shapes, mut stop) = match rule(site) {
        Ok(shapes) => (shapes, None),
        Err(stop) => (vec![], Some(stop)),
    };
    let mut shapes = shapes.into_iter();
    let mut facts = Vec::with_capacity(site.n_outputs);
    for slot in 0..site.n_outputs {
        let element_type = element_types.get(slot).or(element_types.last());
        let dtype = element_type.map_or(Ok(None), |element_type| element_type.of(site));
        let dtype = dtype.unwrap_or_else(|wrong| {
            stop.get_or_insert(wrong);
            None
        });
        facts.push(Fact::tensor(dtype, shapes.next().flatten()));
    }
    (facts, stop)
}

/// Elements count only if they fit the shape that was inferred.
fn add_elements(site: &Site<'_>, fold: Fold, slot: usize, fact: &mut Fact) {
    let Fact::Tensor(fact) = fact else { return };
    let Some(shape) = fact.small_shape() else { return };
    let elements = fold(site, Output { slot, shape: &shape }).filter(|elements| elements.shape() == shape);
    fact.elements = elements.filter(|elements| elements.iter().any(|number| !number.is_unknown()));
}

impl ElementType {
    fn of(&self, site: &Site<'_>) -> Inferred<Option<DType>> {
        match self {
            ElementType::Is(dtype) => Ok(Some(*dtype)),
            ElementType::Like(slot) => Ok(site.dtype(*slot)),
            ElementType::Common(n_operands) => common(site, 0..*n_operands),
            ElementType::Named(name, default) => Ok(data_type::of_attribute(site, name)?.or(*default)),
            ElementType::By(find) => find(site),
        }
    }
}

/// The element type that several operands must have in common.
pub(crate) fn common(site: &Site<'_>, slots: std::ops::Range<usize>) -> Inferred<Option<DType>> {
    let mut known = slots.filter_map(|slot| site.dtype(slot));
    let Some(first) = known.next() else { return Ok(None) };
    match known.find(|&other| other != first) {
        Some(other) => {
            Err(Stop::wrong(format!("the operands are {first} and {other}, which must be the same")))
        }
        None => Ok(Some(first)),
    }
}

/// The shape of a single output.
pub(crate) fn one(shape: Shape) -> Inferred<Vec<Option<Shape>>> {
    Ok(vec![Some(shape)])
}
