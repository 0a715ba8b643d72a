//! A runtime of the program's own: it knows the operators of the program's models, and those that quantization adds.

use intact8_ir::{DType, Error, Graph, Model, NodeId, Result, Tap, Tensor, ValueId, ValueRef, GraphId};
use std::collections::HashMap;

/// Runs a model and shows every value that it computes. Values are matrices of f32; integers are kept as floats.
pub fn run(model: &Model, inputs: &[Tensor], tap: Tap<'_>) -> Result<Vec<Tensor>> {
    let graph = model.main();
    let mut values: HashMap<ValueId, Tensor> = HashMap::new();
    for (&input, tensor) in graph.inputs().iter().zip(inputs) {
        values.insert(input.into(), tensor.clone());
    }
    for id in graph.topo() {
        if graph.node(id).as_op().is_some() {
            values.insert(id.into(), compute(graph, id, &values)?);
        }
        if let Some(tensor) = values.get(&id.into()) {
            tap(ValueRef { graph: GraphId::MAIN, value: id.into() }, tensor)?;
        }
    }
    Ok(graph.outputs().iter().map(|value| values[value].clone()).collect())
}

fn compute(graph: &Graph, id: NodeId, values: &HashMap<ValueId, Tensor>) -> Result<Tensor> {
    let op = graph.node(id).as_op().expect("only operations are computed");
    let operand = |slot: usize| -> Result<Tensor> {
        let value = graph.operand(id, slot).ok_or_else(|| Error::invalid_model("an operand is missing"))?;
        let tensor = graph.constant(value).or_else(|| values.get(&value));
        tensor.cloned().ok_or_else(|| Error::invalid_model("an operand is not computed"))
    };
    let x = operand(0)?;
    match op.name.as_str() {
        "MatMul" => product(&x, &operand(1)?),
        "Add" => with(&x, &operand(1)?, |a, b| a + b),
        "Mul" => with(&x, &operand(1)?, |a, b| a * b),
        "Relu" => Ok(Tensor::new(x.shape(), floats(&x)?.iter().map(|x| x.max(0.0)).collect())),
        "QuantizeLinear" | "DequantizeLinear" => {
            let (scale, zero) = (operand(1)?, operand(2)?);
            let (min, max) = if zero.dtype() == DType::U8 { (0.0, 255.0) } else { (-128.0, 127.0) };
            let axis = op.int("axis")?.unwrap_or(1).rem_euclid(x.shape().len() as i64) as usize;
            let inner: usize = x.shape()[axis + 1..].iter().product();
            let (scale, zero) = (floats(&scale)?, floats(&zero)?);
            let code = |(idx, x): (usize, &f32)| {
                let channel = idx / inner % scale.len();
                match op.name.as_str() {
                    "QuantizeLinear" => ((x / scale[channel]).round_ties_even() + zero[channel]).clamp(min, max),
                    _ => (x - zero[channel]) * scale[channel],
                }
            };
            Ok(Tensor::new(x.shape(), floats(&x)?.iter().enumerate().map(code).collect()))
        }
        other => Err(Error::unsupported(format!("this runtime has no {other}"))),
    }
}

/// `[rows, depth]` times `[depth, columns]`.
fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (&[rows, depth], &[_, columns]) = (a.shape(), b.shape()) else {
        return Err(Error::unsupported("this runtime multiplies matrices only"));
    };
    let (a, b) = (floats(a)?, floats(b)?);
    let element = |idx: usize| {
        let (row, column) = (idx / columns, idx % columns);
        (0..depth).map(|k| a[row * depth + k] * b[k * columns + column]).sum::<f32>()
    };
    Ok(Tensor::new(&[rows, columns], (0..rows * columns).map(element).collect()))
}

/// A matrix and one value for each column.
fn with(a: &Tensor, b: &Tensor, f: impl Fn(f32, f32) -> f32) -> Result<Tensor> {
    let b = floats(b)?;
    let values = floats(a)?.into_iter().zip(b.iter().cycle()).map(|(a, &b)| f(a, b));
    Ok(Tensor::new(a.shape(), values.collect()))
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    match tensor.dtype() {
        DType::U8 => Ok(tensor.values::<u8>()?.iter().map(|&x| f32::from(x)).collect()),
        DType::I8 => Ok(tensor.values::<i8>()?.iter().map(|&x| f32::from(x)).collect()),
        _ => Ok(tensor.values::<f32>()?.to_vec()),
    }
}
