//! A real server in a temporary folder: started, killed, adopted, locked.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::Executor;

use super::process::{ProcessId, postgres_in};
use super::*;

/// A data folder that is removed with all its processes, whatever the test's end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("docket-embedded-{}-{number}", std::process::id())))
    }

    fn config(&self) -> ClusterConfig {
        let mut config = ClusterConfig::new(&self.0);
        config.durable = false;
        config
    }

    fn processes(&self, cluster: &Cluster) -> Vec<ProcessId> {
        postgres_in(&cluster.home().join("data"), account::Account::for_this_process().unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let home = Record::read(&self.0).ok().flatten().map(|record| record.home);
        if let Some(home) = home {
            let account = account::Account::for_this_process().unwrap();
            for process in postgres_in(&home.join("data"), account) {
                process.signal(Signal::KILL);
            }
            let _ = std::fs::remove_dir_all(home);
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn connect(cluster: &Cluster) -> PgConnection {
    PgConnection::connect_with(&cluster.connect_options(OWNER, DATABASE)).await.unwrap()
}

async fn write_a_row(cluster: &Cluster) {
    let mut connection = connect(cluster).await;
    connection.execute("CREATE TABLE kept AS SELECT 42 AS value").await.unwrap();
}

async fn read_the_row(cluster: &Cluster) -> i32 {
    sqlx::query_scalar("SELECT value FROM kept").fetch_one(&mut connect(cluster).await).await.unwrap()
}

async fn until_back(cluster: &Cluster, killed: i32) {
    let mut state = cluster.state();
    let back = async {
        loop {
            state.wait_for(|state| *state == State::Ready).await.unwrap();
            if cluster.postmaster_pid().is_some_and(|pid| pid != killed) {
                break;
            }
            state.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), back).await.expect("PostgreSQL is started again");
}

fn kill(pid: i32) {
    ProcessId::of(pid).unwrap().signal(Signal::KILL);
}

#[tokio::test]
async fn first_start_makes_database_and_roles_that_are_no_superusers() {
    let folder = Folder::new();
    let cluster = Cluster::start(folder.config()).await.unwrap();
    for role in [WRITER, PROJECTOR, READER] {
        let mut connection = PgConnection::connect_with(&cluster.connect_options(role, DATABASE)).await.unwrap();
        let (user, superuser, bypass): (String, bool, bool) =
            sqlx::query_as("SELECT rolname::text, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
                .fetch_one(&mut connection)
                .await
                .unwrap();
        assert_eq!((user.as_str(), superuser, bypass), (role, false, false));
    }
    let (addresses, commit, encoding): (String, String, String) = sqlx::query_as(
        "SELECT current_setting('listen_addresses'), current_setting('synchronous_commit'), \
         current_setting('server_encoding')",
    )
    .fetch_one(&mut connect(&cluster).await)
    .await
    .unwrap();
    assert_eq!((addresses.as_str(), commit.as_str(), encoding.as_str()), ("", "on", "UTF8"));
    settings::ensure_database(&mut connect(&cluster).await).await.unwrap();
    cluster.stop().await;
}

#[tokio::test]
async fn second_start_finds_the_data_and_nothing_is_left_between() {
    let folder = Folder::new();
    let cluster = Cluster::start(folder.config()).await.unwrap();
    write_a_row(&cluster).await;
    cluster.stop().await;
    assert_eq!(*cluster.state().borrow(), State::Stopped);
    assert_eq!(folder.processes(&cluster), []);
    let again = Cluster::start(folder.config()).await.unwrap();
    assert_eq!(read_the_row(&again).await, 42);
    again.stop().await;
}

#[tokio::test]
async fn killed_postmaster_is_started_again_although_a_backend_is_busy() {
    let folder = Folder::new();
    let cluster = Cluster::start(folder.config()).await.unwrap();
    write_a_row(&cluster).await;
    let mut busy = connect(&cluster).await;
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut busy).await.unwrap();
    let work = tokio::spawn(async move { busy.execute("DO $$ BEGIN LOOP END LOOP; END $$").await.map(|_| ()) });
    let mut watcher = connect(&cluster).await;
    loop {
        let state: Option<String> = sqlx::query_scalar("SELECT state FROM pg_stat_activity WHERE pid = $1")
            .bind(backend)
            .fetch_one(&mut watcher)
            .await
            .unwrap();
        if state.as_deref() == Some("active") {
            break;
        }
    }
    let postmaster = cluster.postmaster_pid().unwrap();
    kill(postmaster);
    until_back(&cluster, postmaster).await;
    assert_eq!(read_the_row(&cluster).await, 42);
    assert!(ProcessId::of(backend).is_none(), "the busy backend was ended");
    assert!(work.await.unwrap().is_err());
    cluster.stop().await;
}

#[tokio::test]
async fn every_kill_is_followed_by_a_restart() {
    let folder = Folder::new();
    let cluster = Cluster::start(folder.config()).await.unwrap();
    write_a_row(&cluster).await;
    for _ in 0..3 {
        let postmaster = cluster.postmaster_pid().unwrap();
        kill(postmaster);
        until_back(&cluster, postmaster).await;
        assert_eq!(read_the_row(&cluster).await, 42);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn folder_with_a_supervisor_refuses_a_second() {
    let folder = Folder::new();
    let cluster = Cluster::start(folder.config()).await.unwrap();
    let refused = Cluster::start(folder.config()).await.unwrap_err();
    assert!(
        matches!(refused, EmbeddedError::Locked { holder: Some(pid), .. } if pid == std::process::id()),
        "{refused}"
    );
    assert!(refused.to_string().contains("another docket (process"), "{refused}");
    assert_eq!(*cluster.state().borrow(), State::Ready);
    cluster.stop().await;
}

#[tokio::test]
async fn commands_attach_to_a_running_cluster_only() {
    let folder = Folder::new();
    assert!(matches!(Cluster::attach(&folder.0).await, Err(EmbeddedError::NotRunning { .. })));
    let cluster = Cluster::start(folder.config()).await.unwrap();
    let attached = Cluster::attach(&folder.0).await.unwrap();
    let mut connection = PgConnection::connect_with(&attached.connect_options(READER, DATABASE)).await.unwrap();
    connection.execute("SELECT 1").await.unwrap();
    connection.close().await.unwrap();
    cluster.stop().await;
    assert!(matches!(Cluster::attach(&folder.0).await, Err(EmbeddedError::NotRunning { .. })));
}

#[tokio::test]
async fn long_data_folder_gets_a_short_socket() {
    let folder = Folder::new();
    let mut config = folder.config();
    config.data_dir = folder.0.join("x".repeat(120)).join("data, and \"more\"");
    let parent = config.data_dir.parent().unwrap();
    std::fs::create_dir_all(parent).unwrap();
    let cluster = Cluster::start(config.clone()).await.unwrap();
    assert!(!cluster.socket_dir().starts_with(&folder.0));
    write_a_row(&cluster).await;
    Cluster::attach(&config.data_dir).await.unwrap();
    cluster.stop().await;
    let again = Cluster::start(config).await.unwrap();
    assert_eq!(again.socket_dir(), cluster.socket_dir());
    assert_eq!(read_the_row(&again).await, 42);
    again.stop().await;
    std::fs::remove_dir_all(again.socket_dir()).unwrap();
}

#[tokio::test]
async fn server_of_a_killed_supervisor_is_adopted_supervised_and_stopped() {
    let folder = Folder::new();
    let first = Cluster::start(folder.config()).await.unwrap();
    write_a_row(&first).await;
    let postmaster = first.postmaster_pid().unwrap();
    // As kill -9 would leave it: the supervision gone, the lock free, the server running.
    let task = first.task.lock().await.take().unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    std::mem::forget(first);

    let second = Cluster::start(folder.config()).await.unwrap();
    assert_eq!(second.postmaster_pid(), Some(postmaster), "adopted");
    assert_eq!(read_the_row(&second).await, 42);
    kill(postmaster);
    until_back(&second, postmaster).await;
    assert_eq!(read_the_row(&second).await, 42);
    second.stop().await;
    assert_eq!(folder.processes(&second), []);
}

#[tokio::test]
async fn half_made_data_folder_is_made_anew() {
    let folder = Folder::new();
    let home = folder.0.join("postgres");
    let cluster = Cluster::start(folder.config()).await.unwrap();
    cluster.stop().await;
    // As a kill during initdb leaves it.
    std::fs::rename(home.join("data"), home.join("data.part")).unwrap();
    let again = Cluster::start(folder.config()).await.unwrap();
    assert!(!home.join("data.part").exists());
    again.stop().await;
}

#[test]
fn scratch_cluster_leaves_nothing() {
    let scratch = ScratchCluster::start().unwrap();
    let data_dir = scratch.data_dir().to_path_buf();
    let options = scratch.connect_options(WRITER, DATABASE);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        PgConnection::connect_with(&options).await.unwrap().execute("SELECT 1").await.unwrap();
    });
    drop(scratch);
    assert!(!data_dir.exists());
}

#[test]
fn scratch_cluster_leaves_nothing_when_its_process_is_killed() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    const CHILD: &str = "DOCKET_SCRATCH_CHILD";
    const MARK: &str = "scratch at ";
    if std::env::var_os(CHILD).is_some() {
        let scratch = ScratchCluster::start().unwrap();
        println!("\n{MARK}{}", scratch.data_dir().display());
        // Until the parent kills this process, or is killed itself.
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    let name = "embedded::tests::scratch_cluster_leaves_nothing_when_its_process_is_killed";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let data_dir = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().strip_prefix(MARK).map(PathBuf::from))
        .expect("the child starts a cluster");
    assert!(data_dir.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while data_dir.exists() {
        assert!(std::time::Instant::now() < deadline, "{} is still there", data_dir.display());
        std::thread::sleep(process::POLL);
    }
}

#[tokio::test]
async fn folder_that_the_service_user_cannot_enter_keeps_its_cluster_elsewhere() {
    if !account::is_root() {
        // Only root steps down to a user that may not reach what root reaches.
        return;
    }
    let folder = Folder::new();
    let closed = folder.0.join("closed");
    std::fs::create_dir_all(&closed).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&closed, mode).unwrap();
    let mut config = folder.config();
    config.data_dir = closed.join("data");
    let cluster = Cluster::start(config.clone()).await.unwrap();
    assert!(cluster.home().starts_with("/var/lib/docket"), "{}", cluster.home().display());
    write_a_row(&cluster).await;
    Cluster::attach(&config.data_dir).await.unwrap();
    cluster.stop().await;
    let again = Cluster::start(config).await.unwrap();
    assert_eq!(read_the_row(&again).await, 42);
    again.stop().await;
    std::fs::remove_dir_all(again.home()).unwrap();
}

#[tokio::test]
async fn server_that_cannot_start_says_why_and_leaves_the_folder_free() {
    let folder = Folder::new();
    let mut config = folder.config();
    config.shared_buffers = "nonsense".to_owned();
    let refused = Cluster::start(config).await.unwrap_err().to_string();
    assert!(refused.contains("shared_buffers"), "{refused}");
    let cluster = Cluster::start(folder.config()).await.unwrap();
    cluster.stop().await;
}
