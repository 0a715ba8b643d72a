//! Convolutions.

use super::window::{Window, known, sized};
use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop};
use crate::row::ElementType::{Common, Is, Like};
use crate::row::{OpRow, one};
use intact8_ir::DType::I32;
use intact8_ir::Padding;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("CausalConvWithState", &[Common(2)], causal),
    OpRow::tensors("Col2Im", &[Like(0)], image_of_columns),
    OpRow::tensors("Conv", &[Common(3)], |ctx| convolved(ctx, 0, 1)),
    OpRow::tensors("ConvInteger", &[Is(I32)], |ctx| convolved(ctx, 0, 1)),
    OpRow::tensors("ConvTranspose", &[Common(3)], transposed),
    OpRow::tensors("DeformConv", &[Common(3)], |ctx| convolved(ctx, 0, 1)),
    OpRow::tensors("QLinearConv", &[Like(7)], |ctx| convolved(ctx, 0, 3)),
];

/// Input `[N,C,…]` and weight `[M,C/group,…]`; each may determine unknown dimensions of the other. With
/// `channels_last`, which only operators of com.microsoft have, the input is `[N,…,C]`.
pub(super) fn convolved(
    ctx: &InferenceContext<'_>,
    input: usize,
    weight: usize,
) -> Inferred<Vec<Option<Shape>>> {
    let channels_last = ctx.flag("channels_last")?;
    let (input, weight) = both(ctx, input, weight, channels_last)?;
    let group = DimExpr::known(ctx.int("group", 1)?);
    let (found, expected) = (&input[1], &weight[1] * &group);
    if let (Some(found), Some(expected)) = (found.as_known(), expected.as_known())
        && found != expected
    {
        return Err(Stop::wrong(format!(
            "the weight has {expected} input channels, but the input has {found}"
        )));
    }
    let window = Window::read(ctx, input.len() - 2, Some(&weight[2..]))?;
    let spatial = window.counts(&input[2..], false);
    let (batch, channels) = (vec![input[0].clone()], vec![weight[0].clone()]);
    one(if channels_last { [batch, spatial, channels] } else { [batch, channels, spatial] }.concat())
}

/// The shapes of input and weight, channels second; an unknown one has the rank of the other.
fn both(
    ctx: &InferenceContext<'_>,
    input: usize,
    weight: usize,
    channels_last: bool,
) -> Inferred<(Shape, Shape)> {
    let (input, weight) = (ctx.shape_if_known(input)?, ctx.shape_if_known(weight)?);
    let rank = input.or(weight).ok_or(Stop::UnknownOperand)?.len();
    let [mut input, weight] =
        [input, weight].map(|shape| shape.map_or_else(|| vec![DimExpr::UNKNOWN; rank], <[DimExpr]>::to_vec));
    if rank < 3 || weight.len() != rank {
        let found = weight.len();
        return Err(Stop::wrong(format!("the input has rank {rank}, but the weight has rank {found}")));
    }
    if channels_last {
        input[1..].rotate_right(1);
    }
    Ok((input, weight))
}

/// Input `[N,C,…]` and weight `[C,M/group,…]`.
fn transposed(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (input, weight) = both(ctx, 0, 1, false)?;
    let n_dims = input.len() - 2;
    let window = Window::read(ctx, n_dims, Some(&weight[2..]))?;
    let channels = &weight[1] * &DimExpr::known(ctx.int("group", 1)?);
    let stated = ctx.op.ints("output_shape")?.filter(|list| !list.is_empty());
    // Some files contain the whole shape instead of only the spatial dimensions.
    let stated = stated.map(|list| list.get(list.len().saturating_sub(n_dims)..).unwrap_or_default());
    let spatial: Shape = match stated {
        Some(list) if list.len() == n_dims => list.iter().map(|&n| DimExpr::known(n)).collect(),
        Some(list) => {
            let found = list.len();
            return Err(Stop::wrong(format!("output_shape must have {n_dims} elements, found {found}")));
        }
        None => {
            let more = ctx.op.sizes("output_padding", 0)?;
            let more = sized("output_padding", more, n_dims)?.unwrap_or_else(|| vec![0; n_dims]);
            (0..n_dims).map(|idx| spread(&window, idx, &input[2 + idx], more[idx])).collect()
        }
    };
    one([vec![input[0].clone(), channels], spatial].concat())
}

/// The length of the input for which a window has an output of length `n`: `stride · (n - 1) + reach + more - pads`.
pub(super) fn spread(window: &Window, idx: usize, input: &DimExpr, more: usize) -> DimExpr {
    let stride = known(window.strides[idx]);
    if matches!(window.padding, Padding::Same { .. }) {
        return input * &stride;
    }
    let way = &stride * &(input - &DimExpr::known(1));
    &(&(&way + &window.reach(idx)) + &known(more)) - &window.pads(idx)
}

/// From columns `[N,C·block,L]` to an image `[N,C,…]`.
fn image_of_columns(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let image = ctx.required_dims(1, "the image's shape")?;
    let unknown = || vec![DimExpr::UNKNOWN; 3];
    let columns = ctx.shape_if_known(0)?.map_or_else(unknown, <[DimExpr]>::to_vec);
    let [batch, channels, _] = columns.as_slice() else {
        return Err(Stop::wrong(format!("columns must have rank 3, found {}", columns.len())));
    };
    let channels = match ctx.dims(2, "the block's shape") {
        Ok(Some(block)) => channels.exact_div(&DimExpr::product(&block)),
        Ok(None) => return Err(Stop::wrong("operand 2 is missing")),
        Err(_) => ctx.unknown("the block's shape is computed while the model runs"),
    };
    one([vec![batch.clone(), channels], image].concat())
}

/// Input `[N,C,L]` and weight `[C,1,K]`: the state is `[N,C,K-1]`.
fn causal(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let input = ctx.shape_of_rank(0, 3)?;
    let weight = ctx.shape_of_rank(1, 3)?;
    let state = vec![input[0].clone(), input[1].clone(), &weight[2] - &DimExpr::known(1)];
    Ok(vec![Some(input.to_vec()), Some(state)])
}
