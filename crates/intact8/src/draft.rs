//! Drafts: deploy models that are made before calibration, to measure the times of their runs.
//!
//! Their ranges are those of one sample or batch. A runtime's optimizer looks at them: it leaves out a Relu or a Clip whose range
//! the integers after it have. Their results stand for nothing.

use crate::data::Feed;
use intact8_calibrate::FloatModel;
use intact8_ir::Result;
use intact8_quant::{Calibration, DeployFormat, Deployed, Emission, QuantConfig, Record};

/// The drafts of some configurations, in the same order, with the ranges of the smallest batch that is measured. Layers that it does
/// not reach have the scales of a placeholder.
///
/// # Errors
/// If a configuration does not fit the model, or data or runtime fail.
pub(crate) fn drafts(
    float: &FloatModel<'_>,
    configs: &[&QuantConfig],
    (format, emission): (DeployFormat, &Emission),
    data: &Feed,
) -> Result<Vec<Deployed>> {
    // Smoothing and bias correction, which may add operations, are results of calibration.
    let calibrations = configs.iter().map(|config| Calibration::new(float.model(), config));
    let mut calibrations = calibrations.collect::<Result<Vec<_>>>()?;
    let samples = data.measured_batches().pop().unwrap_or_default();
    float.executor().run_tapped(&data.inputs(samples)?, &mut |value, tensor| {
        calibrations.iter_mut().try_for_each(|calibration| calibration.observe(value, tensor))
    })?;
    let of_config = |(config, calibration): (&&QuantConfig, &Calibration)| {
        let mut record = Record::placeholder(float.model(), config)?;
        record.layers.extend(calibration.reached_ranges().layers);
        float.prepared().quantize(config, &record, &mut ())?.deploy(format, emission, &mut ())
    };
    configs.iter().zip(&calibrations).map(of_config).collect()
}
