//! A mail server that refuses, and stops speaking, where a test wants it to.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Where a dialogue stands: the beginning of a command, `banner`, or `.` for the end of the text.
type Step = &'static str;

/// What is said there instead of `250`; nothing at all, for ever, where it is none.
type Script = HashMap<Step, Option<&'static str>>;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    taken: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(script: &[(Step, Option<&'static str>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let taken = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script.iter().copied().collect());
        let mails = taken.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, mails) = (script.clone(), mails.clone());
                // A client that goes away is none of its worries.
                tokio::spawn(async move { dialogue(stream, &script, &mails).await.ok() });
            }
        });
        Self { address, taken, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("--mail-smtp-url=smtp://me:hunter2@{}", self.address)
    }

    /// The texts that it took, as they came.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.taken.lock().expect("no panic while serving").clone()
    }
}

async fn dialogue(stream: TcpStream, script: &Script, mails: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    if !answer(&mut stream, script, "banner", "220 server.example ESMTP").await? {
        return Ok(());
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let usual = match &line.to_ascii_uppercase() {
            line if line.starts_with("EHLO") => "250-server.example\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME",
            line if line.starts_with("AUTH") => "235 2.7.0 welcome",
            line if line.starts_with("DATA") => "354 go on",
            line if line.starts_with("QUIT") => "221 goodbye",
            _ => "250 2.0.0 fine",
        };
        let step = ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"].into_iter().find(|step| line.starts_with(step));
        let goes_on = answer(&mut stream, script, step.unwrap_or("other"), usual).await?;
        if !goes_on || line.starts_with("QUIT") {
            return Ok(());
        }
        if line.starts_with("DATA") && !script.contains_key("DATA") {
            let text = text(&mut stream).await?;
            if script.get(".").is_none_or(Option::is_none) {
                mails.lock().expect("no panic while serving").push(text);
            }
            answer(&mut stream, script, ".", "250 2.0.0 taken").await?;
        }
    }
}

async fn text(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line == ".\r\n" || line.is_empty() {
            return Ok(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

/// Whether there was something to say.
async fn answer(stream: &mut BufReader<TcpStream>, script: &Script, step: Step, usual: &str) -> std::io::Result<bool> {
    let words = match script.get(step) {
        None => usual,
        Some(Some(words)) => words,
        Some(None) => {
            // Silent until the client goes.
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await?;
            return Ok(false);
        }
    };
    stream.write_all(format!("{words}\r\n").as_bytes()).await?;
    Ok(true)
}
