//! How the configuration of a run is made: the user's or the default one, for a target and a preference.

use crate::data::Feed;
use crate::layer_selection::LayerSelection;
use crate::quantize::leave_unreached;
use crate::watcher::Progress;
use intact8_calibrate::FloatModel;
use intact8_ir::{Error, Result};
use intact8_quant::deploy::LayerTimes;
use intact8_quant::layer::{LayerSet, layers};
use intact8_quant::{Preference, Preparation, Prepared, Profile, QuantConfig};

/// The stages of preparation and calibration that a run goes without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WithoutStages {
    /// Cross-layer equalization.
    pub equalize: bool,
    /// Smoothing, except for layers with a migration strength in the configuration.
    pub balance: bool,
    /// Bias correction.
    pub correct_bias: bool,
    /// Fitting the rounding of weights to the calibration data.
    pub fit_rounding: bool,
}

impl WithoutStages {
    /// A configuration without these stages.
    #[must_use]
    pub fn applied(self, mut config: QuantConfig) -> QuantConfig {
        config.equalize &= !self.equalize;
        config.auto_balance &= !self.balance;
        config.correct_bias &= !self.correct_bias;
        config.fit_rounding &= !self.fit_rounding;
        config
    }
}

/// How the configuration of a run is made.
#[derive(Debug, Clone)]
pub struct ConfigChoice {
    /// The user's configuration; `None` is the default one.
    pub given: Option<QuantConfig>,
    /// The stages that the run goes without, whatever the configuration has.
    pub without: WithoutStages,
    /// The layers that are quantized.
    pub selection: LayerSelection,
    /// The layers whose weights have 7 bits, or `all`.
    pub reduce_range: Vec<String>,
    /// What the default configuration prefers.
    pub prefer: Preference,
    /// The target.
    pub target: &'static Profile,
}

/// A configuration, and a line for each restriction of it.
pub type Restricted = (QuantConfig, Vec<String>);

impl ConfigChoice {
    /// The preparation that the configuration requires.
    pub fn preparation(&self) -> Preparation {
        Preparation::of(&self.without.applied(self.given.clone().unwrap_or_default()))
    }

    /// The user's configuration, or the default for `prefer`, without the settings that the target does not support. Of layers that
    /// no calibration data but zeros reach only the weights are quantized.
    ///
    /// # Errors
    /// If a name is not that of a layer, the target does not support the configuration, or data or runtime fail.
    pub fn complete(
        &self,
        float: &FloatModel<'_>,
        prefer: Preference,
        calibration: &mut Feed,
        progress: &mut dyn Progress,
    ) -> Result<Restricted> {
        self.measured(float, (prefer, &LayerTimes::new()), calibration, progress)
    }

    /// The same, where times of layers are measured, which count in place of estimates.
    ///
    /// # Errors
    /// As [`ConfigChoice::complete`].
    pub(crate) fn measured(
        &self,
        float: &FloatModel<'_>,
        (prefer, measured): (Preference, &LayerTimes),
        calibration: &mut Feed,
        progress: &mut dyn Progress,
    ) -> Result<Restricted> {
        let config = self.given.clone().unwrap_or_else(|| QuantConfig::for_model(float.model()));
        let mut config = self.without.applied(config);
        self.selection.apply(&mut config, &layers(float.model()))?;
        let restrictions = match &self.given {
            Some(_) => self.target.leave_float(&mut config, float.model()),
            None => self.target.restrict_measured(&mut config, float.model(), prefer, measured),
        };
        let n_batches = calibration.n_batches();
        if let Some(n) = config.batch_num.filter(|&n| n < n_batches) {
            progress.note(&format!(
                "batch_num is {n}: the calibration uses {n} of {n_batches} batches; remove batch_num from the configuration \
                 to use all"
            ));
        }
        let unreached = leave_unreached(float, &mut config, calibration)?;
        self.target.check_config(&config)?;
        self.reduce_ranges(&mut config)?;
        Ok((config, [unreached, restrictions].concat()))
    }

    /// Sets the weights of some layers to 7 bits.
    fn reduce_ranges(&self, config: &mut QuantConfig) -> Result<()> {
        let all: Vec<String> = config.layers.keys().cloned().collect();
        for name in if self.reduce_range == ["all"] { &all } else { &self.reduce_range } {
            let Some(layer) = config.layers.get_mut(name) else {
                return Err(no_layer(name).at("reduce-range"));
            };
            layer.weight_quant_params.num_bits = layer.weight_quant_params.num_bits.min(7);
        }
        Ok(())
    }
}

/// The layers that move together, from names.
///
/// # Errors
/// If a name is not that of a layer of the configuration.
pub fn groups_of_layers(
    groups: &[Vec<String>],
    prepared: &Prepared,
    config: &QuantConfig,
) -> Result<Vec<LayerSet>> {
    let id = |name: &String| match (config.layers.contains_key(name), prepared.layers().id(name)) {
        (true, Some(id)) => Ok(id),
        _ => Err(no_layer(name)),
    };
    groups.iter().map(|group| group.iter().map(id).collect()).collect()
}

fn no_layer(name: &str) -> Error {
    Error::invalid_config(format!("{name:?} is not a layer of the configuration; see `intact8 inspect`"))
}
