//! NumPy's `.npy` format: a header, which is a Python dictionary, and the elements as plain bytes.

use intact8_ir::{DType, Error, Result, Tensor, with_element};
use std::io::{Read, Write};

/// The first bytes of every file.
const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header in bytes. NumPy itself refuses headers of more than 10,000 characters.
const MAX_HEADER: usize = 1 << 16;

/// The largest number of characters of a string.
const MAX_TEXT: usize = 1 << 24;

/// The contents of a header: the type, the shape and the layout of the elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    kind: Kind,
    is_big_endian: bool,
    is_fortran: bool,
    pub(super) shape: Vec<usize>,
}

/// The type of the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number(DType),
    /// Strings of at most so many characters of 32 bits, filled with zeros.
    Unicode(usize),
    /// Strings of at most so many bytes, filled with zeros.
    Bytes(usize),
}

impl Header {
    /// Reads a header, and returns it with its length in bytes, after which the elements begin.
    pub(super) fn read(file: &mut impl Read) -> Result<(Header, u64)> {
        let wrong = |error: std::io::Error| Error::invalid_data(format!("has no complete header: {error}"));
        let mut start = [0; 8];
        file.read_exact(&mut start).map_err(wrong)?;
        if !start.starts_with(MAGIC) {
            return Err(Error::invalid_data("is not an array of NumPy"));
        }
        let mut length = [0; 4];
        let n_length_bytes = match start[6] {
            1 => 2,
            2 | 3 => 4,
            version => return Err(Error::unsupported(format!("has version {version} of the format"))),
        };
        file.read_exact(&mut length[..n_length_bytes]).map_err(wrong)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_HEADER {
            return Err(Error::invalid_data(format!(
                "has a header of {length} bytes, more than {MAX_HEADER}"
            )));
        }
        let mut text = vec![0; length];
        file.read_exact(&mut text).map_err(wrong)?;
        let text = String::from_utf8_lossy(&text);
        Ok((Dictionary(&text).header()?, (start.len() + n_length_bytes + length) as u64))
    }

    /// The type of the elements as a tensor.
    pub(super) fn dtype(&self) -> DType {
        match self.kind {
            Kind::Number(dtype) => dtype,
            Kind::Unicode(_) | Kind::Bytes(_) => DType::Str,
        }
    }

    /// Whether the elements in the file are those of a tensor, without conversion.
    pub(super) fn is_plain(&self) -> bool {
        self.dtype() != DType::Str && self.dtype() != DType::Bool && !self.is_big_endian && !self.is_fortran
    }

    /// The number of bytes of all elements.
    pub(super) fn n_bytes(&self) -> Result<u64> {
        let n_elements = Tensor::n_elements(&self.shape);
        let n_bytes = n_elements.and_then(|n| (n as u64).checked_mul(self.element_size() as u64));
        n_bytes.ok_or_else(|| Error::invalid_data(format!("has the impossible shape {:?}", self.shape)))
    }

    fn element_size(&self) -> usize {
        match self.kind {
            Kind::Number(dtype) => dtype.byte_size(),
            Kind::Unicode(n) => n * 4,
            Kind::Bytes(n) => n,
        }
    }

    /// The tensor of the elements in `bytes`.
    pub(super) fn tensor(&self, mut bytes: Vec<u8>) -> Result<Tensor> {
        if self.is_big_endian {
            let unit = if matches!(self.kind, Kind::Number(_)) { self.element_size() } else { 4 };
            bytes.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
        }
        // Fortran's order is the row-major order of the transposed array.
        let mut shape = self.shape.clone();
        if self.is_fortran {
            shape.reverse();
        }
        let tensor = match self.kind {
            Kind::Number(dtype) => Tensor::from_le_bytes(dtype, &shape, &bytes)?,
            Kind::Unicode(n) => {
                Tensor::new(&shape, bytes.chunks_exact(n * 4).map(unicode).collect::<Result<_>>()?)
            }
            Kind::Bytes(n) => Tensor::new(&shape, bytes.chunks_exact(n).map(utf8).collect::<Result<_>>()?),
        };
        match self.is_fortran {
            true => Ok(with_element!(tensor.dtype(), T => Tensor::from_array(&tensor.view::<T>()?.t()))),
            false => Ok(tensor),
        }
    }
}

/// A string of UTF-32 without the zeros that fill its element.
fn unicode(bytes: &[u8]) -> Result<String> {
    let codes = bytes.chunks_exact(4).map(|code| u32::from_le_bytes([code[0], code[1], code[2], code[3]]));
    let codes: Vec<u32> = codes.collect();
    let length = codes.iter().rposition(|&code| code != 0).map_or(0, |last| last + 1);
    let text: Option<String> = codes[..length].iter().map(|&code| char::from_u32(code)).collect();
    text.ok_or_else(|| Error::invalid_data("has a string that is not Unicode"))
}

/// A string of UTF-8 without the zeros that fill its element.
fn utf8(bytes: &[u8]) -> Result<String> {
    let length = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let text = std::str::from_utf8(&bytes[..length]);
    Ok(text
        .map_err(|_| Error::invalid_data("has bytes that are not UTF-8; save them as numbers"))?
        .to_owned())
}

/// The rest of the text of a header.
struct Dictionary<'a>(&'a str);

impl<'a> Dictionary<'a> {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, in one pass and with the keys in any order.
    fn header(mut self) -> Result<Header> {
        let (mut description, mut is_fortran, mut shape) = (None, None, None);
        self.expect("{")?;
        while !self.accept("}") {
            let key = self.string()?;
            self.expect(":")?;
            match key {
                "descr" if self.0.starts_with('[') => {
                    return Err(Error::unsupported("is a structured array; save one array for each field"));
                }
                "descr" => description = Some(self.string()?),
                "fortran_order" => is_fortran = Some(self.flag()?),
                "shape" => shape = Some(self.shape()?),
                _ => return Err(malformed()),
            }
            if !self.accept(",") {
                self.expect("}")?;
                break;
            }
        }
        let (description, is_fortran, shape) = (
            description.ok_or_else(malformed)?,
            is_fortran.ok_or_else(malformed)?,
            shape.ok_or_else(malformed)?,
        );
        let kind = kind(description)?;
        Ok(Header { kind, is_big_endian: description.starts_with('>'), is_fortran, shape })
    }

    fn accept(&mut self, token: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(token);
        self.0 = rest.unwrap_or(self.0).trim_start();
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        if self.accept(token) { Ok(()) } else { Err(malformed()) }
    }

    fn string(&mut self) -> Result<&'a str> {
        let quote =
            self.0.chars().next().filter(|&quote| quote == '\'' || quote == '"').ok_or_else(malformed)?;
        let (text, rest) = self.0[1..].split_once(quote).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(text)
    }

    fn flag(&mut self) -> Result<bool> {
        if self.accept("True") {
            return Ok(true);
        }
        self.expect("False").map(|()| false)
    }

    fn shape(&mut self) -> Result<Vec<usize>> {
        let mut shape = Vec::new();
        self.expect("(")?;
        while !self.accept(")") {
            let n_digits = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
            let (digits, rest) = self.0.split_at(n_digits);
            shape.push(digits.parse().map_err(|_| malformed())?);
            // Python 2 wrote long integers as 3L.
            self.0 = rest.strip_prefix('L').unwrap_or(rest);
            if !self.accept(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(shape)
    }
}

fn malformed() -> Error {
    Error::invalid_data("has a header that NumPy does not write")
}

/// The type that a description such as `<f4` stands for.
fn kind(description: &str) -> Result<Kind> {
    let number = description.trim_start_matches(['<', '>', '=', '|']);
    let unsupported = || {
        let message = match number.starts_with('O') {
            true => {
                "has Python objects, which are pickled; save numbers, or strings with .astype('U')".to_owned()
            }
            false => format!("has elements of {description}; save it as floats, integers, bool or strings"),
        };
        Error::unsupported(message)
    };
    Ok(Kind::Number(match number {
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "u1" => DType::U8,
        "u2" => DType::U16,
        "u4" => DType::U32,
        "u8" => DType::U64,
        "b1" => DType::Bool,
        _ => {
            let length = |letter: char| {
                let length: usize = number.strip_prefix(letter)?.parse().ok()?;
                (1..=MAX_TEXT).contains(&length).then_some(length)
            };
            let found = length('U').map(Kind::Unicode).or_else(|| length('S').map(Kind::Bytes));
            return found.ok_or_else(unsupported);
        }
    }))
}

/// Writes a tensor as a file.
pub(super) fn write(out: &mut impl Write, tensor: &Tensor) -> Result<()> {
    let unsupported = || Error::unsupported(format!("arrays of {} can't be written", tensor.dtype()));
    let longest = texts(tensor).iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
    let description = match tensor.dtype() {
        DType::F16 => "<f2".to_owned(),
        DType::F32 => "<f4".to_owned(),
        DType::F64 => "<f8".to_owned(),
        DType::I8 => "|i1".to_owned(),
        DType::I16 => "<i2".to_owned(),
        DType::I32 => "<i4".to_owned(),
        DType::I64 => "<i8".to_owned(),
        DType::U8 => "|u1".to_owned(),
        DType::U16 => "<u2".to_owned(),
        DType::U32 => "<u4".to_owned(),
        DType::U64 => "<u8".to_owned(),
        DType::Bool => "|b1".to_owned(),
        DType::Str => format!("<U{longest}"),
        _ => return Err(unsupported()),
    };
    let dims: String = tensor.shape().iter().map(|n| format!("{n}, ")).collect();
    // Python reads (3) as a number, so one dimension keeps its comma.
    let dims = if tensor.shape().len() == 1 { dims.trim_end() } else { dims.trim_end_matches(", ") };
    let mut header = format!("{{'descr': '{description}', 'fortran_order': False, 'shape': ({dims}), }}");
    // The elements begin at a multiple of 64 bytes.
    let n_filled = (MAGIC.len() + 4 + header.len() + 1).next_multiple_of(64) - MAGIC.len() - 4;
    header = format!("{header:<width$}\n", width = n_filled - 1);
    let length = u16::try_from(header.len()).map_err(|_| unsupported())?;
    let wrong = |error: std::io::Error| Error::io(error);
    let start = [MAGIC, &[1, 0], &length.to_le_bytes(), header.as_bytes()].concat();
    out.write_all(&start).map_err(wrong)?;
    if tensor.dtype() != DType::Str {
        return out.write_all(&tensor.to_le_bytes()).map_err(wrong);
    }
    for text in texts(tensor) {
        let codes = text.chars().map(u32::from).chain(std::iter::repeat(0)).take(longest);
        let element: Vec<u8> = codes.flat_map(u32::to_le_bytes).collect();
        out.write_all(&element).map_err(wrong)?;
    }
    Ok(())
}

fn texts(tensor: &Tensor) -> &[String] {
    tensor.values().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn file(header: &str, elements: &[u8]) -> Vec<u8> {
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), elements].concat()
    }

    fn read(mut file: &[u8]) -> Result<Tensor> {
        let (header, _) = Header::read(&mut file)?;
        header.tensor(file.to_vec())
    }

    #[test]
    fn written_tensors_are_read_back() {
        let texts = ["", "ä", "long text"].map(str::to_owned).to_vec();
        let tensors = [
            Tensor::scalar(1.5f64),
            Tensor::new(&[3], vec![1i64, -2, 3]),
            Tensor::new(&[2, 1, 2], vec![true, false, false, true]),
            Tensor::new::<f32>(&[0, 4], vec![]),
            Tensor::new(&[3, 1], texts),
        ];
        for tensor in tensors {
            let mut written = Vec::new();
            write(&mut written, &tensor).unwrap();
            let (header, n_bytes) = Header::read(&mut &written[..]).unwrap();
            assert_eq!((n_bytes % 64, header.n_bytes().unwrap()), (0, written.len() as u64 - n_bytes));
            assert_eq!(read(&written).unwrap(), tensor);
        }
    }

    #[test]
    fn other_layouts_become_row_major_and_little_endian() {
        let elements: Vec<u8> = [1i16, 2, 3, 4, 5, 6].iter().flat_map(|n| n.to_be_bytes()).collect();
        let found =
            read(&file("{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }", &elements)).unwrap();
        assert_eq!(found, Tensor::new(&[2, 3], vec![1i16, 3, 5, 2, 4, 6]));
        let found =
            read(&file("{\"shape\": (2L,), 'fortran_order': False, 'descr': '|S3'}", b"ab\0c\0\0")).unwrap();
        assert_eq!(found, Tensor::new(&[2], vec!["ab".to_owned(), "c".to_owned()]));
    }

    #[test]
    fn headers_that_can_not_be_read_are_refused_at_once() {
        let message = |header: &str| read(&file(header, &[])).unwrap_err().to_string();
        let of_type = |description: &str| {
            message(&format!("{{'descr': {description}, 'fortran_order': False, 'shape': (1,), }}"))
        };
        assert_eq!(
            of_type("'|O'"),
            "has Python objects, which are pickled; save numbers, or strings with .astype('U')"
        );
        assert_eq!(of_type("'<c8'"), "has elements of <c8; save it as floats, integers, bool or strings");
        assert_eq!(of_type("[('a', '<f4')]"), "is a structured array; save one array for each field");
        let began = Instant::now();
        for nested in ["[".repeat(1000), "(".repeat(1000), "{".repeat(1000)] {
            of_type(&nested);
            message(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {nested}"));
            message(&nested);
        }
        assert!(began.elapsed() < Duration::from_secs(1));
        let huge = [MAGIC, &[2, 0], &u32::MAX.to_le_bytes()].concat();
        assert_eq!(read(&huge).unwrap_err().to_string(), "has a header of 4294967295 bytes, more than 65536");
        let shape = message("{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551615, 3), }");
        assert_eq!(shape, "0 bytes can't fill a tensor of f64 and shape [18446744073709551615, 3]");
    }
}
