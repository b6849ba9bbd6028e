//! The feed of events: `GET /api/v1/events` tells an organisation its own events, each once, for those whom no webhook can reach.
//!
//! Owns the cursor, the pages and how an event is told. The projection `events` says which events there are, the journal what they
//! say; both are read under the asker's tenant. It decides nothing, and remembers nobody: who has seen what is the reader's to keep.
//!
//! | you look for | where |
//! |---|---|
//! | `types=`, and who may see what | [`filter`] |
//! | which events come next, and where the cursor then stands | [`page`] |
//! | an event as a line of CloudEvents JSON | [`told`] |
//! | waking those who wait | [`watch`] |
//! | the route: lines, arrays, long poll | [`rest`] |
//! | the route: server-sent events | [`sse`] |

mod filter;
mod page;
pub mod rest;
mod sse;
mod told;
mod watch;

pub use watch::Waker;
