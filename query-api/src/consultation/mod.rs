//! Consultations as they are read: rows, pages, GraphQL, REST, and the subscription.
//!
//! Owns the SQL over `read.consultation…` and the names that clients see. It decides nothing: that was done before.

pub(crate) mod as_of;
mod filter;
mod graphql;
mod graphql_terms;
mod history;
mod query;
mod reading;
pub mod rest;
mod row;
pub mod rows;
mod subscription;
mod times;

pub use graphql::Consultation;
pub use history::{Histories, Votes};
pub use query::{ConsultationQuery, one};
pub use subscription::{ConsultationSubscription, Consultations, Wanted};
