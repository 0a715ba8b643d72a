//! Padding of average pooling, for runtimes that move zero points past it.

use crate::names::Names;
use crate::new_nodes::{constant, operation, qdq_constants, type_with};
use crate::qdq_params::QdqParams;
use crate::uses::data_operands;
use intact8_ir::{
    Dim, Error, Graph, Model, NodeId, NodeKind, Op, OperatorTrait, Padding, Pass, Result, Tensor, TensorType,
    WindowAttributes,
};

/// Pads the integers before an AveragePool that counts its padding, so that the padding stands for 0.0.
///
/// OpenVINO pools the integers and subtracts the zero point afterwards, and so counts padded integers of 0 as values of
/// `-zero_point * scale`. Left alone: zero points of 0, and padding that is not counted.
///
/// An error: padding whose size depends on a shape that is not known, and a last window that begins in the padding.
///
/// ```qir before
/// model m opset 17
/// %q = input : u8[N,1,4,4]
/// %scale = const [0.5] : f32[]
/// %offset = const [100] : u8[]
/// %x = DequantizeLinear(%q, %scale, %offset) : f32[N,1,4,4]
/// %y = AveragePool(%x) {count_include_pad = 1, kernel_shape = [2, 2], pads = [1, 1, 0, 0]} @pool : f32[N,1,4,4]
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %q = input : u8[N,1,4,4]
/// %pool.pads = const [0, 0, 1, 1, 0, 0, 0, 0] : i64[8]
/// %pool.x.offset = const [100] : u8[]
/// %pool.padded = Pad(%q, %pool.pads, %pool.x.offset) : u8[N,1,5,5]
/// %pool.x.scale = const [0.5] : f32[]
/// %pool.x = DequantizeLinear(%pool.padded, %pool.x.scale, %pool.x.offset) : f32[N,1,5,5]
/// %y = AveragePool(%pool.x) {kernel_shape = [2, 2]} @pool : f32[N,1,4,4]
/// return %y
/// ```
pub struct PadIntegers;

impl Pass for PadIntegers {
    fn name(&self) -> &'static str {
        "pad-integers"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let opset = model.opset();
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let Some(params) = shifted(graph, id) else { continue };
                let padded = pad(graph, id, &params, opset, &mut names);
                changed |= padded.map_err(|error| error.at(graph.node(id).label()))?;
            }
            Ok(())
        })?;
        if changed {
            model.remove_dead();
        }
        Ok(changed)
    }
}

/// The parameters of what a node pools, if it is an AveragePool that counts padding, of integers whose zero point is not 0.
fn shifted(graph: &Graph, id: NodeId) -> Option<QdqParams> {
    let op = graph.node(id).as_op().filter(|op| op.is("AveragePool"))?;
    if op.int("count_include_pad").ok()?.unwrap_or(0) == 0 || WindowAttributes::of(op).ok()?.never_pads() {
        return None;
    }
    let mut value = graph.operand(id, 0)?;
    // Zero points are moved past operations that move data, too.
    while graph.node(value.node).as_op()?.has(OperatorTrait::MovesData)
        && data_operands(graph, value.node) == (0..1)
    {
        value = graph.operand(value.node, 0)?;
    }
    QdqParams::of_dequantized(graph, value)
        .filter(|params| params.per_tensor().is_some_and(|(_, offset)| offset != 0))
}

/// Pads before the pooling; whether there is anything to pad.
fn pad(graph: &mut Graph, id: NodeId, params: &QdqParams, opset: i64, names: &mut Names) -> Result<bool> {
    let Some(input) = graph.operand(id, 0) else { return Ok(false) };
    let ty = graph.value(input).tensor_type().cloned();
    let pads = pads(graph.node(id).as_op().expect("it is an AveragePool"), ty.as_ref())?;
    if opset < 11 {
        return Err(Error::unsupported("the padding of integers needs opset 11; raise the model's"));
    }
    let n_spatial = pads.len() / 2;
    let (begins, ends) = pads.split_at(n_spatial);
    let all: Vec<i64> = [&[0, 0], begins, &[0, 0], ends].concat().into_iter().map(|pad| pad as i64).collect();
    let padded = |ty: TensorType| TensorType {
        shape: ty.shape.map(|dims| {
            let added = |(axis, dim): (usize, Dim)| match dim {
                Dim::Known(n) if axis >= 2 => Dim::Known(n + begins[axis - 2] + ends[axis - 2]),
                dim if axis < 2 => dim,
                _ => Dim::Unknown,
            };
            dims.into_iter().enumerate().map(added).collect()
        }),
        ..ty
    };
    let label = graph.node(id).label().to_owned();
    let all = constant(graph, names, &format!("{label}.pads"), Tensor::new(&[all.len()], all));
    let [scale, offset] = qdq_constants(graph, names, &format!("{label}.x"), params)
        .ok_or_else(|| Error::unsupported("its zero point is of no type of 8 to 32 bits"))?;
    let bytes = type_with(graph, input, params.dtype);
    let integers = match graph.operand(input.node, 0) {
        Some(integers) if graph.node(input.node).is("DequantizeLinear") => integers,
        _ => operation(
            graph,
            names,
            &format!("{label}.x.q"),
            Op::new("QuantizeLinear"),
            bytes.clone(),
            &[input, scale, offset],
        ),
    };
    let operands = [integers, all, offset];
    let value =
        operation(graph, names, &format!("{label}.padded"), Op::new("Pad"), bytes.map(padded), &operands);
    let operands = [value, scale, offset];
    let op = Op::new("DequantizeLinear");
    let value = operation(graph, names, &format!("{label}.x"), op, ty.map(padded), &operands);
    graph.set_operand(id, 0, Some(value));
    if let NodeKind::Op(op) = &mut graph.node_mut(id).kind {
        ["auto_pad", "count_include_pad", "pads"].iter().for_each(|name| drop(op.attrs.remove(*name)));
    }
    Ok(true)
}

/// How much a pooling pads before each spatial dimension, and then after each.
fn pads(op: &Op, input: Option<&TensorType>) -> Result<Vec<usize>> {
    let window = WindowAttributes::of(op)?;
    let dims = input.and_then(|ty| ty.shape.as_ref()).map(|dims| dims.get(2..).unwrap_or_default());
    let sizes: Option<Vec<usize>> = dims.and_then(|dims| dims.iter().map(Dim::known).collect());
    let is_ceil = op.int("ceil_mode")?.unwrap_or(0) != 0;
    let unknown = || {
        Error::unsupported("counts padding that depends on the shape, which is not known; leave it in float")
    };
    match &window.padding {
        Padding::Explicit(Some(pads)) if !is_ceil => Ok(pads.clone()),
        _ => {
            let sizes = sizes.ok_or_else(unknown)?;
            let window = window.over(&sizes, None)?;
            let padded: Vec<usize> = (0..sizes.len())
                .map(|axis| sizes[axis] + window.pads_begin[axis] + window.pads_end[axis])
                .collect();
            let mut plain = window.clone();
            plain.pads_begin.iter_mut().chain(&mut plain.pads_end).for_each(|pad| *pad = 0);
            if window.output(&sizes, is_ceil)? != plain.output(&padded, is_ceil)? {
                return Err(Error::unsupported(
                    "has a last window that begins in the padding; leave it in float",
                ));
            }
            Ok([window.pads_begin, window.pads_end].concat())
        }
    }
}
