//! The heart of Docket: the journal, and everything that keeps its order.
//!
//! # The protocol
//!
//! 1. [`Store::execute`](store::Store::execute) loads a stream in one round trip ([`load`]): the newest snapshot, the events behind
//!    it, the database's time, and the answer that the idempotency key may have.
//! 2. The aggregate decides; the events are sealed ([`vault`]), encoded and handed to a lane ([`append`]).
//! 3. The lane sends what queued during its last commit in one statement. The statement locks idempotency keys, claims and shard
//!    rows, each class in sorted order, looks at the key first, then at the version, and gives each command its own verdict. The
//!    shard's row lock is held until the commit, so sequences become visible in order and without gaps.
//! 4. The commit is durable (`synchronous_commit = on`), the bell rings ([`bell`]), the command is answered with the stream's
//!    version and a [`position`].
//! 5. Readers ([`reader`], [`journal`]) follow each shard by sequence. Who works a shard is a lease ([`lease`]); what they write is
//!    guarded by their own checkpoint.
//!
//! # Promises, and the test of each
//!
//! | promise | test |
//! |---|---|
//! | an acknowledged append is there after any kill | `script/faults`, check `acknowledged` |
//! | sequences of a shard have no gap and become visible in order | `append::sequences_are_gap_free_under_concurrent_writers`, `append::an_open_append_lets_no_reader_skip` |
//! | one conflict fails alone | `append::a_conflict_fails_alone_and_its_batch_mates_succeed` |
//! | the first answer is given again, also while it still commits | `idempotency::twenty_racers_on_one_key_get_one_answer` |
//! | another request under a used key is refused | `idempotency::another_payload_under_a_used_key_is_refused` |
//! | a held shard delays only itself | `append::a_held_shard_delays_only_itself` |
//! | the answer to a repetition is the first answer, whatever came after | `idempotency::a_repetition_shows_the_version_of_the_first_answer` |
//! | a value is claimed by one stream alone | `append::a_claimed_value_belongs_to_one_stream` |
//! | deadlines commit with the events | `append::deadlines_are_kept_with_the_events_and_go_with_the_outcome` |
//! | clear names reach neither journal nor snapshot | `snapshot::a_snapshot_holds_no_name_in_clear` |
//! | another tenant's stream does not exist | command-api `a_foreign_consultation_reads_like_one_that_is_not_there` |
//! | shards are shared evenly and pass on | `lease::shards_are_shared_evenly_and_pass_on_when_their_holder_is_gone` |
//! | a snapshot changes nothing but the cost | `snapshot::a_long_stream_folds_the_same_with_and_without_snapshots` |
//! | Kafka gets every event in sequence and without a gap, whoever dies | `kafka::relay::relays_that_are_killed_on_the_way_leave_no_gap` |
//! | what brokers lost is published again | `kafka::loss::a_broker_that_dies_or_loses_everything_is_filled_again` |
//! | nothing is published where the journal contradicts the topic | `kafka::restored::a_shard_whose_journal_is_behind_its_topic_or_forked_from_it_is_halted_and_the_others_go_on` |
//! | whoever follows the log goes from the journal to Kafka and back without loss | `kafka::reader::reading_goes_from_the_journal_to_kafka_and_back_and_every_event_is_applied_once` |
//! | what no relay of ours wrote is not applied | `kafka::foreign::messages_that_no_relay_wrote_are_left_out_and_kept_and_stop_nobody` |
//!
//! Unless another crate is named, the tests are in `tests/stories`, against a real PostgreSQL.

// Codes, shards, versions and sequences are small by construction; the wire's integers are signed and ours are not.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

pub mod append;
pub mod bell;
pub mod compare;
pub mod deadlines;
pub mod execute;
pub mod faults;
pub mod follow;
pub mod installation;
pub mod journal;
pub mod kafka;
pub mod lanes;
pub mod lease;
pub mod load;
mod metrics;
pub mod migrate;
pub mod position;
pub mod reader;
pub mod recover;
pub mod relay;
pub mod revocations;
mod statement;
pub mod store;
mod stories;
pub mod vault;

pub use append::{Append, AppendError, Claim, Verdict};
pub use bell::{Bell, Topic};
pub use execute::{Accepted, CommandContext, ExecuteError, IdempotencyKey, Outcome, Statuses, Timed};
pub use follow::LogReader;
pub use installation::{Installation, Mode};
pub use kafka::{Kafka, KafkaArgs, KafkaError, MacKey};
pub use position::Position;
pub use store::{Store, StoreOptions};
pub use vault::Vault;
