//! A `docket` process under test, its data folder, and what a client asks of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use docket_log::Mode;
use reqwest::{Response, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::modes;

/// How long anything may take before the test fails. The machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whatever must stand in no log: every password, token and key that any test of this program used.
static SECRETS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Notes a secret: the logs of all servers are searched for it when their folder goes.
pub fn secret(text: &str) {
    SECRETS.lock().expect("no panic").insert(text.to_owned());
}

/// A data folder that goes with the test, and the settings of those that work on it.
pub struct Folder(pub PathBuf, Vec<(&'static str, String)>);

impl Folder {
    /// A folder for an installation whose log is in the journal.
    pub fn new() -> Self {
        Self::on(Mode::Journal)
    }

    /// A folder for an installation whose log is there.
    pub fn on(mode: Mode) -> Self {
        Self::with(|name| modes::settings(mode, name))
    }

    /// A folder with settings of its own, made of its name.
    pub fn with(settings: impl FnOnce(&str) -> Vec<(&'static str, String)>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("docket-cli-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(&name), settings(&name))
    }

    /// Gives who works on it from now on these settings; those that it had are given back.
    pub fn tell(&mut self, settings: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
        std::mem::replace(&mut self.1, settings)
    }

    /// One of its settings.
    pub fn setting(&self, name: &str) -> String {
        self.1.iter().find(|(known, _)| *known == name).expect("it was set").1.clone()
    }

    /// The program on this folder, with its settings.
    pub fn docket(&self, arguments: &[&str]) -> Command {
        let mut command = docket(arguments);
        command.arg("--data-dir").arg(&self.0).envs(self.1.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Waits until the log holds what the journal holds, message by message, while something serves on this folder.
    pub async fn log_is_whole(&self, mode: Mode) {
        let word = match mode {
            Mode::Journal => "the log is in the journal",
            Mode::Kafka => "everything is published",
        };
        eventually(word, async || {
            let output = self.docket(&["status", "--check", "--full"]).output().expect("the program starts");
            let said = String::from_utf8_lossy(&output.stdout);
            (output.status.success() && said.contains(word)).then_some(())
        })
        .await;
    }

    fn pid_file(&self) -> PathBuf {
        self.0.join("postgres/data/postmaster.pid")
    }

    /// The process of the folder's PostgreSQL; none when none runs.
    pub fn postgres(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left over only where a test failed between a kill and the next start.
        if let Some(pid) = self.postgres() {
            let _ = kill_process(pid, Signal::QUIT);
            let end = Instant::now() + Duration::from_secs(10);
            while self.pid_file().exists() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let log = fs::read_to_string(log_of(&self.0)).unwrap_or_default();
        let _ = fs::remove_dir_all(&self.0);
        let _ = fs::remove_file(log_of(&self.0));
        if !std::thread::panicking() {
            let secrets = SECRETS.lock().expect("no panic").clone();
            let line = log.lines().find(|line| secrets.iter().any(|secret| line.contains(secret.as_str())));
            assert!(line.is_none(), "a secret is in the log: {line:?}");
        }
    }
}

fn log_of(folder: &Path) -> PathBuf {
    folder.with_extension("log")
}

/// The program with nothing of the caller's settings.
pub fn docket(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docket"));
    for (name, _) in std::env::vars() {
        if name.starts_with("DOCKET_") && name != "DOCKET_PG_BIN"
            || name.starts_with("DATABASE_URL")
            || name.starts_with("KAFKA_")
        {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    docket(arguments).output().expect("the program starts")
}

/// Runs a command that must succeed, and gives its output.
pub fn done(arguments: &[&str]) -> String {
    let output = run(arguments);
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}\n{error}");
    out.into_owned()
}

/// A server that is ready.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    /// What it printed before it was ready.
    pub said: Vec<String>,
    /// Where it serves.
    pub url: String,
}

impl Server {
    /// `docket up` on a folder.
    pub fn up(folder: &Folder) -> Self {
        Self::start(folder, "up")
    }

    /// A role on a folder.
    pub fn start(folder: &Folder, role: &str) -> Self {
        Self::launch(folder, &mut folder.docket(&[role, "--listen", "127.0.0.1:0"]))
    }

    /// Any command that serves; its log lies beside the folder.
    pub fn launch(folder: &Folder, command: &mut Command) -> Self {
        let log = File::options().create(true).append(true).open(log_of(&folder.0)).expect("a log file");
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, lines) = mpsc::channel();
        // Ends with the pipe, which ends with the process.
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut server = Self { child, lines, said: Vec::new(), url: String::new() };
        server.wait_until_ready(&log_of(&folder.0));
        server
    }

    fn wait_until_ready(&mut self, log: &Path) {
        while self.url.is_empty() {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| {
                panic!("not ready ({error}):\n{}", fs::read_to_string(log).unwrap_or_default())
            });
            match line.strip_prefix("ready ") {
                Some(url) => url.clone_into(&mut self.url),
                None => self.said.push(line),
            }
        }
    }

    /// E-mail address and password of a role, as printed at the first start.
    pub fn credentials(&self, role: &str) -> Credentials {
        let line = self.said.iter().find(|line| line.starts_with(role)).expect("printed at the first start");
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, email, password] = words.as_slice() else { panic!("{line}") };
        secret(password);
        Credentials { email: (*email).to_owned(), password: (*password).to_owned() }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// SIGTERM; how it ended and how long that took.
    pub fn stop(mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        kill_process(self.pid(), Signal::TERM).expect("it runs");
        let status = self.child.wait().expect("it ends");
        (status, began.elapsed())
    }

    /// Waits for a process that ends by itself.
    pub fn ended(mut self) {
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("it can be asked").is_none() {
            assert!(Instant::now() < end, "it never ended");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL, which leaves its PostgreSQL behind.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let _ = kill_process(self.pid(), Signal::TERM);
        let end = Instant::now() + Duration::from_secs(30);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What somebody logs in with.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub email: String,
    pub password: String,
}

/// Somebody who is logged in.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    pub token: String,
}

impl Client {
    pub async fn login(url: &str, credentials: &Credentials) -> Self {
        let http = reqwest::Client::new();
        let body = json!({ "email": credentials.email, "password": credentials.password });
        let answer = http.post(format!("{url}/api/v1/auth/login")).json(&body).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        let answer: Value = answer.json().await.expect("JSON");
        secret(&credentials.password);
        secret(answer["refresh_token"].as_str().expect("a token"));
        Self::with(answer["access_token"].as_str().expect("a token"))
    }

    /// Whoever has this token, or API key.
    pub fn with(token: &str) -> Self {
        secret(token);
        Self { http: reqwest::Client::new(), token: token.to_owned() }
    }

    pub async fn delete(&self, url: String) -> Response {
        self.http.delete(url).bearer_auth(&self.token).send().await.expect("an answer")
    }

    pub async fn post(&self, url: String, body: &Value) -> Response {
        self.http.post(url).bearer_auth(&self.token).json(body).send().await.expect("an answer")
    }

    /// The same, answered as a stream of events.
    pub async fn stream(&self, url: String, body: &Value) -> Response {
        let request = self.http.post(url).bearer_auth(&self.token).header("accept", "text/event-stream");
        request.json(body).send().await.expect("an answer")
    }

    pub async fn get(&self, url: String) -> Response {
        self.http.get(url).bearer_auth(&self.token).send().await.expect("an answer")
    }

    pub async fn ask(&self, url: &str, title: &str) -> Response {
        self.post(format!("{url}/api/v1/consultations"), &json!({ "title": title, "timeout_minutes": 60 })).await
    }

    /// The answer to a GraphQL query, which must have no errors.
    pub async fn query(&self, url: &str, query: &str) -> Value {
        let answer: Value =
            self.post(format!("{url}/graphql"), &json!({ "query": query })).await.json().await.expect("JSON");
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"].clone()
    }
}

/// Waits until `condition` gives a value.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < end, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
