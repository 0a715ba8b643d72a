//! Calibration: finds the parameters with which the layers of a prepared model are quantized, by running it on data.
//!
//! The stages are observation of what layers read, smoothing, clipping by output error, rounding of weights, and bias
//! correction; [`calibrate()`] runs those that the configuration asks for, and [`Calibrated`] holds what each has found. It
//! runs models through the traits [`Runtime`](intact8_ir::Runtime) and [`Executor`](intact8_ir::Executor), so any engine
//! will do. It writes no files, and does not search which layers to quantize.

mod bias_correction;
mod calibrate;
mod calibrated;
mod clipping;
mod data;
mod float_model;
mod observation;
mod observer;
mod output_noise;
mod replay;
mod rounding;
mod row_error;
mod sample;
mod smoothing;
mod unreached;

pub use calibrate::calibrate;
pub use calibrated::{BiasShifts, Calibrated, LayerRanges, Ranges, Roundings, SmoothingFactors};
pub use data::{Batches, BoxError, CalibrationData};
pub use float_model::FloatModel;
pub use observer::{CalibrationObserver, CalibrationStage};
pub use replay::{Replay, Seen};
pub use unreached::unreached_layers;
