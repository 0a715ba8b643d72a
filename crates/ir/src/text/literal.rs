//! Writing and parsing of single elements.

use super::lexer::Token;
use super::write_quoted;
use crate::{
    Complex, Element, F4E2M1, F6E2M3, F6E3M2, F8E4M3Fn, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, F8E8M0, I2, I4, U2,
    U4, bf16, f16,
};
use std::fmt::{Formatter, Result};

/// The text of one element, or of a complex number's two parts.
pub(super) type Atom = Vec<Token>;

/// An element that can be written and read. Bit patterns and sub-byte integers are plain integers.
pub(super) trait Literal: Element {
    fn write(&self, f: &mut Formatter<'_>) -> Result;
    fn parse(atom: &Atom) -> Option<Self>;

    /// The element nearest to a number, for `ramp`; `None` for types without numbers.
    fn from_f64(_number: f64) -> Option<Self> {
        None
    }
}

/// An atom as it is in the text, for messages.
pub(super) fn describe(atom: &Atom) -> String {
    let words = atom.iter().map(|token| match token {
        Token::Word(word) => word.clone(),
        Token::Quoted(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Token::Mark(mark) => (*mark).to_owned(),
        Token::Newline => String::new(),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn word<T: std::str::FromStr>(atom: &Atom) -> Option<T> {
    match atom.as_slice() {
        [Token::Word(word)] => word.parse().ok(),
        _ => None,
    }
}

macro_rules! numbers {
    ($($ty:ty),*) => {
        $(impl Literal for $ty {
            // Debug is the shortest text that reads back, and marks floats by a point or an exponent.
            fn write(&self, f: &mut Formatter<'_>) -> Result { write!(f, "{self:?}") }
            fn parse(atom: &Atom) -> Option<Self> { word(atom) }
            fn from_f64(number: f64) -> Option<Self> { Some(number as $ty) }
        })*
    };
}

macro_rules! half_floats {
    ($($ty:ty),*) => {
        $(impl Literal for $ty {
            fn write(&self, f: &mut Formatter<'_>) -> Result { self.to_f32().write(f) }
            fn parse(atom: &Atom) -> Option<Self> { word(atom).map(<$ty>::from_f32) }
            fn from_f64(number: f64) -> Option<Self> { Some(<$ty>::from_f64(number)) }
        })*
    };
}

macro_rules! small {
    ($($ty:ident),*) => {
        $(impl Literal for $ty {
            fn write(&self, f: &mut Formatter<'_>) -> Result { self.0.write(f) }
            fn parse(atom: &Atom) -> Option<Self> { word(atom).map($ty) }
        })*
    };
}

macro_rules! complex {
    ($($part:ty),*) => {
        $(impl Literal for Complex<$part> {
            fn write(&self, f: &mut Formatter<'_>) -> Result { write!(f, "({:?}, {:?})", self.re, self.im) }
            fn parse(atom: &Atom) -> Option<Self> {
                match atom.as_slice() {
                    [Token::Word(re), Token::Word(im)] => Some(Complex::new(re.parse().ok()?, im.parse().ok()?)),
                    _ => None,
                }
            }
        })*
    };
}

numbers! { f32, f64, i8, u8, i16, u16, i32, u32, i64, u64 }
half_floats! { f16, bf16 }
small! { I4, U4, I2, U2, F8E4M3Fn, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, F8E8M0, F6E2M3, F6E3M2, F4E2M1 }
complex! { f32, f64 }

impl Literal for bool {
    fn write(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{self}")
    }
    fn parse(atom: &Atom) -> Option<Self> {
        word(atom)
    }
}

impl Literal for String {
    fn write(&self, f: &mut Formatter<'_>) -> Result {
        write_quoted(f, self.as_bytes())
    }
    fn parse(atom: &Atom) -> Option<Self> {
        match atom.as_slice() {
            [Token::Quoted(bytes)] => String::from_utf8(bytes.clone()).ok(),
            _ => None,
        }
    }
}
