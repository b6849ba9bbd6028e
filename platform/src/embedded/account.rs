//! Which user PostgreSQL runs as. It refuses root, so root steps down; any other user stays itself.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::{EmbeddedError, IoContext};

/// A user that root steps down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// The user to step down to: none unless the process is root's.
    pub(super) fn for_this_process() -> Result<Option<Self>, EmbeddedError> {
        if !is_root() {
            return Ok(None);
        }
        let passwd = read_passwd()?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| find(&passwd, |entry| entry.name == *name))
            .map(Some)
            .ok_or(EmbeddedError::NoServiceUser)
    }

    /// The owner of existing data runs its server: the user that made it may have been another one.
    pub(super) fn of_owner(uid: u32) -> Result<Option<Self>, EmbeddedError> {
        let passwd = read_passwd()?;
        Ok(find(&passwd, |entry| entry.uid == uid && uid != 0))
    }

    /// Asks the kernel rather than mode bits: access lists and mounts count too.
    pub(super) fn can_enter(self, folder: &Path) -> bool {
        command("/usr/bin/test", Some(self))
            .args(["-x".as_ref(), folder.as_os_str()])
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Gives a path to this user.
    pub(super) fn own(self, path: &Path) -> Result<(), EmbeddedError> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).at("changing the owner of", path)
    }
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command with nothing inherited: no environment, no terminal, no folder that the user may not enter. Setting the uid
/// as root makes the standard library drop the supplementary groups too.
pub(super) fn command(program: impl AsRef<std::ffi::OsStr>, account: Option<Account>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

struct Entry<'a> {
    name: &'a str,
    uid: u32,
}

fn read_passwd() -> Result<String, EmbeddedError> {
    let path = Path::new("/etc/passwd");
    std::fs::read_to_string(path).at("reading", path)
}

fn find(passwd: &str, wanted: impl Fn(&Entry<'_>) -> bool) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let uid = fields.next()?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        wanted(&Entry { name, uid }).then_some(Account { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_by_id_but_never_root() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n";
        let postgres = Account { uid: 101, gid: 104 };
        assert_eq!(find(passwd, |e| e.name == "postgres"), Some(postgres));
        assert_eq!(find(passwd, |e| e.uid == 101), Some(postgres));
        assert_eq!(find(passwd, |e| e.name == "nobody"), None);
        assert_eq!(Account::of_owner(0).unwrap(), None);
    }
}
