//! The range of least error at the outputs of the layers that use the activation.
//!
//! The error of a product's output is the sum over input channels of the channel's quantization error times the squared
//! weights that it meets. So the candidates of all other methods, and the best by this measure, are compared on the
//! histogram in which each channel has those weights.

use super::error::{Masses, error_of, params_of};
use super::percentile::fine_bins;
use super::{Statistics, mse, percentile};
use crate::config::Ifmr;

/// The range to cover.
pub(super) fn range(statistics: &Statistics, bits: u8, asymmetric: bool) -> (f32, f32) {
    let histogram =
        statistics.weighted.as_ref().map_or(&statistics.histogram, |weighted| &weighted.histogram);
    let masses = Masses::of(&fine_bins(histogram));
    let candidates = [
        (statistics.min, statistics.max),
        percentile::range(statistics, 0.99999),
        percentile::range(statistics, 0.9999),
        super::ifmr::range(statistics, &Ifmr::default(), bits, asymmetric),
        mse::range(statistics, &statistics.histogram, bits, asymmetric),
        mse::range(statistics, histogram, bits, asymmetric),
    ];
    let by_error = candidates.map(|range| (error_of(&masses, &params_of(range, bits, asymmetric)), range));
    let best = by_error.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or((statistics.min, statistics.max), |(_, range)| range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::{Histogram, Weighted};
    use intact8_ir::Tensor;

    #[test]
    fn a_wide_channel_that_hardly_matters_is_clipped() {
        let wide = |weights: Vec<u32>| {
            let weighted = Weighted { axis: 0, weights, histogram: Histogram::default() };
            let mut statistics = Statistics { weighted: Some(weighted), ..Statistics::default() };
            let values =
                (0..20_000).map(|idx| if idx < 10_000 { idx as f32 / 10_000.0 } else { idx as f32 / 400.0 });
            statistics.observe(&Tensor::new(&[2, 10_000], values.collect())).unwrap();
            range(&statistics, 8, true).1
        };
        // The error of rounding grows with the square of the range and that of clipping with the distance: the best is near 16.
        assert!((10.0..25.0).contains(&wide(vec![1_000_000, 1])));
        assert!(wide(vec![1, 1]) > 40.0);
    }
}
