//! Operators on text, and from files to tensors.

use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::Is;
use crate::row::{OpRow, one};
use crate::site::{Inferred, Site, Stop};
use intact8_ir::DType::{F32, I64, Str, U8};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("ImageDecoder", &[Is(U8)], image),
    OpRow::tensors("StringNormalizer", &[Is(Str)], normalized),
    OpRow::tensors("StringSplit", &[Is(Str), Is(I64)], split),
    OpRow::tensors("TfIdfVectorizer", &[Is(F32)], counted),
];

/// `[height,width,channels]`.
fn image(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let channels = if site.str("pixel_format", "RGB")? == "Grayscale" { 1 } else { 3 };
    let size = site.unknown("the image's size is in the file");
    one(vec![size.clone(), size, Length::known(channels)])
}

/// `[C]` or `[1,C]`, where stop words are left out.
fn normalized(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let mut shape = site.shape(0)?.to_vec();
    let drops = site.op.attrs.contains_key("stopwords");
    match shape.last_mut() {
        Some(last) if drops => *last = site.unknown("how many words are left depends on the data"),
        Some(_) => {}
        None => return Err(Stop::wrong("there must be 1 or 2 dimensions")),
    }
    one(shape)
}

/// The parts of each string, and how many they are.
fn split(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.shape(0)?.to_vec();
    let n_parts = site.unknown("how many parts a string has depends on the data");
    Ok(vec![Some([shape.as_slice(), &[n_parts]].concat()), Some(shape)])
}

/// One count for each coordinate, instead of the last dimension.
fn counted(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let coordinates = site.op.ints("ngram_indexes")?.unwrap_or_default();
    let last = coordinates.iter().max().ok_or_else(|| Stop::wrong("attribute ngram_indexes is missing"))?;
    let mut shape = site.shape(0)?.to_vec();
    if shape.len() > 2 {
        return Err(Stop::wrong(format!("there must be 1 or 2 dimensions, found {}", shape.len())));
    }
    shape.pop();
    shape.push(&Length::known(*last) + &Length::known(1));
    one(shape)
}
