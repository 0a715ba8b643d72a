//! The sizes of images on the way to a model's input: the arithmetic of torchvision's `Resize` and `CenterCrop`. No pixel is computed
//! here.

use super::settings::{ImageSettings, Resize, Size};
use intact8_ir::{Error, Result};

/// How every image becomes one of the same size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    resizing: Resizing,
    /// The size in the end.
    pub(super) end: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resizing {
    None,
    Stated(Resize),
    /// To the least size that covers the one in the end.
    Covering,
}

impl Geometry {
    /// The geometry for the options and the size of a model's input, of which either side may be open.
    ///
    /// # Errors
    /// If the size in the end is not that of the input, or neither states it.
    pub(super) fn new(settings: &ImageSettings, input: [Option<usize>; 2]) -> Result<Geometry> {
        let [height, width] = input;
        let of_input = match input.map(|side| side.and_then(|side| u32::try_from(side).ok())) {
            [Some(height), Some(width)] => Some(Size { width, height }),
            _ => None,
        };
        let stated = settings.crop.or(match settings.resize {
            Some(Resize::To(size)) => Some(size),
            _ => None,
        });
        let end = stated.or(of_input).ok_or_else(|| {
            Error::invalid_config(
                "takes images of any size; state one with --crop WxH or --resize WxH, such as --resize 256 --crop 224",
            )
        })?;
        let fits = |side: Option<usize>, end: u32| side.is_none_or(|side| side == end as usize);
        if !fits(width, end.width) || !fits(height, end.height) {
            let side = |side: Option<usize>| side.map_or("?".to_owned(), |side| side.to_string());
            return Err(Error::invalid_config(format!(
                "takes images of {}x{}, and the options make them {end}",
                side(width),
                side(height)
            )));
        }
        let resizing = match (settings.resize, settings.crop) {
            (Some(resize), _) => Resizing::Stated(resize),
            (None, Some(_)) => Resizing::None,
            (None, None) => Resizing::Covering,
        };
        Ok(Geometry { resizing, end })
    }

    /// The size to which an image is resized.
    pub(super) fn resized(&self, image: Size) -> Size {
        match self.resizing {
            Resizing::None => image,
            Resizing::Stated(Resize::To(size)) => size,
            Resizing::Stated(Resize::Shorter(shorter)) => {
                let longer = |longer: u32, side: u32| scaled(shorter, longer, side).max(1);
                match image.width <= image.height {
                    true => Size { width: shorter, height: longer(image.height, image.width) },
                    false => Size { width: longer(image.width, image.height), height: shorter },
                }
            }
            Resizing::Covering => {
                let Size { width, height } = self.end;
                // The side that would be too short by the other's factor determines the factor.
                let by_width = Size { width, height: scaled(width, image.height, image.width) };
                match by_width.height >= height {
                    true => by_width,
                    false => Size { width: scaled(height, image.width, image.height).max(width), height },
                }
            }
        }
    }

    /// The first column and the first row that are cut out of a resized image.
    ///
    /// # Errors
    /// If the image is smaller than the size in the end.
    pub(super) fn crop_start(&self, resized: Size) -> Result<(u32, u32)> {
        let start = |length: u32, end: u32| length.checked_sub(end).map(half);
        match (start(resized.width, self.end.width), start(resized.height, self.end.height)) {
            (Some(left), Some(top)) => Ok((left, top)),
            _ => Err(Error::invalid_data(format!(
                "has {resized} pixels, fewer than the {} that are cut out; state --resize, or a smaller --crop",
                self.end
            ))),
        }
    }

    /// The steps in words, such as `shorter side 256, middle 224x224`.
    pub(super) fn words(&self) -> String {
        let end = self.end;
        match self.resizing {
            Resizing::None => format!("middle {end}, not resized"),
            Resizing::Stated(Resize::Shorter(shorter)) => {
                format!("resized to a shorter side of {shorter}, middle {end}")
            }
            Resizing::Stated(Resize::To(size)) if size == end => format!("resized to {end}"),
            Resizing::Stated(Resize::To(size)) => format!("resized to {size}, middle {end}"),
            Resizing::Covering => format!("resized to cover {end}, middle {end}"),
        }
    }
}

/// `factor * side / other`, rounded down, as Python's `int` does.
fn scaled(factor: u32, side: u32, other: u32) -> u32 {
    let scaled = u64::from(factor) * u64::from(side) / u64::from(other.max(1));
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

/// Half of a number as Python's `round` makes it: the even one of two that are as near.
fn half(number: u32) -> u32 {
    let down = number / 2;
    if number.is_multiple_of(2) || down.is_multiple_of(2) { down } else { down + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    fn geometry(resize: &str, crop: &str, input: [Option<usize>; 2]) -> Result<Geometry> {
        let settings = ImageSettings {
            resize: (!resize.is_empty()).then(|| resize.parse().unwrap()),
            crop: (!crop.is_empty()).then(|| crop.parse().unwrap()),
            ..ImageSettings::default()
        };
        Geometry::new(&settings, input)
    }

    #[test]
    fn sizes_are_those_of_torchvision() {
        // torchvision.transforms.Resize(256) of images of these sizes, and CenterCrop(224) of the results.
        let usual = geometry("256", "224", [Some(224); 2]).unwrap();
        for (image, resized, start) in [
            (size(500, 375), size(341, 256), (58, 16)),
            (size(375, 500), size(256, 341), (16, 58)),
            (size(333, 333), size(256, 256), (16, 16)),
            (size(1000, 7), size(36571, 256), (18174, 16)),
            (size(259, 256), size(259, 256), (18, 16)),
            (size(257, 256), size(257, 256), (16, 16)),
        ] {
            assert_eq!(usual.resized(image), resized);
            assert_eq!(usual.crop_start(resized).unwrap(), start, "{image}");
        }
    }

    #[test]
    fn without_options_an_image_covers_the_input() {
        let default = geometry("", "", [Some(24), Some(32)]).unwrap();
        for image in [size(32, 24), size(64, 48), size(100, 10), size(10, 100), size(33, 24), size(1, 1)] {
            let resized = default.resized(image);
            assert!(resized.width >= 32 && resized.height >= 24, "{image} {resized}");
            assert!(resized.width == 32 || resized.height == 24, "{image} {resized}");
            assert!(default.crop_start(resized).is_ok());
        }
        assert_eq!(default.resized(size(32, 24)), size(32, 24));
        assert_eq!(default.words(), "resized to cover 32x24, middle 32x24");
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
        let message = |resize: &str, crop: &str, input: [Option<usize>; 2]| {
            geometry(resize, crop, input).unwrap_err().to_string()
        };
        assert!(message("", "", [None; 2]).starts_with("takes images of any size; state one with --crop"));
        assert!(message("256", "", [None; 2]).starts_with("takes images of any size"));
        let expected = "takes images of 224x224, and the options make them 200x200";
        assert_eq!(message("256", "200", [Some(224); 2]), expected);
        assert_eq!(message("200x200", "", [Some(224); 2]), expected);
        assert_eq!(
            message("320x240", "", [Some(240), Some(240)]),
            "takes images of 240x240, and the options make them 320x240"
        );
        assert!(geometry("320x240", "", [Some(240), None]).is_ok());
        let crop = geometry("", "224", [None; 2]).unwrap();
        assert!(
            crop.crop_start(size(300, 200)).unwrap_err().to_string().starts_with("has 300x200 pixels, fewer")
        );
    }
}
