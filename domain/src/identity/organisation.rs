//! The organisation: a tenant, and who belongs to it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docket_events::{
    HasPersonal,
    identity::{IdentityEvent, MemberAdded, OrganisationCreated, Role},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Refusal, check_name};
use crate::{Aggregate, At, Decided};

/// An organisation as its events tell it. The default does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organisation {
    /// The name; none: the organisation does not exist.
    pub name: Option<String>,
    /// Its members with their roles.
    pub members: BTreeMap<Uuid, Role>,
    /// The version of the stream.
    pub version: u64,
    /// The time of the last event.
    pub updated_at: Option<DateTime<Utc>>,
}

impl Aggregate for Organisation {
    type Event = IdentityEvent;

    const SCHEMA: i32 = 1;

    fn evolve(&mut self, event: &IdentityEvent, at: At) {
        self.version = at.version;
        self.updated_at = Some(at.time);
        match event {
            IdentityEvent::OrganisationCreated(event) => self.name = Some(event.name.clone()),
            IdentityEvent::MemberAdded(event) => {
                self.members.insert(event.user_id, event.role);
            }
            // Of a user's stream.
            IdentityEvent::UserRegistered(_)
            | IdentityEvent::PasswordResetRequested(_)
            | IdentityEvent::PasswordChanged(_) => {}
        }
    }
}

impl HasPersonal for Organisation {
    fn visit_personal(&mut self, _: &mut dyn FnMut(&mut dyn PersonalField)) {}
}

/// Make a tenant. Doing so again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOrganisation {
    /// The organisation's name.
    pub name: String,
}

/// Let a user belong to the organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddMember {
    /// The user, who exists.
    pub user_id: Uuid,
    /// What the user may do there.
    pub role: Role,
}

/// Any command to an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrganisationCommand {
    /// See [`CreateOrganisation`].
    Create(CreateOrganisation),
    /// See [`AddMember`].
    AddMember(AddMember),
}

/// Decides any command to an organisation.
#[must_use]
pub fn decide_organisation(state: &Organisation, command: OrganisationCommand) -> Decided<IdentityEvent, Refusal> {
    match command {
        OrganisationCommand::Create(command) => create_organisation(state, &command),
        OrganisationCommand::AddMember(command) => add_member(state, command),
    }
}

/// Decides a creation.
#[must_use]
pub fn create_organisation(state: &Organisation, command: &CreateOrganisation) -> Decided<IdentityEvent, Refusal> {
    if state.name.is_some() {
        return Decided::accepted(Vec::new());
    }
    match check_name(&command.name) {
        Ok(name) => Decided::accepted(vec![IdentityEvent::OrganisationCreated(OrganisationCreated { name })]),
        Err(refusal) => Decided::refused(refusal),
    }
}

/// Decides a membership. A member's role is not changed by adding the member again.
#[must_use]
pub fn add_member(state: &Organisation, command: AddMember) -> Decided<IdentityEvent, Refusal> {
    let AddMember { user_id, role } = command;
    if state.name.is_none() {
        return Decided::refused(Refusal::NotFound);
    }
    match state.members.get(&user_id) {
        None => Decided::accepted(vec![IdentityEvent::MemberAdded(MemberAdded { user_id, role })]),
        Some(has) if *has == role => Decided::accepted(Vec::new()),
        Some(has) => Decided::refused(Refusal::AlreadyMember { role: *has }),
    }
}
