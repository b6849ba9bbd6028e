//! Who may do what on the write side: one table.
//!
//! Owns the question of role alone. Whether this person may act on this consultation (four eyes, named reviewers, the requester) is
//! decided in `docket_domain` with the state at hand.

use docket_platform::{Problem, auth::Role};

/// Something that a principal may be allowed to do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ask for a decision.
    Ask,
    /// Answer a consultation.
    Respond,
    /// Say something about a consultation.
    Comment,
    /// Take a consultation back.
    Withdraw,
    /// See how a process does.
    Inspect,
}

impl Action {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Respond => "respond",
            Self::Comment => "comment",
            Self::Withdraw => "withdraw",
            Self::Inspect => "inspect",
        }
    }

    /// What it is, for people.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Ask => "ask for a decision",
            Self::Respond => "answer a consultation",
            Self::Comment => "say something about a consultation",
            Self::Withdraw => "take a consultation back: one's own, or as an administrator any",
            Self::Inspect => "see how a process does",
        }
    }
}

/// The table: each action with the roles that may do it.
pub const TABLE: [(Action, &[Role]); 5] = [
    (Action::Ask, &[Role::Requester, Role::Reviewer, Role::Admin]),
    (Action::Respond, &[Role::Reviewer, Role::Admin]),
    (Action::Comment, &Role::ALL),
    // That it was the requester, or an administrator who cancels, is decided with the consultation at hand.
    (Action::Withdraw, &Role::ALL),
    (Action::Inspect, &[Role::Admin]),
];

/// Whether `role` may do `action`.
#[must_use]
pub fn allows(role: Role, action: Action) -> bool {
    TABLE.iter().any(|(listed, roles)| *listed == action && roles.contains(&role))
}

/// Refuses unless `role` may do `action`.
///
/// # Errors
/// 403 `forbidden`.
pub fn check(role: Role, action: Action) -> Result<(), Problem> {
    if allows(role, action) {
        return Ok(());
    }
    Err(Problem::forbidden("forbidden", format!("The role {role} does not allow this.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_and_role_is_as_written_down() {
        let allowed = |action| Role::ALL.into_iter().filter(|role| allows(*role, action)).collect::<Vec<_>>();
        assert_eq!(allowed(Action::Ask), [Role::Admin, Role::Reviewer, Role::Requester]);
        assert_eq!(allowed(Action::Respond), [Role::Admin, Role::Reviewer]);
        assert_eq!(allowed(Action::Comment), Role::ALL);
        assert_eq!(allowed(Action::Withdraw), Role::ALL);
        assert_eq!(allowed(Action::Inspect), [Role::Admin]);
    }
}
