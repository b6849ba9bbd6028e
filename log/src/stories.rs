//! For tests: a story is one body, and runs in both of the log's [modes](crate::Mode).

/// Makes two tests of each story, an `async fn(Mode)` of the module: `in_the_journal::story` and `in_kafka::story`.
#[macro_export]
macro_rules! in_both_modes {
    ($($story:ident),+ $(,)?) => {
        mod in_the_journal {
            $(#[tokio::test]
            async fn $story() {
                super::$story($crate::Mode::Journal).await;
            })+
        }
        mod in_kafka {
            $(#[tokio::test]
            async fn $story() {
                super::$story($crate::Mode::Kafka).await;
            })+
        }
    };
}
