//! The accuracy-driven search: it finds the layers that must stay in float so that a quantized model meets a target.
//!
//! [`search()`] calibrates a model, quantizes every layer, scores the result, ranks the layers by their sensitivity, and
//! rolls back the layers that a strategy names, until the user's [`Judge`] is satisfied with what the user's [`Scorer`]
//! returns. [`strategy`] chooses the layers of the next trial, [`sensitivity`] compares outputs for the ranking, and
//! [`ladder`] holds the other settings that are tried before a layer stays in float.
//!
//! This crate reads no files and no clock, and runs models only through the traits [`Runtime`](intact8_ir::Runtime) and
//! [`Executor`](intact8_ir::Executor). Finding ranges and other parameters is the task of [`intact8_calibrate`], metrics
//! over data sets that of the crate `intact8`.
//!
//! # Example
//!
//! The input of the layer `mixed` has values of up to 100 and of up to 0.3, and both count in its output. Eight bits can't
//! hold both, so `mixed` stays in float and `last` is quantized:
//!
//! ```
//! use intact8_calibrate::{BoxError, FloatModel};
//! use intact8_interp::{Interpreter, Session};
//! use intact8_ir::{Model, Tensor};
//! use intact8_quant::{Preparation, Prepared, QuantConfig};
//! use intact8_search::strategy::Minimal;
//! use intact8_search::{
//!     Judge, Roles, SavedModel, Scorer, Scoring, SearchOptions, Subject, Verdict, search,
//! };
//!
//! /// The score of a model: its outputs for some inputs.
//! struct Outputs {
//!     inputs: Vec<Tensor>,
//! }
//!
//! impl Scorer for Outputs {
//!     type Score = Vec<f32>;
//!
//!     fn score(&mut self, subject: Subject<'_>, _: &mut Scoring<'_, Vec<f32>>) -> Result<Vec<f32>, BoxError> {
//!         let model = match subject {
//!             Subject::Original(model) => model,
//!             Subject::Trial { quantized, .. } => quantized.fake_quant(),
//!             Subject::Saved { model: SavedModel::FakeQuant { model, .. }, .. } => model,
//!             Subject::Saved { model: SavedModel::Deployed(deployed), .. } => deployed.model(),
//!         };
//!         Ok(Session::new(model)?.run(&self.inputs)?[0].values()?.to_vec())
//!     }
//! }
//!
//! /// The target: no output may change by more than this.
//! struct MaxChange(f32);
//!
//! impl Judge<Vec<f32>> for MaxChange {
//!     fn judge(&mut self, original: &Vec<f32>, quantized: &Vec<f32>) -> Result<Verdict, BoxError> {
//!         let changes = original.iter().zip(quantized).map(|(a, b)| (a - b).abs());
//!         let loss = changes.fold(0.0, f32::max);
//!         Ok(Verdict { satisfied: loss <= self.0, loss: f64::from(loss) })
//!     }
//! }
//!
//! let text = "\
//! model example opset 17
//! %x = input : f32[N,2]
//! %w = const [0.01, 1.0] : f32[2,1]
//! %h = MatMul(%x, %w) @mixed
//! %v = const [1.0, -1.0] : f32[1,2]
//! %y = MatMul(%h, %v) @last
//! return %y
//! ";
//! let model: Model = text.parse()?;
//! let samples = Tensor::new(&[4, 2], vec![100.0f32, 0.3, -60.0, -0.3, 20.0, -0.2, -80.0, 0.2]);
//!
//! let prepared = Prepared::new(&model, &Preparation::default(), None, &mut ())?;
//! let runtime = Interpreter::default();
//! let float = FloatModel::new(&prepared, &runtime)?;
//! let config = QuantConfig { auto_balance: false, ..QuantConfig::for_model(prepared.model()) };
//! let mut strategy = Minimal;
//! let roles = Roles {
//!     data: &mut vec![vec![samples.clone()]],
//!     scorer: &mut Outputs { inputs: vec![samples] },
//!     judge: &mut MaxChange(0.05),
//!     observer: &mut (),
//! };
//! let report = search(&float, &model, &config, roles, SearchOptions::new(&mut strategy))?;
//!
//! let outcome = report.outcome.as_ref().expect("the target can be met");
//! assert_eq!(report.table.names(&outcome.rolled_back), ["mixed"]);
//! assert!(!report.history[0].verdict.satisfied);
//! # Ok::<(), intact8_ir::Error>(())
//! ```

pub mod ladder;
mod options;
mod outcome;
mod rank;
mod rank_output;
mod ranking;
mod rescore;
mod roles;
mod roll_back_all;
mod search;
pub mod sensitivity;
mod stage;
pub mod strategy;

pub use options::SearchOptions;
pub use outcome::{Ending, Outcome, Report, Rescored, Rungs, Trial};
pub use rank::{ReplayTap, Replayed, rank};
pub use ranking::{Ranked, Ranking};
pub use rescore::rescore;
pub use roles::{Candidate, Judge, SavedModel, Scorer, Scoring, SearchObserver, Subject, Verdict};
pub use roll_back_all::roll_back_all;
pub use search::{Roles, search};
pub use sensitivity::Sensitivity;
pub use stage::{Interruption, Stage};
pub use strategy::Strategy;
