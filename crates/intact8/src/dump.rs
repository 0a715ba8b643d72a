//! Dumps: what each layer reads and gives on the calibration data, as `.npz` files.

use crate::data::write_npz;
use crate::files::write_file;
use intact8_ir::{Result, Tensor};
use intact8_search::Replayed;
use std::path::Path;

/// Writes a replay to `<folder>/<layer>_batch<n>.npz`, and that of a later run on the same batch, as loops have them, to
/// `<layer>_batch<n>_run<m>.npz`: `input` (and `input1`, …, where the layer reads more), `output`
/// of the original and `quantized`. What can't be part of a file's name is replaced by `_`.
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
