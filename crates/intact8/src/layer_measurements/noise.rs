//! The noise of each layer: its output when it alone is quantized, beside the one in float, on a few calibration samples.

use super::MeasuredModel;
use crate::data::Feed;
use intact8_calibrate::{Batches, CalibrationObserver};
use intact8_ir::Result;
use intact8_search::rank;
use intact8_search::sensitivity::Sqnr;
use std::collections::BTreeMap;

/// The number of calibration samples that are enough.
const SAMPLES: usize = 4;

/// The noise of each layer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayerNoise {
    /// The signal-to-quantization-noise ratio of the output of each quantized layer in decibels, from -200 to 200, the mean over
    /// the batches, by name of the layer.
    pub sqnr: BTreeMap<String, f64>,
    /// The number of calibration samples.
    pub samples: usize,
}

impl LayerNoise {
    pub(super) fn measure(
        model: &MeasuredModel<'_>,
        data: &Feed,
        observer: &mut dyn CalibrationObserver,
    ) -> Result<LayerNoise> {
        let calibrating = data.batches().take(model.config.batch_num.unwrap_or(usize::MAX));
        let most = calibrating.map(|batch| data.n_fed(&batch)).sum::<usize>().min(SAMPLES);
        // The samples one by one need the least memory, and no more time.
        let mut data = data.clone().in_batches_of_at_most(1);
        let (mut samples, mut n_batches) = (0, 0);
        for batch in data.batches() {
            if samples >= most {
                break;
            }
            (samples, n_batches) = (samples + data.n_fed(&batch), n_batches + 1);
        }
        let mut batches = Batches::new(&mut data, n_batches, observer);
        let ranking = rank(model.float, model.config, model.record, &mut batches, &Sqnr, None)?;
        let table = model.float.prepared().layers();
        let of_entry = |ranked: &intact8_search::Ranked| {
            let names = table.names(&ranked.layers);
            names.into_iter().map(|name| (name, ranked.similarity)).collect::<Vec<_>>()
        };
        Ok(LayerNoise { sqnr: ranking.0.iter().flat_map(of_entry).collect(), samples })
    }
}
