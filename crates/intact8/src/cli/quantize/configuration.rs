//! The configuration of a run: that of the user or the default, with the options of the command line.

use super::Args;
use crate::cli::print_message;
use anyhow::bail;
use intact8::data::Feed;
use intact8::quant::layer::LayerSet;
use intact8::{
    FloatModel, Preference, Preparation, Prepared, Profile, QuantConfig, leave_unreached, load_config,
};

/// The user's configuration, if there is one.
pub(super) fn asked(args: &Args) -> anyhow::Result<Option<QuantConfig>> {
    let asked = args.config.as_deref().map(load_config).transpose()?;
    if args.is_for_amct() && !args.no_equalize && asked.as_ref().is_none_or(|config| config.equalize) {
        print_message(
            "cross-layer equalization is off: the record for AMCT holds scales of the model's own weights",
        );
    }
    Ok(asked.map(|config| with_flags(args, config)))
}

/// The preparation that the configuration requires.
pub(super) fn preparation(args: &Args, asked: Option<&QuantConfig>) -> Preparation {
    Preparation::of(asked.unwrap_or(&with_flags(args, QuantConfig::default())))
}

/// A configuration without the stages that options turn off.
fn with_flags(args: &Args, mut config: QuantConfig) -> QuantConfig {
    config.equalize &= !args.no_equalize && !args.is_for_amct();
    config.auto_balance &= !args.no_balance;
    config.correct_bias &= !args.no_correct_bias;
    config.fit_rounding &= !args.no_fit_rounding;
    config
}

/// A configuration, and a line for each restriction of it.
pub(super) type Restricted = (QuantConfig, Vec<String>);

/// The user's configuration, or the default for a preference without the settings that the target does not support. Of layers that
/// no calibration data but zeros reach only the weights are quantized.
pub(super) fn complete(
    args: &Args,
    float: &FloatModel<'_>,
    asked: Option<QuantConfig>,
    calibration: &mut Feed,
    (target, prefer): (&Profile, Preference),
) -> anyhow::Result<Restricted> {
    let (mut config, restrictions) = match asked {
        Some(mut config) => {
            let restrictions = target.leave_float(&mut config, float.model());
            (config, restrictions)
        }
        None => {
            let mut config = with_flags(args, QuantConfig::for_model(float.model()));
            let restrictions = target.restrict(&mut config, float.model(), prefer);
            (config, restrictions)
        }
    };
    config.skip(&args.skip_layers)?;
    let n_batches = calibration.n_batches();
    if let Some(n) = config.batch_num.filter(|&n| n < n_batches) {
        print_message(&format!(
            "batch_num is {n}: the calibration uses {n} of {n_batches} batches; remove batch_num from the configuration \
             to use all"
        ));
    }
    let unreached = leave_unreached(float, &mut config, calibration)?;
    target.check_config(&config)?;
    reduce_range(&args.reduce_range, &mut config)?;
    Ok((config, [unreached, restrictions].concat()))
}

/// Sets the weights of some layers to 7 bits.
fn reduce_range(names: &[String], config: &mut QuantConfig) -> anyhow::Result<()> {
    let all: Vec<String> = config.layers.keys().cloned().collect();
    for name in if names == ["all"] { &all } else { names } {
        let Some(layer) = config.layers.get_mut(name) else {
            bail!("--reduce-range: {name:?} is not a layer of the configuration; see `intact8 inspect`");
        };
        layer.weight_quant_params.num_bits = layer.weight_quant_params.num_bits.min(7);
    }
    Ok(())
}

/// The layers that move together.
pub(super) fn groups(
    groups: &[String],
    prepared: &Prepared,
    config: &QuantConfig,
) -> anyhow::Result<Vec<LayerSet>> {
    let group = |group: &String| {
        let names = group.split(',').map(str::trim);
        let id = |name: &str| match (config.layers.contains_key(name), prepared.layers().id(name)) {
            (true, Some(id)) => Ok(id),
            _ => bail!("--group: {name:?} is not a layer of the configuration; see `intact8 inspect`"),
        };
        names.map(id).collect()
    };
    groups.iter().map(group).collect()
}
