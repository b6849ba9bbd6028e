//! A throw-away Kafka for tests and trials: made in the temporary folder, gone with the process that made it.
//!
//! - One broker, or three with replication 3. A test stops, kills, freezes and wipes them one by one; each keeps its ports.
//! - What is installed comes from `script/bootstrap test`; nothing is downloaded here.
//! - Topics are not its business, and none is made by itself: they are the product's.
//! - Everything blocks, for seconds: within a runtime call it by `spawn_blocking`.

mod broker;
mod cluster;
mod error;
mod installation;
mod settings;
#[cfg(test)]
mod tests;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use error::ScratchKafkaError;
pub use tls::certificates;

use cluster::Cluster;
use installation::Installation;

/// Names a Kafka that runs for the whole test run: `HOST:PORT,HOST:PORT`.
const SHARED: &str = "DOCKET_TEST_KAFKA";

/// Who may connect, and how. Brokers among themselves need none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Security {
    /// Anybody, in the clear.
    #[default]
    Plaintext,
    /// SASL PLAIN in the clear.
    SaslPlain {
        /// The only user.
        user: String,
        /// The user's password.
        password: String,
    },
    /// SASL SCRAM-SHA-256 in the clear.
    SaslScram256 {
        /// The only user.
        user: String,
        /// The user's password.
        password: String,
    },
    /// SASL SCRAM-SHA-512 in the clear.
    SaslScram512 {
        /// The only user.
        user: String,
        /// The user's password.
        password: String,
    },
    /// Anybody, by TLS; the certificate is signed by [`ScratchKafka::ca_file`].
    Tls,
    /// SASL PLAIN by TLS.
    TlsSaslPlain {
        /// The only user.
        user: String,
        /// The user's password.
        password: String,
    },
    /// SASL SCRAM-SHA-256 by TLS.
    TlsSaslScram256 {
        /// The only user.
        user: String,
        /// The user's password.
        password: String,
    },
    /// SASL SCRAM-SHA-512 by TLS.
    TlsSaslScram512 {
        /// The only user.
        user: String,
        /// The user's password.
        password: String,
    },
}

/// What kind of Kafka to start.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// 1, or 3 with replication 3, of which 2 must acknowledge.
    pub brokers: usize,
    /// For the clients' connections.
    pub security: Security,
    /// Further lines of each broker's `server.properties`; they win over those that are there.
    pub properties: Vec<(String, String)>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self { brokers: 1, security: Security::default(), properties: Vec::new() }
    }
}

/// A Kafka of this process, or one that [`ScratchKafka::shared`] found. Brokers are numbered from 1, as Kafka numbers them.
#[derive(Debug)]
pub struct ScratchKafka {
    bootstrap: String,
    ca_file: Option<PathBuf>,
    own: Option<Cluster>,
}

impl ScratchKafka {
    /// Whether brokers can be started here; if not, what to do about it.
    pub fn is_available() -> Result<(), String> {
        Installation::find().map(|_| ()).map_err(|error| error.to_string())
    }

    /// Starts one broker; blocks for about two seconds.
    pub fn start() -> Result<Self, ScratchKafkaError> {
        Self::start_with(KafkaOptions::default())
    }

    /// Starts what is asked for, and waits until all brokers are ready.
    pub fn start_with(options: KafkaOptions) -> Result<Self, ScratchKafkaError> {
        let cluster = Cluster::start(&options)?;
        let ca_file = options.security.parts().tls.then(|| cluster.ca_file());
        Ok(Self { bootstrap: cluster.bootstrap(), ca_file, own: Some(cluster) })
    }

    /// The one that all tests of a process share: the broker that `DOCKET_TEST_KAFKA` names, else one that is started when
    /// first asked for.
    ///
    /// # Panics
    /// When there is none to be had: no test that asks for it could do anything.
    pub fn shared() -> &'static Self {
        static INSTANCE: OnceLock<ScratchKafka> = OnceLock::new();
        INSTANCE.get_or_init(|| {
            let named = std::env::var(SHARED).ok().filter(|named| !named.is_empty());
            let found = named.map_or_else(Self::start, Self::found);
            found.unwrap_or_else(|error| panic!("no Kafka for the tests: {error}"))
        })
    }

    fn found(address: String) -> Result<Self, ScratchKafkaError> {
        let first = address.split(',').next().unwrap_or(&address);
        match std::net::TcpStream::connect(first) {
            Ok(_) => Ok(Self { bootstrap: address, ca_file: None, own: None }),
            Err(source) => Err(ScratchKafkaError::Unreachable { address, source }),
        }
    }

    /// Where clients connect: `HOST:PORT`, or three of them with commas.
    pub fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    /// The authority that signed the brokers' certificate, where there is TLS.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Asks a broker to end and waits until it has. One that does not within 20 seconds is killed.
    pub fn stop(&self, broker: usize) -> Result<(), ScratchKafkaError> {
        self.own()?.stop(broker)
    }

    /// `kill -9`.
    pub fn kill(&self, broker: usize) -> Result<(), ScratchKafkaError> {
        self.own()?.kill(broker)
    }

    /// Takes all its time away: connections stay open, and nobody answers.
    pub fn freeze(&self, broker: usize) -> Result<(), ScratchKafkaError> {
        self.own()?.freeze(broker)
    }

    /// Lets a frozen broker go on.
    pub fn thaw(&self, broker: usize) -> Result<(), ScratchKafkaError> {
        self.own()?.thaw(broker)
    }

    /// Starts a broker that was stopped or killed, with the same ports and data, and waits until it is ready.
    pub fn start_again(&self, broker: usize) -> Result<(), ScratchKafkaError> {
        self.own()?.start_again(broker)
    }

    /// A broker's disk is lost and replaced: it is killed, its data removed, and it is started on the same ports as an empty
    /// member of the same cluster.
    pub fn wipe(&self, broker: usize) -> Result<(), ScratchKafkaError> {
        self.own()?.wipe(broker)
    }

    fn own(&self) -> Result<&Cluster, ScratchKafkaError> {
        self.own.as_ref().ok_or_else(|| ScratchKafkaError::NotOurs(self.bootstrap.clone()))
    }
}
