//! An array of a data set: in memory, or in a file from which samples are read when they are needed.

use super::images::ImageArray;
use super::npz::Packed;
use intact8_ir::{DType, Error, Result, Tensor, with_element};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// An array of a data set.
#[derive(Debug, Clone)]
pub struct Array(Source);

#[derive(Debug, Clone)]
enum Source {
    InMemory(Tensor),
    InFile(FileArray),
    Packed(Packed),
    Images(ImageArray),
    /// An array of a type that tensors can't have, with the reason.
    Unreadable(Error),
}

/// An array in a file: little-endian elements, row-major, from `start` on.
#[derive(Debug, Clone)]
struct FileArray {
    dtype: DType,
    shape: Vec<usize>,
    file: Arc<Mutex<File>>,
    start: u64,
}

impl From<Tensor> for Array {
    fn from(tensor: Tensor) -> Array {
        Array(Source::InMemory(tensor))
    }
}

impl Array {
    /// An array whose little-endian, row-major elements are the bytes of a file from `start` on.
    pub(super) fn in_file(dtype: DType, shape: Vec<usize>, file: Arc<Mutex<File>>, start: u64) -> Array {
        Array(Source::InFile(FileArray { dtype, shape, file, start }))
    }

    /// An array that is still in a file of NumPy's.
    pub(super) fn packed(packed: Packed) -> Array {
        Array(Source::Packed(packed))
    }

    /// Images, which are decoded when they are used.
    pub(super) fn of_images(images: ImageArray) -> Array {
        Array(Source::Images(images))
    }

    /// An array that is there but can't be used.
    pub(super) fn unreadable(reason: Error) -> Array {
        Array(Source::Unreadable(reason))
    }

    /// The type of the elements, and the lengths of the dimensions.
    ///
    /// # Errors
    /// If tensors can't have elements of the array's type.
    pub fn layout(&self) -> Result<(DType, &[usize])> {
        match &self.0 {
            Source::InMemory(tensor) => Ok((tensor.dtype(), tensor.shape())),
            Source::InFile(array) => Ok((array.dtype, &array.shape)),
            Source::Packed(packed) => Ok((packed.header.dtype(), &packed.header.shape)),
            Source::Images(images) => Ok(images.layout()),
            Source::Unreadable(reason) => Err(reason.clone()),
        }
    }

    /// The whole array in memory.
    ///
    /// # Errors
    /// If the file can't be read, or tensors can't have its elements.
    pub fn whole(&self) -> Result<Tensor> {
        match &self.0 {
            Source::InMemory(tensor) => Ok(tensor.clone()),
            Source::InFile(array) => array.whole(),
            Source::Packed(packed) => packed.tensor(),
            Source::Images(images) => images.pick(0, &(0..images.layout().1[0]).collect::<Vec<_>>()),
            Source::Unreadable(reason) => Err(reason.clone()),
        }
    }

    /// The same array, ready for reading parts of it often.
    pub(super) fn unpacked(&self) -> Result<Array> {
        match &self.0 {
            Source::Packed(packed) => packed.unpacked(),
            _ => Ok(self.clone()),
        }
    }

    /// Some samples along `axis`, each of which may be picked several times.
    ///
    /// # Errors
    /// If the file can't be read.
    pub(super) fn pick(&self, axis: usize, samples: &[usize]) -> Result<Tensor> {
        match &self.0 {
            Source::InFile(array) => array.part(axis, samples),
            Source::Images(images) => images.pick(axis, samples),
            _ => {
                let whole = self.whole()?;
                let is_whole = samples.iter().copied().eq(0..whole.shape()[axis]);
                Ok(if is_whole { whole } else { picked(&whole, axis, samples) })
            }
        }
    }
}

impl FileArray {
    fn whole(&self) -> Result<Tensor> {
        match self.shape.first() {
            Some(&n) => self.part(0, &(0..n).collect::<Vec<_>>()),
            None => self.read(&[], std::iter::once(0..1)),
        }
    }

    fn part(&self, axis: usize, samples: &[usize]) -> Result<Tensor> {
        let (n_stored, inner) = (self.shape[axis], self.shape[axis + 1..].iter().product::<usize>());
        let mut shape = self.shape.clone();
        shape[axis] = samples.len();
        let n_outer: usize = self.shape[..axis].iter().product();
        let neighbours: Vec<&[usize]> = samples.chunk_by(|a, b| a + 1 == *b).collect();
        let runs = (0..n_outer).flat_map(|outer| {
            let run = move |run: &&[usize]| {
                let start = outer * n_stored + run[0];
                start * inner..(start + run.len()) * inner
            };
            neighbours.iter().map(run)
        });
        self.read(&shape, runs)
    }

    /// Ranges of elements, one after the other, as a tensor.
    fn read(&self, shape: &[usize], runs: impl IntoIterator<Item = Range<usize>>) -> Result<Tensor> {
        let wrong = |error: std::io::Error| Error::invalid_data(format!("can't be read again: {error}"));
        let size = self.dtype.byte_size();
        // A panic while the lock is held leaves only a file position, which is set before each use.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::with_capacity(shape.iter().product::<usize>() * size);
        for run in runs {
            file.seek(SeekFrom::Start(self.start + (run.start * size) as u64)).map_err(wrong)?;
            (&mut *file).take((run.len() * size) as u64).read_to_end(&mut bytes).map_err(wrong)?;
        }
        Tensor::from_le_bytes(self.dtype, shape, &bytes)
    }
}

/// Some samples of a tensor.
fn picked(tensor: &Tensor, axis: usize, samples: &[usize]) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    let (n_stored, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    shape[axis] = samples.len();
    with_element!(tensor.dtype(), T => {
        let values = tensor.values::<T>().expect("the type is the tensor's own");
        let mut batch: Vec<T> = Vec::with_capacity(shape.iter().product());
        for part in values.chunks_exact((n_stored * inner).max(1)) {
            let of = |sample: &usize| &part[sample * inner..(sample + 1) * inner];
            samples.iter().for_each(|sample| batch.extend_from_slice(of(sample)));
        }
        Tensor::new(&shape, batch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn in_file(tensor: &Tensor) -> Array {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&tensor.to_le_bytes()).unwrap();
        Array::in_file(tensor.dtype(), tensor.shape().to_vec(), Arc::new(Mutex::new(file)), 0)
    }

    #[test]
    fn samples_may_be_along_a_later_dimension() {
        let array = Tensor::new(&[2, 3, 1], vec![0.0f32, 1.0, 2.0, 10.0, 11.0, 12.0]);
        let batch = picked(&array, 1, &[1, 2, 2]);
        assert_eq!(
            (batch.shape(), batch.values::<f32>().unwrap()),
            (&[2, 3, 1][..], &[1.0, 2.0, 2.0, 11.0, 12.0, 12.0][..])
        );
    }

    #[test]
    fn an_array_in_a_file_equals_one_in_memory() {
        let tensor = Tensor::new(&[3, 4, 2], (0..24i16).collect());
        let (in_memory, in_file) = (Array::from(tensor.clone()), in_file(&tensor));
        assert_eq!(in_file.layout().unwrap(), in_memory.layout().unwrap());
        assert_eq!(in_file.whole().unwrap(), tensor);
        for axis in 0..3 {
            for samples in [&[0][..], &[1], &[0, 1], &[1, 0], &[1, 1], &[0, 1, 1, 1]] {
                let picked = |array: &Array| array.pick(axis, samples).unwrap();
                assert_eq!(picked(&in_file), picked(&in_memory), "{axis} {samples:?}");
            }
        }
        let number = Tensor::scalar(7.5f64);
        assert_eq!(self::in_file(&number).whole().unwrap(), number);
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let array =
            Array::in_file(DType::F32, vec![3], Arc::new(Mutex::new(tempfile::tempfile().unwrap())), 0);
        assert_eq!(
            array.whole().unwrap_err().to_string(),
            "0 bytes can't fill a tensor of f32 and shape [3]"
        );
    }
}
