//! The passes, one file each.

mod balance;
mod fold_batch_norm;
mod fold_quantized_weights;
mod insert_quant_dequant;
mod name_nodes;
mod shift_bias;

pub use balance::Balance;
pub use fold_batch_norm::FoldBatchNorm;
pub use fold_quantized_weights::FoldQuantizedWeights;
pub use insert_quant_dequant::InsertQuantDequant;
pub use name_nodes::NameNodes;
pub use shift_bias::ShiftBias;
