//! The calibrated parameters of all layers, and those of one trial.

use crate::ladder::RungCalibration;
use crate::outcome::Rungs;
use intact8_quant::layer::{LayerSet, LayerTable};
use intact8_quant::{QuantConfig, Record};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The calibrated parameters with which the layers of trials are quantized.
pub(crate) struct Parameters<'a> {
    pub(crate) config: &'a QuantConfig,
    /// The record of all layers; the parameters of a layer do not depend on the choice of other quantized layers.
    pub(crate) record: Record,
    /// By the name of a rung: the layers that were tried on it, calibrated with its settings.
    pub(crate) rung_calibrations: BTreeMap<&'static str, RungCalibration>,
}

impl Parameters<'_> {
    /// The configuration of a trial, and a record of at least the layers that it enables.
    pub(crate) fn config_and_record(
        &self,
        table: &LayerTable,
        rolled_back: &LayerSet,
        rungs: &Rungs,
    ) -> (QuantConfig, Cow<'_, Record>) {
        let mut config = self.config.rolled_back(&table.names(rolled_back));
        let mut record = Cow::Borrowed(&self.record);
        for (&layer, rung) in rungs {
            let (on_rung, name) = (&self.rung_calibrations[rung], table.name(layer));
            config.layers.insert(name.to_owned(), on_rung.config.layers[name].clone());
            record.to_mut().layers.insert(name.to_owned(), on_rung.record.layers[name].clone());
        }
        (config, record)
    }
}
