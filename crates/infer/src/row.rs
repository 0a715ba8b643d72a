//! The row of an operator: the rule for the types of its outputs, and the computation of their elements.

use crate::data_type;
use crate::fact::{Elements, Fact, Shape};
use crate::inference_context::{InferenceContext, Inferred, Stop};
use crate::values::Output;
use intact8_ir::DType;

/// The supported versions of ONNX's own operator set.
pub(crate) const VERSIONS: std::ops::RangeInclusive<i64> = 7..=28;

/// One operator.
pub(crate) struct OpRow {
    /// The operator's name.
    pub(crate) name: &'static str,
    rule: Rule,
    fold: Option<Fold>,
}

/// The rule for the outputs.
enum Rule {
    /// All outputs are tensors: the element type of each, where the last entry applies to all further outputs, and
    /// their shapes.
    Tensors(&'static [ElementType], ShapeRule),
    /// The outputs may have any type.
    Values(fn(&InferenceContext<'_>) -> Inferred<Vec<Fact>>),
}

/// The shapes of the outputs, by slot; `None` or missing if the rank is unknown.
pub(crate) type ShapeRule = fn(&InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>>;

/// The computation of the elements of an output from those of the operands; `None` if they are unknown.
pub(crate) type Fold = fn(&InferenceContext<'_>, Output<'_>) -> Option<Elements>;

/// The element type of an output.
pub(crate) enum ElementType {
    /// Always this one.
    Is(DType),
    /// The element type of an operand.
    Like(usize),
    /// The element type that the first operands, up to this number, have in common.
    Common(usize),
    /// The element type that an attribute names, or a default if the attribute is absent.
    Named(&'static str, Option<DType>),
    /// The result of a function.
    By(fn(&InferenceContext<'_>) -> Inferred<Option<DType>>),
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

    /// An operator whose outputs may have any type.
    pub(crate) const fn values(
        name: &'static str,
        rule: fn(&InferenceContext<'_>) -> Inferred<Vec<Fact>>,
    ) -> OpRow {
        OpRow { name, rule: Rule::Values(rule), fold: None }
    }

    /// The same row, with a computation of elements.
    pub(crate) const fn folds(self, fold: Fold) -> OpRow {
        let OpRow { name, rule, .. } = self;
        OpRow { name, rule, fold: Some(fold) }
    }

    /// The facts about the outputs, and the reason if they are incomplete.
    pub(crate) fn infer(&self, ctx: &InferenceContext<'_>) -> (Vec<Fact>, Option<Stop>) {
        let (mut facts, stop) = match &self.rule {
            Rule::Values(rule) => match rule(ctx) {
                Ok(facts) => (facts, None),
                Err(stop) => (vec![], Some(stop)),
            },
            Rule::Tensors(element_types, rule) => tensors(ctx, element_types, *rule),
        };
        facts.resize_with(ctx.n_outputs, Fact::default);
        if let Some(fold) = self.fold {
            facts.iter_mut().enumerate().for_each(|(slot, fact)| add_elements(ctx, fold, slot, fact));
        }
        (facts, stop)
    }
}

/// The facts about outputs that are tensors. The element types may be known even if the shapes are not.
fn tensors(
    ctx: &InferenceContext<'_>,
    element_types: &[ElementType],
    rule: ShapeRule,
) -> (Vec<Fact>, Option<Stop>) {
    let (shapes, mut stop) = match rule(ctx) {
        Ok(shapes) => (shapes, None),
        Err(stop) => (vec![], Some(stop)),
    };
    let mut shapes = shapes.into_iter();
    let mut facts = Vec::with_capacity(ctx.n_outputs);
    for slot in 0..ctx.n_outputs {
        let element_type = element_types.get(slot).or(element_types.last());
        let dtype = element_type.map_or(Ok(None), |element_type| element_type.of(ctx));
        let dtype = dtype.unwrap_or_else(|wrong| {
            stop.get_or_insert(wrong);
            None
        });
        facts.push(Fact::tensor(dtype, shapes.next().flatten()));
    }
    (facts, stop)
}

/// Adds the elements of an output, if they match the inferred shape.
fn add_elements(ctx: &InferenceContext<'_>, fold: Fold, slot: usize, fact: &mut Fact) {
    let Fact::Tensor(fact) = fact else { return };
    let Some(shape) = fact.small_shape() else { return };
    let elements = fold(ctx, Output { slot, shape: &shape }).filter(|elements| elements.shape() == shape);
    fact.elements = elements.filter(|elements| elements.iter().any(|number| !number.is_unknown()));
}

impl ElementType {
    fn of(&self, ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
        match self {
            ElementType::Is(dtype) => Ok(Some(*dtype)),
            ElementType::Like(slot) => Ok(ctx.dtype(*slot)),
            ElementType::Common(n_operands) => common(ctx, 0..*n_operands),
            ElementType::Named(name, default) => Ok(data_type::of_attribute(ctx, name)?.or(*default)),
            ElementType::By(find) => find(ctx),
        }
    }
}

/// The common element type of several operands; different ones are an error.
pub(crate) fn common(ctx: &InferenceContext<'_>, slots: std::ops::Range<usize>) -> Inferred<Option<DType>> {
    let mut known = slots.filter_map(|slot| ctx.dtype(slot));
    let Some(first) = known.next() else { return Ok(None) };
    match known.find(|&other| other != first) {
        Some(other) => {
            Err(Stop::wrong(format!("the operands have the types {first} and {other}, which must be equal")))
        }
        None => Ok(Some(first)),
    }
}

/// The shape of a single output.
pub(crate) fn one(shape: Shape) -> Inferred<Vec<Option<Shape>>> {
    Ok(vec![Some(shape)])
}
