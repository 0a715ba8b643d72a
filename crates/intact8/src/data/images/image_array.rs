//! Images as an array of a data set: decoded batch by batch, on all cores, and kept in a temporary file, so that each is decoded once
//! and memory holds only batches.

use super::decode::{Form, read_image};
use super::settings::{Layout, Size};
use intact8_ir::{DType, Error, Result, Tensor};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Images of one size along the first dimension, as bytes.
#[derive(Debug, Clone)]
pub(in crate::data) struct ImageArray {
    files: Arc<[PathBuf]>,
    form: Form,
    shape: Vec<usize>,
    decoded: Arc<Mutex<Decoded>>,
}

/// The images that have been decoded.
#[derive(Debug)]
struct Decoded {
    /// `None` if there is no folder for it.
    file: Option<File>,
    /// Whether there is no room for further images, which are then decoded whenever they are needed.
    is_full: bool,
    /// For each image whether the file has it.
    has: Vec<bool>,
}

impl ImageArray {
    pub(super) fn new(files: Vec<PathBuf>, form: Form) -> ImageArray {
        let (n, channels, Size { width, height }) = (files.len(), form.channels.len(), form.geometry.end);
        let (width, height) = (width as usize, height as usize);
        let shape = match form.layout {
            Layout::Nchw => vec![n, channels, height, width],
            Layout::Nhwc => vec![n, height, width, channels],
        };
        let decoded = Decoded { file: tempfile::tempfile().ok(), is_full: false, has: vec![false; n] };
        ImageArray { files: files.into(), form, shape, decoded: Arc::new(Mutex::new(decoded)) }
    }

    pub(in crate::data) fn layout(&self) -> (DType, &[usize]) {
        (DType::U8, &self.shape)
    }

    /// Some images, each of which may be picked several times.
    ///
    /// # Errors
    /// If a file can't be read as an image, or they are to be picked along another dimension than the first.
    pub(in crate::data) fn pick(&self, axis: usize, samples: &[usize]) -> Result<Tensor> {
        if axis != 0 {
            let message = format!("holds images along dimension 0, and the samples are along {axis}");
            return Err(Error::invalid_data(message));
        }
        let fresh = self.decode_missing(samples)?;
        let n_bytes = self.n_bytes();
        let mut bytes = Vec::with_capacity(samples.len() * n_bytes);
        for sample in samples {
            match fresh.get(sample) {
                Some(image) => bytes.extend_from_slice(image),
                None => self.read(*sample, n_bytes, &mut bytes)?,
            }
        }
        let shape = [&[samples.len()], &self.shape[1..]].concat();
        Ok(Tensor::new(&shape, bytes))
    }

    /// The number of bytes of an image.
    fn n_bytes(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// Decodes the images that have not been decoded yet.
    fn decode_missing(&self, samples: &[usize]) -> Result<BTreeMap<usize, Vec<u8>>> {
        let missing: BTreeSet<usize> = {
            let decoded = self.lock();
            samples.iter().copied().filter(|&sample| !decoded.has[sample]).collect()
        };
        // The lock is not held, as a thread that waits for others may take up work that needs it.
        let missing: Vec<usize> = missing.into_iter().collect();
        let decode = |&sample: &usize| {
            let path = &self.files[sample];
            Ok((sample, read_image(path, &self.form).map_err(|error| error.at(path.display()))?))
        };
        // Of several errors the first one is reported, in any order of the threads.
        let images: Vec<Result<(usize, Vec<u8>)>> = missing.par_iter().map(decode).collect();
        let images: BTreeMap<usize, Vec<u8>> = images.into_iter().collect::<Result<_>>()?;
        let mut decoded = self.lock();
        for (&sample, image) in &images {
            decoded.store(sample, image);
        }
        Ok(images)
    }

    fn read(&self, sample: usize, n_bytes: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let wrong = |error: std::io::Error| Error::invalid_data(format!("can't be read again: {error}"));
        let mut decoded = self.lock();
        let file = decoded.file.as_mut().expect("an image that is stored has a file");
        file.seek(SeekFrom::Start(sample as u64 * n_bytes as u64)).map_err(wrong)?;
        let n_before = bytes.len();
        file.take(n_bytes as u64).read_to_end(bytes).map_err(wrong)?;
        match bytes.len() - n_before == n_bytes {
            true => Ok(()),
            false => Err(Error::invalid_data("can't be read again: the temporary file is cut off")),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Decoded> {
        // A panic while the lock is held leaves only a file position, which is set before each use.
        self.decoded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Decoded {
    /// Stores an image if there is room.
    fn store(&mut self, sample: usize, image: &[u8]) {
        let Some(file) = self.file.as_mut().filter(|_| !self.is_full) else { return };
        let start = SeekFrom::Start(sample as u64 * image.len() as u64);
        match file.seek(start).and_then(|_| file.write_all(image)) {
            Ok(()) => self.has[sample] = true,
            Err(_) => self.is_full = true,
        }
    }
}
