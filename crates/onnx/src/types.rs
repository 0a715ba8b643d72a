//! Types of values, and descriptions of values.
//!
//! A type without a representation in the IR (opaque, or with an unknown data type) is not an error: the value is
//! untyped, and the type is kept in the notes. Denotations are kept there too.

use crate::{dtype, notes, wire};
use intact8_ir::{Dim, Error, Notes, Result, TensorType, Type, Value};
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::{TensorShapeProto, TypeProto, ValueInfoProto, type_proto};
use protobuf::{Message, MessageField};
use std::mem::take;

/// The value of a description.
pub(crate) fn import_value(mut proto: ValueInfoProto) -> Result<Value> {
    let ty = proto.type_.as_ref().and_then(import);
    let rest = ValueInfoProto {
        type_: proto.type_.take().and_then(|proto| rest_of(proto, ty.is_some())).into(),
        special_fields: take(&mut proto.special_fields),
        ..Default::default()
    };
    let notes =
        notes::import(wire::Message::ValueInfo, &mut proto.doc_string, &mut proto.metadata_props, rest)?;
    Ok(Value { name: proto.name, ty, notes })
}

/// The description of a value under a name that may not be its own, as bytes.
pub(crate) fn export_value(name: &str, value: &Value) -> Result<ValueInfoProto> {
    let rest = &value.notes.rest;
    wire::check(wire::Message::ValueInfo, rest).map_err(|error| error.at("notes.rest"))?;
    let mut proto =
        ValueInfoProto::parse_from_bytes(rest).map_err(|error| Error::syntax(error.to_string()))?;
    let rest = proto.type_.take();
    let mut ty = value.ty.as_ref().map(export);
    match (&mut ty, rest) {
        (Some(ty), Some(rest)) => restore(ty, rest),
        (None, rest) => ty = rest,
        (Some(_), None) => {}
    }
    proto.name = name.to_owned();
    proto.type_ = ty.into();
    proto.doc_string = value.notes.doc.clone();
    proto.metadata_props = notes::metadata(&value.notes);
    Ok(proto)
}

/// Drops a type without a representation in the IR from the notes of a constant's value, which has the type of its tensor.
pub(crate) fn drop_unrepresented(notes: &mut Notes) -> Result<()> {
    let rest = ValueInfoProto::parse_from_bytes(&notes.rest);
    let mut rest = rest.map_err(|error| Error::syntax(error.to_string()))?;
    if rest.type_.take().is_some() {
        notes.rest = notes::bytes(wire::Message::ValueInfo, rest)?;
    }
    Ok(())
}

/// Whether a description of a value consists only of the name.
pub(crate) fn is_bare(info: &ValueInfoProto) -> bool {
    *info == ValueInfoProto { name: info.name.clone(), ..Default::default() }
}

/// The type, if the IR can represent it.
pub(crate) fn import(proto: &TypeProto) -> Option<Type> {
    use type_proto::Value::{MapType, OptionalType, SequenceType, SparseTensorType, TensorType as DenseType};
    Some(match proto.value.as_ref()? {
        DenseType(ty) => Type::Tensor(import_tensor(ty.elem_type, &ty.shape)?),
        SparseTensorType(ty) => Type::Sparse(import_tensor(ty.elem_type, &ty.shape)?),
        SequenceType(ty) => Type::Sequence(Box::new(import(ty.elem_type.as_ref()?)?)),
        OptionalType(ty) => Type::Optional(Box::new(import(ty.elem_type.as_ref()?)?)),
        MapType(ty) => Type::Map(dtype::import(ty.key_type)?, Box::new(import(ty.value_type.as_ref()?)?)),
        _ => return None,
    })
}

/// The message of a type.
pub(crate) fn export(ty: &Type) -> TypeProto {
    let boxed = |ty: &Type| MessageField::some(export(ty));
    let mut proto = TypeProto::new();
    match ty {
        Type::Tensor(ty) => {
            let tensor = proto.mut_tensor_type();
            tensor.elem_type = dtype::export(ty.dtype);
            tensor.shape = ty.shape.as_deref().map(export_shape).into();
        }
        Type::Sparse(ty) => {
            let tensor = proto.mut_sparse_tensor_type();
            tensor.elem_type = dtype::export(ty.dtype);
            tensor.shape = ty.shape.as_deref().map(export_shape).into();
        }
        Type::Sequence(ty) => proto.mut_sequence_type().elem_type = boxed(ty),
        Type::Optional(ty) => proto.mut_optional_type().elem_type = boxed(ty),
        Type::Map(key, ty) => {
            let map = proto.mut_map_type();
            map.key_type = dtype::export(*key);
            map.value_type = boxed(ty);
        }
    }
    proto
}

fn import_tensor(elem_type: i32, shape: &MessageField<TensorShapeProto>) -> Option<TensorType> {
    let shape = shape.as_ref().map(|shape| shape.dim.iter().map(import_dim).collect());
    Some(TensorType { dtype: dtype::import(elem_type)?, shape })
}

/// A dimension. Old exporters write -1 for unknown dimensions.
fn import_dim(proto: &Dimension) -> Dim {
    match &proto.value {
        Some(dimension::Value::DimValue(n)) => usize::try_from(*n).map_or(Dim::Unknown, Dim::Known),
        Some(dimension::Value::DimParam(name)) if !name.is_empty() => Dim::Symbol(name.clone()),
        _ => Dim::Unknown,
    }
}

fn export_shape(shape: &[Dim]) -> TensorShapeProto {
    let dim = |dim: &Dim| {
        let value = match dim {
            Dim::Known(n) => Some(dimension::Value::DimValue(*n as i64)),
            Dim::Symbol(name) => Some(dimension::Value::DimParam(name.clone())),
            Dim::Unknown => None,
        };
        Dimension { value, ..Default::default() }
    };
    TensorShapeProto { dim: shape.iter().map(dim).collect(), ..Default::default() }
}

/// The part of a type that [`import`] does not represent: all of it, or its denotations.
fn rest_of(mut proto: TypeProto, is_said: bool) -> Option<TypeProto> {
    if is_said {
        let dims = dims_mut(&mut proto).map(take).unwrap_or_default();
        proto.value = None;
        if dims.iter().any(|dim| !dim.denotation.is_empty()) {
            let denoted = |dim: Dimension| Dimension { denotation: dim.denotation, ..Default::default() };
            let dim = dims.into_iter().map(denoted).collect();
            proto.mut_tensor_type().shape = Some(TensorShapeProto { dim, ..Default::default() }).into();
        }
    }
    (proto != TypeProto::default()).then_some(proto)
}

/// Restores the result of [`rest_of`] in a type. Denotations are matched by the position of dimensions.
fn restore(ty: &mut TypeProto, mut rest: TypeProto) {
    let denotations = dims_mut(&mut rest).map(take).unwrap_or_default();
    for (dim, rest) in dims_mut(ty).into_iter().flatten().zip(denotations) {
        dim.denotation = rest.denotation;
    }
    ty.denotation = rest.denotation;
    ty.special_fields = rest.special_fields;
}

fn dims_mut(proto: &mut TypeProto) -> Option<&mut Vec<Dimension>> {
    match &mut proto.value {
        Some(type_proto::Value::TensorType(ty)) => ty.shape.as_mut().map(|shape| &mut shape.dim),
        _ => None,
    }
}
