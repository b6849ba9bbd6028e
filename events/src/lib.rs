//! The facts of Docket: what happened, as it stands on the log for ever.
//!
//! This crate owns the event types, their envelope, their JSON form, the encryption of personal fields, the upcasters that keep
//! every version ever written readable, and the frozen hash that picks a stream's shard. It does no I/O, reads no clock and draws
//! no randomness: time, keys and nonces are arguments.
//!
//! | you look for | module |
//! |---|---|
//! | the events of a consultation, of identity, of the knowledge graph | [`consultation`], [`identity`], [`knowledge`] |
//! | those of what is read, and of what readers do with it | [`feed`], [`engagement`] |
//! | what stands around an event's data | [`envelope`] |
//! | business hours and holidays | [`calendar`] |
//! | names and addresses of people | [`personal`]; as those read them who may, [`clear`] |
//! | bytes to events and back | [`codec`], [`upcast`] |
//! | JSON Schemas of every event; the topics described | [`schema`], [`asyncapi`] |

pub mod asyncapi;
pub mod calendar;
pub mod category;
pub mod clear;
pub mod codec;
pub mod consultation;
pub mod engagement;
pub mod envelope;
pub mod feed;
pub mod identity;
pub mod knowledge;
pub mod personal;
pub mod schema;
pub mod stream;
pub mod upcast;

pub use category::Category;
pub use codec::{DecodeError, Event, EventData};
pub use envelope::{Metadata, NewEvent, Recorded, Told};
pub use personal::{DataKey, HasPersonal, Personal, Sealed};
pub use stream::{ShardId, StreamId, shard_of};
