//! Changes of a configuration: layers that stay in float, and stages that are turned off.

use super::{QuantConfig, WeightMethod};
use crate::layer::Layer;
use intact8_ir::{Error, Result};

/// What lines about restrictions state of a layer that is left in float.
pub(crate) const STAYS_FLOAT: &str = "stays float";
/// The same of a layer whose weights alone are quantized.
const ONLY_WEIGHTS: &str = "has only its weights in int8";

/// The name of the layer and the reason in a line about a restriction, if the line is about a layer that is not wholly in integers.
pub fn restricted_layer(line: &str) -> Option<(&str, &str)> {
    [STAYS_FLOAT, ONLY_WEIGHTS].iter().find_map(|what| line.split_once(&format!(" {what}: ")))
}

impl QuantConfig {
    /// The same configuration without the parts of calibration that need more than observed ranges: smoothing, fitted and
    /// learned rounding, bias correction.
    #[must_use]
    pub fn ranges_only(mut self) -> QuantConfig {
        (self.auto_balance, self.fit_rounding, self.correct_bias) = (false, false, false);
        for layer in self.layers.values_mut() {
            layer.dmq_balancer_param = None;
            let weights = &mut layer.weight_quant_params;
            if matches!(weights.method, WeightMethod::AdaRound(_)) {
                weights.method = WeightMethod::Mse;
            }
        }
        self
    }

    /// The same configuration with some layers left in float.
    pub fn rolled_back(&self, layers: &[String]) -> QuantConfig {
        let mut config = self.clone();
        for layer in layers {
            if let Some(layer) = config.layers.get_mut(layer) {
                layer.quant_enable = false;
            }
        }
        config
    }

    /// Leaves layers in float, by name.
    ///
    /// # Errors
    /// If a name is not that of a layer of the configuration.
    pub fn skip(&mut self, layers: &[String]) -> Result<()> {
        for name in layers {
            let Some(layer) = self.layers.get_mut(name) else {
                let message = "is not a layer that can be quantized; see `intact8 inspect`";
                return Err(Error::invalid_config(message).at(format!("layer {name:?}")));
            };
            layer.quant_enable = false;
        }
        Ok(())
    }

    /// Leaves only the weights of some layers in int8, and layers without weights in float, and reports that, one line each.
    pub fn leave_weights(&mut self, layers: &[Layer], why: impl Fn(&Layer) -> String) -> Vec<String> {
        let mut lines = Vec::new();
        for layer in layers {
            let enabled = self.layers.get_mut(&layer.name).filter(|of_layer| of_layer.quant_enable);
            // A table has nothing but its weight anyway.
            let Some(of_layer) = enabled.filter(|_| !layer.activations.is_empty()) else { continue };
            let what = if layer.weights.is_empty() {
                of_layer.quant_enable = false;
                STAYS_FLOAT
            } else {
                (of_layer.weights_only, of_layer.quantize_output) = (true, false);
                ONLY_WEIGHTS
            };
            lines.push(format!("{} {what}: {}", layer.name, why(layer)));
        }
        lines
    }
}
