//! Conversions between the arrays of a data set and the inputs of a model: bytes are normalized, floats change their precision, and
//! integers such as the indices of tokens their width.

use super::{Array, Feeding};
use intact8_interp::Input;
use intact8_ir::{DType, Element, Error, Result, Tensor, bf16, f16};

/// The number of samples that are read at once to look for the greatest byte.
const CHUNK: usize = 64;

/// Whether elements of one type can be fed to an input of another: bytes and floats to every float, integers to i32 and i64.
pub(super) fn is_possible(from: DType, to: DType) -> bool {
    let are_integers = INDICES.contains(&to) && (INDICES.contains(&from) || NARROW.contains(&from));
    from == to || are_integers || (to.is_wide_float() && (from == DType::U8 || from.is_wide_float()))
}

/// The types of indices, to which integers are converted.
const INDICES: [DType; 2] = [DType::I32, DType::I64];

/// Further integers whose values an index can have.
const NARROW: [DType; 5] = [DType::I8, DType::U8, DType::I16, DType::U16, DType::U32];

/// Whether an array is bytes that are fed to a float input.
pub(super) fn is_of_bytes(from: DType, to: DType) -> bool {
    from == DType::U8 && to.is_wide_float()
}

/// The options for bytes that are given although no array is of bytes that are fed to floats, each with what is fed.
pub(super) fn unused_options<'a>(
    fed: impl Iterator<Item = (&'a &'a Array, &'a Input)>,
    feeding: &Feeding,
) -> Result<Vec<(&'static str, String)>> {
    let given = [
        ("--mean", !feeding.mean.is_empty()),
        ("--std", !feeding.std.is_empty()),
        ("--raw-bytes", feeding.raw_bytes),
    ];
    let mut first = None;
    for (array, input) in fed {
        let from = array.layout()?.0;
        // Of an input without a type it is not known.
        if input.ty.as_ref().is_none_or(|ty| is_of_bytes(from, ty.dtype)) {
            return Ok(vec![]);
        }
        first.get_or_insert_with(|| format!("array {:?} is {from}, not uint8 for a float input", input.name));
    }
    let given = given.into_iter().filter(|(_, is_given)| *is_given);
    Ok(given.map(|(option, _)| (option, first.clone().unwrap_or_default())).collect())
}

/// Checks that means and deviations are given for bytes, and in their unit.
pub(super) fn check(array: &Array, to: DType, feeding: &Feeding) -> Result<()> {
    if !is_of_bytes(array.layout()?.0, to) || feeding.raw_bytes {
        return Ok(());
    }
    let (mean, std) = (&feeding.mean, &feeding.std);
    if mean.is_empty() && std.is_empty() {
        return Err(Error::invalid_data(format!(
            "is uint8, the model requires {to}; pass the --mean and --std of its training, in units of the bytes, or \
             --raw-bytes to feed 0 to 255"
        )));
    }
    if let Some(zero) = std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
        return Err(Error::invalid_data(format!("--std must be positive, found {zero}")));
    }
    let is_small = |list: &[f32]| list.iter().all(|number| number.abs() <= 1.0);
    let is_identity = mean.iter().all(|&mean| mean == 0.0) && std.iter().all(|&std| std == 1.0);
    if is_identity || !is_small(mean) || !is_small(std) || !exceeds_one(array)? {
        return Ok(());
    }
    let in_bytes = |option: &str, list: &[f32]| {
        let list: Vec<String> =
            list.iter().map(|number| ((number * 255_000.0).round() / 1000.0).to_string()).collect();
        if list.is_empty() { String::new() } else { format!(" {option} {}", list.join(",")) }
    };
    let std = if std.is_empty() { &[1.0][..] } else { std };
    Err(Error::invalid_data(format!(
        "is uint8 from 0 to 255, and --mean and --std are for values from 0 to 1; multiply them by 255:{}{}",
        in_bytes("--mean", mean),
        in_bytes("--std", std)
    )))
}

/// Whether an array of bytes has one greater than 1.
fn exceeds_one(array: &Array) -> Result<bool> {
    let Some(&n_samples) = array.layout()?.1.first() else {
        return Ok(array.whole()?.values::<u8>()?.iter().any(|&byte| byte > 1));
    };
    let array = array.unpacked()?;
    let samples: Vec<usize> = (0..n_samples).collect();
    for chunk in samples.chunks(CHUNK) {
        if array.pick(0, chunk)?.values::<u8>()?.iter().any(|&byte| byte > 1) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A batch in the type of the input that it is fed to.
pub(super) fn converted(batch: Tensor, to: DType, feeding: &Feeding) -> Result<Tensor> {
    if batch.dtype() == to || !is_possible(batch.dtype(), to) {
        return Ok(batch);
    }
    if INDICES.contains(&to) {
        return indices(&batch, to);
    }
    let batch = if batch.dtype() == DType::U8 { normalized(&batch, feeding)? } else { batch };
    cast(batch, to)
}

/// Integers of another width.
fn indices(tensor: &Tensor, to: DType) -> Result<Tensor> {
    fn wide<T: Copy + Element + Into<i64>>(tensor: &Tensor) -> Result<Vec<i64>> {
        Ok(tensor.values::<T>()?.iter().map(|&value| value.into()).collect())
    }
    let values = match tensor.dtype() {
        DType::I8 => wide::<i8>(tensor)?,
        DType::U8 => wide::<u8>(tensor)?,
        DType::I16 => wide::<i16>(tensor)?,
        DType::U16 => wide::<u16>(tensor)?,
        DType::I32 => wide::<i32>(tensor)?,
        DType::U32 => wide::<u32>(tensor)?,
        _ => tensor.values::<i64>()?.to_vec(),
    };
    if to == DType::I64 {
        return Ok(Tensor::new(tensor.shape(), values));
    }
    let narrow = |&value: &i64| {
        i32::try_from(value).map_err(|_| Error::invalid_data(format!("holds {value}, which is no {to}")))
    };
    Ok(Tensor::new(tensor.shape(), values.iter().map(narrow).collect::<Result<Vec<i32>>>()?))
}

/// The values of a tensor of floats, rounded once to another float type.
fn cast(tensor: Tensor, to: DType) -> Result<Tensor> {
    if tensor.dtype() == to {
        return Ok(tensor);
    }
    let unsupported = || Error::unsupported(format!("{} can't be cast to {to}", tensor.dtype()));
    let values: Vec<f64> = match tensor.dtype() {
        DType::F64 => tensor.values::<f64>()?.to_vec(),
        _ => tensor.floats().ok_or_else(unsupported)?.iter().map(|&value| f64::from(value)).collect(),
    };
    Ok(match to {
        DType::F16 => Tensor::new(tensor.shape(), values.into_iter().map(f16::from_f64).collect()),
        DType::Bf16 => Tensor::new(tensor.shape(), values.into_iter().map(bf16::from_f64).collect()),
        DType::F32 => Tensor::new(tensor.shape(), values.into_iter().map(|value| value as f32).collect()),
        DType::F64 => Tensor::new(tensor.shape(), values),
        _ => return Err(unsupported()),
    })
}

/// `(x - mean) / std` for each channel: the channels are the second dimension, or the last one if only that has the right length.
fn normalized(batch: &Tensor, feeding: &Feeding) -> Result<Tensor> {
    let shape = batch.shape();
    let n_channels = feeding.mean.len().max(feeding.std.len()).max(1);
    let inner: usize = match shape {
        _ if n_channels == 1 => batch.len(),
        [_, c, rest @ ..] if *c == n_channels => rest.iter().product(),
        [.., c] if *c == n_channels => 1,
        _ => {
            return Err(Error::invalid_data(format!(
                "{n_channels} means and deviations do not fit the shape {shape:?}"
            )));
        }
    };
    let of_channel = |list: &[f32], channel: usize, default: f32| match list {
        [] => default,
        [one] => *one,
        list => list[channel],
    };
    let lists = [feeding.mean.len(), feeding.std.len()];
    if lists.iter().any(|&n| n > 1 && n != n_channels) {
        return Err(Error::invalid_data(format!("there are {} means and {} deviations", lists[0], lists[1])));
    }
    let table: Vec<(f32, f32)> = (0..n_channels)
        .map(|c| (of_channel(&feeding.mean, c, 0.0), of_channel(&feeding.std, c, 1.0)))
        .collect();
    let runs = batch.values::<u8>()?.chunks(inner.max(1)).zip(table.iter().cycle());
    let mut values: Vec<f32> = Vec::with_capacity(batch.len());
    for (run, &(mean, std)) in runs {
        values.extend(run.iter().map(|&x| (f32::from(x) - mean) / std));
    }
    Ok(Tensor::new(shape, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feeding(mean: &[f32], std: &[f32]) -> Feeding {
        Feeding { mean: mean.to_vec(), std: std.to_vec(), ..Feeding::default() }
    }

    #[test]
    fn bytes_are_normalized_by_channel() {
        let bytes = Tensor::new(&[1, 2, 2], vec![10u8, 20, 30, 40]);
        let floats = converted(bytes.clone(), DType::F32, &feeding(&[10.0, 30.0], &[10.0])).unwrap();
        assert_eq!(floats.values::<f32>().unwrap(), [0.0, 1.0, 0.0, 1.0]);
        let halves = converted(bytes, DType::F16, &feeding(&[10.0], &[20.0])).unwrap();
        assert_eq!(
            halves.values::<f16>().unwrap().iter().map(|half| half.to_f32()).collect::<Vec<_>>(),
            [0.0, 0.5, 1.0, 1.5]
        );
    }

    #[test]
    fn floats_change_their_precision() {
        let doubles = || Tensor::new(&[2], vec![0.1f64, 2.0]);
        let to = |dtype: DType| converted(doubles(), dtype, &Feeding::default()).unwrap();
        assert_eq!(to(DType::F32).values::<f32>().unwrap(), [0.1, 2.0]);
        assert_eq!(to(DType::F16).values::<f16>().unwrap()[1].to_f32(), 2.0);
        assert_eq!(to(DType::Bf16).values::<bf16>().unwrap()[1].to_f32(), 2.0);
        assert_eq!(to(DType::I64), doubles(), "floats are no indices");
        assert!(is_possible(DType::F64, DType::F32) && !is_possible(DType::I64, DType::F32));
    }

    #[test]
    fn indices_change_their_width_if_they_fit() {
        let to = |tensor: Tensor, dtype: DType| converted(tensor, dtype, &Feeding::default());
        let wide = to(Tensor::new(&[2], vec![7i32, -7]), DType::I64).unwrap();
        assert_eq!(wide.values::<i64>().unwrap(), [7, -7]);
        let narrow = to(Tensor::new(&[2], vec![7i64, -7]), DType::I32).unwrap();
        assert_eq!(narrow.values::<i32>().unwrap(), [7, -7]);
        let error = to(Tensor::new(&[1], vec![1i64 << 31]), DType::I32).unwrap_err();
        assert_eq!(error.to_string(), "holds 2147483648, which is no i32");
        assert!(!is_possible(DType::I64, DType::U8) && !is_possible(DType::Bool, DType::I64));
    }

    #[test]
    fn bytes_require_means_in_their_unit() {
        let bytes = Array::from(Tensor::new(&[2, 1], vec![0u8, 255]));
        let message = |array: &Array, feeding: &Feeding| {
            check(array, DType::F32, feeding).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(message(&bytes, &Feeding::default()).contains("--raw-bytes"));
        assert_eq!(
            message(&bytes, &feeding(&[0.485, 0.456], &[0.229])),
            "is uint8 from 0 to 255, and --mean and --std are for values from 0 to 1; multiply them by 255: --mean \
             123.675,116.28 --std 58.395"
        );
        assert!(
            message(&bytes, &feeding(&[0.5], &[])).ends_with("multiply them by 255: --mean 127.5 --std 255")
        );
        assert_eq!(message(&bytes, &feeding(&[1.0], &[0.0])), "--std must be positive, found 0");
        let raw = Feeding { raw_bytes: true, ..Feeding::default() };
        for accepted in [raw, feeding(&[127.5], &[]), feeding(&[], &[255.0]), feeding(&[0.0], &[1.0])] {
            assert_eq!(message(&bytes, &accepted), "", "{accepted:?}");
        }
        // A mask of 0 and 1, and an input of bytes.
        assert_eq!(message(&Array::from(Tensor::new(&[2], vec![0u8, 1])), &feeding(&[0.5], &[0.5])), "");
        assert!(check(&bytes, DType::U8, &Feeding::default()).is_ok());
    }
}
