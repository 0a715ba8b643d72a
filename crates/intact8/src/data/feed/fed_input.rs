//! What is fed to a model: the types and ranges of the arrays, before and after their conversion.

use super::Feed;
use crate::data::numbers;
use intact8_ir::{DType, Result, Tensor, TensorType};
use intact8_kernels::reduce::min_max;
use std::fmt;

/// The data of one input of a model. Its text is one line, such as `image: uint8 0..255 → f32 -2.1..2.6`.
#[derive(Debug, Clone, PartialEq)]
pub struct FedInput {
    /// The name of the input.
    pub name: String,
    /// The elements of the array.
    pub stored: ValueRange,
    /// The elements that are fed, if they are converted.
    pub converted: Option<ValueRange>,
}

/// The type and the range of the elements of an array.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueRange {
    /// The type.
    pub dtype: DType,
    /// The least and the greatest element; `None` if the type has no order, or all elements are NaN.
    pub ends: Option<[f64; 2]>,
}

impl Feed {
    /// The data of each input, in the order of the model's inputs. All samples are read.
    ///
    /// # Errors
    /// If the data can't be read, or means and deviations do not fit.
    pub fn fed_inputs(&self) -> Result<Vec<FedInput>> {
        (0..self.types.len()).map(|input| self.fed_input(input)).collect()
    }

    /// A line for each array of f64 that is cast to an input of another type.
    pub fn casts(&self) -> Vec<String> {
        let cast = |(input, ty): (usize, &Option<TensorType>)| {
            let from = self.parts[0].arrays[input].array.layout().ok()?.0;
            let to = ty.as_ref()?.dtype;
            let is_cast = from == DType::F64 && to != from;
            is_cast.then(|| {
                format!("{}: array {:?}: is f64, and is cast to {to}", self.source, self.names[input])
            })
        };
        self.types.iter().enumerate().filter_map(cast).collect()
    }

    fn fed_input(&self, input: usize) -> Result<FedInput> {
        let is_constant = self.axes.inputs[input].is_none() && self.parts.len() == 1;
        let from = self.parts[0].arrays[input].array.layout()?.0;
        let to = self.types[input].as_ref().map_or(from, |ty| ty.dtype);
        let mut stored = ValueRange { dtype: from, ends: None };
        let mut converted = (from != to).then_some(ValueRange { dtype: to, ends: None });
        for samples in self.batches() {
            let batch = self.stored(input, &samples.collect::<Vec<_>>())?;
            stored.add(&batch);
            if let Some(converted) = &mut converted {
                converted.add(&self.converted(input, batch)?);
            }
            if is_constant {
                break;
            }
        }
        Ok(FedInput { name: self.names[input].clone(), stored, converted })
    }
}

impl ValueRange {
    /// Extends the range by the elements of a tensor.
    fn add(&mut self, tensor: &Tensor) {
        let Some([least, greatest]) = ends(tensor) else { return };
        let [before, after] = self.ends.unwrap_or([least, greatest]);
        self.ends = Some([before.min(least), after.max(greatest)]);
    }
}

/// The least and the greatest number of a tensor; NaN is left out.
fn ends(tensor: &Tensor) -> Option<[f64; 2]> {
    let values = numbers(tensor).ok()?;
    let extremes = min_max(&values);
    let found = match extremes.non_finite {
        false if values.is_empty() => return None,
        false => [extremes.min, extremes.max],
        true => {
            let extended = |ends: [f32; 2], &value: &f32| [ends[0].min(value), ends[1].max(value)];
            values.iter().fold([f32::INFINITY, f32::NEG_INFINITY], extended)
        }
    };
    (found[0] <= found[1]).then_some(found.map(|end| f64::from(end) + 0.0))
}

impl fmt::Display for FedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.stored)?;
        if let Some(converted) = &self.converted {
            write!(f, " → {converted}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ValueRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dtype {
            DType::U8 => write!(f, "uint8")?,
            dtype => write!(f, "{dtype}")?,
        }
        match self.ends {
            Some([least, greatest]) => write!(f, " {}..{}", shown(least), shown(greatest)),
            None => Ok(()),
        }
    }
}

/// Numbers from here on are shown with an exponent.
const LARGE: f64 = 1e7;

/// A number with two significant digits, whole numbers in full.
fn shown(number: f64) -> String {
    if number.abs() >= LARGE && number.is_finite() {
        return format!("{number:.1e}");
    }
    if !number.is_finite() || number == number.trunc() || number.abs() >= 100.0 {
        return format!("{number:.0}");
    }
    let n_decimals = 1.0 - number.abs().log10().floor();
    if n_decimals > 5.0 {
        return format!("{number:.1e}");
    }
    let text = format!("{number:.*}", n_decimals.max(0.0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataSet, Feeding};
    use intact8_ir::Model;

    fn line(array: Tensor, feeding: &Feeding) -> String {
        let model: Model = "model m opset 17\n%image = input : f32[?,2]\nreturn %image\n".parse().unwrap();
        let data = DataSet::new("", [("image".to_owned(), array.into())].into());
        data.feed(&model, feeding).unwrap().fed_inputs().unwrap()[0].to_string()
    }

    #[test]
    fn the_line_has_the_ranges_before_and_after_the_conversion() {
        let bytes = || Tensor::new(&[2, 2], vec![0u8, 10, 255, 3]);
        let feeding =
            Feeding { mean: vec![123.675], std: vec![58.395], batch: Some(1), ..Feeding::default() };
        assert_eq!(line(bytes(), &feeding), "image: uint8 0..255 → f32 -2.1..2.2");
        let floats = Tensor::new(&[1, 2], vec![0.25f32, f32::NAN]);
        assert_eq!(line(floats, &feeding), "image: f32 0.25..0.25");
        let doubles = Tensor::new(&[1, 2], vec![-0.0123f64, 1.0]);
        assert_eq!(line(doubles, &Feeding::default()), "image: f64 -0.012..1 → f32 -0.012..1");
        let raw = Feeding { raw_bytes: true, ..Feeding::default() };
        assert_eq!(line(bytes(), &raw), "image: uint8 0..255 → f32 0..255");
        assert_eq!(
            [1e-9, 30.2, 254.6, -1.96, -3e38, f64::INFINITY].map(shown),
            ["1.0e-9", "30", "255", "-2", "-3.0e38", "inf"]
        );
    }
}
