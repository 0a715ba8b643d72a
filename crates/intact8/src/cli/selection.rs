//! The options that select layers.

use intact8::LayerSelection;

/// The options that select layers. In names `*` stands for any characters and `?` for one.
#[derive(clap::Args)]
#[command(next_help_heading = "Layers")]
pub(crate) struct SelectionArgs {
    /// Layer, or pattern such as 'head/*', that stays in float; may be repeated
    #[arg(long = "skip", visible_alias = "skip-layer", value_name = "NAME")]
    skip: Vec<String>,
    /// Layer or pattern that is quantized, and no other; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Operator whose layers stay in float, such as Softmax; may be repeated
    #[arg(long = "skip-type", value_name = "OP")]
    skip_types: Vec<String>,
}

impl SelectionArgs {
    pub(crate) fn selection(&self) -> LayerSelection {
        let SelectionArgs { skip, only, skip_types } = self;
        LayerSelection { skip: skip.clone(), only: only.clone(), skip_types: skip_types.clone() }
    }
}
