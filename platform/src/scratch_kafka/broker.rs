//! One broker: its folder, its process, and how to tell that it is ready.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::error::{IoContext, ScratchKafkaError};
use super::installation::{Installation, quiet};
use super::settings::Ports;

/// How often a condition that nothing announces is looked at.
pub(super) const POLL: Duration = Duration::from_millis(30);
const STARTED: &str = "Kafka Server started";

#[derive(Debug)]
pub(super) struct Broker {
    pub(super) number: usize,
    pub(super) folder: PathBuf,
    pub(super) ports: Ports,
    child: Option<Child>,
    /// How long the log was before the present process began to write.
    log_start: u64,
}

/// How far a broker's start is.
pub(super) enum Progress {
    Starting,
    Ready,
    Ended,
}

impl Broker {
    pub(super) fn new(number: usize, folder: PathBuf, ports: Ports) -> Self {
        Self { number, folder, ports, child: None, log_start: 0 }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(super) fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    /// Makes the storage of a new broker; the caller waits for it.
    pub(super) fn format(
        &self,
        kafka: &Installation,
        cluster: &str,
        scram: Option<&str>,
    ) -> Result<Child, ScratchKafkaError> {
        let mut command = kafka.program("kafka.tools.StorageTool");
        command.args(["format", "--cluster-id", cluster, "--config"]).arg(self.properties());
        if let Some(scram) = scram {
            command.args(["--add-scram", scram]);
        }
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().at("formatting", &self.folder)
    }

    pub(super) fn launch(&mut self, kafka: &Installation) -> Result<(), ScratchKafkaError> {
        if self.running() {
            return Err(ScratchKafkaError::Running(self.number));
        }
        let path = self.log();
        let log = OpenOptions::new().create(true).append(true).open(&path).at("opening", &path)?;
        self.log_start = log.metadata().at("reading", &path)?.len();
        let errors = log.try_clone().at("opening", &path)?;
        let mut command = kafka.program("kafka.Kafka");
        // Ctrl-C on a test run is for the tests; the reaper ends what they leave.
        command.arg(self.properties()).process_group(0).stdout(log).stderr(errors);
        self.child = Some(command.spawn().at("starting a broker in", &self.folder)?);
        Ok(())
    }

    pub(super) fn running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    pub(super) fn signal(&mut self, signal: Signal) -> Result<(), ScratchKafkaError> {
        let number = self.number;
        if !self.running() {
            return Err(ScratchKafkaError::NotRunning(number));
        }
        let child = self.child.as_ref().ok_or(ScratchKafkaError::NotRunning(number))?;
        // Not waited for yet, so the process id is still this child's.
        rustix::process::kill_process(Pid::from_child(child), signal)
            .map_err(std::io::Error::from)
            .at("signalling the broker in", &self.folder)
    }

    /// Kills it and waits for its end. One that is dead already is what the caller wants.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What the present process has logged.
    fn logged(&self) -> std::io::Result<String> {
        let mut file = File::open(self.log())?;
        file.seek(SeekFrom::Start(self.log_start))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The log line alone is nearly enough: a broker writes it when the controller has let it in.
    pub(super) fn progress(&mut self) -> Result<Progress, ScratchKafkaError> {
        if !self.running() {
            return Ok(Progress::Ended);
        }
        let path = self.log();
        let started = self.logged().at("reading", &path)?.contains(STARTED);
        let ready = started && TcpStream::connect(("127.0.0.1", self.ports.client)).is_ok();
        Ok(if ready { Progress::Ready } else { Progress::Starting })
    }

    /// The error to report when it did not become ready.
    pub(super) fn not_ready(&self, reason: &'static str) -> ScratchKafkaError {
        let logged = self.logged().unwrap_or_default();
        let lines: Vec<&str> = logged.lines().collect();
        let log = lines[lines.len().saturating_sub(20)..].join("\n");
        ScratchKafkaError::NotReady { broker: self.number, reason, log }
    }

    pub(super) fn lost_a_port(&self) -> bool {
        self.logged().is_ok_and(|log| log.contains("Address already in use"))
    }
}

/// Whether the broker with this port counts all of `numbers` among its cluster. Without `kcat` nobody can be asked.
pub(super) fn knows(internal: u16, numbers: &[usize]) -> bool {
    let answer =
        quiet("kcat").args(["-L", "-m", "5", "-b", &format!("127.0.0.1:{internal}")]).stdout(Stdio::piped()).output();
    match answer {
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.stdout);
            numbers.iter().all(|number| text.contains(&format!("  broker {number} at ")))
        }
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}
