//! Pools.

use super::conv::invalid;
use super::window::{Moves, WindowAttrs};
use crate::op::{Kernel, NEWEST, OpRow, Site, one};
use quantfit_ir::{DType, Error, Result, Tensor};
use quantfit_kernels::pool::{self, Divisor, PoolShape};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "AveragePool", opsets: 7..=NEWEST, types: &[DType::F32], compile: average_pool },
    OpRow { name: "MaxPool", opsets: 1..=NEWEST, types: &[DType::F32], compile: max_pool },
];

fn average_pool(site: &Site<'_>) -> Result<Kernel> {
    let divisor =
        if site.flag("count_include_pad", false)? { Divisor::InsideAndPadding } else { Divisor::Inside };
    windows(site, move |shape, x, out| pool::average_pool(shape, divisor, x, out))
}

fn max_pool(site: &Site<'_>) -> Result<Kernel> {
    if site.has_output(1) {
        return Err(site.unsupported("indices"));
    }
    windows(site, |shape, x, out| pool::max_pool(shape, x, out))
}

fn windows(
    site: &Site<'_>,
    run: impl Fn(&PoolShape, &[f32], &mut [f32]) -> quantfit_kernels::Result<()> + Send + Sync + 'static,
) -> Result<Kernel> {
    let attrs = WindowAttrs::read(site)?;
    let ceil = site.flag("ceil_mode", false)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let [batch, channels, input @ ..] = x.shape() else {
            return Err(Error::invalid_data(format!("the input has the shape {:?}", x.shape())));
        };
        let moves = attrs.over(input, None)?;
        let output = output(input, &moves, ceil)?;
        let out_shape = [&[*batch, *channels], output.as_slice()].concat();
        let mut out = call.zeros::<f32>(&out_shape)?;
        let Moves { kernel, strides, dilations, pads_begin, pads_end } = moves;
        let (planes, input) = (batch * channels, input.to_vec());
        let shape = PoolShape { planes, input, output, kernel, strides, dilations, pads_begin, pads_end };
        run(&shape, x.values()?, &mut out).map_err(invalid)?;
        one(Tensor::new(&out_shape, out))
    }))
}

/// How many windows there are in each dimension. Rounding up, no window begins behind the input and its first padding.
fn output(input: &[usize], moves: &Moves, ceil: bool) -> Result<Vec<usize>> {
    let along = |axis: usize| {
        let (begin, stride) = (moves.pads_begin[axis], moves.strides[axis].max(1));
        let padded = input[axis] + begin + moves.pads_end[axis];
        let reach = moves.kernel[axis].saturating_sub(1) * moves.dilations[axis] + 1;
        let rest = padded.checked_sub(reach).ok_or_else(|| {
            Error::invalid_data(format!("a window that reaches over {reach} does not fit into {padded}"))
        })?;
        let n_windows = if ceil { rest.div_ceil(stride) } else { rest / stride } + 1;
        Ok(if ceil && (n_windows - 1) * stride >= input[axis] + begin { n_windows - 1 } else { n_windows })
    };
    (0..input.len()).map(along).collect()
}
