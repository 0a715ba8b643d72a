//! What changed between the operator sets 7 and 21, of what a model that runs has to follow.
//!
//! Changes that only allow more are none: further types, negative axes, new attributes whose default is the old meaning.
//! Source: the version history of each operator in ONNX's Operators.md and Changelog.md.

use super::{Change, Site};
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
    Change { op: "Scatter", opset: 11, rewrite: |site| rename(site, "ScatterElements") },
    Change { op: "Slice", opset: 10, rewrite: slice },
    Change { op: "Softmax", opset: 13, rewrite: along_one_axis },
    Change { op: "Split", opset: 13, rewrite: |site| site.ints_to_operand("split", 1) },
    Change { op: "Split", opset: 18, rewrite: count_parts },
    Change { op: "Squeeze", opset: 13, rewrite: axes_to_operand },
    Change { op: "TopK", opset: 10, rewrite: top_k },
    Change { op: "Unsqueeze", opset: 13, rewrite: axes_to_operand },
    Change { op: "Upsample", opset: 9, rewrite: scales_to_operand },
    Change { op: "Upsample", opset: 10, rewrite: |site| rename(site, "Resize") },
];

fn rename(site: &mut Site<'_>, name: &str) -> Result<()> {
    name.clone_into(&mut site.op().name);
    Ok(())
}

fn axes_to_operand(site: &mut Site<'_>) -> Result<()> {
    site.ints_to_operand("axes", 1)
}

/// Statistics of each place instead of each channel are no longer to be had.
fn drop_spatial(site: &mut Site<'_>) -> Result<()> {
    match site.take_int("spatial")? {
        None | Some(1) => Ok(()),
        Some(_) => Err(site.stuck("it has statistics of its own for each place")),
    }
}

/// What the others mean has changed.
fn only_first_output(site: &mut Site<'_>) -> Result<()> {
    if site.has_further_outputs() {
        return Err(site.stuck("its further outputs mean something else there"));
    }
    site.graph.node_mut(site.id).outputs.truncate(1);
    Ok(())
}

/// Without training it does nothing, whatever the ratio.
fn drop_ratio(site: &mut Site<'_>) -> Result<()> {
    site.take("ratio");
    Ok(())
}

fn clip(site: &mut Site<'_>) -> Result<()> {
    site.number_to_operand("min", 1)?;
    site.number_to_operand("max", 2)
}

fn pad(site: &mut Site<'_>) -> Result<()> {
    site.ints_to_operand("pads", 1)?;
    match site.op().float("value")? {
        None | Some(0.0) => drop(site.take("value")),
        Some(_) => site.number_to_operand("value", 2)?,
    }
    Ok(())
}

fn slice(site: &mut Site<'_>) -> Result<()> {
    for (slot, name) in [(1, "starts"), (2, "ends"), (3, "axes")] {
        site.ints_to_operand(name, slot)?;
    }
    Ok(())
}

fn top_k(site: &mut Site<'_>) -> Result<()> {
    if let Some(k) = site.take_int("k")? {
        site.feed(1, "k", Tensor::new(&[1], vec![k]));
    }
    Ok(())
}

fn scales_to_operand(site: &mut Site<'_>) -> Result<()> {
    if let Some(scales) = site.op().floats("scales")?.map(<[f32]>::to_vec) {
        site.take("scales");
        site.feed(1, "scales", Tensor::new(&[scales.len()], scales));
    }
    Ok(())
}

/// The first Resize knew one way to place pixels and one to round, and no region of interest.
fn resize(site: &mut Site<'_>) -> Result<()> {
    let scales = site.graph.operand(site.id, 1);
    site.graph.set_operand(site.id, 1, None);
    site.graph.set_operand(site.id, 2, scales);
    for (name, value) in [("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")] {
        site.op().attrs.insert(name.to_owned(), Attr::Str(value.into()));
    }
    Ok(())
}

fn keep_pixel_corners(site: &mut Site<'_>) -> Result<()> {
    let mode = Attr::Str("output_half_pixel".into());
    site.op().attrs.insert("coordinate_transformation_mode".to_owned(), mode);
    Ok(())
}

fn rename_modes(site: &mut Site<'_>) -> Result<()> {
    let renamed = match site.op().str("mode")? {
        Some("bilinear") => "linear",
        Some("bicubic") => "cubic",
        _ => return Ok(()),
    };
    site.op().attrs.insert("mode".to_owned(), Attr::Str(renamed.into()));
    Ok(())
}

/// The axis is an operand now, and the one that is meant when none is given is another.
fn dft(site: &mut Site<'_>) -> Result<()> {
    let axis = site.take_int("axis")?.unwrap_or(1);
    site.feed(2, "axis", Tensor::new(&[], vec![axis]));
    Ok(())
}

fn refuse_groups(site: &mut Site<'_>) -> Result<()> {
    Err(site.stuck("its scale and bias are those of groups, and would have to be those of channels"))
}

fn refuse_batched_scan(site: &mut Site<'_>) -> Result<()> {
    Err(site.stuck("it scans each sample of a batch"))
}

/// Equal parts must be counted.
fn count_parts(site: &mut Site<'_>) -> Result<()> {
    let n_parts = site.graph.node(site.id).outputs.len() as i64;
    if site.graph.operand(site.id, 1).is_none() {
        site.op().attrs.insert("num_outputs".to_owned(), Attr::Int(n_parts));
    }
    Ok(())
}

/// Softmax and its kind once worked along all axes from the given one on, as if they were one; now along one.
fn along_one_axis(site: &mut Site<'_>) -> Result<()> {
    let axis = site.take_int("axis")?.unwrap_or(1);
    let is_last = site.rank(0).is_some_and(|rank| axis == -1 || axis == rank as i64 - 1);
    site.op().attrs.insert("axis".to_owned(), Attr::Int(-1));
    if is_last {
        return Ok(());
    }
    let Some(input) = site.graph.operand(site.id, 0) else { return Ok(()) };
    let shape = site.insert("shape", Op::new("Shape"), None, &[input]);
    let flat = site.insert("flat", Op::new("Flatten").with("axis", Attr::Int(axis)), None, &[input]);
    site.graph.set_operand(site.id, 0, Some(flat));
    // The node goes on under its name, and what puts its result back into shape takes over the result's.
    let result = site.graph.value(site.id.into()).clone();
    let rows = site.names.fresh(&format!("{}.rows", site.label));
    site.graph.node_mut(site.id).outputs[0] = Value::new(rows);
    let name = site.names.fresh(&format!("{}.reshape", site.label));
    let back = Node::op(&name, Op::new("Reshape"), [result]);
    let back = site.graph.add(back, &[Some(site.id.into()), Some(shape)]);
    site.graph.replace_uses(site.id.into(), back.into());
    Ok(())
}
