//! The last resort: a shell that outlives the campaign, ends what it left behind and removes its folder.
//!
//! Owns the list of process ids under `pids`. It must not be needed: whoever ends in order leaves it nothing to do but the folder.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context, Result};

/// Reads until the pipe closes, which it does however our process ends.
const REAPER: &str = r#"
cat >/dev/null
for file in "$1"/pids/*; do
    pid=$(cat "$file" 2>/dev/null) && [ -e "/proc/$pid/environ" ] || continue
    # The number may be another process's by now.
    tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -qxF "DOCKET_DATA_DIR=$1" && kill -KILL "$pid" 2>/dev/null
done
pid=$(head -n 1 "$1/postgres/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null && {
    tries=0
    while [ -e "$1/postgres/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
}
[ "$2" = keep ] && exit
tries=0
# What was just killed may have written a last line.
until rm -rf "$1" 2>/dev/null || [ "$tries" -gt 20 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
"#;

/// Watches over one folder.
#[derive(Debug)]
pub struct Reaper {
    folder: PathBuf,
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Reaper {
    /// Makes the folder, and watches.
    pub fn watch(folder: &Path, keep: bool) -> Result<Self> {
        for sub in ["pids", "logs"] {
            std::fs::create_dir_all(folder.join(sub)).with_context(|| format!("making {}", folder.display()))?;
        }
        let mut shell = Command::new("/bin/sh")
            .args(["-c", REAPER, "sh"])
            .arg(folder)
            .arg(if keep { "keep" } else { "remove" })
            .stdin(Stdio::piped())
            // Ctrl-C must not end it before its work.
            .process_group(0)
            .spawn()
            .context("starting the reaper")?;
        let pipe = shell.stdin.take();
        Ok(Self { folder: folder.to_owned(), shell, pipe })
    }

    /// Where a process notes its id.
    pub fn pid_file(folder: &Path, name: &str) -> PathBuf {
        folder.join("pids").join(name)
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.pipe.take());
        if let Err(error) = self.shell.wait() {
            eprintln!("what was left in {} was not removed: {error}", self.folder.display());
        }
    }
}
