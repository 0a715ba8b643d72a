//! Conversion without calibration: from a record of the user's own, or from a model with QuantizeLinear and DequantizeLinear.

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
/// `config` is the configuration that the record was made with: the model is prepared accordingly, and the layers that it enables
/// are quantized. `None` is for a record of AMCT, or made for it: normalizations, scales and shifts are folded into the layers
/// before them, but for the layers that the record excludes, and all layers of the record are quantized.
///
/// # Errors
/// If the model is quantized already, the record is empty or does not fit the model, or a file can't be written.
pub fn convert_model(
    model: &Model,
    record: &Record,
    config: Option<&QuantConfig>,
    files: &OutputFiles,
) -> Result<()> {
    check_is_float(model)?;
    if record.layers.is_empty() {
        return Err(Error::invalid_config("the record has no layer; pass the one that belongs to the model"));
    }
    if config.is_none() && record.layers.values().any(|entry| !entry.bias_shift.is_empty()) {
        let message = "the record has bias corrections of a prepared model; pass the configuration that it was \
                       made with";
        return Err(Error::invalid_config(message));
    }
    let how = config.map_or_else(|| Preparation::of_record(record), Preparation::of);
    let prepared = prepare(model, &how, &mut ())?;
    let config = match config {
        Some(config) => config.clone(),
        None => config_of(record, &prepared)?,
    };
    config.check(prepared.model())?;
    check_prepared(&prepared, record)?;
    let original = prepare(model, &Preparation::none(), &mut ())?;
    let record = record.of_prepared(&original, &prepared)?;
    let quantized = prepared.quantize(&config, &record, &mut ())?;
    save_models(model, quantized.fake_quant(), &deployed(quantized.fake_quant(), files)?, files)
}

/// Checks that the weights which preparation had changed when the record was made are changed here as well.
fn check_prepared(prepared: &Prepared, record: &Record) -> Result<()> {
    let is_changed =
        |name: &str| prepared.layers().id(name).is_some_and(|layer| prepared.changed().contains(&layer));
    let mut marked = record.layers.iter().filter(|(_, entry)| entry.prepared);
    match marked.find(|(name, _)| !is_changed(name)) {
        Some((name, _)) => {
            let message = "the record is of a weight that preparation has changed; pass the configuration that it was \
                           made with";
            Err(Error::invalid_config(message).at(name))
        }
        None => Ok(()),
    }
}

/// Writes the deploy models of a model with QuantizeLinear and DequantizeLinear, as from quantization-aware training, and the
/// record of its layers.
///
/// # Errors
/// If the model is not quantized, is quantized with other operators, or a file can't be written.
pub fn convert_qat_model(model: &Model, files: &OutputFiles) -> Result<()> {
    check_is_qdq(model)?;
    let original = model;
    let mut model = original.clone();
    model.mark_origins();
    NameNodes.run(&mut model)?;
    // The weights that branches share become constants of the branches.
    SinkConstants.run(&mut model)?;
    save_deployed(original, &model, files)?;
    write_file(&files.record, record_of(&model).to_text().as_bytes())
}

/// A configuration with the layers, and the single inputs, of a record enabled.
fn config_of(record: &Record, prepared: &Prepared) -> Result<QuantConfig> {
    let mut config = QuantConfig { equalize: false, ..QuantConfig::default().ranges_only() };
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
                Error::invalid_config("is in the record but is not a layer of the model; remove it").at(name)
            );
        };
        let activation_quant_params = Default::default();
        let layer_name = layer_name.to_owned();
        config.tensor_quantize.push(TensorConfig { layer_name, input_index, activation_quant_params });
    }
    Ok(config)
}
