//! The options for images: how they are resized and cropped, and the order of their channels and dimensions.

use fast_image_resize::FilterType;
use intact8_ir::{Error, Result};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The options for images. Without any of them an image is resized until it just covers the model's input, and cropped in the
/// middle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageSettings {
    /// The size before the crop.
    pub resize: Option<Resize>,
    /// The size that is cut out of the middle.
    pub crop: Option<Size>,
    /// How pixels are interpolated.
    pub interpolation: Interpolation,
    /// The order of the dimensions; `None` is that of the model's input.
    pub layout: Option<Layout>,
    /// The channels; `None` is `Rgb` for an input with three, and `Grey` for one.
    pub channels: Option<Channels>,
    /// A file with the names of the classes in the order of their numbers, one in each line.
    pub classes: Option<PathBuf>,
}

impl ImageSettings {
    /// The options that differ from the defaults, as they are typed.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let given = [
            ("--resize", self.resize.is_some()),
            ("--crop", self.crop.is_some()),
            ("--interpolation", self.interpolation != Interpolation::default()),
            ("--layout", self.layout.is_some()),
            ("--channels", self.channels.is_some()),
            ("--classes", self.classes.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(option, _)| option).collect()
    }
}

/// A size in pixels; its text is `WxH`, or `N` for a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The number of columns.
    pub width: u32,
    /// The number of rows.
    pub height: u32,
}

/// A size to resize to; its text is `WxH`, or `N` for the shorter side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side has so many pixels, and the longer one keeps the proportions.
    Shorter(u32),
    /// Exactly this size.
    To(Size),
}

/// How pixels are interpolated; where an image becomes smaller, over all pixels that a new one covers, as Pillow does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interpolation {
    /// Linear in both directions.
    #[default]
    Bilinear,
    /// Cubic, with a = −0.5.
    Bicubic,
    /// Lanczos windows of 3.
    Lanczos,
}

/// The order of an input's dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Samples, channels, rows, columns.
    Nchw,
    /// Samples, rows, columns, channels.
    Nhwc,
}

/// The channels of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// The luma of ITU-R BT.601, one channel.
    Grey,
}

impl Interpolation {
    pub(super) fn filter(self) -> FilterType {
        match self {
            Interpolation::Bilinear => FilterType::Bilinear,
            Interpolation::Bicubic => FilterType::CatmullRom,
            Interpolation::Lanczos => FilterType::Lanczos3,
        }
    }
}

impl Channels {
    pub(super) fn len(self) -> usize {
        if self == Channels::Grey { 1 } else { 3 }
    }
}

/// The names of values, with which they are parsed and printed.
macro_rules! names {
    ($type:ident, $what:literal, $($name:literal => $value:ident),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($type::$value => $name,)+ })
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<$type> {
                match &*text.to_ascii_lowercase() {
                    $($name => Ok($type::$value),)+
                    _ => {
                        let names = [$($name),+].join(", ");
                        Err(Error::invalid_config(format!("must be one of {names}; found {text:?}")).at($what))
                    }
                }
            }
        }
    };
}

names!(Interpolation, "interpolation", "bilinear" => Bilinear, "bicubic" => Bicubic, "lanczos" => Lanczos);
names!(Layout, "layout", "nchw" => Nchw, "nhwc" => Nhwc);
names!(Channels, "channels", "rgb" => Rgb, "bgr" => Bgr, "grey" => Grey);

/// The longest side of an image that is fed to a model.
const MAX_SIDE: u32 = 1 << 14;

fn side(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|side| (1..=MAX_SIDE).contains(side))
}

fn no_size(text: &str) -> Error {
    Error::invalid_config(format!(
        "must be a number of pixels or WxH, such as 256 or 320x240, each at most {MAX_SIDE}; found {text:?}"
    ))
}

fn both_sides(text: &str) -> Option<Size> {
    let (width, height) = text.split_once('x')?;
    Some(Size { width: side(width)?, height: side(height)? })
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Size> {
        let square = || side(text).map(|side| Size { width: side, height: side });
        both_sides(text).or_else(square).ok_or_else(|| no_size(text).at("size"))
    }
}

impl FromStr for Resize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Resize> {
        let shorter = || side(text).map(Resize::Shorter);
        both_sides(text).map(Resize::To).or_else(shorter).ok_or_else(|| no_size(text).at("size"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_names_are_parsed() {
        let size = |width, height| Size { width, height };
        assert_eq!("224".parse::<Size>().unwrap(), size(224, 224));
        assert_eq!("320x240".parse::<Size>().unwrap(), size(320, 240));
        assert_eq!("256".parse::<Resize>().unwrap(), Resize::Shorter(256));
        assert_eq!("320x240".parse::<Resize>().unwrap(), Resize::To(size(320, 240)));
        for wrong in ["", "0", "-1", "3x", "x3", "1x2x3", "99999", "2.5", "a"] {
            let message = wrong.parse::<Resize>().unwrap_err().to_string();
            assert!(message.starts_with("size: must be a number of pixels or WxH"), "{message}");
        }
        assert_eq!("NHWC".parse::<Layout>().unwrap().to_string(), "nhwc");
        let message = "gray".parse::<Channels>().unwrap_err().to_string();
        assert_eq!(message, "channels: must be one of rgb, bgr, grey; found \"gray\"");
    }
}
