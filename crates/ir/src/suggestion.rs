//! The known name that is likely to be meant by an unknown one, for messages.

/// The known name that is likely to be meant by an unknown one: the one with the fewest edits, if at most half of the name is wrong; else
/// the first that contains the name, or that the name abbreviates. Case does not matter. `None` if no name is similar.
pub fn nearest_name<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Edits of a long name would take long to count.
    const LONGEST: usize = 200;
    let name: String = unknown.chars().take(LONGEST).flat_map(char::to_lowercase).collect();
    let known = known.into_iter().filter(|other| *other != unknown);
    let known: Vec<(&str, String)> = known.map(|other| (other, other.to_lowercase())).collect();
    let edits = known.iter().map(|(other, lower)| (strsim::damerau_levenshtein(&name, lower), *other));
    let nearest =
        edits.min_by_key(|(n_edits, _)| *n_edits).filter(|(n_edits, _)| n_edits * 2 <= name.chars().count());
    let similar = |(_, lower): &&(&str, String)| {
        name.len() > 1 && (lower.contains(&name) || is_abbreviation(&name, lower))
    };
    nearest.map(|(_, other)| other).or_else(|| known.iter().find(similar).map(|(other, _)| *other))
}

/// `; did you mean "NAME"` with the [nearest name](nearest_name), or nothing.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest_name(name, known).map_or(String::new(), |nearest| format!("; did you mean {nearest:?}"))
}

/// Whether a word has the letters of an abbreviation in their order, and begins with the same one.
fn is_abbreviation(short: &str, word: &str) -> bool {
    let mut letters = word.chars();
    short.chars().next() == word.chars().next() && short.chars().all(|c| letters.any(|letter| letter == c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_and_abbreviated_names_are_recognized() {
        let known = ["onnxruntime-x86", "onnxruntime-arm", "tensorrt", "openvino", "ascend", "generic"];
        let nearest = |name: &str| nearest_name(name, known);
        assert_eq!(nearest("TensorRT"), Some("tensorrt"));
        assert_eq!(nearest("trt"), Some("tensorrt"));
        assert_eq!(nearest("tensort"), Some("tensorrt"));
        assert_eq!(nearest("onnxruntime"), Some("onnxruntime-x86"));
        assert_eq!(nearest("x86"), Some("onnxruntime-x86"));
        assert_eq!(nearest("ort"), Some("onnxruntime-x86"));
        assert_eq!([nearest("cuda"), nearest("x"), nearest("")], [None; 3]);
        assert_eq!(
            did_you_mean("arq_quantise", ["ada_quantize", "arq_quantize"]),
            "; did you mean \"arq_quantize\""
        );
        assert_eq!(did_you_mean("zzz", ["arq_quantize"]), "");
    }
}
