//! The names of the fields of a `.cfg`, for messages about names that are none.

/// The fields of a text, for messages about others.
pub(super) const GLOBALS: &[&str] = &[
    "activation_offset",
    "auto_balance",
    "balance_nodes",
    "batch_num",
    "common_config",
    "correct_bias",
    "do_fusion",
    "equalize",
    "fakequant_precision_mode",
    "fit_rounding",
    "joint_quant",
    "override_layer_configs",
    "override_layer_types",
    "skip_fusion_layers",
    "skip_layer_types",
    "skip_layers",
    "tensor_quantize",
];

/// The fields of a CalibrationConfig.
pub(super) const METHODS: &[&str] = &[
    "activation_mse_quantize",
    "ada_quantize",
    "arq_quantize",
    "auto_quantize",
    "dmq_balancer",
    "hfmg_quantize",
    "ifmr_quantize",
    "kl_quantize",
    "min_max_quantize",
    "moving_average_quantize",
    "mse_quantize",
    "percentile_quantize",
];

/// The fields of `ada_quantize`, of which every method for weights has the first two.
pub(super) const OF_ADA_QUANTIZE: &[&str] = &[
    "channel_wise",
    "quant_bits",
    "num_iteration",
    "reg_param",
    "beta_range_start",
    "beta_range_end",
    "warm_start",
];

/// The fields of the methods for activations.
pub(super) const OF_ACTIVATIONS: &[&str] = &[
    "asymmetric",
    "dst_type",
    "num_of_bins",
    "percentile",
    "search_range_start",
    "search_range_end",
    "search_step",
    "max_percentile",
    "min_percentile",
    "both_ends",
];
