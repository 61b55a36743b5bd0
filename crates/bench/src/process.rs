//! One run: the endpoint and the subject as processes of their own, timed, and what each of them used.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::endpoint::{Counts, Work};

/// A run that takes longer has hung.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// What the endpoint's process says, one JSON value a line.
#[derive(Debug, Serialize, Deserialize)]
pub enum Said {
    /// Host and port.
    Listening(String),
    /// The function has answered its last event and asks for the next one.
    FunctionIsIdle,
    /// Everything that came; the last line.
    Ended(Box<Counts>),
}

/// How the endpoint is to behave in a run.
#[derive(Debug, Clone)]
pub struct EndpointCommand {
    /// The program `bench-endpoint`.
    pub program: PathBuf,
    /// What it gives the subject to do.
    pub work: Work,
    /// How long calls take that take any time ([`crate::endpoint::Settings::delay`]), in milliseconds.
    pub delay_ms: u64,
    /// Percentage of the items that are handed back.
    pub hand_back_percent: u8,
}

/// When a subject has done its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoneWhen {
    /// It ends by itself, with success.
    Exited,
    /// It is a function, which never ends: it has answered its last event and asks for the next one.
    Idle,
}

/// What a process used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Peak resident memory in bytes. Linux counts that of the parent before exec too, so this process has to stay small.
    pub peak_rss_bytes: u64,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// From the subject's start until it was done.
    pub wall: Duration,
    /// What the subject used.
    pub subject: Usage,
    /// What the endpoint used.
    pub endpoint: Usage,
    /// What the endpoint got.
    pub counts: Counts,
}

/// Why a run says nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A program cannot be started.
    #[error("cannot start {}", .0.display())]
    Start(PathBuf, #[source] io::Error),
    /// The subject's log cannot be written.
    #[error("cannot write {}", .0.display())]
    Log(PathBuf, #[source] io::Error),
    /// A process cannot be waited for.
    #[error("cannot wait for a process")]
    Wait(#[source] io::Error),
    /// The endpoint ended too early, or said something else than it should.
    #[error("the endpoint broke down")]
    Endpoint,
    /// The subject failed.
    #[error("the subject ended with {status} before its work was done; {} has its last words", .log.display())]
    Subject {
        /// How it ended.
        status: ExitStatus,
        /// What it printed.
        log: PathBuf,
    },
    /// The subject hung.
    #[error("the subject was not done after an hour; {} has its last words", .0.display())]
    Hung(PathBuf),
}

enum Event {
    Said(Said),
    EndpointIsGone,
    SubjectEnded(io::Result<(ExitStatus, Usage)>),
}

/// Starts the endpoint and then the subject, for which `subject` makes the command out of the endpoint's address, and waits
/// until the work is done. What the subject prints goes into the file `log`.
///
/// # Errors
/// See [`RunError`]; no process is left behind.
pub fn run(
    endpoint: &EndpointCommand,
    subject: impl FnOnce(&str) -> Command,
    done_when: DoneWhen,
    log: &Path,
    now: fn() -> Instant,
) -> Result<Run, RunError> {
    let (events, came) = mpsc::channel();
    let (endpoint, endpoint_input) = start_endpoint(endpoint, events.clone())?;
    let Event::Said(Said::Listening(address)) = next(&came, log)? else {
        return Err(RunError::Endpoint);
    };
    let mut command = subject(&address);
    let output = File::create(log)
        .and_then(|file| Ok((file.try_clone()?, file)))
        .map_err(|error| RunError::Log(log.to_owned(), error))?;
    command
        .stdin(Stdio::null())
        .stdout(output.0)
        .stderr(output.1);
    let started = now();
    let mut subject = Process::start(&mut command)?;
    let subject_id = subject.id();
    std::thread::spawn(move || events.send(Event::SubjectEnded(wait(subject_id))));

    let mut idle_after = None;
    let (status, subject_usage) = loop {
        match next(&came, log)? {
            Event::Said(Said::FunctionIsIdle) => {
                idle_after = Some(now() - started);
                subject.kill();
            }
            Event::SubjectEnded(ended) => {
                subject.is_over = true;
                break ended.map_err(RunError::Wait)?;
            }
            Event::Said(_) | Event::EndpointIsGone => return Err(RunError::Endpoint),
        }
    };
    let exited_after = (status.success()).then(|| now() - started);
    let wall = match done_when {
        DoneWhen::Exited => exited_after,
        DoneWhen::Idle => idle_after,
    };
    let wall = wall.ok_or_else(|| RunError::Subject {
        status,
        log: log.to_owned(),
    })?;
    drop(endpoint_input);
    let Event::Said(Said::Ended(counts)) = next(&came, log)? else {
        return Err(RunError::Endpoint);
    };
    Ok(Run {
        wall,
        subject: subject_usage,
        endpoint: endpoint.finish()?,
        counts: *counts,
    })
}

fn next(came: &Receiver<Event>, log: &Path) -> Result<Event, RunError> {
    came.recv_timeout(TIME_LIMIT).map_err(|error| match error {
        RecvTimeoutError::Timeout => RunError::Hung(log.to_owned()),
        RecvTimeoutError::Disconnected => RunError::Endpoint,
    })
}

/// The endpoint ends when its standard input does.
fn start_endpoint(
    endpoint: &EndpointCommand,
    events: Sender<Event>,
) -> Result<(Process, ChildStdin), RunError> {
    let (option, value) = match &endpoint.work {
        Work::Object(file) => ("--object", file.clone().into_os_string()),
        Work::Batches(file) => ("--batches", file.clone().into_os_string()),
        Work::Pending(items) => ("--pending", items.to_string().into()),
        Work::Export(file) => ("--export", file.clone().into_os_string()),
    };
    let mut command = Command::new(&endpoint.program);
    command
        .arg(option)
        .arg(value)
        .args(["--delay-ms", &endpoint.delay_ms.to_string()])
        .args([
            "--hand-back-percent",
            &endpoint.hand_back_percent.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut process = Process::start(&mut command)?;
    let pipes = process.child.stdin.take().zip(process.child.stdout.take());
    let (input, output) = pipes.ok_or(RunError::Endpoint)?;
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let said = line.ok().and_then(|line| serde_json::from_str(&line).ok());
            let _ = events.send(said.map_or(Event::EndpointIsGone, Event::Said));
        }
        let _ = events.send(Event::EndpointIsGone);
    });
    Ok((process, input))
}

/// A process that does not outlive this value.
struct Process {
    child: Child,
    is_over: bool,
}

impl Process {
    fn start(command: &mut Command) -> Result<Self, RunError> {
        let child = command
            .spawn()
            .map_err(|error| RunError::Start(command.get_program().into(), error))?;
        Ok(Self {
            child,
            is_over: false,
        })
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    fn kill(&mut self) {
        // It fails where the process has just ended, which is as good.
        let _ = self.child.kill();
    }

    fn finish(mut self) -> Result<Usage, RunError> {
        let (_, usage) = wait(self.id()).map_err(RunError::Wait)?;
        self.is_over = true;
        Ok(usage)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_over {
            self.kill();
        }
    }
}

/// wait4(2): the end of a child and what it used, which std does not tell.
fn wait(process: u32) -> io::Result<(ExitStatus, Usage)> {
    let process = libc::pid_t::try_from(process).map_err(io::Error::other)?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    #[expect(
        unsafe_code,
        reason = "wait4 fills the two values that it is given and touches nothing else"
    )]
    let (waited, usage) = unsafe {
        let waited = libc::wait4(process, &raw mut status, 0, usage.as_mut_ptr());
        (waited, usage.assume_init())
    };
    if waited != process {
        return Err(io::Error::last_os_error());
    }
    let kibibytes = u64::try_from(usage.ru_maxrss).map_err(io::Error::other)?;
    let used = Usage {
        cpu: span(usage.ru_utime) + span(usage.ru_stime),
        peak_rss_bytes: kibibytes * 1024,
    };
    Ok((ExitStatus::from_raw(status), used))
}

fn span(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let microseconds = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(microseconds)
}
