//! `POST /api/v1/auth/register`: an account, with an organisation of one's own or by an invitation.
//!
//! With an address: the answer and the work for it are the same whether the address has an account or not. A mail goes there either way,
//! by the event that says what is to be mailed; what is kept until its link is followed is [`registration`]'s.

use axum::{
    Json as Answer,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use docket_domain::identity::{Refusal, RegisterUser, User, check_email, check_name, sign_up};
use docket_events::{Category, StreamId};
use docket_log::{Claim, CommandContext, ExecuteError, Outcome, faults};
use docket_platform::{FieldError, Problem, breaker::BreakerError, http::Json};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    join,
    origin::Origin,
    password::{self, PasswordError, UnfitPassword},
    registration,
};
use crate::{config::Registration, error, openapi::RegisterProblems, organisation::JoinedView, state::State};

/// Who registers: `email` and `organisation`, or `invitation` in their place.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RegisterRequest, example = json!({
    "email": "ada@example.org", "name": "Ada Example", "password": "orbit lantern mustard", "organisation": "Harbour Works",
}))]
pub(super) struct Request {
    /// The e-mail address to log in with. A link is mailed there.
    #[schema(value_type = Option<String>, format = "email")]
    email: Option<SecretString>,
    /// The name that others see, 1 to 200 characters.
    name: String,
    /// The password.
    #[schema(value_type = String, format = "password")]
    password: SecretString,
    /// The name of the organisation that is made for the user, 1 to 200 characters.
    organisation: Option<String>,
    /// The token of an invitation, which stands for address and organisation.
    #[schema(value_type = Option<String>)]
    invitation: Option<SecretString>,
}

/// What happens now, whoever has the address.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RegisterAnswer)]
pub(super) struct Registered {
    /// A sentence to show.
    #[schema(example = "A mail with a link is on its way to the address.")]
    message: &'static str,
}

const REGISTERED: Registered = Registered { message: "A mail with a link is on its way to the address." };

/// Why nobody is registered.
#[derive(Debug, thiserror::Error)]
pub(super) enum RouteError {
    #[error("only those who are invited register here")]
    Closed,
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{0}` contradicts the invitation")]
    Contradiction(&'static str),
    #[error("the mailed link is not valid")]
    InvalidToken,
    #[error("the invited address has an account")]
    AccountExists,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Unfit(#[from] UnfitPassword),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Journal(#[from] BreakerError<ExecuteError>),
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        match self {
            Self::Closed => Problem::forbidden("registration_closed", "Only those who are invited register here."),
            Self::Missing(field) => {
                Problem::validation(vec![FieldError::coded(field, "missing_field", "Must be given.")])
            }
            Self::Contradiction(field) => error::invalid(field, "must not be given together with `invitation`"),
            Self::InvalidToken => error::invalid_token(),
            Self::AccountExists => Problem::conflict(
                "account_exists",
                "The invited address has an account: log in with it and accept the invitation.",
            ),
            Self::Refused(refusal) => error::of_identity(refusal),
            Self::Unfit(unfit) => unfit.problem("password"),
            Self::Password(error) => error.into(),
            Self::Journal(error) => error::of_breaker(error),
        }
        .into_response()
    }
}

/// Register
///
/// With address and organisation: 202, the same whether the address has an account or not. A link is mailed there; once it was followed
/// (`verify`) the organisation is made and the user can log in. With an invitation: 201, and the user belongs to the organisation that
/// invited. Where `DOCKET_REGISTRATION` is `invited` this is the only way.
#[utoipa::path(
    post, path = "/api/v1/auth/register", operation_id = "register", tag = "auth", request_body = Request,
    responses(
        (status = ACCEPTED, description = "A mail is on its way", body = Registered),
        (status = CREATED, description = "Registered by an invitation, and joined", body = JoinedView),
        RegisterProblems,
    ),
    security(()),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    origin: Origin,
    Json { value: request, .. }: Json<Request>,
) -> Result<Response, RouteError> {
    let Request { email, name, password, organisation, invitation } = request;
    let Some(token) = invitation else {
        if state.config.registration == Registration::Invited {
            return Err(RouteError::Closed);
        }
        let email = email.ok_or(RouteError::Missing("email"))?;
        let organisation = organisation.ok_or(RouteError::Missing("organisation"))?;
        register(&state, &origin, email.expose_secret(), name, password, &organisation).await?;
        return Ok((StatusCode::ACCEPTED, Answer(REGISTERED)).into_response());
    };
    let also = [("email", email.is_some()), ("organisation", organisation.is_some())];
    if let Some((field, _)) = also.into_iter().find(|(_, given)| *given) {
        return Err(RouteError::Contradiction(field));
    }
    let joined = join::register(&state, &origin, &token, &name, password).await?;
    Ok((StatusCode::CREATED, Answer(joined)).into_response())
}

async fn register(
    state: &State,
    origin: &Origin,
    email: &str,
    name: String,
    password: SecretString,
    organisation: &str,
) -> Result<(), RouteError> {
    let (email, name) = (check_email(email)?, check_name(&name)?);
    let organisation = check_name(organisation).map_err(of_organisation)?;
    password::check_strength(&password)?;
    let hash = state.hasher.hash(password).await?;
    let hmac = state.guarded(async { Ok(state.accounts.email_hmac(&email).await?) }).await?;
    let propose = registration::propose(state.store.pool(), &hmac, &hash, &organisation);
    let user_id = state.guarded(propose).await?;
    faults::step("register.before_event");
    let claim = Claim { kind: "email", value: hmac };
    let context = CommandContext { claims: vec![claim], ..origin.anonymous(Uuid::nil()) };
    let command = RegisterUser { user_id, email, name, from: origin.address_of(user_id) };
    let stream = StreamId::new(Category::Identity, user_id);
    let decide = |user: &User, now| sign_up(user, command.clone(), now);
    match state.guarded(state.store.execute(&context, stream, decide)).await {
        Ok(Outcome::Accepted(_)) => Ok(()),
        Ok(Outcome::Refused(refusal)) => Err(refusal.into()),
        // An operator is about to make an account for it: that one stands.
        Err(BreakerError::Failed(ExecuteError::ClaimTaken)) => {
            Ok(state.guarded(registration::withdraw(state.store.pool(), user_id)).await?)
        }
        Err(error) => Err(error.into()),
    }
}

fn of_organisation(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Invalid { reason, .. } => Refusal::Invalid { field: "organisation", reason },
        other => other,
    }
}
