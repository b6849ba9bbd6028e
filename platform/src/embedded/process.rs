//! Looks at PostgreSQL's processes through /proc and signals them.
//!
//! A process is known by its id and start time, so a reused id is never signalled. Zombies count as dead: where pid 1 does
//! not reap, a dead postmaster stays one for ever, and `kill -0` says that it lives.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::time::Instant;

use super::account::{self, Account};

/// How often a condition that nothing announces is looked at.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// One process, for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessId {
    pub(super) pid: i32,
    start: u64,
}

struct Stat {
    comm: String,
    zombie: bool,
    start: u64,
}

impl ProcessId {
    /// The live process with this id.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let stat = stat(pid)?;
        (!stat.zombie).then_some(Self { pid, start: stat.start })
    }

    pub(super) fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Best effort: a process that ended meanwhile is what the caller wanted.
    pub(super) fn signal(self, signal: Signal) {
        if self.alive()
            && let Some(pid) = Pid::from_raw(self.pid)
            && let Err(error) = rustix::process::kill_process(pid, signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(pid = self.pid, ?signal, %error, "could not signal PostgreSQL");
        }
    }

    pub(super) async fn gone(self) {
        while self.alive() {
            tokio::time::sleep(POLL).await;
        }
    }
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name stands in parentheses and may itself hold spaces and parentheses.
fn parse_stat(text: &str) -> Option<Stat> {
    let (open, close) = (text.find('(')?, text.rfind(')')?);
    let comm = text.get(open + 1..close)?.to_owned();
    let mut fields = text.get(close + 1..)?.split_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X" | "x");
    // Field 22 of the line; the state was field 3.
    let start = fields.nth(18)?.parse().ok()?;
    Some(Stat { comm, zombie, start })
}

/// All live processes of PostgreSQL that work in this data folder: the postmaster, and what outlives it when it is killed.
pub(super) fn postgres_in(data: &Path, account: Option<Account>) -> Vec<ProcessId> {
    let mut found = Vec::new();
    let mut unreadable = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Only PostgreSQL's own: an operator's shell may stand in the folder as well.
        let Some(stat) = stat(pid).filter(|stat| !stat.zombie && stat.comm == "postgres") else { continue };
        let process = ProcessId { pid, start: stat.start };
        match std::fs::read_link(format!("/proc/{pid}/cwd")) {
            Ok(cwd) if cwd == data => found.push(process),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => unreadable.push(process),
            Err(_) => {}
        }
    }
    // Root in a container may not look into other users' processes; the user itself may.
    if let Some(account) = account {
        unreadable.retain(|process| cwd_as(account, process.pid).as_deref() == Some(data));
        found.append(&mut unreadable);
    }
    found
}

fn cwd_as(account: Account, pid: i32) -> Option<PathBuf> {
    let output = account::command("/usr/bin/readlink", Some(account))
        .arg(format!("/proc/{pid}/cwd"))
        .stdout(std::process::Stdio::piped())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (!text.is_empty()).then(|| PathBuf::from(text.strip_suffix('\n').unwrap_or(&text)))
}

/// What `postmaster.pid` says: the process and the folder of its socket.
pub(super) fn pid_file(data: &Path) -> Option<(i32, PathBuf)> {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok()?;
    Some((pid, PathBuf::from(lines.nth(3).unwrap_or_default())))
}

/// The live postmaster of this data folder.
pub(super) fn postmaster_of(data: &Path, account: Option<Account>) -> Option<ProcessId> {
    let (pid, _) = pid_file(data)?;
    postgres_in(data, account).into_iter().find(|process| process.pid == pid)
}

/// Ends everything that still works in the data folder: quit, then kill. True when nothing is left.
pub(super) async fn end_all(data: &Path, account: Option<Account>) -> bool {
    for (signal, patience) in [(Signal::QUIT, 1), (Signal::KILL, 5)] {
        let deadline = Instant::now() + Duration::from_secs(patience);
        let left = postgres_in(data, account);
        if !left.is_empty() {
            let pids: Vec<i32> = left.iter().map(|process| process.pid).collect();
            tracing::info!(?pids, ?signal, "ending PostgreSQL processes that were left behind");
        }
        for process in left {
            process.signal(signal);
        }
        while Instant::now() < deadline {
            if postgres_in(data, account).is_empty() {
                return true;
            }
            tokio::time::sleep(POLL).await;
        }
    }
    postgres_in(data, account).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_although_the_name_holds_parentheses() {
        let line = "7 (a) (b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000 10";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.comm.as_str(), stat.zombie, stat.start), ("a) (b", false, 4242));
    }

    #[test]
    fn a_zombie_is_dead_and_a_reused_id_is_another_process() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // Not waited for: it turns into a zombie as soon as it ends.
        while ProcessId::of(pid).is_some() {
            std::thread::yield_now();
        }
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
        child.wait().unwrap();
        let me = ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.alive());
        assert!(!ProcessId { start: me.start + 1, ..me }.alive());
    }
}
