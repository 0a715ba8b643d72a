//! Dumps of the inputs and outputs of each layer on the calibration data, as `.npz` files.

use crate::data::write_npz;
use crate::files::write_file;
use intact8_ir::{Result, Tensor};
use intact8_search::Replayed;
use std::path::Path;

/// Writes a replay to `<folder>/<layer>_batch<n>.npz`, and that of a later run on the same batch, in a loop, to
/// `<layer>_batch<n>_run<m>.npz`. The arrays are `input` (and `input1`, … if the layer has several), `output` of the float model,
/// and `quantized`, the output of the quantized layer. Characters that may be invalid in a file name are replaced by `_`.
///
/// # Errors
/// If the file can't be written.
pub fn dump_replay(folder: &Path, replayed: &Replayed<'_>) -> Result<()> {
    let names: Vec<String> = (0..replayed.inputs.len())
        .map(|idx| if idx == 0 { "input".to_owned() } else { format!("input{idx}") })
        .collect();
    let mut arrays: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(replayed.inputs).collect();
    arrays.extend([("output", replayed.original), ("quantized", replayed.quantized)]);
    let mut bytes = std::io::Cursor::new(Vec::new());
    write_npz(&mut bytes, arrays).map_err(|error| error.at(replayed.layer))?;
    let is_plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let name: String = replayed.layer.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let run = if replayed.run == 0 { String::new() } else { format!("_run{}", replayed.run) };
    write_file(&folder.join(format!("{name}_batch{}{run}.npz", replayed.batch)), bytes.get_ref())
}
