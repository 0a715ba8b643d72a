//! Any fuzz target of `fixtures` under libFuzzer; the variable `FUZZ_TARGET` names it.

#![no_main]

use fixtures::fuzz::Target;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    Target::named(&name).unwrap_or_else(|| panic!("there is no fuzz target {name:?}"))
});

fuzz_target!(|input: &[u8]| {
    if let Err(error) = (TARGET.check)(input) {
        panic!("{error}");
    }
});
