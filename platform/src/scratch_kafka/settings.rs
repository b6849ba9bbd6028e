//! What a broker is told: its listeners, who may use them, and settings that make it small and quick to notice a death.

use std::fmt::Write;
use std::path::Path;

use super::{KafkaOptions, Security};

/// The ports of one broker on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    /// Where clients connect, secured as asked.
    pub(super) client: u16,
    /// Where brokers talk to each other and readiness is asked for, in the clear.
    pub(super) internal: u16,
    pub(super) controller: u16,
}

/// The two halves of a [`Security`].
pub(super) struct Parts<'a> {
    pub(super) tls: bool,
    pub(super) sasl: Option<Sasl<'a>>,
}

pub(super) struct Sasl<'a> {
    pub(super) mechanism: &'static str,
    user: &'a str,
    password: &'a str,
}

impl Security {
    pub(super) fn parts(&self) -> Parts<'_> {
        let (tls, sasl) = match self {
            Self::Plaintext => (false, None),
            Self::SaslPlain { user, password } => (false, Some(("PLAIN", user, password))),
            Self::SaslScram256 { user, password } => (false, Some(("SCRAM-SHA-256", user, password))),
            Self::SaslScram512 { user, password } => (false, Some(("SCRAM-SHA-512", user, password))),
            Self::Tls => (true, None),
            Self::TlsSaslPlain { user, password } => (true, Some(("PLAIN", user, password))),
            Self::TlsSaslScram256 { user, password } => (true, Some(("SCRAM-SHA-256", user, password))),
            Self::TlsSaslScram512 { user, password } => (true, Some(("SCRAM-SHA-512", user, password))),
        };
        Parts { tls, sasl: sasl.map(|(mechanism, user, password)| Sasl { mechanism, user, password }) }
    }
}

impl Parts<'_> {
    pub(super) fn protocol(&self) -> &'static str {
        match (self.tls, &self.sasl) {
            (false, None) => "PLAINTEXT",
            (false, Some(_)) => "SASL_PLAINTEXT",
            (true, None) => "SSL",
            (true, Some(_)) => "SASL_SSL",
        }
    }
}

impl Sasl<'_> {
    /// The user as the storage is formatted with it: SCRAM keeps its users among the metadata.
    pub(super) fn scram(&self) -> Option<String> {
        (self.mechanism != "PLAIN")
            .then(|| format!("{}=[name={},password={}]", self.mechanism, self.user, self.password))
    }

    fn jaas(&self) -> String {
        if self.mechanism == "PLAIN" {
            let user = format!("user_{}={}", self.user, quoted(self.password));
            format!("org.apache.kafka.common.security.plain.PlainLoginModule required {user};")
        } else {
            "org.apache.kafka.common.security.scram.ScramLoginModule required;".to_owned()
        }
    }
}

/// A string of the login module's language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Where broker `number` keeps what.
pub(super) struct Place<'a> {
    pub(super) number: usize,
    pub(super) data: &'a Path,
    /// The server's key and certificate.
    pub(super) keystore: &'a Path,
}

/// The file `server.properties` of one broker.
pub(super) fn properties(options: &KafkaOptions, brokers: &[Ports], place: &Place<'_>) -> String {
    let number = place.number;
    let own = brokers[number - 1];
    let several = brokers.len() > 1;
    let (copies, enough) = if several { (3, 2) } else { (1, 1) };
    // The controller refuses a killed broker's return until its old session has ended.
    let (heartbeat, session) = if several { (500, 3000) } else { (200, 1000) };
    let voters: Vec<String> =
        brokers.iter().zip(1..).map(|(ports, id)| format!("{id}@127.0.0.1:{}", ports.controller)).collect();
    let listeners = format!("CLIENT://127.0.0.1:{},INTERNAL://127.0.0.1:{}", own.client, own.internal);
    let parts = options.security.parts();
    // The cleaner's buffer lies on the heap and is by default nearly as large as this heap.
    let mut text = format!(
        "process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
listener.security.protocol.map=CLIENT:{protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INTERNAL
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
log.retention.ms=-1
default.replication.factor={copies}
min.insync.replicas={enough}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=1
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={enough}
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={enough}
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms={heartbeat}
broker.session.timeout.ms={session}
log.cleaner.dedupe.buffer.size=2097152
num.network.threads=2
num.io.threads=4
",
        voters = voters.join(","),
        controller = own.controller,
        protocol = parts.protocol(),
        data = place.data.display(),
    );
    let mut set = |name: &str, value: &str| {
        // The file's format takes a backslash for the beginning of an escape. Writing to a String cannot fail.
        let _ = writeln!(text, "{name}={}", value.replace('\\', "\\\\"));
    };
    if let Some(sasl) = &parts.sasl {
        set("sasl.enabled.mechanisms", sasl.mechanism);
        set(&format!("listener.name.client.{}.sasl.jaas.config", sasl.mechanism.to_lowercase()), &sasl.jaas());
    }
    if parts.tls {
        set("ssl.keystore.type", "PEM");
        set("ssl.keystore.location", &place.keystore.display().to_string());
    }
    // Of a property that stands twice the last one counts.
    for (name, value) in &options.properties {
        set(name, value);
    }
    text
}
