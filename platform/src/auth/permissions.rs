//! Who may do what: one table of actions, with the roles of people and the scopes of API keys.
//!
//! Owns the question of role and scope alone. Whether this person may act on this consultation (four eyes, named reviewers, the
//! requester) is decided in `docket_domain` with the state at hand.

use super::{Principal, Role, Scope};
use crate::problem::Problem;

/// Something that a principal may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ask for a decision.
    Ask,
    /// Answer a consultation.
    Respond,
    /// Say something about a consultation.
    Comment,
    /// Assign or release a consultation that one asked for, or has in hand, and answer its questions.
    Direct,
    /// Redeem the receipt of an outcome.
    Redeem,
    /// Take a consultation back.
    Withdraw,
    /// Read consultations.
    Read,
    /// Add, change, merge and retract entities and relationships; publish articles, set topics.
    WriteKnowledge,
    /// Read entities, relationships and articles.
    ReadKnowledge,
    /// Say what one read, and keep one's own preferences and saved articles.
    Engage,
    /// Read who belongs to the organisation, and its groups.
    ReadMembers,
    /// Manage one's own account and sessions.
    ManageSelf,
    /// Invite and remove members, change roles, manage groups.
    ManageMembers,
    /// Make, rotate and end API keys.
    ManageKeys,
    /// Set endpoints of webhooks, and see what was delivered.
    ManageWebhooks,
    /// Read what happened to the organisation's people, keys and sessions.
    ReadAudit,
    /// See how a process does.
    Inspect,
}

/// What the table says of an action.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The action.
    pub action: Action,
    /// Its name.
    pub name: &'static str,
    /// The people who may.
    pub roles: &'static [Role],
    /// What allows an API key to; none: no key may.
    pub scope: Option<Scope>,
    /// What it is, for people.
    pub what: &'static str,
}

/// The table.
pub const TABLE: [Rule; 17] = [
    Rule {
        action: Action::Ask,
        name: "ask",
        roles: &[Role::Requester, Role::Reviewer, Role::Admin],
        scope: Some(Scope::ConsultationAsk),
        what: "ask for a decision",
    },
    Rule {
        action: Action::Respond,
        name: "respond",
        roles: &[Role::Reviewer, Role::Admin],
        // Decisions are people's.
        scope: None,
        what: "answer a consultation",
    },
    Rule {
        action: Action::Comment,
        name: "comment",
        roles: &Role::ALL,
        scope: Some(Scope::ConsultationComment),
        what: "say something about a consultation",
    },
    Rule {
        action: Action::Direct,
        name: "direct",
        // That it was the requester, whoever has it in hand, or an administrator, is decided with the consultation at hand.
        roles: &Role::ALL,
        scope: Some(Scope::ConsultationAsk),
        what: "assign or release what one asked for, answer questions about it, and revoke its receipt",
    },
    Rule {
        action: Action::Redeem,
        name: "redeem",
        roles: &[Role::Requester, Role::Reviewer, Role::Admin],
        scope: Some(Scope::ConsultationAsk),
        what: "redeem the receipt of an outcome",
    },
    Rule {
        action: Action::Withdraw,
        name: "withdraw",
        // That it was the requester, or an administrator who cancels, is decided with the consultation at hand.
        roles: &Role::ALL,
        scope: Some(Scope::ConsultationWithdraw),
        what: "take a consultation back: one's own, or as an administrator any",
    },
    Rule {
        action: Action::Read,
        name: "read",
        roles: &Role::ALL,
        scope: Some(Scope::ConsultationRead),
        what: "read consultations",
    },
    Rule {
        action: Action::WriteKnowledge,
        name: "write knowledge",
        roles: &[Role::Analyst, Role::Reviewer, Role::Admin],
        scope: Some(Scope::KnowledgeWrite),
        what: "add, change, merge and retract entities and relationships; publish articles and set topics",
    },
    Rule {
        action: Action::ReadKnowledge,
        name: "read knowledge",
        roles: &Role::ALL,
        scope: Some(Scope::KnowledgeRead),
        what: "read entities, relationships and articles",
    },
    Rule {
        action: Action::Engage,
        name: "engage",
        roles: &Role::ALL,
        scope: Some(Scope::EngagementWrite),
        what: "say what one read, and keep one's own preferences and saved articles",
    },
    Rule {
        action: Action::ReadMembers,
        name: "read members",
        roles: &Role::ALL,
        scope: Some(Scope::IdentityRead),
        what: "see who belongs to the organisation and its groups",
    },
    Rule {
        action: Action::ManageSelf,
        name: "manage self",
        roles: &Role::ALL,
        scope: None,
        what: "manage one's own password, second factor and sessions, or leave",
    },
    Rule {
        action: Action::ManageMembers,
        name: "manage members",
        roles: &[Role::Admin],
        scope: None,
        what: "invite and remove members, change roles, manage groups",
    },
    Rule {
        action: Action::ManageKeys,
        name: "manage keys",
        roles: &[Role::Admin],
        scope: None,
        what: "make, list, rotate and revoke API keys",
    },
    Rule {
        action: Action::ManageWebhooks,
        name: "manage webhooks",
        roles: &[Role::Admin],
        scope: None,
        what: "set endpoints of webhooks, see their deliveries, and make them again",
    },
    Rule {
        action: Action::ReadAudit,
        name: "read audit",
        roles: &[Role::Admin],
        scope: None,
        what: "see what happened to accounts, members, sessions and keys",
    },
    Rule {
        action: Action::Inspect,
        name: "inspect",
        roles: &[Role::Admin],
        scope: None,
        what: "see how a process does",
    },
];

/// Whether `principal` may do `action`: a person by the role, an API key by its scopes.
#[must_use]
pub fn allows(principal: &Principal, action: Action) -> bool {
    let Some(rule) = TABLE.iter().find(|rule| rule.action == action) else { return false };
    match principal.scopes {
        None => rule.roles.contains(&principal.role),
        Some(scopes) => rule.scope.is_some_and(|scope| scopes.contains(scope)),
    }
}

/// Refuses unless `principal` may do `action`.
///
/// # Errors
/// 403 `forbidden`.
pub fn check(principal: &Principal, action: Action) -> Result<(), Problem> {
    if allows(principal, action) {
        return Ok(());
    }
    let detail = match principal.scopes {
        None => format!("The role {} does not allow this.", principal.role),
        Some(_) => "The scopes of this API key do not allow this.".to_owned(),
    };
    Err(Problem::forbidden("forbidden", detail))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::Scopes;
    use super::*;

    #[test]
    fn every_action_and_role_is_as_written_down() {
        let person = |role| Principal::member(Uuid::nil(), Uuid::nil(), role);
        let allowed = |action| Role::ALL.into_iter().filter(|role| allows(&person(*role), action)).collect::<Vec<_>>();
        assert_eq!(allowed(Action::Ask), [Role::Admin, Role::Reviewer, Role::Requester]);
        assert_eq!(allowed(Action::Redeem), [Role::Admin, Role::Reviewer, Role::Requester]);
        assert_eq!(allowed(Action::Respond), [Role::Admin, Role::Reviewer]);
        assert_eq!(allowed(Action::WriteKnowledge), [Role::Admin, Role::Reviewer, Role::Analyst]);
        for action in [
            Action::Comment,
            Action::Direct,
            Action::Withdraw,
            Action::Read,
            Action::ReadKnowledge,
            Action::Engage,
            Action::ReadMembers,
            Action::ManageSelf,
        ] {
            assert_eq!(allowed(action), Role::ALL);
        }
        for action in
            [Action::ManageMembers, Action::ManageKeys, Action::ManageWebhooks, Action::ReadAudit, Action::Inspect]
        {
            assert_eq!(allowed(action), [Role::Admin]);
        }
    }

    #[test]
    fn a_key_does_what_its_scopes_name_and_nothing_that_people_alone_do() {
        let key =
            |scopes: &[Scope]| Principal::key(Uuid::nil(), Uuid::nil(), Scopes::from_iter(scopes.iter().copied()));
        let allowed = |scopes: &[Scope]| {
            TABLE.iter().map(|rule| rule.action).filter(|action| allows(&key(scopes), *action)).collect::<Vec<_>>()
        };
        assert_eq!(allowed(&[]), []);
        assert_eq!(allowed(&[Scope::ConsultationAsk]), [Action::Ask, Action::Direct, Action::Redeem]);
        let all = [
            Action::Ask,
            Action::Comment,
            Action::Direct,
            Action::Redeem,
            Action::Withdraw,
            Action::Read,
            Action::WriteKnowledge,
            Action::ReadKnowledge,
            Action::Engage,
            Action::ReadMembers,
        ];
        assert_eq!(allowed(&Scope::ALL), all);
    }
}
