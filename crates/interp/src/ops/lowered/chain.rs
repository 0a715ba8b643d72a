//! Chains of elementwise operators on f32, computed block by block.
//!
//! Other element types, which are known only when a model runs, are computed operator by operator.

mod step;

use super::super::contrib_fused::part::{only_output, part};
use crate::broadcast::broadcast_shape;
use crate::call::Call;
use crate::op::{self, CompileContext, Kernel, NEWEST, OpRow, Outputs, one};
use intact8_ir::{DType, Element, Error, Op, Result, Tensor};
use intact8_kernels::chain::{self, Chain, Operand, Source, Values};
use intact8_kernels::quantize::{Affine, Quantized, dequantize};
use smallvec::SmallVec;
use std::borrow::Cow;

pub(crate) use step::{Link, Operation, Step};

use step::Coding;

pub(super) static ROWS: &[OpRow] = &[OpRow { name: "Chain", opsets: 0..=NEWEST, types: &[], compile }];

/// The attribute `steps` lists the operators, `opset` is their version.
fn compile(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let opset = ctx.int("opset", 0)?;
    let texts = ctx.strings("steps")?.unwrap_or_default();
    let steps = texts.iter().map(|text| text.parse()).collect::<Result<Vec<Step>>>()?;
    let parts =
        steps.into_iter().map(|step| Part::compile(ctx, step, opset)).collect::<Result<Vec<Part>>>()?;
    let computes = |part: &Part| !matches!(part.operation, Operation::Dequantize(_) | Operation::Quantize(_));
    let is_well_placed = |(idx, part): (usize, &Part)| match (part.operation, &part.data[..]) {
        (Operation::Quantize(_), &[Link::Step(before)]) => {
            idx + 1 == parts.len() && before + 1 == idx && computes(&parts[before])
        }
        (Operation::Dequantize(_), [Link::Operand(_)]) => idx + 1 < parts.len(),
        (Operation::Quantize(_) | Operation::Dequantize(_), _) => false,
        (_, data) => !data.iter().any(|link| matches!(link, Link::Step(source) if *source >= idx)),
    };
    if parts.is_empty() || !parts.iter().enumerate().all(is_well_placed) {
        return Err(Error::invalid_model("a chain dequantizes operands, computes, and quantizes its result"));
    }
    Ok(Box::new(move |call| {
        if !are_floats(&parts, call)? {
            return one_by_one(&parts, call);
        }
        let Shapes { whole, own } = Shapes::of(&parts, call)?;
        let steps = Vec::with_capacity(parts.len());
        Run { call, shape: &whole, elements: Vec::with_capacity(parts.len()), steps }.compute(&parts, &own)
    }))
}

/// A compiled step.
struct Part {
    operation: Operation,
    /// The operands that are data; the others are constants of the operation.
    data: Vec<Link>,
    operands: Vec<Link>,
    /// The kernel of the operator, for element types other than f32.
    kernel: Kernel,
    types: &'static [DType],
    name: String,
}

impl Part {
    fn compile(ctx: &CompileContext<'_>, Step { op: operator, operands }: Step, opset: i64) -> Result<Part> {
        let slot = |slot: usize| match operands.get(slot) {
            Some(Link::Operand(idx)) => Some(*idx),
            Some(Link::Absent) | None => Some(usize::MAX),
            Some(Link::Step(_)) => None,
        };
        let slots: Vec<Option<usize>> = (0..operands.len()).map(slot).collect();
        let kind = |slot: &Option<usize>| match *slot {
            Some(slot) => ctx.operands.get(slot).copied().unwrap_or(op::Operand::Absent),
            None => op::Operand::Computed,
        };
        let kinds: Vec<op::Operand<'_>> = slots.iter().map(kind).collect();
        let Some(operation) = Operation::of(&operator, &kinds) else {
            return Err(Error::unsupported(format!("op {} can't be a step of a chain", operator.name)));
        };
        let kernel = part(ctx, &operator, opset, &slots)?;
        let data = operands.iter().copied().take(operation.n_data()).collect();
        let types = crate::ops::find(&operator, opset)?.types;
        let Op { name, .. } = operator;
        Ok(Part { operation, data, operands, kernel, types, name })
    }

    /// The operands of which the result takes its shape.
    fn shaping(&self) -> &[Link] {
        // The exponent of a power broadcasts, although it is one number.
        if matches!(self.operation, Operation::Power(_)) { &self.operands } else { &self.data }
    }
}

/// The operators one after the other.
fn one_by_one(parts: &[Part], call: &Call<'_, '_>) -> Result<Outputs> {
    let mut results: Vec<Tensor> = Vec::new();
    for part in parts {
        let operand = |link: &Link| match *link {
            Link::Absent => None,
            Link::Operand(idx) => call.operands.get(idx).cloned().flatten(),
            Link::Step(idx) => results.get(idx).cloned().map(Into::into),
        };
        let operands: SmallVec<_> = part.operands.iter().map(operand).collect();
        let mut call = Call { operands, context: call.context };
        let dtype = call.tensor(0)?.dtype();
        if !part.types.contains(&dtype) {
            return Err(Error::unsupported(format!("no kernel for op {} with {dtype}", part.name)));
        }
        results.push(only_output((part.kernel)(&mut call)?)?);
    }
    let result = results.pop().ok_or_else(|| Error::invalid_model("a chain without steps"))?;
    one(result)
}

/// Whether the elements of all operands have the types of a chain on f32.
fn are_floats(parts: &[Part], call: &Call<'_, '_>) -> Result<bool> {
    for part in parts {
        for link in &part.data {
            let Link::Operand(idx) = link else { continue };
            let dtype = call.tensor(*idx)?.dtype();
            let fits = match part.operation {
                Operation::Dequantize(Coding { dtype: Some(own), .. }) => dtype == own,
                Operation::Dequantize(_) => matches!(dtype, DType::I8 | DType::U8),
                _ => dtype == DType::F32,
            };
            if !fits {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The shapes of results.
struct Shapes {
    /// That of the chain.
    whole: Vec<usize>,
    /// Of each step: its shape, if that is another one.
    own: Vec<Option<Vec<usize>>>,
}

impl Shapes {
    fn of(parts: &[Part], call: &Call<'_, '_>) -> Result<Shapes> {
        let mut whole = vec![];
        for link in parts.iter().flat_map(Part::shaping) {
            let Link::Operand(idx) = link else { continue };
            let shape = call.tensor(*idx)?.shape();
            if shape != whole {
                whole = broadcast_shape(&[&whole, shape])?;
            }
        }
        let mut own: Vec<Option<Vec<usize>>> = Vec::with_capacity(parts.len());
        for part in parts {
            let mut shapes: SmallVec<[&[usize]; 2]> = SmallVec::new();
            for link in part.shaping() {
                match *link {
                    Link::Absent => {}
                    Link::Operand(idx) => shapes.push(call.tensor(idx)?.shape()),
                    Link::Step(idx) => shapes.push(own[idx].as_deref().unwrap_or(&whole)),
                }
            }
            let is_whole = shapes.contains(&&whole[..]);
            let shape = if is_whole { None } else { Some(broadcast_shape(&shapes)?) };
            drop(shapes);
            own.push(shape.filter(|shape| *shape != whole));
        }
        Ok(Shapes { whole, own })
    }
}

/// One run of a chain on f32.
struct Run<'r, 'c, 't> {
    call: &'r Call<'c, 't>,
    /// The shape of the result.
    shape: &'r [usize],
    /// The operands of the kernel.
    elements: Vec<Elements<'r>>,
    /// The steps of the kernel.
    steps: Vec<chain::Step>,
}

/// The elements of an operand, or of the result of a step that has another shape than the chain.
struct Elements<'r> {
    values: Held<'r>,
    shape: &'r [usize],
}

enum Held<'r> {
    Floats(Cow<'r, [f32]>),
    Bytes(Values<'r>),
}

impl<'r> Run<'r, '_, '_> {
    fn compute(mut self, parts: &[Part], shapes: &'r [Option<Vec<usize>>]) -> Result<Outputs> {
        let mut sources: Vec<Source> = Vec::with_capacity(parts.len());
        for (part, own) in parts.iter().zip(shapes) {
            let mut found = [Source::Operand(0); 2];
            for (source, link) in found.iter_mut().zip(&part.data) {
                *source = match (part.operation, *link) {
                    (_, Link::Step(idx)) => sources[idx],
                    (Operation::Dequantize(coding), Link::Operand(idx)) => self.dequantized(idx, coding)?,
                    (_, Link::Operand(idx)) => {
                        let tensor = self.call.tensor(idx)?;
                        self.add(Held::Floats(Cow::Borrowed(tensor.values()?)), tensor.shape())
                    }
                    (_, Link::Absent) => return Err(Error::invalid_model("an operand of a step is missing")),
                };
            }
            let [a, b] = found;
            let step = match part.operation {
                Operation::Unary(function) => chain::Step::Unary(function, a),
                Operation::Binary(operation) => chain::Step::Binary(operation, a, b),
                Operation::Power(exponent) => chain::Step::Power(a, exponent),
                Operation::Dequantize(_) => {
                    sources.push(a);
                    continue;
                }
                Operation::Quantize(coding) => return self.quantize(coding),
            };
            sources.push(match own {
                None => {
                    self.steps.push(step);
                    Source::Step(self.steps.len() - 1)
                }
                // Not once for each of its repetitions.
                Some(own) => {
                    let mut out = self.call.unset::<f32>(own)?;
                    let operands = self.operands();
                    chain::chain(Chain { shape: own, operands: &operands, steps: &[step] }, &mut out);
                    self.add(Held::Floats(Cow::Owned(out)), own)
                }
            });
        }
        let mut out = self.call.aligned::<f32>(self.shape)?;
        let operands = self.operands();
        chain::chain(Chain { shape: self.shape, operands: &operands, steps: &self.steps }, out.values());
        one(out.into_tensor(self.shape))
    }

    fn add(&mut self, values: Held<'r>, shape: &'r [usize]) -> Source {
        self.elements.push(Elements { values, shape });
        Source::Operand(self.elements.len() - 1)
    }

    /// The floats that an operand of bytes stands for. The kernel computes them, unless they are broadcast.
    fn dequantized(&mut self, idx: usize, coding: Coding) -> Result<Source> {
        let tensor = self.call.tensor(idx)?;
        // The range is not used for dequantization.
        let affine = Affine { scale: coding.scale, zero_point: coding.zero_point, min: 0, max: 0 };
        let bytes = match tensor.dtype() {
            DType::I8 => Values::I8(tensor.values()?, affine),
            _ => Values::U8(tensor.values()?, affine),
        };
        if tensor.shape() == self.shape {
            return Ok(self.add(Held::Bytes(bytes), tensor.shape()));
        }
        let mut out = self.call.unset::<f32>(tensor.shape())?;
        match bytes {
            Values::I8(bytes, affine) => dequantize(affine, bytes, &mut out),
            Values::U8(bytes, affine) => dequantize(affine, bytes, &mut out),
            Values::F32(_) => {}
        }
        Ok(self.add(Held::Floats(Cow::Owned(out)), tensor.shape()))
    }

    fn quantize(&self, coding: Coding) -> Result<Outputs> {
        match coding.dtype {
            Some(DType::I8) => self.bytes::<i8>(coding),
            _ => self.bytes::<u8>(coding),
        }
    }

    fn bytes<T: Element + Quantized>(&self, coding: Coding) -> Result<Outputs> {
        let mut out = self.call.unset::<T>(self.shape)?;
        let affine = Affine::of(coding.scale, T::from_i32(coding.zero_point));
        let operands = self.operands();
        let chain = Chain { shape: self.shape, operands: &operands, steps: &self.steps };
        chain::chain_quantized(chain, affine, &mut out);
        one(Tensor::new(self.shape, out))
    }

    /// The operands of the kernel.
    fn operands(&self) -> Vec<Operand<'_>> {
        let operands = self.elements.iter().map(|Elements { values, shape }| {
            let values = match values {
                Held::Floats(floats) => Values::F32(floats),
                Held::Bytes(bytes) => *bytes,
            };
            Operand { values, shape }
        });
        operands.collect()
    }
}
