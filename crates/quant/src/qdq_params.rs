//! The parameters of QuantizeLinear and DequantizeLinear in a graph: constant scales and zero points.
//!
//! It looks up nodes; the formulas are in `params.rs`.

use intact8_ir::{DType, Element, Error, Graph, NodeId, Op, Result, Tensor, ValueId};

/// The constant scales and zero points of a QuantizeLinear or DequantizeLinear.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QdqParams {
    /// The type of the integers.
    pub(crate) dtype: DType,
    /// The scales: one for all, or one per index of a dimension.
    pub(crate) scale: Vec<f32>,
    /// The zero points, as many.
    pub(crate) offset: Vec<i32>,
    /// That dimension, as the node states it; `None` if there is one scale for all.
    pub(crate) axis: Option<i64>,
}

impl QdqParams {
    /// Those of a node, if it is a QuantizeLinear or DequantizeLinear whose scale and offset are constant. Blocked
    /// quantization has no such parameters.
    pub(crate) fn of(graph: &Graph, id: NodeId) -> Option<QdqParams> {
        let op = graph.node(id).as_op()?;
        if !is_quantizer(op) || op.int("block_size").ok()?.is_some_and(|n| n != 0) {
            return None;
        }
        check_scales(graph, id).ok()?;
        let scales = graph.constant(graph.operand(id, 1)?)?;
        let scale = scales.values::<f32>().ok()?.to_vec();
        let (dtype, offset) = match graph.operand(id, 2) {
            Some(value) => {
                let tensor = graph.constant(value)?;
                (tensor.dtype(), integers(tensor)?)
            }
            None => (dtype_without_offset(graph, id)?, vec![0; scale.len()]),
        };
        let axis = match scales.shape() {
            [] | [1] => None,
            [_] => Some(op.int("axis").ok()?.unwrap_or(1)),
            _ => return None,
        };
        let is_usual = scale.iter().all(|&scale| scale > 0.0 && scale.is_finite());
        (is_usual && scale.len() == offset.len()).then_some(QdqParams { dtype, scale, offset, axis })
    }

    /// Those of a QuantizeLinear.
    pub(crate) fn of_quantize(graph: &Graph, id: NodeId) -> Option<QdqParams> {
        if graph.node(id).is("QuantizeLinear") { QdqParams::of(graph, id) } else { None }
    }

    /// Those of the DequantizeLinear that produces a value.
    pub(crate) fn of_dequantized(graph: &Graph, value: ValueId) -> Option<QdqParams> {
        if graph.node(value.node).is("DequantizeLinear") { QdqParams::of(graph, value.node) } else { None }
    }

    /// The one scale and offset for all numbers, if there is one.
    pub(crate) fn per_tensor(&self) -> Option<(f32, i32)> {
        match (self.axis, &self.scale[..], &self.offset[..]) {
            (None, [scale], [offset]) => Some((*scale, *offset)),
            _ => None,
        }
    }

    /// Whether the integers are of 8 bits.
    pub(crate) fn is_byte(&self) -> bool {
        matches!(self.dtype, DType::I8 | DType::U8)
    }

    /// The least and the greatest integer, for types of 8 and 16 bits.
    pub(crate) fn range(&self) -> Option<(i32, i32)> {
        match self.dtype {
            DType::I8 => Some((-128, 127)),
            DType::U8 => Some((0, 255)),
            DType::I16 => Some((-32768, 32767)),
            DType::U16 => Some((0, 65535)),
            _ => None,
        }
    }
}

/// Checks that a QuantizeLinear or DequantizeLinear has a scale, and that the scales of a constant are one for all, or one for
/// each index of the dimension that they lie along. Blocks are not checked.
pub(crate) fn check_scales(graph: &Graph, id: NodeId) -> Result<()> {
    let Some(op) = graph.node(id).as_op().filter(|op| is_quantizer(op)) else { return Ok(()) };
    let Some(scale) = graph.operand(id, 1) else {
        return Err(Error::invalid_model("has no scale; give it one, or remove it"));
    };
    let mut data = graph.operand(id, 0);
    while let Some(value) = data.filter(|value| graph.node(value.node).as_op().is_some_and(is_quantizer)) {
        data = graph.operand(value.node, 0);
    }
    let data = data.and_then(|value| graph.constant(value));
    let (Some(scales), Some(data)) = (graph.constant(scale), data) else { return Ok(()) };
    let [n_scales] = *scales.shape() else { return Ok(()) };
    if n_scales == 1 || op.int("block_size")?.is_some_and(|n| n != 0) {
        return Ok(());
    }
    let (axis, rank) = (op.int("axis")?.unwrap_or(1), data.shape().len());
    let from_front = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(from_front).ok().and_then(|axis| data.shape().get(axis)) {
        Some(&n) if n == n_scales => Ok(()),
        Some(n) => Err(Error::invalid_model(format!(
            "has {n_scales} scales along dimension {axis}, which has the length {n}; give it 1 or {n}"
        ))),
        None => Err(Error::invalid_model(format!(
            "has scales along dimension {axis}, and its data have {rank} dimensions; correct its axis"
        ))),
    }
}

fn is_quantizer(op: &Op) -> bool {
    op.is("QuantizeLinear") || op.is("DequantizeLinear")
}

/// The parameters with which all uses of a value quantize it, if all uses quantize it with the same ones, and the value is not an
/// output of the graph.
pub(crate) fn quantized_as(graph: &Graph, value: ValueId) -> Option<QdqParams> {
    if graph.outputs().contains(&value) {
        return None;
    }
    let users = graph.users(value);
    let mut all_params =
        users.iter().map(|&(user, slot)| QdqParams::of_quantize(graph, user).filter(|_| slot == 0));
    let first = all_params.next()??;
    all_params.all(|params| params.as_ref() == Some(&first)).then_some(first)
}

/// An integer constant before a DequantizeLinear.
pub(crate) struct StoredConstant<'a> {
    /// The constant.
    pub(crate) integers: &'a Tensor,
    /// The parameters that they are dequantized with.
    pub(crate) params: QdqParams,
}

/// The integers of a value, if it is a dequantized constant.
pub(crate) fn stored_constant(graph: &Graph, value: ValueId) -> Option<StoredConstant<'_>> {
    let params = QdqParams::of_dequantized(graph, value)?;
    let integers = graph.constant(graph.operand(value.node, 0)?)?;
    (integers.dtype() == params.dtype).then_some(StoredConstant { integers, params })
}

/// The type of the integers where there is no zero point that has it.
fn dtype_without_offset(graph: &Graph, id: NodeId) -> Option<DType> {
    let op = graph.node(id).as_op()?;
    if op.is("QuantizeLinear") {
        return match op.int("output_dtype").ok()?.unwrap_or(0) {
            0 => Some(DType::U8),
            number => DType::from_number(number),
        };
    }
    let input = graph.operand(id, 0)?;
    let of_type = || Some(graph.value(input).tensor_type()?.dtype);
    let of_maker = || Some(QdqParams::of_quantize(graph, input.node)?.dtype);
    graph.constant(input).map(Tensor::dtype).or_else(of_type).or_else(of_maker)
}

/// The elements of a tensor of integers of at most 32 bits.
pub(crate) fn integers(tensor: &Tensor) -> Option<Vec<i32>> {
    fn widened<T: Element + Copy + Into<i32>>(tensor: &Tensor) -> Option<Vec<i32>> {
        Some(tensor.values::<T>().ok()?.iter().map(|&value| value.into()).collect())
    }
    match tensor.dtype() {
        DType::I8 => widened::<i8>(tensor),
        DType::U8 => widened::<u8>(tensor),
        DType::I16 => widened::<i16>(tensor),
        DType::U16 => widened::<u16>(tensor),
        DType::I32 => widened::<i32>(tensor),
        _ => None,
    }
}

/// Integers as a tensor of a type of 8, 16 or 32 bits that holds them.
pub(crate) fn integer_tensor(dtype: DType, shape: &[usize], values: &[i32]) -> Option<Tensor> {
    let values = values.iter();
    Some(match dtype {
        DType::I8 => Tensor::new(shape, values.map(|&value| value as i8).collect()),
        DType::U8 => Tensor::new(shape, values.map(|&value| value as u8).collect()),
        DType::I16 => Tensor::new(shape, values.map(|&value| value as i16).collect()),
        DType::U16 => Tensor::new(shape, values.map(|&value| value as u16).collect()),
        DType::I32 => Tensor::new(shape, values.copied().collect()),
        _ => return None,
    })
}
