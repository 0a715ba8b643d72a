//! Quantization of intact8's IR: layers, configuration, record, calibration, and the passes.
//!
//! It never runs a model: an embedding compiler gets the passes without our interpreter and without protobuf.
//! Quantizing is putting QuantizeLinear and DequantizeLinear around a layer's two operands, and from then on the graph
//! carries the numbers.

mod ada_round;
mod balancing;
mod batch_norm;
mod calibration;
mod coding;
mod config;
mod costs;
mod fit_rounding;
mod flavour;
mod granularity;
mod grow;
mod layer;
mod layer_table;
mod linear;
mod names;
mod observer;
mod operands;
mod params;
mod passes;
mod product;
mod profile;
mod prototext;
mod quantized;
mod rank;
mod record;
mod region;
mod rounding;
mod saturation;
mod sources;
mod stages;
mod useful;
mod weight;

pub use ada_round::{Activation, Examples};
pub use balancing::Balancing;
pub use calibration::{Calibration, Narrower};
pub use config::{
    ActivationConfig, ActivationMethod, AdaRound, Ifmr, LayerConfig, Precision, QuantConfig, TensorConfig,
    WeightConfig, WeightMethod,
};
pub use costs::{multiply_adds, sample_shapes};
pub use fit_rounding::Inputs;
pub use flavour::{Emission, Flavour, emit};
pub use layer::{InputChannels, Kind, Layer, QUANTIZABLE, QuantizableOp, Weight, layer, layers};
pub use layer_table::{LayerId, LayerSet, LayerTable};
pub use observer::{Bin, ChannelMaxima, Histogram, Statistics, Weighted, activation_params};
pub use operands::{Operands, OutputErrors, simulated_activation, simulated_weight};
pub use params::QuantParams;
pub use passes::{
    Balance, CarryThrough, ClipIntegers, DropClippedActivations, Equalize, ExpandWeights, FloatConstants,
    FoldBatchNorm, FoldChannelFactors, FoldPads, FoldQuantizedWeights, FoldScaleShift, InsertQuantDequant,
    LowerBatchNorm, LowerToAscend, LowerToInteger, LowerToQLinear, NameNodes, QuantizeAddedBias, RaiseOpset,
    ReadAscend, RemoveNoOps, RemoveRequantization, RoundWeights, ShareConstants, ShiftBias,
    SignedActivations, SinkConstants, Trim, UnsignedActivations, balances_for_free,
};
pub use profile::{Overhead, PROFILES, Profile};
pub use quantized::{check_is_float, check_is_qdq, record_of};
pub use record::{LayerRecord, Record};
pub use rounding::Rounding;
pub use saturation::saturating_pairs;
pub use stages::{Deployed, Preparation, Prepared, Quantized};
pub use weight::weight_params;

use intact8_infer::InferShapes;
use intact8_ir::{Pass, Pipeline};

/// Names, types and folding: everything of [`Prepared`] before ranges are equalized, but for the constants that other
/// constants are computed from.
fn fuse(how: &Preparation) -> Pipeline<'_> {
    let skip = &how.skip_fusion[..];
    let mut passes: Vec<Box<dyn Pass + '_>> =
        vec![Box::new(NameNodes), Box::new(SinkConstants), Box::new(InferShapes), Box::new(RemoveNoOps)];
    if how.fuse {
        passes.push(Box::new(FoldScaleShift { skip }));
        passes.push(Box::new(FoldBatchNorm { skip }));
        // A scale that follows a normalization follows the layer only now.
        passes.push(Box::new(FoldScaleShift { skip }));
        passes.push(Box::new(LowerBatchNorm { skip }));
        passes.push(Box::new(FoldPads));
    }
    Pipeline(passes)
}

/// Types of what the passes have made.
fn infer_types() -> Pipeline<'static> {
    Pipeline(vec![Box::new(InferShapes)])
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
