//! The bytes of an export, in which tensors are not yet converted.
//!
//! A message has its length before its content, so nested messages are assembled before any of them is written.
//! A rope has a known length and shares the tensors with the model, so an export does not copy them.

use crate::tensor;
use intact8_ir::Tensor;
use protobuf::CodedOutputStream;
use std::io::{self, Write};

/// Tensors of fewer bytes are converted immediately.
const SMALL: u64 = 4 << 10;

/// A sequence of bytes with a known length.
#[derive(Debug, Default)]
pub(crate) struct Rope {
    pieces: Vec<Piece>,
    len: u64,
}

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Tensor(Tensor),
    Zeros(u64),
}

impl Rope {
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Rope {
        let mut rope = Rope::default();
        rope.push(Piece::Bytes(bytes));
        rope
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Appends a field of a message that holds bytes, text or another message.
    pub(crate) fn field(&mut self, number: u32, content: Rope) {
        let mut head = Vec::new();
        let mut stream = CodedOutputStream::vec(&mut head);
        let written = stream.write_raw_varint32(number << 3 | 2);
        let written =
            written.and_then(|()| stream.write_raw_varint64(content.len)).and_then(|()| stream.flush());
        written.expect("writing to a vector does not fail");
        drop(stream);
        self.push(Piece::Bytes(head));
        self.append(content);
    }

    /// Appends the packed elements of a tensor.
    pub(crate) fn tensor(&mut self, tensor: &Tensor) {
        if tensor::size(tensor) >= SMALL {
            return self.push(Piece::Tensor(tensor.clone()));
        }
        let mut bytes = Vec::new();
        tensor::write(tensor, &mut bytes).expect("writing to a vector does not fail");
        self.push(Piece::Bytes(bytes));
    }

    /// Appends zeros up to a multiple of `alignment`.
    pub(crate) fn pad_to(&mut self, alignment: u64) {
        self.push(Piece::Zeros(self.len.next_multiple_of(alignment) - self.len));
    }

    pub(crate) fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Bytes(bytes) => out.write_all(bytes),
            Piece::Tensor(tensor) => tensor::write(tensor, out),
            Piece::Zeros(n) => io::copy(&mut io::Read::take(io::repeat(0), *n), out).map(drop),
        })
    }

    /// Appends another rope.
    pub(crate) fn append(&mut self, other: Rope) {
        other.pieces.into_iter().for_each(|piece| self.push(piece));
    }

    fn push(&mut self, piece: Piece) {
        self.len += match &piece {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Tensor(tensor) => tensor::size(tensor),
            Piece::Zeros(n) => *n,
        };
        match (self.pieces.last_mut(), piece) {
            (Some(Piece::Bytes(last)), Piece::Bytes(more)) => last.extend(more),
            (_, piece) => self.pieces.push(piece),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_the_number_of_written_bytes() {
        let large = Tensor::new(&[5000], vec![7u8; 5000]);
        let mut inner = Rope::from_bytes(vec![1]);
        inner.field(9, {
            let mut rope = Rope::default();
            rope.tensor(&large);
            rope
        });
        let mut rope = Rope::default();
        rope.tensor(&Tensor::scalar(258i16));
        rope.field(5, inner);
        rope.pad_to(16);
        let mut bytes = Vec::new();
        rope.write_to(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, rope.len());
        assert_eq!(bytes[..7], [2, 1, 0x2a, 0x8c, 0x27, 1, 0x4a]);
        assert_eq!(bytes[9..5009], [7; 5000]);
        assert_eq!(bytes.len() % 16, 0);
    }
}
