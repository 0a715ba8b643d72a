//! Child processes whose standard output is read: programs that run once, and persistent ones that answer lines. They can be
//! ended together with all processes that they have started.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
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

/// The time that is left for reading the output of a program after it has exited. More is not required for what it has printed,
/// but a process that it has started may hold its output open for ever.
const GRACE: Duration = Duration::from_secs(1);

/// The number of bytes of a program's output, or of one line, that are kept: the last ones.
const KEPT_BYTES: usize = 64 << 10;

/// Runs a program until it has exited, or until the time limit or a cancellation ends it. Of its output the last 64 KiB are
/// returned. Processes that it has started and that outlive it are left alone.
///
/// On Unix the program has a process group of its own, which is ended as a whole, so an interrupt from the terminal does not
/// reach it except through `is_cancelled`. On other systems the processes that it has started are not ended.
pub(super) fn run(
    command: &mut Command,
    limit: Option<Duration>,
    is_cancelled: impl Fn() -> bool,
) -> std::io::Result<ProcessEnd> {
    let mut child = spawn(command.stdout(Stdio::piped()))?;
    let began = Instant::now();
    let mut pipe = child.stdout.take().expect("standard output is a pipe");
    let tail = Arc::new(Mutex::new(Tail::default()));
    let (closed, is_closed) = mpsc::channel();
    let reader = {
        let tail = tail.clone();
        move || {
            let read = drain(&mut pipe, &tail);
            // The receiver is gone if the program was ended.
            drop(closed.send(read));
        }
    };
    start_reader(&mut child, reader)?;
    let (mut read, mut exited): (Option<std::io::Result<()>>, Option<Instant>) = (None, None);
    loop {
        match read {
            None => read = is_closed.recv_timeout(POLL_INTERVAL).ok(),
            Some(_) => std::thread::sleep(POLL_INTERVAL),
        }
        if exited.is_none() && child.try_wait()?.is_some() {
            exited = Some(Instant::now());
        }
        if exited.is_some_and(|at| read.is_some() || at.elapsed() >= GRACE) {
            read.transpose()?;
            let output = tail.lock().map(|mut tail| tail.take()).unwrap_or_default();
            return Ok(ProcessEnd::Exited(child.wait()?, output));
        }
        let is_late = limit.is_some_and(|limit| began.elapsed() >= limit);
        if is_late || is_cancelled() {
            end(&mut child)?;
            return Ok(if is_late { ProcessEnd::OutOfTime } else { ProcessEnd::Cancelled });
        }
    }
}

/// The last bytes of an output.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT_BYTES)..]);
        if self.0.len() > 2 * KEPT_BYTES {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(KEPT_BYTES));
    }

    fn take(&mut self) -> Vec<u8> {
        self.cut();
        std::mem::take(&mut self.0)
    }
}

/// Reads an output to its end, and keeps its last bytes.
fn drain(output: &mut impl Read, tail: &Mutex<Tail>) -> std::io::Result<()> {
    let mut buffer = [0; 8192];
    loop {
        let n = match output.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if let Ok(mut tail) = tail.lock() {
            tail.push(&buffer[..n]);
        }
    }
}

/// Reads an output line by line, of long lines the last bytes, and sends each with the time at which it was read. A line is not
/// read before there is room for it.
fn send_lines(mut output: impl BufRead, lines: &mpsc::SyncSender<std::io::Result<(Instant, String)>>) {
    let mut line = Tail::default();
    loop {
        let (n, is_whole) = match output.fill_buf() {
            Ok([]) => break,
            Ok(bytes) => {
                let end = bytes.iter().position(|&byte| byte == b'\n');
                line.push(&bytes[..end.unwrap_or(bytes.len())]);
                (end.map_or(bytes.len(), |end| end + 1), end.is_some())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return drop(lines.send(Err(error))),
        };
        output.consume(n);
        let text = |line: &mut Tail| String::from_utf8_lossy(&line.take()).into_owned();
        if is_whole && lines.send(Ok((Instant::now(), text(&mut line)))).is_err() {
            return;
        }
    }
    let rest = line.take();
    if !rest.is_empty() {
        drop(lines.send(Ok((Instant::now(), String::from_utf8_lossy(&rest).into_owned()))));
    }
}

/// Starts a program, on Unix in a process group of its own.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    command.spawn()
}

/// Starts the thread that reads the output of a program; if there can be none, ends the program.
fn start_reader(child: &mut Child, reader: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let started = std::thread::Builder::new().spawn(reader);
    started.map(drop).inspect_err(|_| drop(end(child)))
}

/// A persistent program: it reads each question as a line, and prints the answer as a line.
pub(super) struct PersistentProcess {
    child: Child,
    questions: ChildStdin,
    lines: mpsc::Receiver<std::io::Result<(Instant, String)>>,
}

/// The result of a question.
pub(super) enum Answer {
    /// The line that is the answer.
    Line(String),
    /// A line that would be an answer, printed before the question.
    Unasked(String),
    /// The program ended instead.
    Exited(ExitStatus),
    /// The program exceeded the time limit; it has to be ended.
    OutOfTime,
    /// The user has cancelled the search; the program has to be ended.
    Cancelled,
}

/// The meaning of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It answers this question, whenever it was read.
    ThisAnswer,
    /// It answers the question before it, whichever that is.
    AnAnswer,
    /// It is no answer.
    Other,
}

impl PersistentProcess {
    /// The number of lines that are read ahead.
    const MAX_LINES: usize = 64;

    /// Starts a program, on Unix in a process group of its own.
    pub(super) fn start(command: &mut Command) -> std::io::Result<PersistentProcess> {
        let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let questions = child.stdin.take().expect("standard input is a pipe");
        let pipe = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let (each, lines) = mpsc::sync_channel(PersistentProcess::MAX_LINES);
        start_reader(&mut child, move || send_lines(pipe, &each))?;
        Ok(PersistentProcess { child, questions, lines })
    }

    /// Writes a question and waits for a line that answers it, up to the time limit; other lines are ignored.
    pub(super) fn ask(
        &mut self,
        question: &OsStr,
        limit: Option<Duration>,
        is_cancelled: impl Fn() -> bool,
        meaning: impl Fn(&str) -> Meaning,
    ) -> std::io::Result<Answer> {
        let (began, mut exited) = (Instant::now(), None);
        let question = [question.as_encoded_bytes(), b"\n"].concat();
        // A failure to write means that the program has exited, which is found below.
        let _ = self.questions.write_all(&question).and_then(|()| self.questions.flush());
        loop {
            match self.lines.recv_timeout(POLL_INTERVAL) {
                Ok(line) => {
                    let (at, line) = line?;
                    match meaning(&line) {
                        Meaning::AnAnswer if at < began => return Ok(Answer::Unasked(line)),
                        Meaning::ThisAnswer | Meaning::AnAnswer => return Ok(Answer::Line(line)),
                        Meaning::Other => {}
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Ok(Answer::Exited(self.child.wait()?));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    // A process that it has started may hold its output open.
                    if let Some(status) = self.child.try_wait()?
                        && exited.get_or_insert_with(Instant::now).elapsed() >= GRACE
                    {
                        return Ok(Answer::Exited(status));
                    }
                }
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
    fn the_last_part_of_a_long_output_is_kept() {
        // More than the buffer of a pipe, and 588,895 bytes.
        let ProcessEnd::Exited(status, bytes) = sh("seq 100000; exit 3", None, false) else {
            panic!("it ends")
        };
        assert_eq!((status.code(), bytes.len()), (Some(3), KEPT_BYTES));
        assert!(bytes.ends_with(b"\n99999\n100000\n"));
        assert!(run(&mut Command::new("/no/such/program"), None, || false).is_err());
        let endless = sh("yes", Some(Duration::from_millis(300)), false);
        assert!(matches!(endless, ProcessEnd::OutOfTime));
    }

    #[test]
    fn a_program_that_leaves_a_process_with_its_output_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; echo 0.5", path.display());
        let ProcessEnd::Exited(status, bytes) = sh(&script, Some(Duration::from_secs(60)), false) else {
            panic!("it ends")
        };
        assert_eq!((status.code(), &bytes[..]), (Some(0), &b"0.5\n"[..]));
        // It was left alone.
        let pid = std::fs::read_to_string(&path).unwrap();
        assert!(Command::new("kill").arg(pid.trim()).status().unwrap().success());
        let script = format!("read line; {script}");
        let mut process = PersistentProcess::start(Command::new("sh").args(["-c", &script])).unwrap();
        let limit = Some(Duration::from_secs(60));
        let mut ask = || process.ask(OsStr::new("a"), limit, || false, |_| Meaning::AnAnswer).unwrap();
        assert!(matches!(ask(), Answer::Line(line) if line == "0.5"));
        assert!(matches!(ask(), Answer::Exited(_)));
    }

    #[test]
    fn a_persistent_program_answers_several_questions() {
        let script = "n=0; while read line; do n=$((n+1)); echo note; echo \"$line $n\"; done";
        let mut process = PersistentProcess::start(Command::new("sh").args(["-c", script])).unwrap();
        let mut ask = |question: &str, limit, is_cancelled: bool| {
            let meaning =
                |line: &str| if line.starts_with("is") { Meaning::AnAnswer } else { Meaning::Other };
            process.ask(question.as_ref(), limit, || is_cancelled, meaning).unwrap()
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
        let answer = ended.ask(OsStr::new("is c"), None, || false, |_| Meaning::AnAnswer).unwrap();
        let Answer::Exited(status) = answer else { panic!("it ends") };
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn an_answer_before_its_question_is_found() {
        let script = "while read line; do echo 1; echo 2; echo \"$line 3\"; done";
        let mut process = PersistentProcess::start(Command::new("sh").args(["-c", script])).unwrap();
        let mut ask = |question: &str| {
            let meaning = |line: &str| match line.strip_prefix(question) {
                Some(_) => Meaning::ThisAnswer,
                None => Meaning::AnAnswer,
            };
            let answer = process.ask(question.as_ref(), None, || false, meaning).unwrap();
            // Until all of the lines have been read.
            std::thread::sleep(Duration::from_millis(500));
            answer
        };
        assert!(matches!(ask("a"), Answer::Line(line) if line == "1"));
        assert!(matches!(ask("b"), Answer::Unasked(line) if line == "2"));
    }

    #[test]
    fn a_line_without_an_end_is_bounded() {
        let (each, lines) = mpsc::sync_channel(4);
        let text = ["x".repeat(1 << 20), "\n".to_owned(), "y".to_owned()].concat();
        send_lines(text.as_bytes(), &each);
        let lengths: Vec<usize> = lines.try_iter().map(|line| line.unwrap().1.len()).collect();
        assert_eq!(lengths, [KEPT_BYTES, 1]);
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
