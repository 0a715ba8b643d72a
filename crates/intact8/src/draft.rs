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
    let executor = float.watched(calibrations.iter().flat_map(Calibration::observed_values))?;
    executor.run_tapped(&data.inputs(samples)?, &mut |value, tensor| {
        calibrations.iter_mut().try_for_each(|calibration| calibration.observe(value, tensor))
    })?;
    let of_config = |(config, calibration): (&&QuantConfig, &Calibration)| {
        let mut record = Record::placeholder(float.model(), config)?;
        record.layers.extend(calibration.reached_ranges().layers);
        float.prepared().quantize(config, &record, &mut ())?.deploy(format, emission, &mut ())
    };
    configs.iter().zip(&calibrations).map(of_config).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataSet, Feeding};
    use intact8_interp::Interpreter;
    use intact8_ir::{Model, Tensor};
    use intact8_quant::{Preparation, Profile};

    /// ONNX Runtime leaves out a Relu only before integers whose least one stands for 0.
    #[test]
    fn a_draft_has_the_ranges_of_data() {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 0.5, -0.5, 1.0] : f32[2,2]\n\
                    %a = MatMul(%x, %w) @first\n%r = Relu(%a)\n%y = MatMul(%r, %w) @last\nreturn %y\n";
        let model: Model = text.parse().unwrap();
        let prepared = crate::prepare(&model, &Preparation::default(), &mut ()).unwrap();
        let interpreter = Interpreter::default();
        let float = FloatModel::new(&prepared, &interpreter).unwrap();
        let samples = Tensor::new(&[2, 2], vec![1.0f32, -1.0, -1.0, 1.0]);
        let data = DataSet::new("data", [("x".to_owned(), samples.into())].into());
        let feed = data.feed(&model, &Feeding::default()).unwrap();
        let mut config = QuantConfig::for_model(prepared.model());
        let target = Profile::named("onnxruntime-x86").unwrap();
        target.leave_float(&mut config, prepared.model());
        let emission = Emission { target, ..Emission::default() };
        let drafts = drafts(&float, &[&config], (DeployFormat::Qdq, &emission), &feed).unwrap();
        let text = drafts[0].model().to_string();
        assert!(text.contains("const [0] : u8"), "{text}");
    }
}
