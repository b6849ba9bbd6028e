//! The brokers of one throw-away Kafka, their folder, and the reaper that outlives this process to remove both.

use std::fs::DirBuilder;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustix::process::Signal;

use super::KafkaOptions;
use super::broker::{self, Broker, POLL, Progress};
use super::error::{IoContext, ScratchKafkaError};
use super::installation::{Installation, quiet};
use super::settings::{self, Place, Ports};
use super::tls;

/// One start took 25 seconds on a busy machine.
const READY: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(20);

/// Reads until the pipe closes, which it does however our process ends; then kills what runs in the folder and removes it.
/// A process is known by its command line, so a reused process id is never signalled.
const REAPER: &str = r#"
cat >/dev/null
processes() {
    for file in $(grep -lzF -- "$1/broker-" /proc/[0-9]*/cmdline 2>/dev/null); do
        grep -qzxF -e kafka.Kafka -e kafka.tools.StorageTool "$file" 2>/dev/null || continue
        file=${file#/proc/}
        echo "${file%/cmdline}"
    done
}
tries=0
while pids=$(processes "$1") && [ -n "$pids" ] && [ "$tries" -lt 100 ]; do
    kill -KILL $pids 2>/dev/null
    sleep 0.1
    tries=$((tries + 1))
done
rm -rf "$1"
"#;

#[derive(Debug)]
pub(super) struct Cluster {
    folder: PathBuf,
    kafka: Installation,
    id: String,
    scram: Option<String>,
    brokers: Vec<Mutex<Broker>>,
    reaper: Child,
    pipe: Option<ChildStdin>,
}

impl Cluster {
    pub(super) fn start(options: &KafkaOptions) -> Result<Self, ScratchKafkaError> {
        if !matches!(options.brokers, 1 | 3) {
            return Err(ScratchKafkaError::Size(options.brokers));
        }
        let kafka = Installation::find()?;
        let mut attempts = 3;
        loop {
            attempts -= 1;
            let cluster = Self::prepare(options, kafka.clone())?;
            match cluster.launch_all() {
                // Somebody else may take a port between the look at it and its use.
                Err(_) if attempts > 0 && cluster.brokers().any(|broker| broker.lost_a_port()) => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(cluster),
            }
        }
    }

    /// The folder with everything that is on disk before the brokers are.
    fn prepare(options: &KafkaOptions, kafka: Installation) -> Result<Self, ScratchKafkaError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("docket-kafka-{}-{number}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&folder).at("making", &folder)?;
        let (reaper, pipe) = watch(&folder)?;
        let parts = options.security.parts();
        let scram = parts.sasl.as_ref().and_then(settings::Sasl::scram);
        let ports = free_ports(options.brokers);
        let brokers = ports.iter().zip(1..);
        let brokers: Vec<_> =
            brokers.map(|(ports, n)| Mutex::new(Broker::new(n, folder.join(format!("broker-{n}")), *ports))).collect();
        // From here on whatever fails is cleaned up by dropping it.
        let cluster = Self { folder, kafka, id: new_id(), scram, brokers, reaper, pipe };
        if parts.tls {
            tls::certificates(&cluster.folder)?;
        }
        for broker in cluster.brokers() {
            let (data, keystore) = (broker.data(), cluster.folder.join("server.pem"));
            let place = Place { number: broker.number, data: &data, keystore: &keystore };
            std::fs::create_dir(&broker.folder).at("making", &broker.folder)?;
            let path = broker.properties();
            std::fs::write(&path, settings::properties(options, &ports, &place)).at("writing", &path)?;
        }
        Ok(cluster)
    }

    fn launch_all(&self) -> Result<(), ScratchKafkaError> {
        let tools: Result<Vec<Child>, _> = self.brokers().map(|broker| self.format(&broker)).collect();
        tools?.into_iter().try_for_each(formatted)?;
        for mut broker in self.brokers() {
            broker.launch(&self.kafka)?;
        }
        // Each of them, as the first to be asked later may be any.
        let all: Vec<usize> = (1..=self.brokers.len()).collect();
        all.iter().try_for_each(|number| self.wait_ready(*number, &all))
    }

    fn format(&self, broker: &Broker) -> Result<Child, ScratchKafkaError> {
        broker.format(&self.kafka, &self.id, self.scram.as_deref())
    }

    fn brokers(&self) -> impl Iterator<Item = MutexGuard<'_, Broker>> {
        self.brokers.iter().map(|broker| broker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn broker(&self, number: usize) -> Result<MutexGuard<'_, Broker>, ScratchKafkaError> {
        let broker = number.checked_sub(1).and_then(|index| self.brokers.get(index));
        let broker = broker.ok_or(ScratchKafkaError::NoSuchBroker(number))?;
        Ok(broker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Holds the broker between two looks only, so that another thread can kill it meanwhile.
    fn wait_ready(&self, number: usize, known: &[usize]) -> Result<(), ScratchKafkaError> {
        let deadline = Instant::now() + READY;
        let internal = self.broker(number)?.ports.internal;
        loop {
            let mut broker = self.broker(number)?;
            match broker.progress()? {
                Progress::Ready => {
                    drop(broker);
                    if broker::knows(internal, known) {
                        return Ok(());
                    }
                }
                Progress::Ended => return Err(broker.not_ready("ended before it was ready")),
                Progress::Starting => {}
            }
            if Instant::now() > deadline {
                return Err(self.broker(number)?.not_ready("was not ready in time"));
            }
            std::thread::sleep(POLL);
        }
    }

    pub(super) fn bootstrap(&self) -> String {
        let addresses: Vec<String> =
            self.brokers().map(|broker| format!("127.0.0.1:{}", broker.ports.client)).collect();
        addresses.join(",")
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub(super) fn stop(&self, number: usize) -> Result<(), ScratchKafkaError> {
        let mut broker = self.broker(number)?;
        broker.signal(Signal::TERM)?;
        // A frozen one would not hear of it.
        broker.signal(Signal::CONT)?;
        let deadline = Instant::now() + STOP;
        while broker.running() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        broker.kill();
        Ok(())
    }

    pub(super) fn kill(&self, number: usize) -> Result<(), ScratchKafkaError> {
        let mut broker = self.broker(number)?;
        broker.signal(Signal::KILL)?;
        broker.kill();
        Ok(())
    }

    pub(super) fn freeze(&self, number: usize) -> Result<(), ScratchKafkaError> {
        self.broker(number)?.signal(Signal::STOP)
    }

    pub(super) fn thaw(&self, number: usize) -> Result<(), ScratchKafkaError> {
        self.broker(number)?.signal(Signal::CONT)
    }

    pub(super) fn start_again(&self, number: usize) -> Result<(), ScratchKafkaError> {
        self.broker(number)?.launch(&self.kafka)?;
        self.wait_ready(number, &[number])
    }

    pub(super) fn wipe(&self, number: usize) -> Result<(), ScratchKafkaError> {
        {
            let mut broker = self.broker(number)?;
            broker.kill();
            let data = broker.data();
            std::fs::remove_dir_all(&data).at("removing", &data)?;
            formatted(self.format(&broker)?)?;
        }
        self.start_again(number)
    }

    #[cfg(test)]
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for mut broker in self.brokers() {
            broker.kill();
        }
        drop(self.pipe.take());
        let _ = self.reaper.wait();
    }
}

fn watch(folder: &Path) -> Result<(Child, Option<ChildStdin>), ScratchKafkaError> {
    let mut reaper = quiet("/bin/sh");
    // Ctrl-C on a test run must not end it before its work.
    reaper.args(["-c", REAPER, "sh"]).arg(folder).stdin(Stdio::piped()).current_dir("/").process_group(0);
    let mut reaper = reaper.spawn().at("watching", folder)?;
    let pipe = reaper.stdin.take();
    Ok((reaper, pipe))
}

fn formatted(tool: Child) -> Result<(), ScratchKafkaError> {
    let output = tool.wait_with_output().at("waiting for", Path::new("kafka.tools.StorageTool"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let output = String::from_utf8_lossy(&text).into_owned();
    Err(ScratchKafkaError::Program { program: "formatting the storage of a broker", output })
}

/// Kafka's own form of a UUID. One that begins with a dash would be taken for an option.
fn new_id() -> String {
    let mut bytes = crate::ids::random_bytes::<16>();
    bytes[0] &= 0x7f;
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Ports below those that the system gives to outgoing connections: while a broker is dead, a client that goes on trying
/// could be given its port, and would even connect to itself.
fn free_ports(brokers: usize) -> Vec<Ports> {
    let start = u16::from_be_bytes(crate::ids::random_bytes::<2>()) % 9_000;
    let mut held = Vec::new();
    // All are held until all are found, so that none is found twice.
    let mut free = (0..9_000).map(|step| 20_000 + (start + step) % 9_000).filter(|port| {
        let listener = TcpListener::bind(("127.0.0.1", *port));
        listener.is_ok_and(|listener| {
            held.push(listener);
            true
        })
    });
    let mut next = || free.next().unwrap_or_default();
    (0..brokers).map(|_| Ports { client: next(), internal: next(), controller: next() }).collect()
}
