//! The settings that put the log of an installation under test where it shall be.

use docket_log::Mode;
use docket_platform::scratch_kafka::ScratchKafka;

/// The settings for an installation of this name. All of a run share one broker, none a topic.
pub fn settings(mode: Mode, name: &str) -> Vec<(&'static str, String)> {
    match mode {
        Mode::Journal => Vec::new(),
        Mode::Kafka => on(ScratchKafka::shared(), name),
    }
}

/// The settings for a broker in the clear.
pub fn on(broker: &ScratchKafka, name: &str) -> Vec<(&'static str, String)> {
    vec![("KAFKA_BROKERS", broker.bootstrap()), ("DOCKET_KAFKA_TOPIC_PREFIX", name.to_owned())]
}
