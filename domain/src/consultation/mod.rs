//! The consultation: software or a person asks for a human decision, reviewers answer, or the deadline passes.
//!
//! Owns the rules of the life of a consultation: what may be asked ([`command`]), what is known ([`state`]), and what follows from
//! both ([`decide()`]). It ends in exactly one outcome, by its own clock rule: whatever command comes first at or after the deadline
//! finds it timed out, however late a scheduler is. It must not do I/O, read a clock or make ids; it does not check who holds which
//! role in the organisation, nor names of people, which are checked where people are made.

mod answer;
mod ask;
mod clock;
pub mod command;
pub mod decide;
mod folded;
pub mod receipt;
pub mod rule;
pub(crate) mod schema;
pub mod state;
pub(crate) mod validate;
pub mod view;
mod work;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use answer::{Given, payload};
pub use ask::plain_terms;
pub use command::{
    Assign, Claim, Command, Comment, Delegate, Due, EscalationStep, Expire, ProvideInformation, RedeemReceipt, Release,
    Request, RequestInformation, Respond, RevokeReceipt, Standing, Terms, Withdraw,
};
pub use decide::{Refusal, decide};
pub use receipt::{Receipt, ReceiptEnd};
pub use state::{Asked, ClockState, Consultation, LateResponses, Outcome, State, Work};
