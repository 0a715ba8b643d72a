//! Models made without calibration: from factors that somebody else has found, or that a model holds already.

use crate::emission::{deployed, save_deployed, save_models};
use crate::files::write_file;
use crate::output_files::OutputFiles;
use crate::quantize::prepare;
use intact8_ir::{Error, Model, Pass, Result};
use intact8_quant::config::{TensorConfig, WeightConfig};
use intact8_quant::deploy::{check_is_float, check_is_qdq, record_of};
use intact8_quant::passes::{NameNodes, SinkConstants};
use intact8_quant::{LayerConfig, Preparation, Prepared, QuantConfig, Record};

/// Writes the fake-quant model and the deploy models of a float model and a record of the user's own, as AMCT's
/// `convert_model` does.
///
/// `config` is what the record was made with: the model is prepared as it says, and the layers that it enables are
/// quantized. `None` is a record of the original tool, for a model with normalizations, scales and shifts folded into the
/// layers before them; all its layers are quantized. A model that is quantized already is refused.
pub fn convert_model(
    model: &Model,
    record: &Record,
    config: Option<&QuantConfig>,
    files: &OutputFiles,
) -> Result<()> {
    check_is_float(model)?;
    if config.is_none() && record.layers.values().any(|entry| !entry.bias_shift.is_empty()) {
        let message = "the record has biases shifted, as intact8 does it in models that it has prepared; give the \
                       configuration that it was made with";
        return Err(Error::invalid_config(message));
    }
    let (prepared, config) = match config {
        Some(config) => (prepare(model, &Preparation::of(config), &mut ())?, config.clone()),
        None => {
            let config = QuantConfig {
                equalize: false,
                auto_balance: false,
                correct_bias: false,
                fit_rounding: false,
                ..QuantConfig::default()
            };
            let prepared = prepare(model, &Preparation::of(&config), &mut ())?;
            let config = of_record(config, record, &prepared)?;
            (prepared, config)
        }
    };
    config.check(prepared.model())?;
    check_prepared(&prepared, record)?;
    let quantized = prepared.quantize(&config, record, &mut ())?;
    save_models(model, quantized.fake_quant(), deployed(quantized.fake_quant(), files)?, files)
}

/// Checks that weights that were changed before the record was made are changed here too.
fn check_prepared(prepared: &Prepared, record: &Record) -> Result<()> {
    let is_changed =
        |name: &str| prepared.layers().id(name).is_some_and(|layer| prepared.changed().contains(&layer));
    let mut marked = record.layers.iter().filter(|(_, entry)| entry.prepared);
    match marked.find(|(name, _)| !is_changed(name)) {
        Some((name, _)) => {
            let message = "the record is of another weight than the model's, prepared as a configuration says; give the \
                           configuration that it was made with";
            Err(Error::invalid_config(message).at(name))
        }
        None => Ok(()),
    }
}

/// Writes the deploy models of a model that has QuantizeLinear and DequantizeLinear, as from quantization-aware training,
/// and the record of its layers. A model that is quantized in another way is refused.
pub fn convert_qat_model(model: &Model, files: &OutputFiles) -> Result<()> {
    check_is_qdq(model)?;
    let original = model;
    let mut model = original.clone();
    model.mark_origins();
    NameNodes.run(&mut model)?;
    // So the weights of branches that share them are constant where they are read.
    SinkConstants.run(&mut model)?;
    save_deployed(original, &model, files)?;
    write_file(&files.record, record_of(&model).to_text().as_bytes())
}

/// The configuration that enables the layers, and the single inputs, of a record.
fn of_record(mut config: QuantConfig, record: &Record, prepared: &Prepared) -> Result<QuantConfig> {
    for name in record.layers.keys() {
        if prepared.layers().id(name).is_some() {
            let weight_quant_params = WeightConfig { channel_wise: false, ..WeightConfig::default() };
            let layer = LayerConfig { weight_quant_params, ..LayerConfig::default() };
            config.layers.insert(name.clone(), layer);
            continue;
        }
        let input = name.rsplit_once(':').and_then(|(node, input)| Some((node, input.parse().ok()?)));
        let Some((layer_name, input_index)) = input else {
            return Err(
                Error::invalid_config("is in the record and is no layer of the model; remove it").at(name)
            );
        };
        let activation_quant_params = Default::default();
        let layer_name = layer_name.to_owned();
        config.tensor_quantize.push(TensorConfig { layer_name, input_index, activation_quant_params });
    }
    Ok(config)
}
