//! Child processes whose standard output is read: programs that run once, and persistent ones that answer lines. They can be
//! ended together with all processes that they have started.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The end of a program.
pub(super) enum ProcessEnd {
    /// It exited by itself and printed these bytes.
    Exited(ExitStatus, Vec<u8>),
    /// It exceeded the time limit and was ended.
    OutOfTime,
    /// The user has cancelled the search, and it was ended.
    Cancelled,
}

/// The interval at which time limit and cancellation are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Runs a program until it has exited and its standard output is closed, or until the time limit or a cancellation ends it.
///
/// On Unix the program has a process group of its own, which is ended as a whole, so an interrupt from the terminal does not
/// reach it except through `is_cancelled`. On other systems the processes that it has started are not ended.
pub(super) fn run(
    command: &mut Command,
    limit: Option<Duration>,
    is_cancelled: impl Fn() -> bool,
) -> std::io::Result<ProcessEnd> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let began = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut pipe = child.stdout.take().expect("standard output is a pipe");
    let (all, printed) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // The receiver is gone if the program was ended.
        drop(all.send(pipe.read_to_end(&mut bytes).map(|_| bytes)));
    });
    let mut output = None;
    loop {
        match output {
            None => output = printed.recv_timeout(POLL_INTERVAL).ok(),
            Some(_) => std::thread::sleep(POLL_INTERVAL),
        }
        if let Some(bytes) = output.take_if(|_| matches!(child.try_wait(), Ok(Some(_)))) {
            return Ok(ProcessEnd::Exited(child.wait()?, bytes?));
        }
        let is_late = limit.is_some_and(|limit| began.elapsed() >= limit);
        if is_late || is_cancelled() {
            end(&mut child)?;
            return Ok(if is_late { ProcessEnd::OutOfTime } else { ProcessEnd::Cancelled });
        }
    }
}

/// A persistent program: it reads each question as a line, and prints the answer as a line.
pub(super) struct PersistentProcess {
    child: Child,
    questions: ChildStdin,
    lines: mpsc::Receiver<std::io::Result<String>>,
}

/// The result of a question.
pub(super) enum Answer {
    /// The line that is the answer.
    Line(String),
    /// The program ended instead.
    Exited(ExitStatus),
    /// The program exceeded the time limit; it has to be ended.
    OutOfTime,
    /// The user has cancelled the search; the program has to be ended.
    Cancelled,
}

impl PersistentProcess {
    /// Starts a program, on Unix in a process group of its own.
    pub(super) fn start(command: &mut Command) -> std::io::Result<PersistentProcess> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = child.stdin.take().expect("standard input is a pipe");
        let pipe = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let (each, lines) = mpsc::channel();
        std::thread::spawn(move || pipe.lines().try_for_each(|line| each.send(line)));
        Ok(PersistentProcess { child, questions, lines })
    }

    /// Writes a question and waits for a line that is an answer, up to the time limit; other lines are ignored.
    pub(super) fn ask(
        &mut self,
        question: &str,
        limit: Option<Duration>,
        is_cancelled: impl Fn() -> bool,
        is_answer: impl Fn(&str) -> bool,
    ) -> std::io::Result<Answer> {
        let began = Instant::now();
        // A failure to write means that the program has exited, which is found below.
        let _ = writeln!(self.questions, "{question}").and_then(|()| self.questions.flush());
        loop {
            match self.lines.recv_timeout(POLL_INTERVAL) {
                Ok(line) => {
                    let line = line?;
                    if is_answer(&line) {
                        return Ok(Answer::Line(line));
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Ok(Answer::Exited(self.child.wait()?));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if limit.is_some_and(|limit| began.elapsed() >= limit) {
                return Ok(Answer::OutOfTime);
            }
            if is_cancelled() {
                return Ok(Answer::Cancelled);
            }
        }
    }
}

impl Drop for PersistentProcess {
    fn drop(&mut self) {
        // Ending a program fails only if it has exited.
        let _ = end(&mut self.child);
    }
}

/// Ends a program at once, and on Unix its whole group.
fn end(child: &mut Child) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // A failure means that the group is gone.
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    }
    child.kill()?;
    child.wait().map(drop)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Option<Duration>, is_cancelled: bool) -> ProcessEnd {
        run(Command::new("sh").args(["-c", script]), limit, || is_cancelled).unwrap()
    }

    #[test]
    fn a_long_output_is_read_completely() {
        // More than the buffer of a pipe.
        let ProcessEnd::Exited(status, bytes) = sh("seq 100000; exit 3", None, false) else {
            panic!("it ends")
        };
        assert_eq!((status.code(), bytes.len()), (Some(3), 588_895));
        assert!(run(&mut Command::new("/no/such/program"), None, || false).is_err());
    }

    #[test]
    fn a_persistent_program_answers_several_questions() {
        let script = "n=0; while read line; do n=$((n+1)); echo note; echo \"$line $n\"; done";
        let mut process = PersistentProcess::start(Command::new("sh").args(["-c", script])).unwrap();
        let mut ask = |question: &str, limit, is_cancelled: bool| {
            process.ask(question, limit, || is_cancelled, |line| line.starts_with("is")).unwrap()
        };
        for (question, expected) in [("is a", "is a 1"), ("is b", "is b 2")] {
            let Answer::Line(line) = ask(question, None, false) else { panic!("it answers") };
            assert_eq!(line, expected);
        }
        let limit = Some(Duration::from_millis(100));
        assert!(matches!(ask("what", limit, false), Answer::OutOfTime));
        assert!(matches!(ask("what", None, true), Answer::Cancelled));
        let mut ended =
            PersistentProcess::start(Command::new("sh").args(["-c", "read line; exit 3"])).unwrap();
        let Answer::Exited(status) = ended.ask("is c", None, || false, |_| true).unwrap() else {
            panic!("it ends")
        };
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn processes_that_a_program_has_started_end_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", path.display());
        assert!(matches!(sh(&script, Some(Duration::from_millis(500)), false), ProcessEnd::OutOfTime));
        let pid = std::fs::read_to_string(path).unwrap();
        // An orphan may stay a zombie, so both no state and that of a zombie are right.
        let state = Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output().unwrap().stdout;
        let state = String::from_utf8(state).unwrap();
        assert!(state.trim().is_empty() || state.starts_with('Z'), "{state}");
        assert!(matches!(sh("sleep 1000", None, true), ProcessEnd::Cancelled));
    }
}
