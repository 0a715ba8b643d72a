//! The configuration of activations: the methods, their parameters and the parameters' ranges.

use super::bounds::{percentile, within};
use intact8_ir::Result;
#[cfg(feature = "config-files")]
use serde::{Deserialize, Serialize};

/// The configuration of a layer's activations.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "config-files", derive(Serialize, Deserialize))]
#[cfg_attr(
    feature = "config-files",
    serde(try_from = "super::activation_keys::Keys", into = "super::activation_keys::Keys")
)]
pub struct ActivationConfig {
    /// The width of the integers: 8 or 16.
    pub num_bits: u8,
    /// Whether there is an offset; absent: as the global setting.
    pub asymmetric: Option<bool>,
    /// The method of range selection.
    pub method: ActivationMethod,
}

/// The method that selects the range of an activation.
#[derive(Debug, Clone, PartialEq)]
pub enum ActivationMethod {
    /// `auto`: the range of least error at the outputs of the layers that use it, by any of the other methods.
    Auto,
    /// `hfmg`: a histogram of `num_of_bins` bins, trimmed greedily.
    Hfmg {
        /// 1024, 2048, 4096 or 8192.
        num_of_bins: usize,
    },
    /// `ifmr`: the clipped range of least quantization error, on a grid.
    Ifmr(Ifmr),
    /// `kl`: the symmetric range whose quantized distribution is closest to the original's.
    Kl {
        /// 1024, 2048, 4096 or 8192.
        num_of_bins: usize,
    },
    /// `min_max`: the least and the greatest value.
    MinMax,
    /// `moving_average`: the mean of the batches' least values, and of their greatest.
    MovingAverage,
    /// `mse`: the range of least squared quantization error.
    Mse,
    /// `percentile`: the range that holds this part of the values, more than 0.5 and at most 1.
    Percentile(f64),
}

/// The parameters of IFMR.
#[derive(Debug, Clone, PartialEq)]
pub struct Ifmr {
    /// The part of the values that the upper end starts from, more than 0.5 and at most 1.
    pub max_percentile: f64,
    /// The same for the lower end.
    pub min_percentile: f64,
    /// The factors of the upper end: the first one, and the bound of the last.
    pub search_range: [f64; 2],
    /// The step between factors.
    pub search_step: f64,
    /// Whether the lower end is multiplied by these factors too, not only the upper one.
    pub both_ends: bool,
}

impl Default for ActivationConfig {
    fn default() -> ActivationConfig {
        ActivationConfig { num_bits: 8, asymmetric: None, method: ActivationMethod::Ifmr(Ifmr::default()) }
    }
}

impl Default for Ifmr {
    fn default() -> Ifmr {
        Ifmr {
            max_percentile: 0.999999,
            min_percentile: 0.999999,
            search_range: [0.7, 1.3],
            search_step: 0.01,
            both_ends: false,
        }
    }
}

impl Ifmr {
    /// The factors that are tried.
    pub fn factors(&self) -> impl Iterator<Item = f64> {
        let [start, end] = self.search_range;
        let step = self.search_step;
        // The rounding error of the quotient must not add a factor.
        let n_factors = ((end - start) / step - 1e-9).ceil().max(1.0) as usize;
        (0..n_factors).map(move |idx| start + step * idx as f64)
    }

    fn check(&self) -> Result<()> {
        percentile("max_percentile", self.max_percentile)?;
        percentile("min_percentile", self.min_percentile)?;
        let [start, end] = self.search_range;
        let found = format!("[{start}, {end}]");
        within("search_range", 0.0 < start && start < end, "[start, end] with 0 < start < end", found)?;
        let step = self.search_step;
        let is_inside = step > 0.0 && step <= end - start + 1e-9 && (end - start) / step <= 10_000.0;
        within(
            "search_step",
            is_inside,
            "more than 0, at most end - start, and at least a 10000th of it",
            step,
        )
    }
}

impl ActivationConfig {
    pub(crate) fn check(&self) -> Result<()> {
        within("num_bits", [8, 16].contains(&self.num_bits), "8 or 16", self.num_bits)?;
        match &self.method {
            ActivationMethod::Ifmr(ifmr) => ifmr.check(),
            ActivationMethod::Hfmg { num_of_bins } | ActivationMethod::Kl { num_of_bins } => {
                let is_inside = [1024, 2048, 4096, 8192].contains(num_of_bins);
                within("num_of_bins", is_inside, "1024, 2048, 4096 or 8192", num_of_bins)
            }
            ActivationMethod::Percentile(part) => percentile("percentile", *part),
            ActivationMethod::Auto
            | ActivationMethod::MinMax
            | ActivationMethod::MovingAverage
            | ActivationMethod::Mse => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_search_tries_sixty_factors() {
        let factors: Vec<f64> = Ifmr::default().factors().collect();
        assert_eq!(factors.len(), 60);
        assert!((factors[59] - 1.29).abs() < 1e-9);
    }
}
