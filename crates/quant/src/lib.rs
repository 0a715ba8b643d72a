//! Quantization of quantfit's IR: layers, configuration, record, calibration, and the passes.
//!
//! It never runs a model: an embedding compiler gets the passes without our interpreter and without protobuf.
//! Quantizing is putting QuantizeLinear and DequantizeLinear around a layer's two operands, and from then on the graph
//! carries the numbers.

mod batch_norm;
mod calibration;
mod config;
mod layer;
mod linear;
mod names;
mod observer;
mod params;
mod passes;
mod prototext;
mod rank;
mod record;
mod region;
mod weight;

pub use calibration::Calibration;
pub use config::{
    ActivationConfig, ActivationMethod, Ifmr, LayerConfig, QuantConfig, WeightConfig, WeightMethod,
};
pub use layer::{Layer, QUANTIZABLE, QuantizableOp, Weight, layer, layers};
pub use observer::{Bin, Histogram, Statistics, activation_params};
pub use params::QuantParams;
pub use passes::{
    DropClippedActivations, Equalize, FoldBatchNorm, FoldQuantizedWeights, FoldScaleShift,
    InsertQuantDequant, LowerBatchNorm, NameNodes, RemoveNoOps, SinkConstants,
};
pub use record::{LayerRecord, Record};
pub use weight::weight_params;

use quantfit_ir::Pipeline;

/// What makes a model ready to be quantized: names for all nodes, batch normalizations folded.
pub fn prepare(config: &QuantConfig) -> Pipeline<'_> {
    let mut passes = Pipeline(vec![Box::new(NameNodes)]);
    if config.do_fusion {
        passes.0.push(Box::new(FoldBatchNorm { skip: &config.skip_fusion_layers }));
    }
    passes
}

/// The model that simulates quantization, from a prepared one: quantize and dequantize around each operand.
pub fn fake_quant<'a>(config: &'a QuantConfig, record: &'a Record) -> Pipeline<'a> {
    Pipeline(vec![Box::new(InsertQuantDequant { config, record })])
}

/// The model that holds integers, from a prepared one.
pub fn deploy<'a>(config: &'a QuantConfig, record: &'a Record) -> Pipeline<'a> {
    let mut passes = fake_quant(config, record);
    passes.0.push(Box::new(FoldQuantizedWeights));
    passes
}
