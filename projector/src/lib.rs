//! The projector: from the log to read models, and to side effects.
//!
//! Owns the projections, the runtime that applies them, and what operators do with them (retry, status, verification). It must not
//! decide anything and writes nothing upstream: the read models can be thrown away and made again from the log, and side effects are
//! never repeated by that.
//!
//! | you look for | module |
//! |---|---|
//! | what a projection is | [`projection`] |
//! | the projections | [`projections`] |
//! | order, checkpoints, parking, leases | [`runtime`] |
//! | parked streams, `docket retry` | [`mod@retry`] |
//! | lag, `docket status` | [`status`] |
//! | the length of the change feed | [`trim`] |
//! | read models against a replay | [`verify`] |
//! | which tables of a projection are live | [`mod@generation`] |
//! | a projection made anew beside the live one | [`mod@rebuild`] |
//! | events to side effects, such as mail | [`reactors`] |
//! | mail, its providers, the letters | [`mail`] |
//! | running it | [`run()`], [`Config`] |
//!
//! # Promises, and the test of each
//!
//! | promise | test |
//! |---|---|
//! | rows and checkpoint commit together | `runtime::a_batch_that_fails_leaves_neither_rows_nor_checkpoint` |
//! | whoever lost its shard writes nothing | `runtime::a_zombie_is_fenced_and_writes_nothing` |
//! | nothing is applied past a gap, or twice | `order::what_the_reader_lost_is_taken_from_the_journal`, `order::a_gap_in_the_journal_itself_stops_its_shard_until_it_is_closed`, `admit::tests` |
//! | the order of shards does not matter | `order::a_hundred_interleavings_of_shards_give_equal_rows` |
//! | poison parks its stream and no other, and a retry heals it | `poison::a_malformed_event_parks_only_its_stream_and_retry_heals_it` |
//! | an unknown type stops its shard and parks nothing | `poison::an_unknown_type_stops_its_shard_only` |
//! | a replay gives the same rows | at the end of most tests; `upkeep::the_check_sees_a_changed_a_missing_and_a_foreign_row` |
//!
//! All but `admit::tests` are in `tests/projector`, against a real PostgreSQL.

// Shards and sequences are small by construction; the database's integers are signed and ours are not.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

pub mod generation;
pub mod mail;
mod metrics;
pub mod projection;
pub mod projections;
pub mod reactors;
pub mod rebuild;
pub mod retry;
mod run;
pub mod runtime;
pub mod status;
pub mod trim;
pub mod verify;

pub use projections::registry;
pub use retry::retry;
pub use run::{Config, Pauses, ProjectorError, Telling, run};
pub use verify::verify_read_model;
