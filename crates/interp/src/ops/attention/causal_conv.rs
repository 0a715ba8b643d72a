//! A depthwise causal convolution, whose past inputs are a state between calls.

use crate::call::Call;
use crate::data::Data;
use crate::op::{CompileContext, Kernel, Outputs};
use crate::real::{numbers, rounded};
use intact8_ir::{Error, Result, Tensor};
use intact8_kernels::elementwise::{Unary, unary_in_place};

pub(super) fn causal_conv(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let is_activated = match ctx.str("activation", "none")? {
        "none" => false,
        "silu" | "swish" => true,
        other => {
            return Err(Error::invalid_model(format!(
                "activation must be silu, swish or none, found {other:?}"
            )));
        }
    };
    Ok(Box::new(move |call| run(call, is_activated)))
}

fn run(call: &Call<'_, '_>, is_activated: bool) -> Result<Outputs> {
    let (x, weight) = (call.tensor(0)?, call.tensor(1)?);
    let dtype = x.dtype();
    let (&[batch, channels, len], &[n_filters, 1, taps]) = (x.shape(), weight.shape()) else {
        return Err(misfit(x, weight));
    };
    if n_filters != channels || taps == 0 {
        return Err(misfit(x, weight));
    }
    let (state_shape, n_past) = ([batch, channels, taps - 1], taps - 1);
    let bias = match call.optional(2)? {
        Some(bias) if bias.shape() != [channels] => return Err(misfit(x, bias)),
        bias => bias.map(|bias| numbers::<f32>(bias, dtype)).transpose()?,
    };
    let past = match call.optional(3)? {
        Some(past) if past.shape() != state_shape => return Err(misfit(x, past)),
        past => past.map(|past| numbers::<f32>(past, dtype)).transpose()?,
    };
    let mut out = call.zeros::<f32>(x.shape())?;
    let mut state = call.zeros::<f32>(&state_shape)?;
    let mut row = call.zeros::<f32>(&[n_past + len])?;
    let (x_values, weight) = (numbers::<f32>(x, dtype)?, numbers::<f32>(weight, dtype)?);
    for idx in 0..batch * channels {
        let channel = idx % channels;
        if let Some(past) = &past {
            row[..n_past].copy_from_slice(&past[idx * n_past..][..n_past]);
        }
        row[n_past..].copy_from_slice(&x_values[idx * len..][..len]);
        let out = &mut out[idx * len..][..len];
        out.fill(bias.as_ref().map_or(0.0, |bias| bias[channel]));
        for (tap, &factor) in weight[channel * taps..][..taps].iter().enumerate() {
            out.iter_mut().zip(&row[tap..]).for_each(|(out, x)| *out += factor * x);
        }
        state[idx * n_past..][..n_past].copy_from_slice(&row[len..]);
    }
    if is_activated {
        unary_in_place(Unary::Silu, &mut out);
    }
    let made = [rounded(dtype, x.shape(), out)?, rounded(dtype, &state_shape, state)?];
    Ok(Outputs::from_iter(made.map(Data::Tensor)))
}

fn misfit(x: &Tensor, other: &Tensor) -> Error {
    let (x, other) = (x.shape(), other.shape());
    Error::invalid_data(format!("an input of shape {x:?} and an operand of shape {other:?} do not match"))
}
