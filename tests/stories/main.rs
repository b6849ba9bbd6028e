//! Stories over real parts: each test shows a behaviour that a user or an operator could notice.

mod append;
mod broker;
mod idempotency;
mod kafka;
mod knowledge;
mod lease;
mod recover;
mod snapshot;
