//! The passes, one file each.

mod balance;
mod drop_clipped_activations;
mod equalize;
mod fold_batch_norm;
mod fold_quantized_weights;
mod fold_scale_shift;
mod insert_quant_dequant;
mod lower_batch_norm;
mod name_nodes;
mod raise_opset;
mod remove_no_ops;
mod round_weights;
mod shift_bias;
mod sink_constants;

pub use balance::Balance;
pub use drop_clipped_activations::DropClippedActivations;
pub use equalize::Equalize;
pub use fold_batch_norm::FoldBatchNorm;
pub use fold_quantized_weights::FoldQuantizedWeights;
pub use fold_scale_shift::FoldScaleShift;
pub use insert_quant_dequant::InsertQuantDequant;
pub use lower_batch_norm::LowerBatchNorm;
pub use name_nodes::NameNodes;
pub use raise_opset::RaiseOpset;
pub(crate) use raise_opset::opset_for;
pub use remove_no_ops::RemoveNoOps;
pub use round_weights::RoundWeights;
pub use shift_bias::ShiftBias;
pub use sink_constants::SinkConstants;
