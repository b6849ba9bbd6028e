//! Who is there: members of the organisation, most of them reviewers.

use docket_events::identity::Role;

use super::shape::{self, Part, dealt};
use super::words;

/// How many of the users have which role, in a hundred.
pub const ROLES: [(u32, Role); 3] = [(60, Role::Reviewer), (30, Role::Requester), (10, Role::Analyst)];

/// Somebody who is to be a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// What they are called.
    pub name: String,
    /// What they do.
    pub role: Role,
}

/// The users of a seed.
#[must_use]
pub fn people(seed: u64, count: usize) -> Vec<User> {
    let mut dice = shape::dice(seed, Part::People);
    let roles = dealt(count, ROLES, &mut dice);
    roles.into_iter().map(|role| User { name: words::person(&mut dice), role }).collect()
}
