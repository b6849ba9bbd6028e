//! How a decision is to be made, as an asker says it, looked up in the organisation.
//!
//! Owns the JSON form of reviewers, answers, rules and time, and who is meant: users and groups that the organisation has, and the seats of
//! rules that count. What fits together is judged in `docket_domain::consultation`.

use std::collections::{BTreeMap, BTreeSet};

use docket_domain::{
    consultation::{EscalationStep, Given, Terms},
    identity::Organisation,
};
use docket_events::consultation::{AnswerKind, Decision, DecisionRule, Person, Priority};
use docket_platform::auth::Role;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::RouteError;
use crate::roles::event_role;

/// Somebody who may answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected the id of a user, or an object with `user`, `group` or `role`")]
#[schema(as = ReviewerRef)]
pub(super) enum Reviewer {
    /// A user, by id.
    Id(Uuid),
    /// A user.
    User {
        /// Whose id.
        user: Uuid,
    },
    /// The members of a group.
    Group {
        /// Whose id.
        group: Uuid,
    },
    /// All who have a role: `reviewer` or `admin`.
    Role {
        /// Which.
        role: Role,
    },
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = AnswerRequest)]
pub(super) enum AnswerRequest {
    /// Yes or no.
    Approval,
    /// Some of several options.
    Choice {
        /// What there is to choose from: 2 to 100 texts.
        options: Vec<String>,
        /// How many must be chosen at least; 1 if not given.
        min: Option<u32>,
        /// How many may be chosen at most; as many as `min` if not given.
        max: Option<u32>,
    },
    /// Data.
    Form {
        /// The JSON Schema (2020-12) that it must satisfy, at most 32 KiB; it refers to nothing but its own parts.
        schema: Value,
    },
    /// A proposal that is approved, approved with changes, or rejected.
    Edit {
        /// The proposal, at most 64 KiB.
        proposed: Value,
        /// What may be changed: JSON Pointers, each with all below it.
        paths: Vec<String>,
        /// The JSON Schema (2020-12) that the proposal satisfies, changed or not.
        schema: Option<Value>,
    },
}

impl From<AnswerRequest> for AnswerKind {
    fn from(answer: AnswerRequest) -> Self {
        match answer {
            AnswerRequest::Approval => Self::Approval,
            AnswerRequest::Choice { options, min, max } => {
                let min = min.unwrap_or(1);
                Self::Choice { options, min, max: max.unwrap_or(min) }
            }
            AnswerRequest::Form { schema } => Self::Form { schema },
            AnswerRequest::Edit { proposed, paths, schema } => Self::Edit { proposed: Some(proposed), paths, schema },
        }
    }
}

/// When votes are an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = RuleRequest)]
pub(super) enum RuleRequest {
    /// The first vote decides.
    AnyOne,
    /// All agree; one rejection rejects.
    All,
    /// So many agree; rejected once that cannot be reached any more.
    MOfN {
        /// How many.
        m: u32,
    },
    /// More than half agree; rejected once that cannot be reached any more.
    Majority,
    /// So many agree, and nobody who has a veto rejects.
    Veto {
        /// How many must agree; 1 if not given.
        m: Option<u32>,
        /// Who has a veto: users; everybody if not given.
        #[serde(default)]
        holders: Vec<Uuid>,
    },
    /// Two groups agree, by different people. They are the reviewers.
    TwoGroups {
        /// The two.
        groups: [Uuid; 2],
        /// How many of each must agree; 1 if not given.
        m: Option<u32>,
    },
    /// Those who agree weigh enough. They are the reviewers.
    Weights {
        /// What each user weighs.
        weights: BTreeMap<Uuid, u32>,
        /// How much decides.
        threshold: u32,
    },
}

/// What happens when there is no decision after a while.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EscalationRequest)]
pub(super) struct EscalationRequest {
    /// After so many minutes.
    after_minutes: u32,
    /// Only when nobody has claimed it by then.
    #[serde(default)]
    unclaimed: bool,
    /// Users who may answer besides.
    #[serde(default)]
    reviewers: Vec<Uuid>,
    /// The priority from then on, unless it is higher.
    #[schema(value_type = Option<String>, pattern = "^(low|normal|high|urgent)$")]
    priority: Option<Priority>,
    /// Users who are told.
    #[serde(default)]
    notify: Vec<Uuid>,
}

/// What an asker says of how it is to be decided.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) reviewers: Vec<Reviewer>,
    pub(super) answer: Option<AnswerRequest>,
    pub(super) rule: Option<RuleRequest>,
    pub(super) four_eyes: Option<bool>,
    pub(super) on_timeout: Option<String>,
    pub(super) reminders: Vec<u32>,
    pub(super) escalations: Vec<EscalationRequest>,
    pub(super) questions_stop_clock: bool,
    pub(super) business_time: bool,
    pub(super) subject: Option<Person>,
}

impl Wanted {
    /// Whether the organisation must be looked at to know who is meant.
    pub(super) fn names_somebody(&self) -> bool {
        let in_rule = |rule: &RuleRequest| !matches!(rule, RuleRequest::AnyOne);
        !self.reviewers.is_empty()
            || !self.escalations.is_empty()
            || self.business_time
            || self.rule.as_ref().is_some_and(in_rule)
    }
}

/// The terms, and the users who are named as reviewers.
pub(super) fn resolve(wanted: Wanted, organisation: &Organisation) -> Result<(Vec<Uuid>, Terms), RouteError> {
    let Wanted { reviewers, answer, rule, four_eyes, on_timeout, reminders, .. } = wanted;
    let Wanted { escalations, questions_stop_clock, business_time, subject, .. } = wanted;
    let (mut users, mut groups, mut roles) = (Vec::new(), Vec::new(), Vec::new());
    for reviewer in reviewers {
        match reviewer {
            Reviewer::Id(user) | Reviewer::User { user } => users.push(user),
            Reviewer::Group { group } => groups.push(group),
            Reviewer::Role { role } if matches!(role, Role::Admin | Role::Reviewer) => roles.push(event_role(role)),
            Reviewer::Role { .. } => {
                return Err(RouteError::wrong("reviewers", "must be of a role that may answer: `reviewer` or `admin`"));
            }
        }
    }
    members("reviewers", &users, organisation)?;
    let mut seats = BTreeSet::new();
    for group in &groups {
        seats.extend(in_group("reviewers", *group, organisation)?);
    }
    let of_role = |role| organisation.members.iter().filter(move |(_, member)| member.role == role);
    seats.extend(roles.iter().flat_map(|role| of_role(*role)).map(|(user, _)| *user));
    seats.extend(&users);
    let rule = match rule.unwrap_or(RuleRequest::AnyOne) {
        RuleRequest::AnyOne => {
            seats.clear();
            DecisionRule::AnyOne
        }
        RuleRequest::All => DecisionRule::All,
        RuleRequest::MOfN { m } => DecisionRule::MOfN { m },
        RuleRequest::Majority => DecisionRule::Majority,
        RuleRequest::Veto { m, holders } => DecisionRule::Veto { m: m.unwrap_or(1), holders },
        RuleRequest::TwoGroups { groups: [first, second], m } => {
            let first = in_group("rule.groups", first, organisation)?;
            let second = in_group("rule.groups", second, organisation)?;
            seats.extend(first.iter().chain(&second));
            DecisionRule::TwoGroups { first, second, m: m.unwrap_or(1) }
        }
        RuleRequest::Weights { weights, threshold } => {
            let named: Vec<Uuid> = weights.keys().copied().collect();
            members("rule.weights", &named, organisation)?;
            seats.extend(named);
            DecisionRule::Weights { weights, threshold }
        }
    };
    // Whoever may answer and is not named: all of the organisation.
    let everybody = users.is_empty() && groups.is_empty() && roles.is_empty();
    if rule != DecisionRule::AnyOne && seats.is_empty() && everybody {
        let may = |role: Role| of_role(event_role(role)).map(|(user, _)| *user);
        seats.extend(may(Role::Reviewer).chain(may(Role::Admin)));
    }
    let answer: AnswerKind = answer.map(Into::into).unwrap_or_default();
    let escalations = escalations.into_iter().map(|step| escalation(step, organisation)).collect::<Result<_, _>>()?;
    let calendar = match business_time {
        true => Some(organisation.calendar.clone().ok_or_else(|| {
            RouteError::wrong(
                "business_time",
                "needs a calendar of the organisation: `PUT /api/v1/organisation/calendar`",
            )
        })?),
        false => None,
    };
    let terms = Terms {
        on_timeout: on_timeout.and_then(|word| default(&answer, word)),
        answer,
        rule,
        asker_may_answer: four_eyes == Some(false),
        groups,
        roles,
        seats: seats.into_iter().collect(),
        subject,
        reminders,
        escalations,
        questions_stop_clock,
        calendar,
    };
    Ok((users, terms))
}

/// What counts when the deadline passes: `nothing`, `approve`, `reject`, or an option by name.
fn default(answer: &AnswerKind, word: String) -> Option<Given> {
    match (answer, word.as_str()) {
        (_, "nothing") => None,
        (AnswerKind::Choice { .. }, _) => Some(Given { choices: Some(vec![word]), ..Given::default() }),
        (_, "approve") => Some(Given::decision(Decision::Approve)),
        (_, "reject") => Some(Given::decision(Decision::Reject)),
        // Judged as what it is: no answer to what is asked.
        (_, _) => Some(Given { choices: Some(vec![word]), ..Given::default() }),
    }
}

fn escalation(step: EscalationRequest, organisation: &Organisation) -> Result<EscalationStep, RouteError> {
    let EscalationRequest { after_minutes, unclaimed, reviewers, priority, notify } = step;
    members("escalations.reviewers", &reviewers, organisation)?;
    for user in &notify {
        if !organisation.members.contains_key(user) {
            return Err(RouteError::wrong(
                "escalations.notify",
                format!("must be members of the organisation; {user} is none"),
            ));
        }
    }
    Ok(EscalationStep { after_minutes, unclaimed, reviewers, priority, notify })
}

/// Refuses users who do not belong to the organisation any more, or never did, or may not answer.
pub(super) fn members(field: &'static str, users: &[Uuid], organisation: &Organisation) -> Result<(), RouteError> {
    for user in users {
        match organisation.members.get(user) {
            None => {
                return Err(RouteError::wrong(field, format!("must be members of the organisation; {user} is none")));
            }
            Some(member) if !may_answer(member.role) => {
                return Err(RouteError::wrong(
                    field,
                    format!("must be people who may answer; the role of {user} does not allow it"),
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn may_answer(role: docket_events::identity::Role) -> bool {
    use docket_events::identity::Role as R;
    match role {
        R::Admin | R::Reviewer => true,
        R::Requester | R::Analyst => false,
    }
}

/// The members of a group who may answer.
fn in_group(field: &'static str, group: Uuid, organisation: &Organisation) -> Result<Vec<Uuid>, RouteError> {
    let Some(found) = organisation.groups.get(&group) else {
        return Err(RouteError::wrong(field, format!("must be groups of the organisation; {group} is none")));
    };
    let may = |user: &&Uuid| organisation.members.get(user).is_some_and(|member| may_answer(member.role));
    Ok(found.members.iter().filter(may).copied().collect())
}
