//! The JSON form of a configuration, which is AMCT's. How layers and global keys share one object is in `layers.rs`.

use super::{Precision, QuantConfig, layers};
use intact8_ir::{Error, Result};
use serde::Serialize;

impl QuantConfig {
    /// Reads the JSON form and checks the range of every value, but not yet the names of layers.
    pub fn from_json(json: &str) -> Result<QuantConfig> {
        let mut from = serde_json::Deserializer::from_str(json);
        let config: QuantConfig = serde_path_to_error::deserialize(&mut from)
            .map_err(|error| Error::invalid_config(layers::message(&error)))?;
        from.end().map_err(|error| Error::invalid_config(error.to_string()))?;
        config.check_values()?;
        Ok(config)
    }

    /// The JSON form.
    pub fn to_json(&self) -> String {
        let mut json = Vec::new();
        let mut writer = serde_json::Serializer::with_formatter(
            &mut json,
            serde_json::ser::PrettyFormatter::with_indent(b"    "),
        );
        self.serialize(&mut writer).expect("a configuration has no keys but strings");
        String::from_utf8(json).expect("JSON is UTF-8") + "\n"
    }
}

pub(super) fn one() -> u32 {
    1
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn is_off(flag: &bool) -> bool {
    !flag
}

pub(super) fn is_on(flag: &bool) -> bool {
    *flag
}

pub(super) fn is_default(precision: &Precision) -> bool {
    *precision == Precision::Default
}
