//! Operators on text, and the decoding of image files.

use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop};
use crate::row::ElementType::Is;
use crate::row::{OpRow, one};
use intact8_ir::DType::{F32, I64, Str, U8};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("ImageDecoder", &[Is(U8)], image),
    OpRow::tensors("StringNormalizer", &[Is(Str)], normalized),
    OpRow::tensors("StringSplit", &[Is(Str), Is(I64)], split),
    OpRow::tensors("TfIdfVectorizer", &[Is(F32)], counted),
];

/// `[height,width,channels]`.
fn image(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let channels = if ctx.str("pixel_format", "RGB")? == "Grayscale" { 1 } else { 3 };
    let size = ctx.unknown("the size of the image depends on the file");
    one(vec![size.clone(), size, DimExpr::known(channels)])
}

/// `[C]` or `[1,C]`, without stop words.
fn normalized(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let mut shape = ctx.shape(0)?.to_vec();
    let drops = ctx.op.attrs.contains_key("stopwords");
    match shape.last_mut() {
        Some(last) if drops => *last = ctx.unknown("the number of remaining words depends on the data"),
        Some(_) => {}
        None => return Err(Stop::wrong("the rank must be 1 or 2")),
    }
    one(shape)
}

/// The parts of each string, and their number.
fn split(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.shape(0)?.to_vec();
    let n_parts = ctx.unknown("the number of parts of a string depends on the data");
    Ok(vec![Some([shape.as_slice(), &[n_parts]].concat()), Some(shape)])
}

/// One count for each coordinate replaces the last dimension.
fn counted(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let coordinates = ctx.op.ints("ngram_indexes")?.unwrap_or_default();
    let last = coordinates.iter().max().ok_or_else(|| Stop::wrong("attribute ngram_indexes is missing"))?;
    let mut shape = ctx.shape(0)?.to_vec();
    if shape.len() > 2 {
        return Err(Stop::wrong(format!("the rank must be 1 or 2, found {}", shape.len())));
    }
    shape.pop();
    shape.push(&DimExpr::known(*last) + &DimExpr::known(1));
    one(shape)
}
