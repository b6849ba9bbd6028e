//! Mail, against real servers on this machine: SMTP, and what imitates the APIs of Resend and SendGrid as they are documented.

// Test support is for the tests beside it.
#![allow(missing_docs)]

mod api;
mod apis;
mod failover;
mod outbox;
mod server;
mod smtp;
mod support;
