//! The one way of all commands to a user's own stream.

use chrono::{DateTime, Utc};
use docket_domain::{
    Decided,
    identity::{Refusal, User},
};
use docket_events::{Category, StreamId, identity::IdentityEvent};
use docket_log::{CommandContext, ExecuteError};
use docket_platform::breaker::BreakerError;
use uuid::Uuid;

use crate::{
    error,
    run::{self, NotDone},
    state::State,
};

/// Decides and journals a command to `user`. False: there is no such user.
pub(super) async fn command(
    state: &State,
    context: &CommandContext,
    user: Uuid,
    decide: impl FnMut(&User, DateTime<Utc>) -> Decided<IdentityEvent, Refusal>,
) -> Result<bool, BreakerError<ExecuteError>> {
    match run::journal(state, context, StreamId::new(Category::Identity, user), decide).await {
        Ok(_) => Ok(true),
        Err(NotDone::Refused(Refusal::NoSuchUser)) => Ok(false),
        Err(NotDone::Refused(refusal)) => Err(error::unexpected(&refusal)),
        Err(NotDone::Failed(error)) => Err(error),
    }
}
