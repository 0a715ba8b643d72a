//! The memory that this process may use at most.

use intact8_calibrate::MemoryLimit;
use intact8_interp::Limits;
use std::path::{Path, PathBuf};

/// The limits of running models: half of the memory that this process may use, for all runs together. The rest is for the model, its
/// data, and calibration.
pub fn machine_limits() -> Limits {
    let limits = Limits::default();
    Limits { memory: machine_memory().map_or(limits.memory, |bytes| bytes / 2), ..limits }
}

/// The least memory of the stages of calibration, in bytes.
pub const LEAST_CALIBRATION_MEMORY: usize = 64 << 20;

/// The default memory of the stages of calibration: half of the memory that this process may use.
pub fn calibration_memory() -> MemoryLimit {
    let half = machine_memory().and_then(|bytes| usize::try_from(bytes / 2).ok());
    half.map_or_else(MemoryLimit::default, |half| MemoryLimit(half.max(LEAST_CALIBRATION_MEMORY)))
}

/// The memory of the machine in bytes, or the limit of the process's control group, of one around it, or of the user's shell if that
/// is less; `None` if the system does not report it. Linux reports it in `/proc/meminfo` and below `/sys/fs/cgroup`.
pub fn machine_memory() -> Option<u64> {
    let installed = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups).into_iter().filter_map(|file| {
        // Without a limit, the file holds `max`, or in version 1 a number beyond all memory.
        std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()
    });
    installed.into_iter().chain(limits).chain(limits_of_shell()).min()
}

/// The limits that the user's shell sets on the memory of a process, with `ulimit -v` and `-d`.
#[cfg(unix)]
fn limits_of_shell() -> impl Iterator<Item = u64> {
    use rustix::process::{Resource, getrlimit};
    [Resource::As, Resource::Data].into_iter().filter_map(|resource| getrlimit(resource).current)
}

#[cfg(not(unix))]
fn limits_of_shell() -> impl Iterator<Item = u64> {
    std::iter::empty()
}

/// The installed memory, by the text of `/proc/meminfo`.
fn total(text: &str) -> Option<u64> {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let n_kib: u64 = total.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    n_kib.checked_mul(1024)
}

/// The files that hold the limits of a process's control groups and of those around them, by the text of `/proc/self/cgroup`.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let own = Path::new(root).join(path.trim_start_matches('/'));
        files.extend(
            own.ancestors().take_while(|group| group.starts_with(root)).map(|group| group.join(file)),
        );
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_a_group_and_of_those_around_it_count() {
        let names = |groups: &str| -> Vec<String> {
            limit_files(groups).iter().map(|file| file.display().to_string()).collect()
        };
        let of_version_2 =
            ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"];
        assert_eq!(names("0::/a/b\n"), of_version_2);
        let of_version_1 = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
        assert_eq!(names("4:cpu:/x\n3:pids,memory:/\n"), [of_version_1]);
    }

    #[test]
    fn installed_memory_is_in_kibibytes() {
        assert_eq!(total("Buffers: 1 kB\nMemTotal:       16 kB\n"), Some(16 << 10));
        assert_eq!(total("MemTotal: many kB"), None);
    }
}
