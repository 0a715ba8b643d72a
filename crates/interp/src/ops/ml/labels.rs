//! Labels: mapping by tables, and one-hot encoding.

use crate::op::{CompileContext, Kernel, one};
use crate::room::{reserve_text, texts};
use intact8_ir::{DType, Element, Error, Result, Tensor, with_element};
use std::collections::HashMap;

/// A table from keys to values, of any types.
struct Table {
    key_type: DType,
    /// The index of the value, by the bytes of the key.
    indices: HashMap<Vec<u8>, usize>,
    /// The values, a vector; the last one is the default.
    values: Tensor,
    /// Whether keys are compared as numbers instead of bits.
    by_value: bool,
}

/// Classes are strings; the number of a class is its index in the list.
pub(super) fn class_encoder(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let classes = ctx.strings("classes_strings")?.unwrap_or_default();
    let numbers = (0..classes.len() as i64).collect();
    both_ways(ctx, classes, numbers)
}

pub(super) fn category_mapper(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let classes = ctx.strings("cats_strings")?.unwrap_or_default();
    let numbers = ctx.ints("cats_int64s")?.unwrap_or_default();
    if classes.len() != numbers.len() {
        return Err(Error::invalid_model("op CategoryMapper must have as many strings as integers"));
    }
    both_ways(ctx, classes, numbers)
}

/// Maps strings to integers or integers to strings, by the type of the operand.
fn both_ways(ctx: &CompileContext<'_>, classes: Vec<String>, numbers: Vec<i64>) -> Result<Kernel> {
    let number = ctx.int("default_int64", -1)?;
    let class = ctx.str("default_string", "_Unused")?.to_owned();
    let (classes, numbers) = (list(classes), list(numbers));
    let to_numbers = Table::new(&classes, &numbers, &Tensor::scalar(number), false)?;
    let to_classes = Table::new(&numbers, &classes, &Tensor::scalar(class), false)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let table = if x.dtype() == DType::Str { &to_numbers } else { &to_classes };
        one(table.look_up(x, call)?)
    }))
}

/// From opset 4 on all NaN are equal, and of equal keys the last one is used; before, bits are compared.
pub(super) fn label_encoder(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let missing = |what: &str| Error::invalid_model(format!("op LabelEncoder must have one of the {what}"));
    let keys = side(ctx, "keys")?.ok_or_else(|| missing("keys"))?;
    let values = side(ctx, "values")?.ok_or_else(|| missing("values"))?;
    let default = match (ctx.op.tensor("default_tensor")?, values.dtype()) {
        (Some(tensor), dtype) if tensor.dtype() == dtype && tensor.len() == 1 => tensor.clone(),
        (Some(_), _) => {
            return Err(Error::invalid_model("default_tensor must be one element like the values"));
        }
        (None, DType::Str) => Tensor::scalar(ctx.str("default_string", "_Unused")?.to_owned()),
        (None, DType::F32) => Tensor::scalar(ctx.float("default_float", -0.0)?),
        (None, DType::F64) => Tensor::scalar(-0.0f64),
        (None, DType::I64) => Tensor::scalar(ctx.int("default_int64", -1)?),
        (None, DType::I32) => Tensor::scalar(-1i32),
        (None, DType::I16) => Tensor::scalar(-1i16),
        (None, dtype) => return Err(ctx.unsupported(&format!("values of {dtype}"))),
    };
    let table = Table::new(&keys, &values, &default, ctx.opset >= 4)?;
    Ok(Box::new(move |call| one(table.look_up(call.tensor(0)?, call)?)))
}

/// One or zero for each category, in a new last dimension.
pub(super) fn one_hot(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let texts = ctx.strings("cats_strings")?.filter(|list| !list.is_empty());
    let numbers = ctx.ints("cats_int64s")?.filter(|list| !list.is_empty());
    let categories = match (texts, numbers) {
        (Some(texts), None) => list(texts),
        (None, Some(numbers)) => list(numbers),
        _ => return Err(Error::invalid_model("op OneHotEncoder must have one kind of categories")),
    };
    let (n, allows_unknown) = (categories.len(), ctx.flag("zeros", true)?);
    let indices = list((0..n as i64).collect());
    let table = Table::new(&categories, &indices, &Tensor::scalar(-1i64), false)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let found = match x.dtype() {
            DType::Str | DType::I64 => table.look_up(x, call)?,
            dtype => {
                call.reserve::<i64>(x.shape())?;
                let whole = with_element!(dtype, [F32 F64 I32],
                    T => x.values::<T>()?.iter().map(|&value| value as i64).collect(), _ => vec![]);
                table.look_up(&Tensor::new(x.shape(), whole), call)?
            }
        };
        let shape = [x.shape(), &[n]].concat();
        let mut out = call.zeros::<f32>(&shape)?;
        for (&index, out) in found.values::<i64>()?.iter().zip(out.chunks_exact_mut(n)) {
            match usize::try_from(index) {
                Ok(index) => out[index] = 1.0,
                Err(_) if allows_unknown => {}
                Err(_) => return Err(Error::invalid_data("an element is not in the categories")),
            }
        }
        one(Tensor::new(&shape, out))
    }))
}

fn list<T: Element>(values: Vec<T>) -> Tensor {
    Tensor::new(&[values.len()], values)
}

/// The keys or the values of op LabelEncoder, from the attribute that is present.
fn side(ctx: &CompileContext<'_>, name: &str) -> Result<Option<Tensor>> {
    if let Some(tensor) = ctx.op.tensor(&format!("{name}_tensor"))? {
        return Ok(Some(tensor.clone()));
    }
    if let Some(strings) = ctx.strings(&format!("{name}_strings"))? {
        return Ok(Some(list(strings)));
    }
    if let Some(integers) = ctx.ints(&format!("{name}_int64s"))? {
        return Ok(Some(list(integers)));
    }
    Ok(ctx.op.floats(&format!("{name}_floats"))?.map(|floats| list(floats.to_vec())))
}

impl Table {
    fn new(keys: &Tensor, values: &Tensor, default: &Tensor, by_value: bool) -> Result<Table> {
        if keys.len() != values.len() {
            let (n_keys, n_values) = (keys.len(), values.len());
            return Err(Error::invalid_model(format!("{n_keys} keys do not match {n_values} values")));
        }
        let values = with_element!(values.dtype(), T => list([values.values::<T>()?, default.values::<T>()?].concat()));
        let mut indices = HashMap::new();
        with_element!(keys.dtype(), T => for (index, key) in keys.values::<T>()?.iter().enumerate() {
            let key = key_bytes(key, by_value);
            if by_value || !indices.contains_key(&key) {
                indices.insert(key, index);
            }
        });
        Ok(Table { key_type: keys.dtype(), indices, values, by_value })
    }

    /// The value of each element.
    fn look_up(&self, x: &Tensor, call: &crate::call::Call<'_, '_>) -> Result<Tensor> {
        if x.dtype() != self.key_type {
            return Err(Error::invalid_data(format!(
                "the keys have the type {}, found {}",
                self.key_type,
                x.dtype()
            )));
        }
        call.reserve::<usize>(x.shape())?;
        let index_of = |key: Vec<u8>| self.indices.get(&key).copied().unwrap_or(self.values.len() - 1);
        let indices: Vec<usize> = with_element!(x.dtype(), T =>
            x.values::<T>()?.iter().map(|key| index_of(key_bytes(key, self.by_value))).collect());
        with_element!(self.values.dtype(), T => {
            call.reserve::<T>(x.shape())?;
            let values = self.values.values::<T>()?;
            let labels = texts(&self.values);
            reserve_text(call, indices.iter().filter_map(|&index| labels.get(index)).map(String::len))?;
            Ok(Tensor::new(x.shape(), indices.iter().map(|&index| values[index].clone()).collect()))
        })
    }
}

/// The bytes by which a key is found.
fn key_bytes<T: Element>(key: &T, by_value: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.write_le(&mut bytes);
    // One bit pattern for equal numbers.
    match T::DTYPE {
        DType::F32 if by_value => f32::read_le(&bytes).map(|x| canonical(x.into())),
        DType::F64 if by_value => f64::read_le(&bytes).map(canonical),
        _ => None,
    }
    .map_or(bytes, |x| x.to_le_bytes().to_vec())
}

fn canonical(x: f64) -> f64 {
    if x.is_nan() { f64::NAN } else { x + 0.0 }
}
