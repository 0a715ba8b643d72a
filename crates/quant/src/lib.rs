//! Quantization of intact8's IR: layers, configuration, record, calibration, and the passes.
//!
//! It never runs a model: an embedding compiler gets the passes without our interpreter and without protobuf.
//! Quantizing is putting QuantizeLinear and DequantizeLinear around a layer's two operands, and from then on the graph
//! carries the numbers.

mod ada_round;
mod axis;
mod balancing;
mod batch_norm;
mod calibration;
mod coding;
mod config;
mod costs;
mod deploy_format;
mod fit_rounding;
mod granularity;
mod grow;
mod layer;
mod linear_node;
mod linear_view;
mod names;
mod observer;
mod operands;
mod params;
mod passes;
mod profile;
mod prototext;
mod quantized;
mod quantized_linear;
mod ranks;
mod record;
mod region;
mod rounding;
mod saturation;
mod sources;
mod useful;
mod uses;
mod weight;

pub use ada_round::{Activation, Examples};
pub use balancing::Balancing;
pub use calibration::{Calibration, Narrower};
pub use config::{
    ActivationConfig, ActivationMethod, AdaRound, Ifmr, LayerConfig, Precision, QuantConfig, TensorConfig,
    WeightConfig, WeightMethod,
};
pub use costs::{multiply_adds, sample_shapes};
pub use deploy_format::{DeployFormat, Emission, deploy, emit};
pub use fit_rounding::Inputs;
pub use layer::{InputChannels, Kind, Layer, QUANTIZABLE, QuantizableOp, Weight, layer, layers};
pub use linear_view::{LinearKind, LinearView, WeightLayout};
pub use observer::{Bin, ChannelMaxima, Histogram, Statistics, Weighted, activation_params};
pub use operands::{Operands, OutputErrors, simulated_activation, simulated_weight};
pub use params::QuantParams;
pub use passes::{
    Balance, CarryThrough, ClipIntegers, DropClippedActivations, Equalize, ExpandWeights, FloatConstants,
    FoldBatchNorm, FoldChannelFactors, FoldPads, FoldQuantizedWeights, FoldScaleShift, InsertQuantDequant,
    LowerBatchNorm, LowerToAscend, LowerToInteger, LowerToQLinear, NameNodes, QuantizeAddedBias, RaiseOpset,
    ReadAscend, RemoveNoOps, RemoveRequantization, RoundWeights, ShareConstants, ShiftBias,
    SignedActivations, SinkConstants, Trim, UnsignedActivations, balanced_for_free,
};
pub use profile::{Overhead, PROFILES, Profile};
pub use quantized::{check_is_float, check_is_qdq, record_of};
pub use record::{LayerRecord, Record};
pub use rounding::Rounding;
pub use saturation::saturating_pairs;
pub use weight::weight_params;

use intact8_infer::InferShapes;
use intact8_ir::{Pass, Pipeline};

/// What makes a model ready to be quantized: names and types, nothing that does nothing, scales, normalizations and pads
/// folded, ranges made equal. Constants that other constants are computed from should have been folded before.
pub fn prepare(config: &QuantConfig) -> Pipeline<'_> {
    let skip = &config.skip_fusion_layers[..];
    let mut passes: Vec<Box<dyn Pass + '_>> =
        vec![Box::new(NameNodes), Box::new(SinkConstants), Box::new(InferShapes), Box::new(RemoveNoOps)];
    if config.do_fusion {
        passes.push(Box::new(FoldScaleShift { skip }));
        passes.push(Box::new(FoldBatchNorm { skip }));
        // What comes after a normalization stands behind the layer only now.
        passes.push(Box::new(FoldScaleShift { skip }));
        passes.push(Box::new(LowerBatchNorm { skip }));
        passes.push(Box::new(FoldPads));
    }
    if config.equalize {
        passes.push(Box::new(Equalize));
    }
    passes.push(Box::new(InferShapes));
    Pipeline(passes)
}

/// The model that simulates quantization, from a prepared one: raised to an operator set that can say so, balanced, weights rounded as was learned, biases
/// shifted, quantize and dequantize around each operand.
pub fn fake_quant<'a>(config: &'a QuantConfig, record: &'a Record) -> Pipeline<'a> {
    Pipeline(vec![
        Box::new(RaiseOpset { to: config.min_opset(record) }),
        Box::new(Balance { config, record }),
        Box::new(RoundWeights { config, record }),
        Box::new(ShiftBias { config, record }),
        Box::new(InsertQuantDequant { config, record }),
    ])
}
