//! The runtime: from the log to rows, each event once in effect.
//!
//! | step | module |
//! |---|---|
//! | which shards this process works | `worker` |
//! | what is known of them | `hold` |
//! | where each projection stands there | `shard` |
//! | what may be applied, in which order | `admit` |
//! | bytes to events, personal fields opened | `decode` |
//! | what reactors leave until the journal has it | `journalled` |
//! | what a batch comes to | `plan` |
//! | the one transaction | `commit` |
//! | the turn that ties them together | `engine` |
//! | finding the event that spoils a batch | `isolate` |
//! | what ends a rebuild | `trouble` |

mod admit;
pub(crate) mod commit;
pub(crate) mod decode;
mod engine;
mod hold;
mod isolate;
mod journalled;
pub(crate) mod plan;
pub(crate) mod shard;
mod trouble;
mod worker;

pub use engine::{Engine, EngineError, EngineOptions, Turn};
pub use shard::Stop;
pub use trouble::Trouble;
pub use worker::work;
