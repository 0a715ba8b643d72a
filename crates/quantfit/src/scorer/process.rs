//! A program that is run for what it prints, and that can be ended with everything that it has started.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How a program came to its end.
pub(super) enum Ended {
    /// By itself, having printed this.
    Exited(ExitStatus, Vec<u8>),
    /// It took longer than it may, and was ended.
    OutOfTime,
    /// Nobody wants its answer any more, and it was ended.
    Cancelled,
}

/// How often it is asked whether to go on.
const TICK: Duration = Duration::from_millis(10);

/// Runs a program until it has ended and nobody can print for it any more, as long as it may.
///
/// On Unix it gets a process group of its own, which is ended as a whole, so an interrupt from the terminal reaches it
/// through `is_cancelled` alone. Elsewhere what it has started outlives it.
pub(super) fn run(
    command: &mut Command,
    limit: Option<Duration>,
    is_cancelled: impl Fn() -> bool,
) -> std::io::Result<Ended> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let began = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut pipe = child.stdout.take().expect("standard output is a pipe");
    let (all, printed) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // Nobody listens any more if the program was ended.
        drop(all.send(pipe.read_to_end(&mut bytes).map(|_| bytes)));
    });
    let mut answer = None;
    loop {
        match answer {
            None => answer = printed.recv_timeout(TICK).ok(),
            Some(_) => std::thread::sleep(TICK),
        }
        if let Some(bytes) = answer.take_if(|_| matches!(child.try_wait(), Ok(Some(_)))) {
            return Ok(Ended::Exited(child.wait()?, bytes?));
        }
        let is_late = limit.is_some_and(|limit| began.elapsed() >= limit);
        if is_late || is_cancelled() {
            end(&mut child)?;
            return Ok(if is_late { Ended::OutOfTime } else { Ended::Cancelled });
        }
    }
}

/// Ends a program at once, and on Unix its whole group.
fn end(child: &mut Child) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // A group that is gone needs no end.
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    }
    child.kill()?;
    child.wait().map(drop)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Option<Duration>, is_cancelled: bool) -> Ended {
        run(Command::new("sh").args(["-c", script]), limit, || is_cancelled).unwrap()
    }

    #[test]
    fn what_is_printed_comes_back_whole() {
        // More than a pipe holds.
        let Ended::Exited(status, bytes) = sh("seq 100000; exit 3", None, false) else { panic!("it ends") };
        assert_eq!((status.code(), bytes.len()), (Some(3), 588_895));
        assert!(run(&mut Command::new("/no/such/program"), None, || false).is_err());
    }

    #[test]
    fn what_it_has_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", path.display());
        assert!(matches!(sh(&script, Some(Duration::from_millis(500)), false), Ended::OutOfTime));
        let pid = std::fs::read_to_string(path).unwrap();
        // An orphan is a zombie until somebody asks, so its state is asked for, and none is as good.
        let state = Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output().unwrap().stdout;
        let state = String::from_utf8(state).unwrap();
        assert!(state.trim().is_empty() || state.starts_with('Z'), "{state}");
        assert!(matches!(sh("sleep 1000", None, true), Ended::Cancelled));
    }
}
