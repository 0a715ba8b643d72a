//! The changes of operators between the operator sets 7 and 21 that concern a model that runs.
//!
//! Extensions are not listed: further types, negative axes, new attributes whose default is the old meaning.
//! Source: the version history of each operator in ONNX's Operators.md and Changelog.md.

use super::{Change, NodeRewriter};
use intact8_ir::{Attr, Node, Op, Result, Tensor, Value};

pub(super) const CHANGES: &[Change] = &[
    Change { op: "BatchNormalization", opset: 9, rewrite: drop_spatial },
    Change { op: "BatchNormalization", opset: 14, rewrite: only_first_output },
    Change { op: "Clip", opset: 11, rewrite: clip },
    Change { op: "DFT", opset: 20, rewrite: dft },
    Change { op: "Dropout", opset: 10, rewrite: only_first_output },
    Change { op: "Dropout", opset: 12, rewrite: drop_ratio },
    Change { op: "GridSample", opset: 20, rewrite: rename_modes },
    Change { op: "GroupNormalization", opset: 21, rewrite: refuse_groups },
    Change { op: "Hardmax", opset: 13, rewrite: along_one_axis },
    Change { op: "LogSoftmax", opset: 13, rewrite: along_one_axis },
    Change { op: "Pad", opset: 11, rewrite: pad },
    Change { op: "ReduceL1", opset: 18, rewrite: axes_to_operand },
    Change { op: "ReduceL2", opset: 18, rewrite: axes_to_operand },
    Change { op: "ReduceLogSum", opset: 18, rewrite: axes_to_operand },
    Change { op: "ReduceLogSumExp", opset: 18, rewrite: axes_to_operand },
    Change { op: "ReduceMax", opset: 18, rewrite: axes_to_operand },
    Change { op: "ReduceMean", opset: 18, rewrite: axes_to_operand },
    Change { op: "ReduceMin", opset: 18, rewrite: axes_to_operand },
    Change { op: "ReduceProd", opset: 18, rewrite: axes_to_operand },
    Change { op: "ReduceSum", opset: 13, rewrite: axes_to_operand },
    Change { op: "ReduceSumSquare", opset: 18, rewrite: axes_to_operand },
    Change { op: "Resize", opset: 11, rewrite: resize },
    Change { op: "RoiAlign", opset: 16, rewrite: keep_pixel_corners },
    Change { op: "Scan", opset: 9, rewrite: refuse_batched_scan },
    Change { op: "Scatter", opset: 11, rewrite: |rewriter| rename(rewriter, "ScatterElements") },
    Change { op: "Slice", opset: 10, rewrite: slice },
    Change { op: "Softmax", opset: 13, rewrite: along_one_axis },
    Change { op: "Split", opset: 13, rewrite: |rewriter| rewriter.ints_to_operand("split", 1) },
    Change { op: "Split", opset: 18, rewrite: count_parts },
    Change { op: "Squeeze", opset: 13, rewrite: axes_to_operand },
    Change { op: "TopK", opset: 10, rewrite: top_k },
    Change { op: "Unsqueeze", opset: 13, rewrite: axes_to_operand },
    Change { op: "Upsample", opset: 9, rewrite: scales_to_operand },
    Change { op: "Upsample", opset: 10, rewrite: |rewriter| rename(rewriter, "Resize") },
];

fn rename(rewriter: &mut NodeRewriter<'_>, name: &str) -> Result<()> {
    name.clone_into(&mut rewriter.op().name);
    Ok(())
}

fn axes_to_operand(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    rewriter.ints_to_operand("axes", 1)
}

/// Newer versions have no statistics for each position instead of each channel.
fn drop_spatial(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    match rewriter.take_int("spatial")? {
        None | Some(1) => Ok(()),
        Some(_) => Err(rewriter.stuck("it has separate statistics for each position")),
    }
}

/// The meaning of the other modes has changed.
fn only_first_output(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    if rewriter.has_further_outputs() {
        return Err(rewriter.stuck("its further outputs mean something else there"));
    }
    rewriter.graph.node_mut(rewriter.id).outputs.truncate(1);
    Ok(())
}

/// Outside of training it does nothing, for any ratio.
fn drop_ratio(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    rewriter.take("ratio");
    Ok(())
}

fn clip(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    rewriter.number_to_operand("min", 1)?;
    rewriter.number_to_operand("max", 2)
}

fn pad(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    rewriter.ints_to_operand("pads", 1)?;
    match rewriter.op().float("value")? {
        None | Some(0.0) => drop(rewriter.take("value")),
        Some(_) => rewriter.number_to_operand("value", 2)?,
    }
    Ok(())
}

fn slice(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    for (slot, name) in [(1, "starts"), (2, "ends"), (3, "axes")] {
        rewriter.ints_to_operand(name, slot)?;
    }
    Ok(())
}

fn top_k(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    if let Some(k) = rewriter.take_int("k")? {
        rewriter.feed(1, "k", Tensor::new(&[1], vec![k]));
    }
    Ok(())
}

fn scales_to_operand(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    if let Some(scales) = rewriter.op().floats("scales")?.map(<[f32]>::to_vec) {
        rewriter.take("scales");
        rewriter.feed(1, "scales", Tensor::new(&[scales.len()], scales));
    }
    Ok(())
}

/// The first Resize had one mapping of coordinates and one rounding, and no region of interest.
fn resize(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    let scales = rewriter.graph.operand(rewriter.id, 1);
    rewriter.graph.set_operand(rewriter.id, 1, None);
    rewriter.graph.set_operand(rewriter.id, 2, scales);
    for (name, value) in [("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")] {
        rewriter.op().attrs.insert(name.to_owned(), Attr::Str(value.into()));
    }
    Ok(())
}

fn keep_pixel_corners(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    let mode = Attr::Str("output_half_pixel".into());
    rewriter.op().attrs.insert("coordinate_transformation_mode".to_owned(), mode);
    Ok(())
}

fn rename_modes(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    let renamed = match rewriter.op().str("mode")? {
        Some("bilinear") => "linear",
        Some("bicubic") => "cubic",
        _ => return Ok(()),
    };
    rewriter.op().attrs.insert("mode".to_owned(), Attr::Str(renamed.into()));
    Ok(())
}

/// The axis is an operand now, and its default is another.
fn dft(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    let axis = rewriter.take_int("axis")?.unwrap_or(1);
    rewriter.feed(2, "axis", Tensor::new(&[], vec![axis]));
    Ok(())
}

fn refuse_groups(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    Err(rewriter.stuck("its scale and bias are those of groups, and would have to be those of channels"))
}

fn refuse_batched_scan(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    Err(rewriter.stuck("it scans each sample of a batch"))
}

/// Equal parts must be counted.
fn count_parts(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    let n_parts = rewriter.graph.node(rewriter.id).outputs.len() as i64;
    if rewriter.graph.operand(rewriter.id, 1).is_none() {
        rewriter.op().attrs.insert("num_outputs".to_owned(), Attr::Int(n_parts));
    }
    Ok(())
}

/// Softmax and similar operators once worked along all axes from `axis` on, as if they were one; now along one.
fn along_one_axis(rewriter: &mut NodeRewriter<'_>) -> Result<()> {
    let axis = rewriter.take_int("axis")?.unwrap_or(1);
    let is_last = rewriter.rank(0).is_some_and(|rank| axis == -1 || axis == rank as i64 - 1);
    rewriter.op().attrs.insert("axis".to_owned(), Attr::Int(-1));
    if is_last {
        return Ok(());
    }
    let Some(input) = rewriter.graph.operand(rewriter.id, 0) else { return Ok(()) };
    let shape = rewriter.insert("shape", Op::new("Shape"), None, &[input]);
    let flat = rewriter.insert("flat", Op::new("Flatten").with("axis", Attr::Int(axis)), None, &[input]);
    rewriter.graph.set_operand(rewriter.id, 0, Some(flat));
    // The node keeps its name, and the Reshape of its result has the result's name.
    let result = rewriter.graph.value(rewriter.id.into()).clone();
    let rows = rewriter.names.fresh(&format!("{}.rows", rewriter.label));
    rewriter.graph.node_mut(rewriter.id).outputs[0] = Value::new(rows);
    let name = rewriter.names.fresh(&format!("{}.reshape", rewriter.label));
    let back = Node::op(&name, Op::new("Reshape"), [result]);
    let back = rewriter.graph.add(back, &[Some(rewriter.id.into()), Some(shape)]);
    rewriter.graph.replace_uses(rewriter.id.into(), back.into());
    Ok(())
}
