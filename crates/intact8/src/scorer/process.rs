//! A program that is run for what it prints, once or as long as there are questions, and that can be ended with everything
//! that it has started.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
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

/// A program that stays: it reads a question in a line, and prints the answer in one.
pub(super) struct Staying {
    child: Child,
    questions: ChildStdin,
    lines: mpsc::Receiver<std::io::Result<String>>,
}

/// What came of a question.
pub(super) enum Answered {
    /// The line that is the answer.
    Line(String),
    /// The program ended instead.
    Exited(ExitStatus),
    /// It took longer than it may; it has to be ended.
    OutOfTime,
    /// Nobody wants the answer any more; it has to be ended.
    Cancelled,
}

impl Staying {
    /// Starts a program, on Unix in a process group of its own.
    pub(super) fn start(command: &mut Command) -> std::io::Result<Staying> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = child.stdin.take().expect("standard input is a pipe");
        let pipe = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let (each, lines) = mpsc::channel();
        std::thread::spawn(move || pipe.lines().try_for_each(|line| each.send(line)));
        Ok(Staying { child, questions, lines })
    }

    /// Asks, and waits for a line that is an answer, as long as it may take; other lines are passed over.
    pub(super) fn ask(
        &mut self,
        question: &str,
        limit: Option<Duration>,
        is_cancelled: impl Fn() -> bool,
        is_answer: impl Fn(&str) -> bool,
    ) -> std::io::Result<Answered> {
        let began = Instant::now();
        // One that has ended can't be written to, and is found to have ended below.
        let _ = writeln!(self.questions, "{question}").and_then(|()| self.questions.flush());
        loop {
            match self.lines.recv_timeout(TICK) {
                Ok(line) => {
                    let line = line?;
                    if is_answer(&line) {
                        return Ok(Answered::Line(line));
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Ok(Answered::Exited(self.child.wait()?));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if limit.is_some_and(|limit| began.elapsed() >= limit) {
                return Ok(Answered::OutOfTime);
            }
            if is_cancelled() {
                return Ok(Answered::Cancelled);
            }
        }
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        // It can't be ended only if it has ended.
        let _ = end(&mut self.child);
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
    fn one_that_stays_is_asked_again_and_again() {
        let script = "n=0; while read line; do n=$((n+1)); echo note; echo \"$line $n\"; done";
        let mut staying = Staying::start(Command::new("sh").args(["-c", script])).unwrap();
        let mut ask = |question: &str, limit, is_cancelled: bool| {
            staying.ask(question, limit, || is_cancelled, |line| line.starts_with("is")).unwrap()
        };
        for (question, expected) in [("is a", "is a 1"), ("is b", "is b 2")] {
            let Answered::Line(line) = ask(question, None, false) else { panic!("it answers") };
            assert_eq!(line, expected);
        }
        let limit = Some(Duration::from_millis(100));
        assert!(matches!(ask("what", limit, false), Answered::OutOfTime));
        assert!(matches!(ask("what", None, true), Answered::Cancelled));
        let mut ended = Staying::start(Command::new("sh").args(["-c", "read line; exit 3"])).unwrap();
        let Answered::Exited(status) = ended.ask("is c", None, || false, |_| true).unwrap() else {
            panic!("it ends")
        };
        assert_eq!(status.code(), Some(3));
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
