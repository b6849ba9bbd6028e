//! What lies where: the data folder, the cluster's home, the socket's folder, the lock and the record that ties them.
//!
//! ```text
//! DATA_DIR/            lock, cluster.json
//! DATA_DIR/postgres/   the home: data/ log/ run/ (all of PostgreSQL's user)
//! ```
//! The home moves to `/var/lib/docket/HASH` when PostgreSQL's user cannot enter the data folder, and the socket to a short
//! folder when its path would be too long. Both are recorded in `cluster.json`, which other commands read.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::account::{self, Account};
use super::error::{EmbeddedError, IoContext};
use super::process::POLL;

/// `sun_path` holds 107 bytes and the name of the socket takes 14 of them.
const SOCKET_FOLDER_MAX: usize = 107 - "/.s.PGSQL.5432".len();
const FALLBACK_HOME: &str = "/var/lib/docket";
const RECORD: &str = "cluster.json";

/// The folders of one cluster and the user that owns them.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) home: PathBuf,
    pub(super) data: PathBuf,
    pub(super) log: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) account: Option<Account>,
}

/// What other commands need to find the cluster again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) home: PathBuf,
    pub(super) socket: PathBuf,
}

impl Record {
    pub(super) fn read(data_dir: &Path) -> Result<Option<Self>, EmbeddedError> {
        let path = data_dir.join(RECORD);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(std::io::Error::from).at("reading", &path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).at("reading", &path),
        }
    }
}

impl Folder {
    /// Finds or makes the folders. The caller holds the lock of the data folder.
    pub(super) fn prepare(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let recorded = Record::read(data_dir)?;
        let account = Account::for_this_process()?;
        let home = home_for(data_dir, recorded.as_ref(), account);
        let data = home.join("data");
        let account = owner_of(&data, account)?;
        if !home.starts_with(data_dir) {
            make_parent(Path::new(FALLBACK_HOME))?;
        }
        let log = home.join("log");
        for folder in [&home, &log] {
            make_private(folder, account)?;
        }
        let socket = socket_folder(&home, recorded.as_ref(), account)?;
        let record = Record { home: home.clone(), socket: socket.clone() };
        if recorded.as_ref() != Some(&record) {
            let text = serde_json::to_vec_pretty(&record).map_err(std::io::Error::from).at("writing", data_dir)?;
            write_whole(&data_dir.join(RECORD), &text, None)?;
        }
        Ok(Self { home, data, log, socket, account })
    }
}

fn home_for(data_dir: &Path, recorded: Option<&Record>, account: Option<Account>) -> PathBuf {
    // Existing data stays where it is, whatever changed around it.
    if let Some(record) = recorded
        && record.home.join("data").is_dir()
    {
        return record.home.clone();
    }
    let inside = data_dir.join("postgres");
    if inside.join("data").is_dir() || account.is_none_or(|account| account.can_enter(data_dir)) {
        return inside;
    }
    let home = Path::new(FALLBACK_HOME).join(short_hash(data_dir));
    tracing::warn!(
        data_dir = %data_dir.display(),
        home = %home.display(),
        "PostgreSQL does not run as root and its user cannot enter the data folder: the cluster is kept elsewhere"
    );
    home
}

/// Existing data is run by its owner; a plain user can only run its own.
fn owner_of(data: &Path, account: Option<Account>) -> Result<Option<Account>, EmbeddedError> {
    let Ok(metadata) = std::fs::metadata(data) else { return Ok(account) };
    let owner = metadata.uid();
    let refused = || EmbeddedError::Owner { path: data.to_path_buf(), owner };
    if account::is_root() {
        Account::of_owner(owner)?.ok_or_else(refused).map(Some)
    } else if owner == rustix::process::geteuid().as_raw() {
        Ok(None)
    } else {
        Err(refused())
    }
}

fn socket_folder(home: &Path, recorded: Option<&Record>, account: Option<Account>) -> Result<PathBuf, EmbeddedError> {
    let inside = home.join("run");
    if fits(&inside) {
        make_private(&inside, account)?;
        return Ok(inside);
    }
    // The recorded one first: a running server may still listen there.
    if let Some(record) = recorded
        && fits(&record.socket)
        && make_private(&record.socket, account).is_ok()
    {
        return Ok(record.socket.clone());
    }
    let parent = if account.is_some() {
        // Root's own: nobody else can take the name first.
        let parent = PathBuf::from("/run/docket");
        make_parent(&parent)?;
        parent
    } else {
        let run = PathBuf::from(format!("/run/user/{}", rustix::process::geteuid().as_raw()));
        if run.is_dir() { run } else { PathBuf::from("/tmp") }
    };
    // In /tmp another user may have taken the name: a folder that is not ours and private is never used.
    let mut refusal = String::new();
    for attempt in 0..16 {
        let folder = parent.join(format!("docket-{}-{attempt}", short_hash(home)));
        match make_private(&folder, account) {
            Ok(()) => return Ok(folder),
            Err(error) => refusal = error.to_string(),
        }
    }
    Err(EmbeddedError::Socket(refusal))
}

/// Short enough for a socket, and free of what the setting's list syntax would need quoted.
fn fits(folder: &Path) -> bool {
    let bytes = folder.as_os_str().as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(byte);
    bytes.len() <= SOCKET_FOLDER_MAX && bytes.iter().all(plain)
}

/// The data folder as an absolute path; made when it is missing.
pub(super) fn open_data_dir(data_dir: &Path) -> Result<PathBuf, EmbeddedError> {
    if !data_dir.exists() {
        // Root's folder must let PostgreSQL's user pass to its part; all that is secret within has modes of its own.
        let mode = if account::is_root() { 0o711 } else { 0o700 };
        if let Some(parent) = data_dir.parent() {
            std::fs::create_dir_all(parent).at("making", parent)?;
        }
        match DirBuilder::new().mode(mode).create(data_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error).at("making", data_dir)?,
            _ => {}
        }
    }
    data_dir.canonicalize().at("opening", data_dir)
}

fn make_parent(folder: &Path) -> Result<(), EmbeddedError> {
    DirBuilder::new().recursive(true).mode(0o711).create(folder).at("making", folder)
}

/// Makes a folder that only its owner may enter, or checks that an existing one is such.
pub(super) fn make_private(folder: &Path, account: Option<Account>) -> Result<(), EmbeddedError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {
            if let Some(account) = account {
                account.own(folder)?;
            }
            return Ok(());
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).at("making", folder),
    }
    let owner = account.map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid);
    let found = std::fs::symlink_metadata(folder).at("opening", folder)?;
    if !found.is_dir() {
        return Err(std::io::Error::other("is not a folder")).at("using", folder);
    }
    if found.uid() != owner {
        // Killed between making it and giving it away.
        match account {
            Some(account) if found.uid() == 0 => account.own(folder)?,
            _ => return Err(EmbeddedError::Owner { path: folder.to_path_buf(), owner: found.uid() }),
        }
    }
    if found.mode() & 0o077 != 0 {
        return Err(std::io::Error::other("may be entered by others; its mode must be 0700")).at("using", folder);
    }
    Ok(())
}

/// Writes a file so that it is there whole or not at all, after a crash too.
pub(super) fn write_whole(path: &Path, text: &[u8], account: Option<Account>) -> Result<(), EmbeddedError> {
    let part = path.with_extension("part");
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("removing", &part)?,
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).at("making", &part)?;
    file.write_all(text).and_then(|()| file.sync_all()).at("writing", &part)?;
    if let Some(account) = account {
        account.own(&part)?;
    }
    std::fs::rename(&part, path).at("writing", path)?;
    if let Some(parent) = path.parent() {
        sync_folder(parent)?;
    }
    Ok(())
}

/// Makes a rename last: the entry belongs to the folder, not to the file.
pub(super) fn sync_folder(folder: &Path) -> Result<(), EmbeddedError> {
    File::open(folder).and_then(|folder| folder.sync_all()).at("syncing", folder)
}

/// FNV-1a: names must stay equal between builds, which the standard hasher does not promise.
fn short_hash(path: &Path) -> String {
    let hash = path
        .as_os_str()
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// Held by the one process that supervises a data folder; the kernel frees it whatever ends that process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits a moment: a predecessor may be closing, and [`Lock::is_held`] holds it for an instant.
    pub(super) async fn take(folder: &Path) -> Result<Self, EmbeddedError> {
        let path = folder.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .at("opening", &path)?;
        let deadline = Instant::now() + Duration::from_secs(1);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(error).at("locking", &path),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(EmbeddedError::Locked { path: folder.to_path_buf(), holder: read_pid(&mut file) });
                }
                Err(TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
            }
        }
        let pid = std::process::id().to_string();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(pid.as_bytes()))
            .at("writing", &path)?;
        Ok(Self { _file: file })
    }

    /// Whether a supervisor holds the folder.
    pub(super) fn is_held(folder: &Path) -> Result<bool, EmbeddedError> {
        let path = folder.join("lock");
        match File::open(&path) {
            Ok(file) => Ok(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).at("opening", &path),
        }
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_and_plain_folders_carry_a_socket() {
        assert!(fits(Path::new("/home/a/project/.docket/postgres/run")));
        assert!(fits(Path::new(&format!("/{}", "x".repeat(92)))));
        assert!(!fits(Path::new(&format!("/{}", "x".repeat(93)))));
        assert!(!fits(Path::new("/home/a, b/run")));
    }

    #[test]
    fn the_hash_of_a_path_never_changes() {
        assert_eq!(short_hash(Path::new("/srv/docket")), "2b30b0a14b9f791a");
    }
}
