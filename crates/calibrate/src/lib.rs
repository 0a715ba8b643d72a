//! Calibration: it finds the parameters with which the layers of a prepared model are quantized, by running it on data.
//!
//! The stages are observation of the layers' inputs, smoothing, clipping by output error, rounding of weights, and bias
//! correction. [`calibrate()`] runs the stages that the configuration enables, and [`Calibrated`] holds the result of each.
//!
//! Models run through the traits [`Runtime`](intact8_ir::Runtime) and [`Executor`](intact8_ir::Executor), so any engine can be
//! used. This crate writes no files and changes no model; it does not choose the layers that stay in float, which is the task
//! of `intact8-search`.
//!
//! Calibrations that outgrow one machine are made in shards: [`proceed`] makes one part of a pass over the data, or what comes
//! between passes, from states that add up bit for bit.
//!
//! # Example
//!
//! ```
//! use intact8_calibrate::{FloatModel, calibrate};
//! use intact8_interp::Interpreter;
//! use intact8_ir::{Model, Tensor};
//! use intact8_quant::{Preparation, Prepared, QuantConfig};
//!
//! let text = "\
//! model example opset 17
//! %x = input : f32[N,2]
//! %w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
//! %y = MatMul(%x, %w) @fc
//! return %y
//! ";
//! let model: Model = text.parse()?;
//! let prepared = Prepared::new(&model, &Preparation::default(), None, &mut ())?;
//! let config = QuantConfig { batch_num: Some(2), ..QuantConfig::for_model(prepared.model()) };
//!
//! let runtime = Interpreter::default();
//! let float = FloatModel::new(&prepared, &runtime)?;
//! let batch = |values: [f32; 2]| vec![Tensor::new(&[1, 2], values.to_vec())];
//! let mut data = vec![batch([1.0, -0.5]), batch([0.25, 2.0])];
//! let calibrated = calibrate(&float, &config, &mut data, &mut ())?;
//! assert_eq!(calibrated.ranges.0["fc"].activations.len(), 1);
//!
//! // Quantization uses the results of all stages as one record.
//! let quantized = prepared.quantize(&config, &calibrated.into_record(), &mut ())?;
//! assert!(quantized.fake_quant().to_string().contains("QuantizeLinear"));
//! # Ok::<(), intact8_ir::Error>(())
//! ```
//!
//! [`CalibrationData`] is implemented for batches in memory, as above, and can be implemented for any source. A closure that
//! runs a model is a [`Runtime`](intact8_ir::Runtime) as well.

mod bias_correction;
mod by_value;
mod calibrate;
mod calibrated;
mod clipping;
mod data;
mod float_model;
mod memory;
mod observation;
mod observer;
mod output_noise;
mod parts;
mod passes;
mod replay;
mod rounding;
mod row_error;
mod sample;
mod shard;
mod smoothing;
mod states;
mod unreached;

pub use calibrate::{calibrate, proceed};
pub use calibrated::{BiasShifts, Calibrated, LayerRanges, Ranges, Roundings, SmoothingFactors};
pub use data::{Batches, BoxError, CalibrationData};
pub use float_model::FloatModel;
pub use memory::MemoryLimit;
pub use observer::{CalibrationObserver, CalibrationStage};
pub use passes::{Proceeded, Share};
pub use replay::{Replay, ReplayState};
pub use shard::Shard;
pub use states::{
    CalibrationPass, CalibrationStates, CandidateErrors, ChannelErrors, PassContent, PassState,
};
pub use unreached::unreached_layers;
