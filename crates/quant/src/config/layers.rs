//! Reading of the layers from the JSON object that they share with the global keys, with the locations of errors.

use super::LayerConfig;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_path_to_error::Track;
use std::collections::BTreeMap;
use std::fmt;

/// Every key that is not a global one is a layer. A key that occurs twice is an error, in a layer too, and errors name the
/// layer.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, LayerConfig>, D::Error> {
    struct Layers;

    impl<'de> Visitor<'de> for Layers {
        type Value = BTreeMap<String, LayerConfig>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("layers")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut layers = BTreeMap::new();
            while let Some(name) = map.next_key::<String>()? {
                let layer = map.next_value_seed(Layer);
                let layer = layer.map_err(|error| A::Error::custom(format!("{name}: {error}")))?;
                if layers.insert(name.clone(), layer).is_some() {
                    return Err(A::Error::custom(format!("{name}: occurs twice")));
                }
            }
            Ok(layers)
        }
    }

    from.deserialize_map(Layers)
}

/// A layer, whose errors name the key.
struct Layer;

impl<'de> DeserializeSeed<'de> for Layer {
    type Value = LayerConfig;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<LayerConfig, D::Error> {
        let mut track = Track::new();
        let layer = LayerConfig::deserialize(serde_path_to_error::Deserializer::new(from, &mut track));
        layer.map_err(|error| match track.path().to_string().as_str() {
            "." => error,
            key => D::Error::custom(format!("{key}: {error}")),
        })
    }
}

/// The error of a JSON text with its location: the key if the text is JSON, else the line.
pub(super) fn message(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let (path, message) = (error.path().to_string(), error.inner().to_string());
    if !error.inner().is_data() {
        return message;
    }
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let whole = "a whole number from 0 on";
    let expected =
        [("usize", whole), ("u8", whole), ("u32", whole), ("f32", "a number"), ("f64", "a number")];
    let named = expected.iter().find_map(|(name, words)| {
        let before = message.strip_suffix(&format!("expected {name}"))?;
        Some(format!("{before}expected {words}"))
    });
    let message = named.unwrap_or_else(|| message.to_owned());
    if path == "." { message } else { format!("{path}: {message}") }
}

#[cfg(test)]
mod tests {
    use crate::QuantConfig;

    #[test]
    fn errors_name_the_key() {
        let message = |json: &str| QuantConfig::from_json(json).unwrap_err().to_string();
        assert_eq!(
            message(r#"{"version": 1, "conv": {"activation_quant_params": {"num_bits": "8"}}}"#),
            "conv: activation_quant_params.num_bits: invalid type: string \"8\", expected a whole number from 0 on"
        );
        assert_eq!(
            message(r#"{"version": 1, "batch_num": -1}"#),
            "batch_num: invalid value: integer `-1`, expected a whole number from 0 on"
        );
        let nuq = r#"{"wts_algo": "nuq_quantize", "num_steps": 32, "num_of_iteration": 1}"#;
        assert_eq!(
            message(&format!(r#"{{"version": 1, "conv": {{"weight_quant_params": {nuq}}}}}"#)),
            "conv: weight_quant_params: wts_algo \"nuq_quantize\" serves one vendor's weight compressor and is not \
             supported; use \"arq_quantize\""
        );
        assert_eq!(message("{\"version\": 1,\n\"conv\" {}}"), "expected `:` at line 2 column 8");
        assert_eq!(message("{\"version\": 1}\n1"), "trailing characters at line 2 column 1");
    }
}
