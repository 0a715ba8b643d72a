//! Image files as pixels of bytes, by the crates `image` and `fast_image_resize`; the conversions between kinds of pixels are those of
//! Pillow's `convert`. The orientation that a camera has noted (EXIF) is ignored, as in torchvision and Pillow, which give the pixels as
//! they are stored.

use super::geometry::Geometry;
use super::settings::{Channels, Interpolation, Layout, Size};
use crate::machine_memory::machine_limits;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use intact8_ir::{Error, Result};
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The largest number of pixels of an image; the same from which on Pillow warns of a decompression bomb.
const MAX_PIXELS: u64 = (1 << 30) / 4 / 3;

/// From this number of pixels on, images are decoded one after the other, so that they need the memory of one.
const LARGE: u64 = 1 << 24;

/// Held while a large image is decoded.
static LARGE_IMAGE: Mutex<()> = Mutex::new(());

/// What is made of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) geometry: Geometry,
    pub(super) interpolation: Interpolation,
    pub(super) layout: Layout,
    pub(super) channels: Channels,
}

/// The pixels of an image in rows, with one or three bytes each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pixels {
    size: Size,
    n_channels: usize,
    bytes: Vec<u8>,
}

/// The bytes that a file gives one sample of a model's input.
///
/// # Errors
/// If the file can't be read, is no image of a known format, broken, too large, or smaller than the crop.
pub(super) fn read_image(path: &Path, form: &Form) -> Result<Vec<u8>> {
    sample(&file_bytes(path)?, form)
}

/// The bytes of a regular file that is no larger than the memory that a run may use.
///
/// # Errors
/// If it is none, larger, or can't be read.
pub(super) fn file_bytes(path: &Path) -> Result<Vec<u8>> {
    let found = std::fs::metadata(path).map_err(Error::io)?;
    if !found.is_file() {
        return Err(Error::invalid_data("is not a regular file"));
    }
    let limit = machine_limits().memory;
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(Error::io)?;
    if bytes.len() as u64 == limit {
        return Err(Error::limit(format!("has at least {limit} bytes, all the memory that a run may use")));
    }
    Ok(bytes)
}

fn sample(file: &[u8], form: &Form) -> Result<Vec<u8>> {
    let pixels = decoded(file, form.channels.len())?;
    let resized = resized(pixels, form)?;
    cropped(&resized, form)
}

/// The pixels of a file, in one or three channels.
fn decoded(file: &[u8], n_channels: usize) -> Result<Pixels> {
    let mut reader = ImageReader::new(Cursor::new(file)).with_guessed_format().map_err(Error::io)?;
    match reader.format() {
        None => return Err(Error::invalid_data(format!("is no image; known are {}", super::FORMATS))),
        Some(ImageFormat::Jpeg) if !is_complete_jpeg(file) => {
            return Err(Error::invalid_data("is a broken image: the file is cut off"));
        }
        Some(_) => {}
    }
    let memory = machine_limits().memory;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(memory);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| broken(&error))?;
    let (width, height) = decoder.dimensions();
    let n_pixels = u64::from(width) * u64::from(height);
    let is_too_large = n_pixels > MAX_PIXELS || decoder.total_bytes() > memory;
    if is_too_large {
        let (most, bytes) = (MAX_PIXELS, decoder.total_bytes());
        return Err(Error::limit(format!(
            "has {width}x{height} pixels, which need {bytes} bytes; at most {most} pixels and {memory} bytes are decoded"
        )));
    }
    // A panic while the lock is held leaves nothing behind.
    let _turn = (n_pixels >= LARGE).then(|| LARGE_IMAGE.lock().unwrap_or_else(PoisonError::into_inner));
    let image = DynamicImage::from_decoder(decoder).map_err(|error| broken(&error))?;
    let size = Size { width, height };
    let (n_found, bytes) = bytes_of(image)?;
    let bytes = match (n_found, n_channels) {
        (1, 3) => bytes.iter().flat_map(|&grey| [grey; 3]).collect(),
        (3, 1) => bytes.chunks_exact(3).map(|rgb| luma([rgb[0], rgb[1], rgb[2]])).collect(),
        _ => bytes,
    };
    Ok(Pixels { size, n_channels, bytes })
}

fn broken(error: &ImageError) -> Error {
    match error {
        ImageError::Unsupported(error) => Error::unsupported(format!("can't be decoded: {error}")),
        ImageError::Limits(error) => Error::limit(format!("can't be decoded: {error}")),
        other => Error::invalid_data(format!("is a broken image: {other}")),
    }
}

/// The number of channels, one or three, and the bytes of an image. Transparency is left out, and of 16 bits the upper ones are
/// taken.
fn bytes_of(image: DynamicImage) -> Result<(usize, Vec<u8>)> {
    fn upper<const N: usize>(values: &[u16], n_stored: usize) -> Vec<u8> {
        let of_pixel = |pixel: &[u16]| std::array::from_fn::<u8, N, _>(|channel| (pixel[channel] >> 8) as u8);
        values.chunks_exact(n_stored).flat_map(of_pixel).collect()
    }
    Ok(match image {
        DynamicImage::ImageLuma8(image) => (1, image.into_raw()),
        DynamicImage::ImageLumaA8(image) => (1, image.as_raw().iter().copied().step_by(2).collect()),
        DynamicImage::ImageRgb8(image) => (3, image.into_raw()),
        DynamicImage::ImageRgba8(image) => {
            (3, image.as_raw().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect())
        }
        DynamicImage::ImageLuma16(image) => (1, upper::<1>(image.as_raw(), 1)),
        DynamicImage::ImageLumaA16(image) => (1, upper::<1>(image.as_raw(), 2)),
        DynamicImage::ImageRgb16(image) => (3, upper::<3>(image.as_raw(), 3)),
        DynamicImage::ImageRgba16(image) => (3, upper::<3>(image.as_raw(), 4)),
        other => {
            return Err(Error::unsupported(format!("has pixels of the kind {:?}", other.color())));
        }
    })
}

/// The luma of ITU-R BT.601 in the fixed-point arithmetic of Pillow.
fn luma(rgb: [u8; 3]) -> u8 {
    let [red, green, blue] = rgb.map(u32::from);
    ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16) as u8
}

/// Whether the markers of a JPEG file go on to that of its end; a decoder fills what is missing with grey. Markers: ITU-T T.81, B.1.
fn is_complete_jpeg(file: &[u8]) -> bool {
    let mut rest = file.get(2..).unwrap_or_default();
    while let Some(at) = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff)) {
        let marker = rest[at + 1];
        rest = &rest[at + 2..];
        match marker {
            0xd9 => return true,
            // Markers without a length: restarts in the middle of coded data, and others that have no use.
            0x01 | 0xd0..=0xd8 => {}
            _ => {
                let &[high, low, ..] = rest else { return false };
                rest = rest.get(usize::from(u16::from_be_bytes([high, low]))..).unwrap_or_default();
            }
        }
    }
    false
}

/// An image in another size. Columns are resized before rows, as Pillow does: between the two, values are rounded and cut off at 0 and
/// 255.
fn resized(pixels: Pixels, form: &Form) -> Result<Pixels> {
    let (from, end) = (pixels.size, form.geometry.resized(pixels.size));
    let between = Size { width: end.width, height: from.height };
    let n_pixels = |size: Size| u64::from(size.width) * u64::from(size.height);
    if n_pixels(between) > MAX_PIXELS || n_pixels(end) > MAX_PIXELS {
        return Err(Error::limit(format!(
            "has {from} pixels and would be resized to {end}; at most {MAX_PIXELS} pixels are made"
        )));
    }
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(form.interpolation.filter()));
    [between, end].into_iter().try_fold(pixels, |pixels, size| resized_to(pixels, size, &options))
}

fn resized_to(pixels: Pixels, size: Size, options: &ResizeOptions) -> Result<Pixels> {
    if size == pixels.size {
        return Ok(pixels);
    }
    let kind = if pixels.n_channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let wrong = |error: &dyn std::fmt::Display| Error::invalid_data(format!("can't be resized: {error}"));
    let Size { width, height } = pixels.size;
    let stored = ImageRef::new(width, height, &pixels.bytes, kind).map_err(|error| wrong(&error))?;
    let mut made = Image::new(size.width, size.height, kind);
    Resizer::new().resize(&stored, &mut made, Some(options)).map_err(|error| wrong(&error))?;
    Ok(Pixels { size, n_channels: pixels.n_channels, bytes: made.into_vec() })
}

/// The middle of an image, with the dimensions and channels in the order of the input.
fn cropped(pixels: &Pixels, form: &Form) -> Result<Vec<u8>> {
    let (left, top) = form.geometry.crop_start(pixels.size)?;
    let Size { width, height } = form.geometry.end;
    let n = pixels.n_channels;
    let (stored, row) = (pixels.size.width as usize * n, width as usize * n);
    let rows = pixels.bytes.chunks_exact(stored).skip(top as usize).take(height as usize);
    let rows = rows.map(|all| &all[left as usize * n..][..row]);
    let order: &[usize] = match form.channels {
        Channels::Rgb => &[0, 1, 2],
        Channels::Bgr => &[2, 1, 0],
        Channels::Grey => &[0],
    };
    let in_order = |pixel: &[u8]| order.iter().map(|&channel| pixel[channel]).collect::<Vec<u8>>();
    Ok(match form.layout {
        Layout::Nhwc if form.channels != Channels::Bgr => rows.flatten().copied().collect(),
        Layout::Nhwc => rows.flat_map(|row| row.chunks_exact(n)).flat_map(in_order).collect(),
        Layout::Nchw => {
            let plane = |&channel: &usize| {
                rows.clone().flat_map(move |row| row.iter().skip(channel).step_by(n)).copied()
            };
            order.iter().flat_map(plane).collect()
        }
    })
}
