//! Batches that come one after the other, as from an iterator, and are kept in a temporary file: memory holds one of them at a time.

use super::{Array, Arrays, DataSet, Part};
use intact8_ir::{DType, Error, Result, Tensor};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Batches of named arrays that are recorded in a temporary file, which ends with the data set. Strings stay in memory.
pub struct RecordedBatches {
    source: String,
    file: Arc<Mutex<File>>,
    end: u64,
    parts: Vec<Part>,
}

impl RecordedBatches {
    /// No batches yet. `source` is for messages.
    ///
    /// # Errors
    /// If there is no folder for temporary files.
    pub fn new(source: impl Into<String>) -> Result<RecordedBatches> {
        let source = source.into();
        let file = tempfile::tempfile().map_err(|error| failed(error).at(&source))?;
        Ok(RecordedBatches { source, file: Arc::new(Mutex::new(file)), end: 0, parts: vec![] })
    }

    /// Records a sample or a batch: one array for each input of the model, and those of metrics.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn add(&mut self, arrays: BTreeMap<String, Tensor>) -> Result<()> {
        let source = format!("{}: batch {}", self.source, self.parts.len() + 1);
        let arrays = arrays.into_iter().map(|(name, tensor)| {
            let array = match tensor.dtype() {
                DType::Str => Array::from(tensor),
                _ => self.written(&tensor).map_err(|error| failed(error).at(&source))?,
            };
            Ok((name, array))
        });
        let arrays = Arrays::Named(arrays.collect::<Result<_>>()?);
        self.parts.push(Part { source, arrays });
        Ok(())
    }

    /// The number of batches so far.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there is no batch yet.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The batches as a data set; like the files of a folder, each is a batch of its own, and neighbouring samples of the same
    /// shapes are joined to batches.
    ///
    /// # Errors
    /// If there are none.
    pub fn finish(self) -> Result<DataSet> {
        if self.is_empty() {
            return Err(Error::invalid_data("has no batches").at(self.source));
        }
        Ok(DataSet { source: self.source, parts: self.parts, is_folder: true, notes: vec![], unused: vec![] })
    }

    fn written(&mut self, tensor: &Tensor) -> std::io::Result<Array> {
        // A panic while the lock is held leaves only a file position, which is set before each use.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, bytes) = (self.end, tensor.to_le_bytes());
        file.seek(SeekFrom::Start(start))?;
        file.write_all(&bytes)?;
        self.end += bytes.len() as u64;
        Ok(Array::in_file(tensor.dtype(), tensor.shape().to_vec(), self.file.clone(), start))
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io(error).at("the temporary file of the batches; set TMPDIR to a folder with more room")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Feeding;
    use intact8_calibrate::CalibrationData;
    use intact8_ir::Model;

    #[test]
    fn recorded_batches_are_read_as_they_were_added() {
        let model: Model =
            "model m opset 17\n%x = input : f32[N,2]\n%y = Relu(%x)\nreturn %y\n".parse().unwrap();
        let batch =
            |n: usize, first: f32| Tensor::new(&[n, 2], (0..2 * n).map(|i| first + i as f32).collect());
        let mut recorded = RecordedBatches::new("samples").unwrap();
        let added = [batch(3, 0.0), batch(1, 10.0), batch(1, 20.0), batch(2, 30.0)];
        for tensor in &added {
            recorded.add([("x".to_owned(), tensor.clone())].into()).unwrap();
        }
        assert_eq!(recorded.len(), 4);
        let mut feed = recorded.finish().unwrap().feed(&model, &Feeding::default()).unwrap();
        let mut found = Vec::new();
        feed.for_each_batch(usize::MAX, &mut |inputs| {
            found.push(inputs[0].clone());
            Ok(())
        })
        .unwrap();
        let joined = Tensor::new(&[2, 2], vec![10.0f32, 11.0, 20.0, 21.0]);
        assert_eq!(found, [added[0].clone(), joined, added[3].clone()]);
    }

    #[test]
    fn a_batch_that_does_not_fit_is_named() {
        let model: Model =
            "model m opset 17\n%x = input : f32[N,2]\n%y = Relu(%x)\nreturn %y\n".parse().unwrap();
        let mut recorded = RecordedBatches::new("samples").unwrap();
        for width in [2, 3] {
            recorded.add([("x".to_owned(), Tensor::full(&[1, width], 0.5f32))].into()).unwrap();
        }
        let error = recorded.finish().unwrap().feed(&model, &Feeding::default()).err().unwrap().to_string();
        assert!(error.starts_with("samples: batch 2: array \"x\": "), "{error}");
        let empty = RecordedBatches::new("samples").unwrap().finish().err().unwrap();
        assert_eq!(empty.to_string(), "samples: has no batches");
    }
}
