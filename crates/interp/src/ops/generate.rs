//! Generation of tensors: constants, ranges, and patterns.

mod range;

use crate::axes::{self, Along};
use crate::call::Call;
use crate::indices::integer;
use crate::number::{NUMBERS, Number, with_number};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use crate::room::{n_elements, reserve_text, shape_of, texts};
use crate::stand_in::{into_movable, movable, restored, with_movable};
use intact8_ir::{Attr, DType, Element, Error, Result, SparseTensor, Tensor, with_element};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Constant", opsets: 1..=NEWEST, types: &[], compile: constant },
    OpRow { name: "ConstantOfShape", opsets: 9..=NEWEST, types: &[DType::I64], compile: constant_of_shape },
    OpRow { name: "EyeLike", opsets: 9..=NEWEST, types: &[], compile: eye_like },
    OpRow { name: "OneHot", opsets: 9..=NEWEST, types: NUMBERS, compile: one_hot },
    OpRow { name: "Range", opsets: 11..=NEWEST, types: NUMBERS, compile: range::range },
    OpRow { name: "Trilu", opsets: 14..=NEWEST, types: &[], compile: trilu },
];

/// A sparse constant, or one whose value is an attribute of a function; the importer converts other constants.
fn constant(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let wrong = || Error::invalid_model("op Constant must have one attribute, the value");
    let mut attrs = ctx.op.attrs.values();
    let (Some(attr), None) = (attrs.next(), attrs.next()) else { return Err(wrong()) };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| wrong());
    let tensor = match attr {
        Attr::Tensor(tensor) => tensor.clone(),
        Attr::Int(value) => Tensor::scalar(*value),
        Attr::Float(value) => Tensor::scalar(*value),
        Attr::Str(value) => Tensor::scalar(text(value)?),
        Attr::Ints(values) => list(values.clone()),
        Attr::Floats(values) => list(values.clone()),
        Attr::Strs(values) => list(values.iter().map(|bytes| text(bytes)).collect::<Result<_>>()?),
        Attr::Sparse(sparse) => {
            let sparse = sparse.clone();
            return Ok(Box::new(move |call| one(dense(&sparse, call)?)));
        }
        _ => return Err(wrong()),
    };
    Ok(Box::new(move |_| one(tensor.clone())))
}

fn list<T: Element>(values: Vec<T>) -> Tensor {
    Tensor::new(&[values.len()], values)
}

fn dense(sparse: &SparseTensor, call: &Call<'_, '_>) -> Result<Tensor> {
    let SparseTensor { shape, values, indices } = sparse;
    let n = n_elements(shape)?;
    let wrong =
        || Error::invalid_data(format!("the indices of a sparse tensor do not match its shape {shape:?}"));
    let n_values = values.len();
    let coordinates = indices.values::<i64>()?;
    let width = match indices.shape() {
        [len] if *len == n_values => 1,
        [len, rank] if *len == n_values && *rank == shape.len() => *rank,
        _ => return Err(wrong()),
    };
    let dims = if indices.shape().len() == 1 { &[n][..] } else { shape };
    with_element!(values.dtype(), T => {
        let mut out = call.zeros::<T>(shape)?;
        for (idx, value) in values.values::<T>()?.iter().enumerate() {
            let mut at = 0;
            for (&index, &dim) in coordinates[idx * width..][..width].iter().zip(dims) {
                let index = usize::try_from(index).ok().filter(|&index| index < dim).ok_or_else(wrong)?;
                at = at * dim + index;
            }
            *out.get_mut(at).ok_or_else(wrong)? = value.clone();
        }
        Ok(Tensor::new(shape, out))
    })
}

fn constant_of_shape(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let value = ctx.op.tensor("value")?.cloned().unwrap_or_else(|| Tensor::scalar(0.0f32));
    if value.len() != 1 {
        return Err(Error::invalid_model("the value of op ConstantOfShape must have one element"));
    }
    Ok(Box::new(move |call| {
        let shape = shape_of(call.values::<i64>(0)?)?;
        let n = n_elements(&shape)?;
        let moved = movable(&value, call)?;
        let out = with_movable!(moved.dtype(), T => {
            call.reserve::<T>(&shape)?;
            let text = texts(&value).first().map_or(0, String::len);
            reserve_text(call, std::iter::once(text.saturating_mul(n)))?;
            Ok(Tensor::new(&shape, vec![moved.values::<T>()?[0].clone(); n]))
        })?;
        one(restored(out, value.dtype())?)
    }))
}

/// Ones on a diagonal of a matrix of the operand's shape.
fn eye_like(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let k = ctx.int("k", 0)?;
    let dtype = match ctx.op.int("dtype")? {
        Some(number) => Some(
            DType::from_number(number)
                .ok_or_else(|| Error::invalid_model(format!("dtype {number} is not defined by ONNX")))?,
        ),
        None => None,
    };
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let &[n_rows, n_columns] = x.shape() else {
            return Err(Error::invalid_data(format!("expected a matrix, found the shape {:?}", x.shape())));
        };
        let shape = [n_rows, n_columns];
        match dtype.unwrap_or(x.dtype()) {
            DType::Bool => one(Tensor::new(&shape, eye(call.zeros::<bool>(&shape)?, shape, k, true))),
            dtype => {
                with_number!(dtype, T => one(Tensor::new(&shape, eye(call.zeros::<T>(&shape)?, shape, k, T::ONE))))
            }
        }
    }))
}

fn eye<T: Element>(mut out: Vec<T>, [_, n_columns]: [usize; 2], k: i64, value: T) -> Vec<T> {
    for (row, out) in out.chunks_exact_mut(n_columns.max(1)).enumerate() {
        let column = k.checked_add_unsigned(row as u64).and_then(|column| usize::try_from(column).ok());
        if let Some(out) = column.and_then(|column| out.get_mut(column)) {
            *out = value.clone();
        }
    }
    out
}

/// `values[1]` at the indices, `values[0]` elsewhere, along a new axis. Indices beyond the depth are ignored.
fn one_hot(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let axis = ctx.int("axis", -1)?;
    let from_back = ctx.opset >= 11;
    Ok(Box::new(move |call| {
        let (indices, values) = (call.tensor(0)?, call.tensor(2)?);
        let depth = match whole_numbers(call.tensor(1)?)?.as_slice() {
            &[depth] if depth >= 0 => depth,
            other => {
                return Err(Error::invalid_data(format!(
                    "depth must be one positive number, found {other:?}"
                )));
            }
        };
        let axis = axes::axis(axis, indices.shape().len() + 1)?;
        let mut shape = indices.shape().to_vec();
        shape.insert(axis, depth as usize);
        let n = n_elements(&shape)?;
        let inner = Along::of(&shape, axis).inner;
        let (dtype, values) = (values.dtype(), movable(values, call)?);
        let out = with_movable!(values.dtype(), T => {
            let [off, on] = values.values::<T>()? else {
                return Err(Error::invalid_data("expected two values, for off and on"));
            };
            call.reserve::<T>(&shape)?;
            if let [off, on] = texts(&values) {
                reserve_text(call, std::iter::once(off.len().max(on.len()).saturating_mul(n)))?;
            }
            let mut out = vec![off.clone(); n];
            let indices = if n == 0 { vec![] } else { whole_numbers(indices)? };
            for (idx, &index) in indices.iter().enumerate() {
                let index = if index < 0 && from_back { index + depth } else { index };
                if (0..depth).contains(&index) {
                    out[(idx / inner * depth as usize + index as usize) * inner + idx % inner] = on.clone();
                }
            }
            Ok(Tensor::new(&shape, out))
        })?;
        one(restored(out, dtype)?)
    }))
}

/// Numbers truncated to integers.
fn whole_numbers(tensor: &Tensor) -> Result<Vec<i64>> {
    match tensor.dtype() {
        DType::I64 => Ok(tensor.values::<i64>()?.to_vec()),
        dtype => {
            with_number!(dtype, T => Ok(tensor.values::<T>()?.iter().map(|value| i64::from_f64(value.to_f64())).collect()))
        }
    }
}

/// The elements on one side of a diagonal of each matrix, and zeros on the other.
fn trilu(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let is_upper = ctx.flag("upper", true)?;
    Ok(Box::new(move |call| {
        let k = call.optional(1)?.map(integer).transpose()?.unwrap_or(0);
        let x = call.take(0)?;
        one(triangle(x, k, is_upper, call)?)
    }))
}

fn triangle(x: Tensor, k: i64, is_upper: bool, call: &Call<'_, '_>) -> Result<Tensor> {
    let &[.., n_rows, n_columns] = x.shape() else {
        return Err(Error::invalid_data(format!("expected matrices, found the shape {:?}", x.shape())));
    };
    let dtype = x.dtype();
    let mut x = into_movable(x, call)?;
    with_movable!(x.dtype(), T => {
        for (row, values) in x.values_mut::<T>()?.chunks_exact_mut(n_columns.max(1)).enumerate() {
            // The position of the diagonal in the row.
            let at = k.saturating_add_unsigned((row % n_rows) as u64);
            let clamped = |at: i64| at.clamp(0, n_columns as i64) as usize;
            let zeros = if is_upper { &mut values[..clamped(at)] } else { &mut values[clamped(at.saturating_add(1))..] };
            zeros.fill(T::default());
        }
        Ok(())
    })?;
    restored(x, dtype)
}
