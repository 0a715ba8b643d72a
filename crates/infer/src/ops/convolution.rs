//! Convolutions.

use super::window::{Window, known, sized};
use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::{Common, Is, Like};
use crate::row::{OpRow, one};
use crate::site::{Inferred, Site, Stop};
use intact8_ir::DType::I32;
use intact8_ir::Padding;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("CausalConvWithState", &[Common(2)], causal),
    OpRow::tensors("Col2Im", &[Like(0)], image_of_columns),
    OpRow::tensors("Conv", &[Common(3)], |site| convolved(site, 0, 1)),
    OpRow::tensors("ConvInteger", &[Is(I32)], |site| convolved(site, 0, 1)),
    OpRow::tensors("ConvTranspose", &[Common(3)], transposed),
    OpRow::tensors("DeformConv", &[Common(3)], |site| convolved(site, 0, 1)),
    OpRow::tensors("QLinearConv", &[Like(7)], |site| convolved(site, 0, 3)),
];

/// Input `[N,C,…]` and weight `[M,C/group,…]`; what one does not tell, the other may. With `channels_last`, which only
/// Microsoft's operators have, the input is `[N,…,C]`.
pub(super) fn convolved(site: &Site<'_>, input: usize, weight: usize) -> Inferred<Vec<Option<Shape>>> {
    let channels_last = site.flag("channels_last")?;
    let (input, weight) = both(site, input, weight, channels_last)?;
    let group = Length::known(site.int("group", 1)?);
    let (given, wanted) = (&input[1], &weight[1] * &group);
    if let (Some(given), Some(wanted)) = (given.as_known(), wanted.as_known())
        && given != wanted
    {
        return Err(Stop::wrong(format!("the weight is for {wanted} channels, the input has {given}")));
    }
    let window = Window::read(site, input.len() - 2, Some(&weight[2..]))?;
    let spatial = window.counts(&input[2..], false);
    let (batch, channels) = (vec![input[0].clone()], vec![weight[0].clone()]);
    one(if channels_last { [batch, spatial, channels] } else { [batch, channels, spatial] }.concat())
}

/// The shapes of input and weight, channels second; one that is not known has the rank of the other.
fn both(site: &Site<'_>, input: usize, weight: usize, channels_last: bool) -> Inferred<(Shape, Shape)> {
    let (input, weight) = (site.shape_if_known(input)?, site.shape_if_known(weight)?);
    let rank = input.or(weight).ok_or(Stop::Unread)?.len();
    let [mut input, weight] =
        [input, weight].map(|shape| shape.map_or_else(|| vec![Length::UNKNOWN; rank], <[Length]>::to_vec));
    if rank < 3 || weight.len() != rank {
        let found = weight.len();
        return Err(Stop::wrong(format!("an input of {rank} dimensions does not fit a weight of {found}")));
    }
    if channels_last {
        input[1..].rotate_right(1);
    }
    Ok((input, weight))
}

/// Input `[N,C,…]` and weight `[C,M/group,…]`.
fn transposed(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (input, weight) = both(site, 0, 1, false)?;
    let n_dims = input.len() - 2;
    let window = Window::read(site, n_dims, Some(&weight[2..]))?;
    let channels = &weight[1] * &Length::known(site.int("group", 1)?);
    let stated = site.op.ints("output_shape")?.filter(|list| !list.is_empty());
    // Some files state the whole shape, though only the spatial dimensions are meant.
    let stated = stated.map(|list| list.get(list.len().saturating_sub(n_dims)..).unwrap_or_default());
    let spatial: Shape = match stated {
        Some(list) if list.len() == n_dims => list.iter().map(|&n| Length::known(n)).collect(),
        Some(list) => {
            let found = list.len();
            return Err(Stop::wrong(format!("output_shape must have {n_dims} elements, found {found}")));
        }
        None => {
            let more = site.op.sizes("output_padding", 0)?;
            let more = sized("output_padding", more, n_dims)?.unwrap_or_else(|| vec![0; n_dims]);
            (0..n_dims).map(|idx| spread(&window, idx, &input[2 + idx], more[idx])).collect()
        }
    };
    one([vec![input[0].clone(), channels], spatial].concat())
}

/// The length that a window makes of one that it would come from: `stride · (n - 1) + reach + more - pads`.
pub(super) fn spread(window: &Window, idx: usize, input: &Length, more: usize) -> Length {
    let stride = known(window.strides[idx]);
    if matches!(window.padding, Padding::Same { .. }) {
        return input * &stride;
    }
    let way = &stride * &(input - &Length::known(1));
    &(&(&way + &window.reach(idx)) + &known(more)) - &window.pads(idx)
}

/// Columns `[N,C·block,L]` to an image `[N,C,…]`.
fn image_of_columns(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let image = site.required_lengths(1, "the image's shape")?;
    let unread = || vec![Length::UNKNOWN; 3];
    let columns = site.shape_if_known(0)?.map_or_else(unread, <[Length]>::to_vec);
    let [batch, channels, _] = columns.as_slice() else {
        return Err(Stop::wrong(format!("columns have 3 dimensions, found {}", columns.len())));
    };
    let channels = match site.lengths(2, "the block's shape") {
        Ok(Some(block)) => channels.exact_div(&Length::product(&block)),
        Ok(None) => return Err(Stop::wrong("operand 2 is missing")),
        Err(_) => site.unknown("the block's shape is computed while the model runs"),
    };
    one([vec![batch.clone(), channels], image].concat())
}

/// Input `[N,C,L]` and weight `[C,1,K]`: the state is `[N,C,K-1]`.
fn causal(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let input = site.shape_of_rank(0, 3)?;
    let weight = site.shape_of_rank(1, 3)?;
    let state = vec![input[0].clone(), input[1].clone(), &weight[2] - &Length::known(1)];
    Ok(vec![Some(input.to_vec()), Some(state)])
}
