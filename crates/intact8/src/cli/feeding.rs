//! The options for feeding data: batches, the units of bytes, and what is made of images.

use super::usage_error::UsageError;
use super::values::{finite, positive};
use clap::builder::RangedU64ValueParser;
use intact8::data::{
    BatchAxis, Channels, Feeding, ImageSettings, Interpolation, Layout, RawShape, Resize, Size,
};
use std::path::PathBuf;

/// The options for feeding data.
#[derive(clap::Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct FeedingArgs {
    /// Number of samples in a batch; evaluation uses fewer if a batch does not fit into the processor's cache; default: the
    /// fixed batch size of the model, or 32
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    batch: Option<usize>,
    /// The dimension that counts samples, where it can't be found or is another: of one input, or of all; `none` feeds the array
    /// as it is; may be repeated
    #[arg(long = "batch-axis", value_name = "[INPUT=]AXIS")]
    batch_axes: Vec<BatchAxis>,
    /// Subtract from uint8 arrays: one number, or one for each channel
    #[arg(long, value_name = "a,b,c", value_delimiter = ',', allow_negative_numbers = true, value_parser = finite)]
    mean: Vec<f32>,
    /// Divide uint8 arrays by this after subtracting the mean: one number, or one for each channel
    #[arg(long, value_name = "a,b,c", value_delimiter = ',', value_parser = positive)]
    std: Vec<f32>,
    /// Feed uint8 arrays and images to float inputs as 0 to 255
    #[arg(long, conflicts_with_all = ["mean", "std"])]
    raw_bytes: bool,
    /// Resize images to a shorter side of N pixels, or to WxH; default: until they just cover the model's input, or with
    /// --crop not at all
    #[arg(long, value_name = "N|WxH")]
    resize: Option<Resize>,
    /// Cut so many pixels out of the middle of images: N for NxN, or WxH; default: the size of the model's input
    #[arg(long, value_name = "N|WxH")]
    crop: Option<Size>,
    /// How images are resized: bilinear, bicubic or lanczos, each over all pixels that a new one covers, as Pillow does
    #[arg(long, value_name = "NAME", default_value = "bilinear")]
    interpolation: Interpolation,
    /// The dimensions of an input for images: nchw or nhwc; default: found by the dimension of 1 or 3 channels
    #[arg(long, value_name = "ORDER")]
    layout: Option<Layout>,
    /// The channels of images: rgb, bgr or grey; default: rgb, or grey for an input with one channel
    #[arg(long, value_name = "ORDER")]
    channels: Option<Channels>,
    /// A file with the names of the classes, one a line, which numbers them; default: the folders of classes in the order of
    /// their names
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// The shape of a sample in raw files where the model leaves dimensions open, such as 16x80 or x=16x80; may be repeated
    #[arg(long = "raw-shape", value_name = "[INPUT=]AxB")]
    raw_shapes: Vec<RawShape>,
}

impl FeedingArgs {
    /// # Errors
    /// An error of usage if means and deviations are not of the same channels.
    pub(crate) fn feeding(&self) -> anyhow::Result<Feeding> {
        let (n_means, n_deviations) = (self.mean.len(), self.std.len());
        if n_means > 1 && n_deviations > 1 && n_means != n_deviations {
            let message = format!(
                "--mean has {n_means} numbers and --std {n_deviations}; give one, or one for each channel"
            );
            return Err(UsageError::new(message).into());
        }
        Ok(Feeding {
            batch: self.batch,
            batch_axes: self.batch_axes.clone(),
            mean: self.mean.clone(),
            std: self.std.clone(),
            raw_bytes: self.raw_bytes,
            images: ImageSettings {
                resize: self.resize,
                crop: self.crop,
                interpolation: self.interpolation,
                layout: self.layout,
                channels: self.channels,
                classes: self.classes.clone(),
            },
            raw_shapes: self.raw_shapes.clone(),
        })
    }
}
