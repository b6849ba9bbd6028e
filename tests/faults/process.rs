//! One process of Docket: started, watched, started again when it dies.
//!
//! Owns the child and what is known of its ends. A process that ends without having been made to is a finding.

use std::{
    fs::File,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::reaper::Reaper;

/// How long a process that died stays away: short, so that others meet it while it comes back.
const ABSENCE: Duration = Duration::from_millis(150);

/// The variable that dooms a process: it kills itself at a step.
pub const CRASH: &str = "DOCKET_FAULT_CRASH";
/// The variable that makes a process stop itself at a step.
pub const PAUSE: &str = "DOCKET_FAULT_PAUSE";
/// The variable that makes a process one of an older release: it does not know this type of event.
pub const FORGET: &str = "DOCKET_FAULT_FORGET";

/// How the end of a process is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// It must not end.
    Life,
    /// It dies by SIGKILL.
    Kill,
    /// It ends in order, with exit code 0.
    End,
}

/// What a process is started with besides the settings of all.
pub type Environment = Vec<(&'static str, String)>;

/// How a process is started.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name in reports, and of its log.
    pub name: String,
    /// The binary.
    pub binary: PathBuf,
    /// The role: the binary's command.
    pub role: &'static str,
    /// The campaign's folder.
    pub folder: PathBuf,
    /// The settings, at every start.
    pub environment: Environment,
}

/// A process that is kept running.
#[derive(Debug)]
pub struct Process {
    plan: Plan,
    /// Settings that changed since the plan was made.
    changed: Mutex<Environment>,
    expected: Mutex<Expected>,
    /// For the next start only.
    special: Mutex<Environment>,
    /// The process id, while one runs.
    pid: watch::Sender<Option<u32>>,
    /// Whether it stays away once it has ended.
    away: watch::Sender<bool>,
    starts: AtomicU32,
    findings: Mutex<Vec<String>>,
    stop: CancellationToken,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// Starts it, and keeps it running until [`Process::stop`].
    pub fn start(plan: Plan) -> Arc<Self> {
        let process = Arc::new(Self {
            plan,
            changed: Mutex::default(),
            expected: Mutex::new(Expected::Life),
            special: Mutex::default(),
            pid: watch::Sender::new(None),
            away: watch::Sender::new(false),
            starts: AtomicU32::new(0),
            findings: Mutex::default(),
            stop: CancellationToken::new(),
            keeper: Mutex::default(),
        });
        let keeper = tokio::spawn(Arc::clone(&process).keep());
        *lock(&process.keeper) = Some(keeper);
        process
    }

    /// Its name in reports.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// Changes a setting from the next start on.
    pub fn set(&self, name: &'static str, value: String) {
        let mut changed = lock(&self.changed);
        changed.retain(|(known, _)| *known != name);
        changed.push((name, value));
    }

    async fn keep(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            match self.spawn() {
                Ok(child) => self.watch(child).await,
                Err(error) => lock(&self.findings).push(format!("{} cannot be started: {error:#}", self.plan.name)),
            }
            let mut away = self.away.subscribe();
            let back = async {
                tokio::time::sleep(ABSENCE).await;
                // The sender is ours: it is not gone.
                drop(away.wait_for(|away| !*away).await);
            };
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = back => {}
            }
        }
    }

    fn spawn(&self) -> Result<Child> {
        let log = self.plan.folder.join("logs").join(format!("{}.log", self.plan.name));
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("opening {}", log.display()))?;
        let special = std::mem::take(&mut *lock(&self.special));
        if special.iter().any(|(name, _)| *name == CRASH) {
            *lock(&self.expected) = Expected::Kill;
        }
        let child = Command::new(&self.plan.binary)
            .arg(self.plan.role)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(self.plan.environment.iter().map(|(name, value)| (*name, value.as_str())))
            .envs(lock(&self.changed).clone())
            .envs(special)
            // Where a core lies, if the shell allows cores.
            .current_dir(&self.plan.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing the log")?)
            .stderr(log)
            // Ctrl-C is for the campaign, which then ends them.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.plan.binary.display()))?;
        if let Some(pid) = child.id() {
            let file = Reaper::pid_file(&self.plan.folder, &self.plan.name);
            std::fs::write(&file, pid.to_string()).with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(child)
    }

    async fn watch(&self, mut child: Child) {
        self.starts.fetch_add(1, Ordering::Relaxed);
        self.pid.send_replace(child.id());
        let ended = tokio::select! {
            ended = child.wait() => ended,
            () = self.stop.cancelled() => {
                // A stopped process dies of SIGKILL too.
                let _ = child.kill().await;
                return;
            }
        };
        let expected = std::mem::replace(&mut *lock(&self.expected), Expected::Life);
        match ended {
            Ok(status) => self.judge(expected, status),
            Err(error) => lock(&self.findings).push(format!("{} cannot be waited for: {error}", self.plan.name)),
        }
        self.pid.send_replace(None);
    }

    fn judge(&self, expected: Expected, status: ExitStatus) {
        use std::os::unix::process::ExitStatusExt;
        let fine = match expected {
            Expected::Life => false,
            Expected::Kill => status.signal() == Some(9),
            Expected::End => status.success(),
        };
        if !fine {
            let wanted = match expected {
                Expected::Life => "nobody had asked it to",
                Expected::Kill => "it was to die of SIGKILL",
                Expected::End => "it was to end in order",
            };
            lock(&self.findings).push(format!("{} ended with {status}, and {wanted}: see its log", self.plan.name));
        }
    }

    /// What was wrong with its ends since the last question.
    pub fn take_findings(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.findings))
    }

    /// How often it was started.
    pub fn starts(&self) -> u32 {
        self.starts.load(Ordering::Relaxed)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = (*self.pid.borrow()).and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let Some(pid) = pid else { return Ok(()) };
        match kill_process(pid, signal) {
            // It ended by itself meanwhile.
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => sent.with_context(|| format!("signalling {}", self.plan.name)),
        }
    }

    /// Waits until a process runs.
    pub async fn running(&self) -> Result<()> {
        let mut pid = self.pid.subscribe();
        let is_running = timeout(Duration::from_secs(30), pid.wait_for(Option::is_some)).await.is_ok();
        ensure!(is_running, "{} was not started again", self.plan.name);
        Ok(())
    }

    /// Waits until the process has ended, for at most `patience`; false when it has not.
    pub async fn ended(&self, since: u32, patience: Duration) -> bool {
        let mut pid = self.pid.subscribe();
        let ended = async {
            while self.starts() == since && pid.borrow_and_update().is_some() {
                if pid.changed().await.is_err() {
                    return;
                }
            }
        };
        timeout(patience, ended).await.is_ok()
    }

    /// SIGKILL, at once.
    pub async fn kill(&self) -> Result<()> {
        self.running().await?;
        let since = self.starts();
        *lock(&self.expected) = Expected::Kill;
        self.signal(Signal::KILL)?;
        ensure!(self.ended(since, Duration::from_secs(10)).await, "{} survived SIGKILL", self.plan.name);
        Ok(())
    }

    /// SIGKILL, and not back before [`Process::come_back`].
    pub async fn send_away(&self) -> Result<()> {
        self.away.send_replace(true);
        self.kill().await
    }

    /// Ends what [`Process::send_away`] began.
    pub fn come_back(&self) {
        self.away.send_replace(false);
    }

    /// SIGTERM; how long it took to end in order.
    pub async fn terminate(&self, patience: Duration) -> Result<Duration> {
        self.running().await?;
        let (since, started) = (self.starts(), Instant::now());
        *lock(&self.expected) = Expected::End;
        self.signal(Signal::TERM)?;
        if !self.ended(since, patience).await {
            self.kill().await?;
            lock(&self.findings).push(format!(
                "{} had not ended {} s after SIGTERM",
                self.plan.name,
                patience.as_secs()
            ));
        }
        Ok(started.elapsed())
    }

    /// SIGSTOP.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Whether it is stopped by SIGSTOP.
    pub fn is_frozen(&self) -> bool {
        let Some(pid) = *self.pid.borrow() else { return false };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name stands in parentheses and may hold anything.
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }

    /// Replaces it by one with `special` settings, in order.
    pub async fn replace(&self, special: Environment) -> Result<()> {
        self.running().await?;
        *lock(&self.special) = special;
        self.terminate(Duration::from_secs(30)).await?;
        self.running().await
    }

    /// Begins to end it for good.
    pub fn abandon(&self) {
        self.stop.cancel();
    }

    /// Ends it for good.
    pub async fn stop(&self) {
        self.abandon();
        let keeper = lock(&self.keeper).take();
        if let Some(keeper) = keeper {
            let _ = keeper.await;
        }
    }
}
