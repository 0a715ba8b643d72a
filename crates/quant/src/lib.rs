//! Quantization of intact8's IR: layers, configuration, record, calibration, and the passes.
//!
//! It never runs a model: an embedding compiler gets the passes without our interpreter and without protobuf.
//! To quantize a layer is to insert QuantizeLinear and DequantizeLinear before its operands. From then on the graph holds all
//! scales and zero points, and neither configuration nor record is needed any more.
//!
//! | Module | Contents |
//! |---|---|
//! | [`layer`] | the nodes that can be quantized, and the geometry of their weights |
//! | [`config`] | the layers to quantize, and their methods |
//! | [`observer`] | statistics of activations, and the range that each method selects |
//! | [`calibration`] | from observed values to a record, and the parameters of weights |
//! | [`rounding`] | rounding of the elements of a weight, and the error of the outputs |
//! | [`record`] | scales, zero points and all other results of calibration for each layer |
//! | [`passes`] | all changes of the graph |
//! | [`deploy`] | deploy formats and runtimes |
//! | [`stages`] | prepared, quantized and deployed models |
//! | [`costs`] | multiply-adds and shapes before anything runs |
//!
//! ```
//! use intact8_ir::{Model, Tensor};
//! use intact8_quant::{Calibration, Preparation, Prepared, QuantConfig};
//!
//! let model: Model = "\
//! model m opset 17
//! %x = input : f32[N,2]
//! %w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
//! %y = MatMul(%x, %w) @fc
//! return %y
//! "
//! .parse()?;
//! let prepared = Prepared::new(&model, &Preparation::default(), None, &mut ())?;
//! let config = QuantConfig::for_model(prepared.model()).ranges_only();
//! let mut calibration = Calibration::new(prepared.model(), &config)?;
//! for value in calibration.observed_values().collect::<Vec<_>>() {
//!     // The float model is run by the caller; here the one value is the input.
//!     calibration.observe(value, &Tensor::new(&[1, 2], vec![-1.0f32, 1.0]))?;
//! }
//! let quantized = prepared.quantize(&config, &calibration.finish()?, &mut ())?;
//! assert!(quantized.fake_quant().to_string().contains("QuantizeLinear"));
//! # Ok::<(), intact8_ir::Error>(())
//! ```

mod absorbing_constants;
mod ada_round;
mod arithmetic;
mod axis;
mod batch_norm;
mod between_integers;
pub mod calibration;
pub mod config;
mod content;
pub mod costs;
mod deploy_format;
mod exact_sum;
mod fit_rounding;
mod granularity;
mod half_scales;
mod integer_products;
pub mod layer;
mod layer_table;
mod linear_node;
mod linear_view;
mod names;
mod new_nodes;
pub mod observer;
mod operands;
mod params;
pub mod passes;
mod profile;
mod prototext;
mod qdq_params;
mod quantized;
mod quantized_linear;
mod ranks;
pub mod record;
pub mod rounding;

mod placement;
mod preference;
mod saturation;
mod scaling_region;
mod shared_weights;
mod smoothing_calibration;
pub mod stages;
mod unprofitable_layers;
mod uses;
mod weight_params;

/// Writing quantized models for runtimes: deploy formats, what each runtime supports, and models that are quantized already.
pub mod deploy {
    pub use crate::deploy_format::{DeployFormat, Emission, emit, emit_fake_quant};
    pub use crate::placement::{Cost, LayerTimes, OperatorCosts, Result8, RuntimeCosts, Shape};
    pub use crate::profile::{PROFILES, Profile};
    pub use crate::quantized::{check_is_float, check_is_qdq, record_of};
}

pub use arithmetic::{Arithmetic, LayerArithmetic, LayerCounts};
pub use calibration::Calibration;
pub use config::{LayerConfig, QuantConfig};
pub use deploy::{DeployFormat, Emission, Profile, emit, emit_fake_quant};
pub use exact_sum::{ExactSum, SumDigits};
pub use layer::{Layer, layers};
pub use params::QuantParams;
pub use preference::Preference;
pub use record::{LayerRecord, Record};
pub use stages::{Deployed, Preparation, Prepared, Quantized};

use intact8_infer::InferShapes;
use intact8_ir::{Pass, Pipeline};
use passes::{
    ComputeInF32, FoldBatchNorm, FoldChannelFactors, FoldPads, FoldScaleShift, FoldShifts,
    InsertQuantDequant, LowerBatchNorm, NameNodes, RaiseOpset, RemoveNoOps, RoundWeights, ShiftAfterPool,
    ShiftBias, SinkConstants, Smooth,
};

/// Names, types, and what is folded into the layer before it, which changes a layer's weight and no activation.
fn fuse_results(how: &Preparation) -> Pipeline<'_> {
    let skip = &how.skip_fusion[..];
    let mut passes: Vec<Box<dyn Pass + '_>> =
        vec![Box::new(NameNodes), Box::new(SinkConstants), Box::new(InferShapes)];
    passes.push(Box::new(ComputeInF32));
    passes.push(Box::new(RemoveNoOps));
    if how.fuse {
        passes.push(Box::new(FoldScaleShift { skip }));
        passes.push(Box::new(FoldBatchNorm { skip }));
        // A scale that follows a normalization follows the layer only now.
        passes.push(Box::new(FoldScaleShift { skip }));
    }
    Pipeline(passes)
}

/// What is folded into the layer after it, which changes the activation that the layer reads.
fn fuse_activations(how: &Preparation) -> Pipeline<'_> {
    let mut passes: Vec<Box<dyn Pass + '_>> = vec![];
    if how.fuse {
        passes.push(Box::new(LowerBatchNorm { skip: &how.skip_fusion, into_next: how.fuse_activations }));
        if how.fuse_activations {
            passes.push(Box::new(FoldChannelFactors { skip: &how.skip_fusion }));
        }
        passes.push(Box::new(FoldPads));
        passes.push(Box::new(ShiftAfterPool));
        if how.fuse_activations {
            passes.push(Box::new(FoldShifts { skip: &how.skip_fusion }));
        }
    }
    Pipeline(passes)
}

/// Types of the values that the passes have added.
fn infer_types() -> Pipeline<'static> {
    Pipeline(vec![Box::new(InferShapes)])
}

/// The passes that make the fake-quant model of a prepared one: an operator set with the quantizers that are needed, smoothing,
/// learned rounding, bias correction, QuantizeLinear and DequantizeLinear before each operand.
pub fn fake_quant<'a>(config: &'a QuantConfig, record: &'a Record) -> Pipeline<'a> {
    Pipeline(vec![
        Box::new(RaiseOpset { to: config.min_opset(record) }),
        Box::new(Smooth { config, record }),
        Box::new(RoundWeights { config, record }),
        Box::new(ShiftBias { config, record }),
        Box::new(InsertQuantDequant { config, record }),
    ])
}
