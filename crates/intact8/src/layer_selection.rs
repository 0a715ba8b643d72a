//! The layers that a user selects by names, patterns and operators.

use intact8_ir::{Error, Result, did_you_mean};
use intact8_quant::QuantConfig;
use intact8_quant::layer::Layer;
use std::collections::BTreeSet;
use wildmatch::WildMatch;

/// Which layers are quantized. Names may be patterns, in which `*` stands for any characters and `?` for one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerSelection {
    /// The layers that stay in float.
    pub skip: Vec<String>,
    /// The layers that are quantized, if there are any here; all others stay in float.
    pub only: Vec<String>,
    /// The operators whose layers stay in float.
    pub skip_types: Vec<String>,
}

impl LayerSelection {
    /// All layers but these.
    pub fn skipping(layers: &[String]) -> LayerSelection {
        LayerSelection { skip: layers.to_vec(), ..LayerSelection::default() }
    }

    /// Disables layers of a configuration. `layers` are those of the model.
    ///
    /// # Errors
    /// If a name, pattern or operator is that of no layer, or no layer is left.
    pub fn apply(&self, config: &mut QuantConfig, layers: &[Layer]) -> Result<()> {
        let LayerSelection { skip, only, skip_types } = self;
        if skip.is_empty() && only.is_empty() && skip_types.is_empty() {
            return Ok(());
        }
        let layers: Vec<&Layer> =
            layers.iter().filter(|layer| config.layers.contains_key(&layer.name)).collect();
        let is_any = |pattern: &String| {
            layers.iter().map(|layer| &*layer.name).filter(|name| is_like(name, pattern)).collect::<Vec<_>>()
        };
        let mut skipped = BTreeSet::new();
        for pattern in skip {
            skipped.extend(some("skip", pattern, is_any(pattern), &layers)?);
        }
        for op in skip_types {
            let of_type = layers.iter().filter(|layer| layer.op.eq_ignore_ascii_case(op));
            let names: Vec<&str> = of_type.map(|layer| &*layer.name).collect();
            if names.is_empty() {
                let ops: BTreeSet<&str> = layers.iter().map(|layer| layer.op).collect();
                let known: Vec<&str> = ops.into_iter().collect();
                let message =
                    format!("skip-type {op:?}: no layer has this operator; they have {}", known.join(", "));
                return Err(Error::invalid_config(message));
            }
            skipped.extend(names);
        }
        if !only.is_empty() {
            let mut selected = BTreeSet::new();
            for pattern in only {
                selected.extend(some("only", pattern, is_any(pattern), &layers)?);
            }
            skipped.extend(layers.iter().map(|layer| &*layer.name).filter(|name| !selected.contains(name)));
        }
        let skipped: Vec<String> = skipped.into_iter().map(str::to_owned).collect();
        config.skip(&skipped)?;
        if !config.layers.values().any(|layer| layer.quant_enable) {
            return Err(Error::invalid_config("the selection of layers leaves none to quantize"));
        }
        Ok(())
    }
}

/// The layers that a pattern has found, of which there must be one.
fn some<'a>(option: &str, pattern: &str, found: Vec<&'a str>, layers: &[&'a Layer]) -> Result<Vec<&'a str>> {
    if found.is_empty() {
        let meant = did_you_mean(pattern, layers.iter().map(|layer| &*layer.name));
        let message = format!(
            "{option} {pattern:?}: is not a layer that can be quantized{meant}; see `intact8 inspect`"
        );
        return Err(Error::invalid_config(message));
    }
    Ok(found)
}

/// Whether a name is that of a pattern. A name with a `*` is also its own pattern.
fn is_like(name: &str, pattern: &str) -> bool {
    name == pattern || WildMatch::new(pattern).matches(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Model;
    use intact8_quant::layer::layers;

    fn enabled(selection: &LayerSelection) -> Result<Vec<String>> {
        let model: Model = "model m opset 17\n%x = input : f32[2,2]\n%w = const [1.0, 0.5, 0.5, 1.0] : f32[2,2]\n\
            %a = MatMul(%x, %w) @\"head/a.0\"\n%b = MatMul(%a, %w) @\"head/b\"\n%c = Gemm(%b, %w) @tail\nreturn %c\n"
            .parse()
            .unwrap();
        let mut config = QuantConfig::for_model(&model);
        selection.apply(&mut config, &layers(&model))?;
        let enabled = config.layers.into_iter().filter(|(_, layer)| layer.quant_enable);
        Ok(enabled.map(|(name, _)| name).collect())
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_patterns_and_operators_select_layers() {
        let skip = |patterns| LayerSelection { skip: words(patterns), ..LayerSelection::default() };
        assert_eq!(enabled(&LayerSelection::default()).unwrap(), ["head/a.0", "head/b", "tail"]);
        assert_eq!(enabled(&skip(&["head/*"])).unwrap(), ["tail"]);
        assert_eq!(enabled(&skip(&["head/a?0", "tail"])).unwrap(), ["head/b"]);
        let only =
            LayerSelection { only: words(&["*a*"]), skip: words(&["tail"]), ..LayerSelection::default() };
        assert_eq!(enabled(&only).unwrap(), ["head/a.0", "head/b"]);
        let types = LayerSelection { skip_types: words(&["matmul"]), ..LayerSelection::default() };
        assert_eq!(enabled(&types).unwrap(), ["tail"]);
    }

    #[test]
    fn what_selects_nothing_is_an_error() {
        let error = |selection: LayerSelection| enabled(&selection).unwrap_err().to_string();
        assert_eq!(
            error(LayerSelection { skip: words(&["tial"]), ..LayerSelection::default() }),
            "skip \"tial\": is not a layer that can be quantized; did you mean \"tail\"; see `intact8 inspect`"
        );
        assert_eq!(
            error(LayerSelection { skip_types: words(&["Conv"]), ..LayerSelection::default() }),
            "skip-type \"Conv\": no layer has this operator; they have Gemm, MatMul"
        );
        assert_eq!(
            error(LayerSelection { skip: words(&["*"]), ..LayerSelection::default() }),
            "the selection of layers leaves none to quantize"
        );
    }
}
