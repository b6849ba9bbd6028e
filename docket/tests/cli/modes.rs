//! Where the log of an installation under test is. Each end-to-end story is one body that runs in both modes.

use docket_platform::scratch_kafka::ScratchKafka;

/// Where the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// In the journal.
    Journal,
    /// In Kafka.
    Kafka,
}

impl Log {
    /// The settings that put it there, for an installation of this name. All of a run share one broker, none a topic.
    pub fn settings(self, name: &str) -> Vec<(&'static str, String)> {
        match self {
            Self::Journal => Vec::new(),
            Self::Kafka => on(ScratchKafka::shared(), name),
        }
    }
}

/// The settings for a broker in the clear.
pub fn on(broker: &ScratchKafka, name: &str) -> Vec<(&'static str, String)> {
    vec![("KAFKA_BROKERS", broker.bootstrap()), ("DOCKET_KAFKA_TOPIC_PREFIX", name.to_owned())]
}

/// Makes two tests of each story, one a mode.
macro_rules! in_both_modes {
    ($($story:ident),+ $(,)?) => {
        mod in_the_journal {
            $(#[tokio::test]
            async fn $story() {
                super::$story(crate::modes::Log::Journal).await;
            })+
        }
        mod in_kafka {
            $(#[tokio::test]
            async fn $story() {
                super::$story(crate::modes::Log::Kafka).await;
            })+
        }
    };
}
pub(crate) use in_both_modes;
