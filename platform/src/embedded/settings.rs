//! The server's settings, and its first initialisation.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use sqlx::{Connection, Executor, PgConnection};

use super::account;
use super::binaries::Binaries;
use super::error::{EmbeddedError, IoContext};
use super::folder::{Folder, make_private, sync_folder, write_whole};
use super::{ClusterConfig, DATABASE, OWNER};

/// Names no address at all: trust is safe because only the owner of the 0700 folder reaches the socket.
const HBA: &[u8] = b"# Written by docket at every start.\nlocal all all trust\n";

/// The major version that wrote the data; none before the first start.
pub(super) fn data_version(data: &Path) -> Result<Option<u32>, EmbeddedError> {
    let path = data.join("PG_VERSION");
    match std::fs::read_to_string(&path) {
        Ok(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| std::io::Error::other("is not a major version"))
            .at("reading", &path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("reading", &path),
    }
}

/// Makes the data folder in a temporary one and renames it: a kill in the middle leaves nothing half made.
pub(super) async fn initialise(
    folder: &Folder,
    binaries: &Binaries,
    config: &ClusterConfig,
) -> Result<(), EmbeddedError> {
    let part = folder.home.join("data.part");
    if part.exists() {
        std::fs::remove_dir_all(&part).at("removing", &part)?;
    }
    make_private(&part, folder.account)?;
    let mut command = account::command(binaries.dir.join("initdb"), folder.account);
    command
        .arg("-D")
        .arg(&part)
        .args(["-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if !config.durable {
        command.arg("--no-sync");
    }
    let output = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .output()
        .await
        .at("running", &binaries.dir.join("initdb"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(EmbeddedError::Initdb(format!("{}: {text}", output.status)));
    }
    let main = part.join("postgresql.conf");
    let mut text = std::fs::read_to_string(&main).at("reading", &main)?;
    text.push_str("\ninclude 'docket.conf'\n");
    write_whole(&main, text.as_bytes(), folder.account)?;
    std::fs::rename(&part, &folder.data).at("naming", &folder.data)?;
    sync_folder(&folder.home)
}

/// Written anew at every start. `ALTER SYSTEM` still wins over it, for an operator who knows better.
pub(super) fn write(folder: &Folder, config: &ClusterConfig) -> Result<(), EmbeddedError> {
    write_whole(&folder.data.join("pg_hba.conf"), HBA, folder.account)?;
    write_whole(&folder.data.join("docket.conf"), text(folder, config).as_bytes(), folder.account)
}

fn text(folder: &Folder, config: &ClusterConfig) -> String {
    let durable = if config.durable { "on" } else { "off" };
    let settings: Vec<(&str, String)> = vec![
        ("listen_addresses", String::new()),
        ("port", "5432".into()),
        ("unix_socket_directories", folder.socket.display().to_string()),
        ("unix_socket_permissions", "0700".into()),
        ("max_connections", config.max_connections.to_string()),
        ("shared_buffers", config.shared_buffers.clone()),
        ("fsync", durable.into()),
        ("full_page_writes", durable.into()),
        ("synchronous_commit", "on".into()),
        ("max_wal_size", "2GB".into()),
        ("checkpoint_timeout", "15min".into()),
        ("random_page_cost", "1.1".into()),
        // Imports make tables large within seconds, and plans are bad until their rows are counted.
        ("autovacuum_naptime", "10s".into()),
        // Compiling a query costs more than any query here takes.
        ("jit", "off".into()),
        ("timezone", "UTC".into()),
        ("log_timezone", "UTC".into()),
        ("logging_collector", "on".into()),
        ("log_directory", folder.log.display().to_string()),
        ("log_filename", "postgres-%a-%H.log".into()),
        ("log_rotation_age", "60min".into()),
        ("log_rotation_size", "0".into()),
        ("log_truncate_on_rotation", "on".into()),
        // Statements and details carry values, and an erased person's must not live on in a log.
        ("log_error_verbosity", "terse".into()),
        ("log_min_error_statement", "panic".into()),
    ];
    let mut text = String::from("# Written by docket at every start; use ALTER SYSTEM to override.\n");
    for (name, value) in settings {
        text.push_str(&format!("{name} = '{}'\n", value.replace('\\', "\\\\").replace('\'', "''")));
    }
    text
}

/// The database and the login roles. Safe to repeat and to race: a first start may have been killed after initdb.
pub(super) async fn ensure_database(connection: &mut PgConnection) -> Result<(), EmbeddedError> {
    connection
        .execute(
            "DO $$
             DECLARE name text;
             BEGIN
               FOREACH name IN ARRAY ARRAY['docket_writer', 'docket_projector', 'docket_reader'] LOOP
                 BEGIN
                   EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', name);
                 EXCEPTION WHEN duplicate_object OR unique_violation THEN
                   NULL;
                 END;
               END LOOP;
             END $$",
        )
        .await?;
    let found: Option<i32> = sqlx::query_scalar("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(DATABASE)
        .fetch_optional(&mut *connection)
        .await?;
    if found.is_none()
        && let Err(error) = connection.execute("CREATE DATABASE docket").await
    {
        let code = error.as_database_error().and_then(|error| error.code());
        // Somebody else made it: duplicate_database, or unique_violation when both were at it.
        if !matches!(code.as_deref(), Some("42P04" | "23505")) {
            return Err(error.into());
        }
    }
    Ok(())
}

/// Closes politely; a failure to say goodbye is of no interest.
pub(super) async fn close(connection: PgConnection) {
    let _ = connection.close().await;
}

/// Keeps the log folder below `max` bytes: the rotation bounds the number of files, not their size.
pub(super) fn bound_logs(log: &Path, max: u64) {
    let mut files: Vec<(std::time::SystemTime, u64, PathBuf)> = std::fs::read_dir(log)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            metadata.is_file().then_some((metadata.modified().ok()?, metadata.len(), entry.path()))
        })
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in files {
        if total <= max {
            break;
        }
        // Truncated, not removed: the newest is open, and the server appends to it.
        if std::fs::OpenOptions::new().write(true).truncate(true).open(&path).is_ok() {
            total -= size;
        }
    }
}

/// The end of what the server printed before its log was open.
pub(super) fn last_words(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_quoted_and_listen_to_no_address() {
        let folder = Folder {
            home: "/h".into(),
            data: "/h/data".into(),
            log: "/it's/log".into(),
            socket: "/h/run".into(),
            account: None,
        };
        let text = text(&folder, &ClusterConfig::new("/h"));
        assert!(text.contains("listen_addresses = ''\n"), "{text}");
        assert!(text.contains("log_directory = '/it''s/log'\n"), "{text}");
        assert!(text.contains("fsync = 'on'\n"), "{text}");
    }

    #[test]
    fn logs_are_cut_oldest_first() {
        let dir = std::env::temp_dir().join(format!("docket-logs-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (old, new) = (dir.join("old"), dir.join("new"));
        std::fs::write(&old, [0; 60]).unwrap();
        std::fs::write(&new, [0; 60]).unwrap();
        let hour_ago = std::fs::metadata(&new).unwrap().modified().unwrap() - std::time::Duration::from_secs(3600);
        std::fs::File::options().write(true).open(&old).unwrap().set_modified(hour_ago).unwrap();
        bound_logs(&dir, 100);
        assert_eq!((std::fs::metadata(&old).unwrap().len(), std::fs::metadata(&new).unwrap().len()), (0, 60));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
