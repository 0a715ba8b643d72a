//! Boxes in images: their selection, and pooling of their content.

mod max_roi_pool;
mod roi_align;

use crate::indices::integers;
use crate::number::FLOATS;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use intact8_ir::{DType, Error, Result, Tensor};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "MaxRoiPool", opsets: 1..=NEWEST, types: FLOATS, compile: max_roi_pool::max_roi_pool },
    OpRow {
        name: "NonMaxSuppression",
        opsets: 10..=NEWEST,
        types: &[DType::F32],
        compile: non_max_suppression,
    },
    OpRow { name: "RoiAlign", opsets: 10..=NEWEST, types: FLOATS, compile: roi_align::roi_align },
];

/// A box by two corners, the lower one first.
#[derive(Debug, Clone, Copy)]
struct Corners {
    x: (f32, f32),
    y: (f32, f32),
    area: f32,
}

impl Corners {
    /// `[y, x, y, x]` of two opposite corners.
    fn of_diagonal(values: [f32; 4]) -> Corners {
        let [y1, x1, y2, x2] = values;
        let sorted = |a: f32, b: f32| if a >= b { (b, a) } else { (a, b) };
        Corners::new(sorted(x1, x2), sorted(y1, y2))
    }

    /// `[x, y, width, height]` of the center.
    fn of_center(values: [f32; 4]) -> Corners {
        let [x, y, width, height] = values;
        let (half_width, half_height) = (width / 2.0, height / 2.0);
        Corners::new((x - half_width, x + half_width), (y - half_height, y + half_height))
    }

    fn new(x: (f32, f32), y: (f32, f32)) -> Corners {
        Corners { x, y, area: (x.1 - x.0) * (y.1 - y.0) }
    }

    /// Whether the intersection exceeds a fraction of the union. Boxes without an area overlap no other box.
    fn overlaps(&self, other: &Corners, threshold: f32) -> bool {
        let common = |a: (f32, f32), b: (f32, f32)| a.1.min(b.1) - a.0.max(b.0);
        let (width, height) = (common(self.x, other.x), common(self.y, other.y));
        if width <= 0.0 || height <= 0.0 || self.area <= 0.0 || other.area <= 0.0 {
            return false;
        }
        let intersection = width * height;
        let union = self.area + other.area - intersection;
        intersection > 0.0 && union > 0.0 && intersection / union > threshold
    }
}

/// For every class, selects boxes by descending score; boxes that overlap a selected one are dropped.
fn non_max_suppression(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let is_center = ctx.flag("center_point_box", false)?;
    Ok(Box::new(move |call| {
        let (boxes, scores) = (call.tensor(0)?, call.tensor(1)?);
        let (&[batch, n_boxes, 4], &[scores_batch, n_classes, n_scores]) = (boxes.shape(), scores.shape())
        else {
            return Err(misfit(boxes, scores));
        };
        if (batch, n_boxes) != (scores_batch, n_scores) {
            return Err(misfit(boxes, scores));
        }
        let most =
            call.optional(2)?.map(integers).transpose()?.and_then(|most| most.first().copied()).unwrap_or(0);
        let most = usize::try_from(most).unwrap_or(0);
        let threshold = |slot: usize| -> Result<Option<f32>> {
            Ok(call
                .optional(slot)?
                .map(Tensor::values)
                .transpose()?
                .and_then(|values: &[f32]| values.first().copied()))
        };
        let (iou_threshold, score_threshold) = (threshold(3)?.unwrap_or(0.0), threshold(4)?);
        let corners = if is_center { Corners::of_center } else { Corners::of_diagonal };
        let corners: Vec<Corners> =
            boxes.values::<f32>()?.as_chunks::<4>().0.iter().map(|values| corners(*values)).collect();
        let mut selected = Vec::new();
        let scores = scores.values::<f32>()?;
        for (row, scores) in scores.chunks_exact(n_boxes.max(1)).enumerate().filter(|_| most > 0) {
            let (image, class) = (row / n_classes, row % n_classes);
            let corners = &corners[image * n_boxes..(image + 1) * n_boxes];
            let mut order: Vec<usize> = (0..n_boxes).collect();
            order.retain(|&idx| score_threshold.is_none_or(|threshold| scores[idx] > threshold));
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            let mut kept: Vec<usize> = Vec::new();
            for idx in order {
                if kept.len() == most {
                    break;
                }
                if !kept.iter().any(|&other| corners[idx].overlaps(&corners[other], iou_threshold)) {
                    kept.push(idx);
                }
            }
            selected.extend(kept.iter().flat_map(|&idx| [image as i64, class as i64, idx as i64]));
        }
        call.reserve::<i64>(&[selected.len()])?;
        one(Tensor::new(&[selected.len() / 3, 3], selected))
    }))
}

fn misfit(boxes: &Tensor, scores: &Tensor) -> Error {
    Error::invalid_data(format!(
        "boxes of shape {:?} and scores of shape {:?}",
        boxes.shape(),
        scores.shape()
    ))
}
