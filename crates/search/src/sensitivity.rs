//! Sensitivity: how close the output of a quantized layer, or network, is to that of the original.

mod cosine;
mod divergence;
mod error;
mod of_output;

pub use cosine::CosineSimilarity;
pub use divergence::Divergence;
pub use error::{MeanSquaredError, Sqnr, decibels};
pub use of_output::OfOutput;

use intact8_calibrate::BoxError;
use intact8_ir::{Error, Result};

/// Compares two outputs.
pub trait Sensitivity: Sync {
    /// The similarity; larger means closer, so an error metric returns its negative. The slices are equally long.
    ///
    /// # Errors
    /// If the outputs can't be compared; the search ends with the error.
    fn similarity(&self, original: &[f32], quantized: &[f32]) -> Result<f64, BoxError>;

    /// The same of values that are arranged in channels, and of the worst channel, which decides between equals.
    ///
    /// # Errors
    /// As [`similarity`](Sensitivity::similarity).
    fn compare(
        &self,
        original: &[f32],
        quantized: &[f32],
        channels: Channels,
    ) -> Result<Similarity, BoxError> {
        let _ = channels;
        Ok(Similarity { value: self.similarity(original, quantized)?, worst_channel: 0.0 })
    }

    /// Which outputs are compared.
    fn scope(&self) -> Scope {
        Scope::Layer
    }
}

/// Which outputs a sensitivity compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The layer's own, on the original's input: one pass over the calibration data ranks all layers.
    Layer,
    /// The network's, with just one layer quantized: one pass over the calibration data for each layer.
    Network,
}

/// How similar two outputs are; larger means closer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Similarity {
    /// As a whole.
    pub value: f64,
    /// In the worst channel; 0 if the sensitivity does not tell.
    pub worst_channel: f64,
}

/// How values are arranged: `outer` times `n` channels of `inner` values each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// The product of the dimensions before the channels.
    pub outer: usize,
    /// How many channels there are.
    pub n: usize,
    /// The product of the dimensions after them.
    pub inner: usize,
}

impl Channels {
    /// The channels of a shape: its last dimension, or the one after the batch. A shape without is one channel.
    pub fn of(shape: &[usize], are_last: bool) -> Channels {
        let axis = if are_last { shape.len().wrapping_sub(1) } else { 1 };
        match shape.get(axis) {
            Some(&n) => {
                let (outer, inner) = (shape[..axis].iter().product(), shape[axis + 1..].iter().product());
                Channels { outer, n, inner }
            }
            None => Channels { outer: 1, n: 1, inner: shape.iter().product() },
        }
    }
}

/// A sensitivity and its names.
pub struct SensitivityRow {
    /// On the command line; with `output-` in front, of the network's output.
    pub name: &'static str,
    /// In the original tool, or as it would be there.
    pub original: &'static str,
    /// Of a layer's output.
    of_layer: &'static (dyn Sensitivity + Sync),
    /// Of the network's.
    of_network: &'static (dyn Sensitivity + Sync),
}

/// The sensitivities.
pub static SENSITIVITIES: &[SensitivityRow] = &[
    SensitivityRow {
        name: "cosine",
        original: "CosineSimilarity",
        of_layer: &CosineSimilarity,
        of_network: &OfOutput(CosineSimilarity),
    },
    SensitivityRow {
        name: "mse",
        original: "MeanSquaredError",
        of_layer: &MeanSquaredError,
        of_network: &OfOutput(MeanSquaredError),
    },
    SensitivityRow { name: "sqnr", original: "Sqnr", of_layer: &Sqnr, of_network: &OfOutput(Sqnr) },
    SensitivityRow {
        name: "kl",
        original: "Divergence",
        of_layer: &Divergence,
        of_network: &OfOutput(Divergence),
    },
];

/// The sensitivity of that name: one of the table's, or `output-` and one of the table's.
pub fn sensitivity_named(name: &str) -> Result<&'static dyn Sensitivity> {
    let (of_network, row) = match name.strip_prefix("output-") {
        Some(row) => (true, row),
        None => (false, name),
    };
    let found = SENSITIVITIES.iter().find(|known| row == known.name || row == known.original);
    let unknown = || {
        let names: Vec<String> = SENSITIVITIES.iter().map(|row| format!("{:?}", row.name)).collect();
        Error::invalid_config(format!(
            "there is no sensitivity {name:?}; use one of {}, or \"output-\" and one of these",
            names.join(", ")
        ))
    };
    let found = found.ok_or_else(unknown)?;
    Ok(if of_network { found.of_network } else { found.of_layer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closer_is_larger_by_every_sensitivity() {
        let original = [1.0f32, -2.0, 3.0, 0.5, 0.25, -4.0];
        let off = |error: f32| {
            let sign = |idx: usize| if idx.is_multiple_of(2) { error } else { -error };
            original.iter().enumerate().map(|(idx, x)| x + sign(idx)).collect::<Vec<f32>>()
        };
        let channels = Channels { outer: 2, n: 3, inner: 1 };
        for row in SENSITIVITIES {
            for sensitivity in [row.of_layer, row.of_network] {
                let value = |error: f32| sensitivity.compare(&original, &off(error), channels).unwrap().value;
                assert!(value(0.0) > value(0.1) && value(0.1) > value(0.4), "{}", row.name);
                let alone = |error: f32| sensitivity.similarity(&original, &off(error)).unwrap();
                assert!(alone(0.0) > alone(0.1) && alone(0.1) > alone(0.4), "{}", row.name);
                let nothing = sensitivity.compare(&[], &[], Channels { outer: 0, n: 3, inner: 1 }).unwrap();
                assert!(nothing.value.is_finite() && nothing.worst_channel.is_finite(), "{}", row.name);
            }
        }
    }

    #[test]
    fn names() {
        assert_eq!(sensitivity_named("output-kl").ok().unwrap().scope(), Scope::Network);
        assert_eq!(sensitivity_named("CosineSimilarity").ok().unwrap().scope(), Scope::Layer);
        assert!(sensitivity_named("output-").is_err());
    }

    #[test]
    fn channels_of_shapes() {
        assert_eq!(Channels::of(&[2, 3, 4, 5], false), Channels { outer: 2, n: 3, inner: 20 });
        assert_eq!(Channels::of(&[2, 7, 3], true), Channels { outer: 14, n: 3, inner: 1 });
        assert_eq!(Channels::of(&[], true), Channels { outer: 1, n: 1, inner: 1 });
        assert_eq!(Channels::of(&[4], false), Channels { outer: 1, n: 1, inner: 4 });
    }
}
