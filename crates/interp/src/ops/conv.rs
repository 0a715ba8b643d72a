//! Convolutions.

use super::window::WindowAttrs;
use crate::op::{Kernel, NEWEST, OpRow, Site, one};
use quantfit_ir::{DType, Error, Result, Tensor};
use quantfit_kernels::conv::{ConvShape, PreparedConv, prepare};

pub(super) static ROWS: &[OpRow] =
    &[OpRow { name: "Conv", opsets: 1..=NEWEST, types: &[DType::F32], compile: conv }];

/// Constant weights are laid out once.
fn conv(site: &Site<'_>) -> Result<Kernel> {
    let attrs = WindowAttrs::read(site)?;
    let groups =
        usize::try_from(site.int("group", 1)?).map_err(|_| Error::invalid_model("group must be positive"))?;
    let prepared = match site.constant(1) {
        Some(weight) => Some(prepared(weight, groups)?),
        None => None,
    };
    Ok(Box::new(move |call| {
        let (x, weight) = (call.tensor(0)?, call.tensor(1)?);
        let [batch, in_channels, input @ ..] = x.shape() else {
            return Err(Error::invalid_data(format!("the input has the shape {:?}", x.shape())));
        };
        let [out_channels, _, kernel @ ..] = weight.shape() else {
            return Err(Error::invalid_data(format!("the weight has the shape {:?}", weight.shape())));
        };
        let moves = attrs.over(input, Some(kernel))?;
        let shape = ConvShape {
            batch: *batch,
            in_channels: *in_channels,
            out_channels: *out_channels,
            groups,
            input: input.to_vec(),
            kernel: moves.kernel,
            strides: moves.strides,
            dilations: moves.dilations,
            pads_begin: moves.pads_begin,
            pads_end: moves.pads_end,
        };
        let mut out_shape = vec![*batch, *out_channels];
        out_shape.extend(shape.output().map_err(invalid)?);
        let mut out = call.zeros::<f32>(&out_shape)?;
        let bias = call.optional(2)?.map(Tensor::values).transpose()?;
        let x = x.values()?;
        match &prepared {
            Some(prepared) => prepared.run(&shape, x, bias, &mut out),
            None => quantfit_kernels::conv::conv(&shape, x, weight.values()?, bias, &mut out),
        }
        .map_err(invalid)?;
        one(Tensor::new(&out_shape, out))
    }))
}

fn prepared(weight: &Tensor, groups: usize) -> Result<PreparedConv> {
    let [out_channels, group_channels, kernel @ ..] = weight.shape() else {
        return Err(Error::invalid_model(format!("the weight has the shape {:?}", weight.shape())));
    };
    let ones = vec![1; kernel.len()];
    let shape = ConvShape {
        batch: 1,
        in_channels: group_channels * groups,
        out_channels: *out_channels,
        groups,
        input: kernel.to_vec(),
        kernel: kernel.to_vec(),
        strides: ones.clone(),
        dilations: ones,
        pads_begin: vec![0; kernel.len()],
        pads_end: vec![0; kernel.len()],
    };
    prepare(&shape, weight.values()?).map_err(invalid)
}

/// What the kernels refuse is the data's fault.
pub(super) fn invalid(error: quantfit_kernels::Error) -> Error {
    Error::invalid_data(error.to_string())
}
