//! The projector: from the log to read models.
//!
//! Owns the projections, the runtime that applies them, and what operators do with them (retry, status, verification). It must not
//! decide anything and writes nothing upstream: whatever it makes can be thrown away and made again from the log.
//!
//! | you look for | module |
//! |---|---|
//! | what a projection is | [`projection`] |
//! | the projections | [`projections`] |
//! | order, checkpoints, parking, leases | [`runtime`] |
//! | parked streams, `docket retry` | [`retry`] |
//! | lag, `docket status` | [`status`] |
//! | the length of the change feed | [`trim`] |
//! | read models against a replay | [`verify`] |
//! | running it | [`run`], [`run_alone`], [`Config`] |
//!
//! # Promises, and the test of each
//!
//! | promise | test |
//! |---|---|
//! | rows and checkpoint commit together | `runtime::a_batch_that_fails_leaves_neither_rows_nor_checkpoint` |
//! | whoever lost its shard writes nothing | `runtime::a_zombie_is_fenced_and_writes_nothing` |
//! | nothing is applied past a gap, or twice | `order::*`, `admit::tests` |
//! | the order of shards does not matter | `order::a_hundred_interleavings_of_shards_give_equal_rows` |
//! | poison parks its stream and no other | `poison::*` |
//! | an unknown type stops its shard and parks nothing | `poison::an_unknown_type_stops_its_shard_only` |
//! | a replay gives the same rows | `verify::*` |

// Shards and sequences are small by construction; the database's integers are signed and ours are not.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

mod metrics;
pub mod projection;
pub mod projections;
pub mod retry;
mod run;
pub mod runtime;
pub mod status;
pub mod trim;
pub mod verify;

pub use projections::registry;
pub use retry::retry;
pub use run::{Config, ProjectorError, run, run_alone};
pub use verify::verify_read_model;
