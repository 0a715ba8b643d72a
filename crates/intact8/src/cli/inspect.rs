//! `intact8 inspect`: the table of a model's layers.

use super::{LoadArgs, print_line};
use comfy_table::{CellAlignment, Table, presets};
use intact8::infer::infer;
use intact8::ir::{ValueId, ValueRef};
use intact8::quant::calibration::{saturating_pairs, weight_params};
use intact8::quant::layer::nodes;
use intact8::quant::{Layer, LayerConfig};
use intact8::{Model, Preparation, Tensor, multiply_adds, sample_shapes};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show the layers of a model, and for each whether it can be quantized
///
/// Shapes are those of one sample, with 1 for other symbolic and unknown dimensions. The column `saturates` is the fraction of
/// pairs of neighbouring weights whose products can saturate on processors without VNNI; see --reduce-range of `quantize`.
///
/// Example: intact8 inspect model.onnx
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file
    model: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let model = args.load.model(&args.model)?;
    let inference = infer(&mut model.clone())?;
    let prepared = intact8::prepare(&model, &Preparation::default(), &mut ())?;
    let model = prepared.model();
    inference.contradictions().for_each(|finding| print_line(&format!("contradiction: {finding}")));
    let shapes = sample_shapes(model)?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "layer",
        "op",
        "input",
        "output",
        "parameters",
        "multiply-adds",
        "saturates",
        "can be quantized",
    ]);
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    for (graph_id, graph) in model.graphs() {
        for (id, found) in nodes(model, graph_id) {
            let Some(op) = graph.node(id).as_op() else { continue };
            let Some(found) = found else {
                *others.entry(&op.name).or_default() += 1;
                continue;
            };
            let shape = |value: Option<ValueId>| shapes.get(&ValueRef { graph: graph_id, value: value? });
            let (input, output) = (shape(graph.operand(id, 0)), shape(Some(id.into())));
            let parameters: usize =
                graph.operands(id).iter().flatten().filter_map(|&v| graph.constant(v)).map(Tensor::len).sum();
            table.add_row([
                graph.node(id).name.clone(),
                op.name.clone(),
                input.map_or("?".to_owned(), |shape| describe(shape)),
                output.map_or("?".to_owned(), |shape| describe(shape)),
                parameters.to_string(),
                found
                    .as_ref()
                    .ok()
                    .and_then(|layer| multiply_adds(model, layer, &shapes))
                    .map_or("?".to_owned(), |n| n.to_string()),
                found.as_ref().ok().and_then(|layer| saturates(model, layer)).unwrap_or_default(),
                found.map_or_else(|reason| format!("no: {reason}"), |_| "yes".to_owned()),
            ]);
        }
    }
    table
        .column_iter_mut()
        .skip(4)
        .take(3)
        .for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    print_line(&table.to_string());
    let others: Vec<String> = others.iter().map(|(name, n)| format!("{n} {name}")).collect();
    if !others.is_empty() {
        print_line(&format!("other operators, which are never layers: {}", others.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

/// The fraction of pairs of neighbouring weights, quantized by default, whose products can saturate on processors without VNNI.
fn saturates(model: &Model, layer: &Layer) -> Option<String> {
    let weight = layer.weights.first()?;
    let tensor = layer.tensor(model, weight);
    let params = weight_params(tensor, *weight, &LayerConfig::for_layer(layer).weight_quant_params).ok()?;
    let (n_risky, n_pairs) = saturating_pairs(tensor, weight, &params)?;
    (n_risky > 0).then(|| format!("{:.1} %", n_risky as f64 / n_pairs as f64 * 100.0))
}

fn describe(shape: &[usize]) -> String {
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    dims.join("x")
}
