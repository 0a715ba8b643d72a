//! Sensitivities: functions that compare an output of a quantized layer, or network, with the original output.
//!
//! The search ranks layers by them. They see values only; the models are run in [`rank`](crate::rank()).

mod cosine;
mod divergence;
mod error;
mod network_output;

pub use cosine::CosineSimilarity;
pub use divergence::Divergence;
pub use error::{MeanSquaredError, Sqnr, decibels};
pub use network_output::NetworkOutput;

use intact8_calibrate::BoxError;
use intact8_ir::{Error, Result, did_you_mean};

/// Compares two outputs. One object is used from several threads.
pub trait Sensitivity: Sync {
    /// The similarity of two slices of the same length, finite; larger means closer, so an error metric returns its negative.
    ///
    /// # Errors
    /// If the outputs can't be compared; the search ends with the error.
    fn similarity(&self, original: &[f32], quantized: &[f32]) -> Result<f64, BoxError>;

    /// The similarity of values in a layout with channels, and that of the worst channel, which breaks ties. By default the
    /// channels are ignored.
    ///
    /// # Errors
    /// As [`similarity`](Sensitivity::similarity).
    fn compare(
        &self,
        original: &[f32],
        quantized: &[f32],
        layout: ChannelLayout,
    ) -> Result<Similarity, BoxError> {
        let _ = layout;
        Ok(Similarity { value: self.similarity(original, quantized)?, worst_channel: 0.0 })
    }

    /// The error that a similarity stands for: 0 for equal outputs, and twice as much for outputs twice as bad. Errors are divided
    /// by times where a rollback costs time. By default the distance from the similarity of equal outputs.
    fn error(&self, similarity: f64) -> f64 {
        self.similarity(&[1.0], &[1.0]).map_or(-similarity, |equal| equal - similarity)
    }

    /// The outputs that are compared; by default those of the layer.
    fn scope(&self) -> Scope {
        Scope::Layer
    }
}

/// The outputs that a sensitivity compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The output of the layer itself, on its input in the float model: one pass over the calibration data ranks all layers.
    Layer,
    /// The outputs of the network with only one layer quantized: one pass over the calibration data for each layer.
    Network,
}

/// The similarity of two outputs; larger means closer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Similarity {
    /// The similarity over all values.
    pub value: f64,
    /// The similarity of the worst channel; 0 if the sensitivity does not report it.
    pub worst_channel: f64,
}

/// The layout of the channels in a slice of values: `outer` blocks of `n_channels` channels of `inner` values each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelLayout {
    /// The product of the dimensions before the channels.
    pub outer: usize,
    /// The number of channels.
    pub n_channels: usize,
    /// The product of the dimensions after them.
    pub inner: usize,
}

impl ChannelLayout {
    /// The layout of a shape whose channels are its last dimension, or else dimension 1, after the batch. A shape without that
    /// dimension is one channel.
    pub fn of(shape: &[usize], is_last: bool) -> ChannelLayout {
        let axis = if is_last { shape.len().wrapping_sub(1) } else { 1 };
        match shape.get(axis) {
            Some(&n_channels) => {
                let (outer, inner) = (shape[..axis].iter().product(), shape[axis + 1..].iter().product());
                ChannelLayout { outer, n_channels, inner }
            }
            None => ChannelLayout { outer: 1, n_channels: 1, inner: shape.iter().product() },
        }
    }
}

/// A sensitivity and its names.
pub struct SensitivityRow {
    /// Its name on the command line; with the prefix `output-` it compares the network's outputs.
    pub name: &'static str,
    /// Its name in AMCT's style, also accepted.
    pub amct_name: &'static str,
    /// Compares the outputs of a layer.
    by_layer: &'static (dyn Sensitivity + Sync),
    /// Compares the outputs of the network.
    by_network: &'static (dyn Sensitivity + Sync),
}

/// The sensitivities.
pub static SENSITIVITIES: &[SensitivityRow] = &[
    SensitivityRow {
        name: "cosine",
        amct_name: "CosineSimilarity",
        by_layer: &CosineSimilarity,
        by_network: &NetworkOutput(CosineSimilarity),
    },
    SensitivityRow {
        name: "mse",
        amct_name: "MeanSquaredError",
        by_layer: &MeanSquaredError,
        by_network: &NetworkOutput(MeanSquaredError),
    },
    SensitivityRow { name: "sqnr", amct_name: "Sqnr", by_layer: &Sqnr, by_network: &NetworkOutput(Sqnr) },
    SensitivityRow {
        name: "kl",
        amct_name: "Divergence",
        by_layer: &Divergence,
        by_network: &NetworkOutput(Divergence),
    },
];

/// The sensitivity with this name: one of the table, with or without the prefix `output-`.
///
/// # Errors
/// If there is none; the message lists the names.
pub fn sensitivity_named(name: &str) -> Result<&'static dyn Sensitivity> {
    let (is_by_network, row) = match name.strip_prefix("output-") {
        Some(row) => (true, row),
        None => (false, name),
    };
    let found = SENSITIVITIES.iter().find(|known| row == known.name || row == known.amct_name);
    let unknown = || {
        let names: Vec<String> = SENSITIVITIES.iter().map(|row| format!("{:?}", row.name)).collect();
        let meant = did_you_mean(name, SENSITIVITIES.iter().map(|row| row.name));
        Error::invalid_config(format!(
            "there is no sensitivity {name:?}{meant}; use one of {}, or one of these with the prefix \"output-\"",
            names.join(", ")
        ))
    };
    let found = found.ok_or_else(unknown)?;
    Ok(if is_by_network { found.by_network } else { found.by_layer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sensitivity_is_larger_for_closer_outputs() {
        let original = [1.0f32, -2.0, 3.0, 0.5, 0.25, -4.0];
        let off = |error: f32| {
            let sign = |idx: usize| if idx.is_multiple_of(2) { error } else { -error };
            original.iter().enumerate().map(|(idx, x)| x + sign(idx)).collect::<Vec<f32>>()
        };
        let layout = ChannelLayout { outer: 2, n_channels: 3, inner: 1 };
        for row in SENSITIVITIES {
            for sensitivity in [row.by_layer, row.by_network] {
                let value = |error: f32| sensitivity.compare(&original, &off(error), layout).unwrap().value;
                assert!(value(0.0) > value(0.1) && value(0.1) > value(0.4), "{}", row.name);
                let without_channels = |error: f32| sensitivity.similarity(&original, &off(error)).unwrap();
                let is_larger = |error: f32, other: f32| without_channels(error) > without_channels(other);
                assert!(is_larger(0.0, 0.1) && is_larger(0.1, 0.4), "{}", row.name);
                let layout = ChannelLayout { outer: 0, n_channels: 3, inner: 1 };
                let empty = sensitivity.compare(&[], &[], layout).unwrap();
                assert!(empty.value.is_finite() && empty.worst_channel.is_finite(), "{}", row.name);
            }
        }
    }

    #[test]
    fn the_prefix_of_a_name_selects_the_scope() {
        assert_eq!(sensitivity_named("output-kl").ok().unwrap().scope(), Scope::Network);
        assert_eq!(sensitivity_named("CosineSimilarity").ok().unwrap().scope(), Scope::Layer);
        assert!(sensitivity_named("output-").is_err());
    }

    #[test]
    fn channels_are_the_last_dimension_or_that_after_the_batch() {
        assert_eq!(
            ChannelLayout::of(&[2, 3, 4, 5], false),
            ChannelLayout { outer: 2, n_channels: 3, inner: 20 }
        );
        assert_eq!(ChannelLayout::of(&[2, 7, 3], true), ChannelLayout { outer: 14, n_channels: 3, inner: 1 });
        assert_eq!(ChannelLayout::of(&[], true), ChannelLayout { outer: 1, n_channels: 1, inner: 1 });
        assert_eq!(ChannelLayout::of(&[4], false), ChannelLayout { outer: 1, n_channels: 1, inner: 4 });
    }
}
