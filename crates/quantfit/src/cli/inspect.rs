//! `quantfit inspect`: the layers of a model.

use super::say;
use comfy_table::{CellAlignment, Table, presets};
use quantfit::infer::infer;
use quantfit::ir::{Dim, Graph, NodeId, Op, Pass, Place, TensorType, Type, ValueId};
use quantfit::quant::{NameNodes, layer};
use quantfit::{Model, Tensor};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show a model's layers: which can be quantized, and why others can't
///
/// Shapes are those of one sample; dimensions that the model leaves open are taken as 1.
///
/// Example: quantfit inspect model.onnx
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file
    model: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut model = quantfit::load_model(&args.model)?;
    NameNodes.run(&mut model)?;
    let inference = infer(&mut model)?;
    inference.contradictions().for_each(|finding| say(&format!("contradiction: {finding}")));
    let shapes = shapes(&model)?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["layer", "op", "input", "output", "parameters", "multiply-adds", "int8"]);
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    let graphs = model.graphs();
    for (position, graph) in graphs.iter().enumerate() {
        for id in graph.topo() {
            let Some(op) = graph.node(id).as_op() else { continue };
            let Some(found) = layer(graph, position, id) else {
                *others.entry(&op.name).or_default() += 1;
                continue;
            };
            let shape = |value: Option<ValueId>| shapes.get(&Place { graph: position, value: value? });
            let (input, output) = (shape(graph.operand(id, 0)), shape(Some(id.into())));
            let parameters: usize =
                graph.operands(id).iter().flatten().filter_map(|&v| graph.constant(v)).map(Tensor::len).sum();
            table.add_row([
                graph.node(id).name.clone(),
                op.name.clone(),
                input.map_or("?".to_owned(), |shape| describe(shape)),
                output.map_or("?".to_owned(), |shape| describe(shape)),
                parameters.to_string(),
                multiply_adds(graph, id, op, input, output).map_or("?".to_owned(), |n| n.to_string()),
                found.map_or_else(|reason| format!("no: {reason}"), |_| "yes".to_owned()),
            ]);
        }
    }
    table
        .column_iter_mut()
        .skip(4)
        .take(2)
        .for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    say(&table.to_string());
    let others: Vec<String> = others.iter().map(|(name, n)| format!("{n} {name}")).collect();
    if !others.is_empty() {
        say(&format!("other operators, never layers: {}", others.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(shape: &[usize]) -> String {
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    dims.join("x")
}

/// The shape of every value of one sample, as far as it is known before anything runs.
fn shapes(model: &Model) -> quantfit::Result<BTreeMap<Place, Vec<usize>>> {
    let mut sample = model.clone();
    for id in sample.graph.inputs().to_vec() {
        let Some(Type::Tensor(ty)) = &mut sample.graph.node_mut(id).outputs[0].ty else { continue };
        let dims = ty.shape.iter_mut().flatten();
        dims.filter(|dim| dim.known().is_none()).for_each(|dim| *dim = Dim::Known(1));
    }
    infer(&mut sample)?;
    let mut shapes = BTreeMap::new();
    for (position, graph) in sample.graphs().into_iter().enumerate() {
        for node in graph.node_ids() {
            for (slot, value) in graph.node(node).outputs.iter().enumerate() {
                let shape = value.tensor_type().and_then(TensorType::known_shape);
                let place = Place { graph: position, value: ValueId { node, slot } };
                shapes.extend(shape.map(|shape| (place, shape)));
            }
        }
    }
    Ok(shapes)
}

/// How many multiplications and additions a layer takes; for a pool, its additions.
fn multiply_adds(
    graph: &Graph,
    id: NodeId,
    op: &Op,
    input: Option<&Vec<usize>>,
    output: Option<&Vec<usize>>,
) -> Option<usize> {
    let weight = graph.operand(id, 1).and_then(|value| graph.constant(value)).map(Tensor::shape);
    let output: usize = output?.iter().product();
    match op.name.as_str() {
        "Conv" => Some(output * weight?[1..].iter().product::<usize>()),
        "ConvTranspose" => Some(input?.iter().product::<usize>() * weight?[1..].iter().product::<usize>()),
        "AveragePool" => Some(output * op.ints("kernel_shape").ok()??.iter().product::<i64>() as usize),
        _ => Some(output * input?.last()?),
    }
}
