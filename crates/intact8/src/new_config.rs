//! New configurations of models, as files.

use crate::files::{read_text, write_file};
use crate::layer_selection::LayerSelection;
use crate::quantize::prepare;
use intact8_ir::{Error, Model, Result};
use intact8_quant::deploy::{PROFILES, check_is_float};
use intact8_quant::layer::layers;
use intact8_quant::{Preference, Preparation, Profile, QuantConfig};
use std::path::Path;

/// The settings of a new configuration.
#[derive(Debug, Clone)]
pub struct NewConfig<'a> {
    /// A short definition with settings that differ from the defaults, AMCT's text-proto `.cfg`. The next three settings are
    /// then those of the definition.
    pub definition: Option<&'a Path>,
    /// The layers that are quantized.
    pub selection: LayerSelection,
    /// The number of batches of calibration data; `None` is all.
    pub batch_num: Option<usize>,
    /// Whether activations have an offset.
    pub activation_offset: bool,
    /// The target.
    pub target: &'static Profile,
    /// What the configuration prefers, by default [`Preference::MostInt8`], as AMCT does.
    pub prefer: Preference,
}

impl Default for NewConfig<'_> {
    fn default() -> Self {
        NewConfig {
            definition: None,
            selection: LayerSelection::default(),
            batch_num: None,
            activation_offset: true,
            target: &PROFILES[0],
            prefer: Preference::MostInt8,
        }
    }
}

impl NewConfig<'_> {
    /// Writes the configuration of a model. Settings that the target does not support are turned off, and layers that are left in
    /// float are named; the result has a line for each.
    ///
    /// # Errors
    /// If the model is quantized already or has no layer that can be quantized, `batch_num` is 0, the selection names no layer,
    /// the definition does not fit the model, or a file can't be read or written.
    pub fn write(&self, path: &Path, model: &Model) -> Result<Vec<String>> {
        check_is_float(model)?;
        let definition = self.definition.map(|path| Ok((read_text(path)?, path))).transpose()?;
        let prepared = prepare(model, &Preparation::default(), &mut ())?;
        let mut config = match definition {
            Some((text, path)) => {
                let config = QuantConfig::from_definition(&text, prepared.model());
                config.map_err(|error: Error| error.at(path.display()))?
            }
            None => {
                let mut config = QuantConfig::for_model(prepared.model());
                (config.batch_num, config.activation_offset) = (self.batch_num, self.activation_offset);
                self.selection.apply(&mut config, &layers(prepared.model()))?;
                config
            }
        };
        if config.layers.is_empty() {
            return Err(Error::invalid_model("the model has no layer to quantize; see `intact8 inspect`"));
        }
        let restrictions = self.target.restrict(&mut config, prepared.model(), self.prefer);
        config.check(prepared.model())?;
        write_file(path, config.to_json().as_bytes())?;
        Ok(restrictions)
    }
}
