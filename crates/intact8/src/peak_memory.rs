//! The peak memory of this process.

/// The peak resident memory in bytes; `None` if the system does not report it. Linux reports it in `/proc/self/status`.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let n_kib: u64 = peak.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    n_kib.checked_mul(1024)
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    #[test]
    fn the_peak_includes_memory_that_was_written_to() {
        let held = vec![1u8; 20_000_000];
        let peak = super::peak_memory().unwrap();
        assert!(peak > held.iter().map(|&byte| u64::from(byte)).sum());
    }
}
