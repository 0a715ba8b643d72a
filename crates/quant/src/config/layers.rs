//! Reading the layers out of the JSON object that they share with the global keys.

use super::LayerConfig;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// Every key that is no global one is a layer. A key that occurs twice is an error, in a layer too, and errors name the
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
                let layer = map.next_value().map_err(|error| A::Error::custom(format!("{name}: {error}")))?;
                if layers.insert(name.clone(), layer).is_some() {
                    return Err(A::Error::custom(format!("{name}: occurs twice")));
                }
            }
            Ok(layers)
        }
    }

    from.deserialize_map(Layers)
}
