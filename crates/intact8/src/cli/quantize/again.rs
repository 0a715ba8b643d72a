//! The command line that continues a run.

/// The user's command line with additional options, quoted for a shell.
pub(super) fn with(flags: &[&str]) -> String {
    let typed: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    joined(typed, flags)
}

fn joined(mut words: Vec<String>, flags: &[&str]) -> String {
    for flag in flags {
        if !words.iter().any(|word| word == flag) {
            words.push((*flag).to_owned());
        }
    }
    // A command line holds no zero byte, so all of its words can be quoted.
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_added_once_and_words_are_quoted() {
        let words = ["intact8", "quantize", "my model.onnx", "--resume"].map(str::to_owned).to_vec();
        assert_eq!(
            joined(words, &["--resume", "--keep-best"]),
            "intact8 quantize 'my model.onnx' --resume --keep-best"
        );
    }
}
