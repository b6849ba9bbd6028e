//! `/api/v1/auth/mfa`: setting a second factor up, confirming it, and taking it away.

use axum::{Json as Answer, http::StatusCode};
use docket_domain::identity::{Organisation, User};
use docket_platform::{
    auth::{
        Principal, Restricted,
        permissions::{self, Action},
    },
    clock,
    http::{ClientAddress, Json},
    ids,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{RECOVERY_CODES, SECRET_BYTES, generate_recovery_code, journal, normalise, rows, step_of, totp};
use crate::{
    auth::{attempts, change_password::prove, error::RouteError, origin::Origin, session},
    openapi::SecondFactorProblems,
    roles::event_role,
    state::State,
};

/// The routes of this folder.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(enrol, disable)).routes(routes!(confirm)).routes(routes!(renew_recovery_codes))
}

/// Proof that it is the owner who asks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EnrolSecondFactorRequest)]
struct PasswordOnly {
    /// The password.
    #[schema(value_type = String, format = "password")]
    password: SecretString,
}

/// A code of the app.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SecondFactorCodeRequest)]
struct CodeOnly {
    /// The six digits that the app shows.
    #[schema(value_type = String, example = "123456")]
    code: SecretString,
}

/// Password and code.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DisableSecondFactorRequest)]
struct PasswordAndCode {
    /// The password.
    #[schema(value_type = String, format = "password")]
    password: SecretString,
    /// The six digits that the app shows, or a recovery code.
    #[schema(value_type = String, example = "123456")]
    code: SecretString,
}

/// What an app needs; it counts once it is confirmed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecondFactorOffer)]
struct Offer {
    /// The secret in base 32, for who cannot scan.
    #[schema(example = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")]
    secret: String,
    /// All of it as an `otpauth://` URL.
    otpauth_url: String,
    /// The same as a QR code: a PNG in a data URL.
    qr: String,
}

/// Codes that stand in for the app, each once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecoveryCodes)]
struct Codes {
    /// They are shown this once. Earlier ones are void.
    recovery_codes: Vec<String>,
    /// A sentence to show.
    #[schema(
        example = "Logging in takes a code from now on. Keep the recovery codes where you will find them without your phone."
    )]
    message: &'static str,
}

/// The second factor is gone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecondFactorGone)]
struct Gone {
    /// A sentence to show.
    #[schema(example = "The password is enough again.")]
    message: &'static str,
}

/// A person; keys have no second factor.
fn person(access: &docket_platform::auth::Access) -> Result<Principal, RouteError> {
    permissions::check(&access.principal, Action::ManageSelf)?;
    Ok(access.principal)
}

/// Set up a second factor
///
/// Gives a secret for an authenticator app. It counts once it is confirmed with a code; asked again before that, the first one is void.
#[utoipa::path(
    post, path = "/api/v1/auth/mfa", operation_id = "enrol_second_factor", tag = "auth", request_body = PasswordOnly,
    responses((status = OK, description = "What the app needs", body = Offer), SecondFactorProblems),
)]
async fn enrol(
    axum::extract::State(state): axum::extract::State<State>,
    Restricted(access): Restricted,
    from: ClientAddress,
    Json { value: PasswordOnly { password }, .. }: Json<PasswordOnly>,
) -> Result<Answer<Offer>, RouteError> {
    let principal = person(&access)?;
    attempts::proving(&state, principal.id, from, prove(&state, &principal, password)).await?;
    let mut user: User = session::load(&state, principal.id).await?;
    if user.second_factor {
        return Err(RouteError::SecondFactorThere);
    }
    let secret = ids::random_bytes::<SECRET_BYTES>();
    state.guarded_query(rows::offer(state.store.pool(), principal.id, &secret)).await?;
    let opened = async { Ok(state.store.vault().open(std::slice::from_mut(&mut user)).await?) };
    state.guarded(opened).await?;
    let address = user.registered.as_ref().and_then(|registered| registered.email.value());
    let totp = totp(&secret, address.map_or("account", String::as_str))?;
    let internal = |error| RouteError::Refused(docket_platform::Problem::internal(error));
    Ok(Answer(Offer {
        secret: totp_rs::Secret::from(secret.to_vec()).to_base32(),
        otpauth_url: totp.to_url().map_err(internal)?,
        qr: format!("data:image/png;base64,{}", totp.to_qr_base64().map_err(internal)?),
    }))
}

/// Confirm the second factor
///
/// From now on logging in takes a code. Renew the access token to have it know of that.
#[utoipa::path(
    post, path = "/api/v1/auth/mfa/confirm", operation_id = "confirm_second_factor", tag = "auth", request_body = CodeOnly,
    responses((status = OK, description = "It counts", body = Codes), SecondFactorProblems),
)]
async fn confirm(
    axum::extract::State(state): axum::extract::State<State>,
    Restricted(access): Restricted,
    origin: Origin,
    Json { value: CodeOnly { code }, .. }: Json<CodeOnly>,
) -> Result<Answer<Codes>, RouteError> {
    let principal = person(&access)?;
    let user: User = session::load(&state, principal.id).await?;
    if user.second_factor {
        return Err(RouteError::SecondFactorThere);
    }
    take(&state, principal.id, &code).await?;
    let codes = renew(&state, principal.id).await?;
    // The row first: a factor that counts can be answered by then.
    journal(&state, &origin, &principal, true).await?;
    let message =
        "Logging in takes a code from now on. Keep the recovery codes where you will find them without your phone.";
    Ok(Answer(Codes { recovery_codes: codes, message }))
}

/// Get new recovery codes
///
/// Those there were are void.
#[utoipa::path(
    post, path = "/api/v1/auth/mfa/recovery-codes", operation_id = "renew_recovery_codes", tag = "auth",
    request_body = CodeOnly, responses((status = OK, description = "New ones", body = Codes), SecondFactorProblems),
)]
async fn renew_recovery_codes(
    axum::extract::State(state): axum::extract::State<State>,
    principal: Principal,
    from: ClientAddress,
    Json { value: CodeOnly { code }, .. }: Json<CodeOnly>,
) -> Result<Answer<Codes>, RouteError> {
    permissions::check(&principal, Action::ManageSelf)?;
    let user: User = session::load(&state, principal.id).await?;
    if !user.second_factor {
        return Err(RouteError::NoSecondFactor);
    }
    attempts::proving(&state, principal.id, from, take(&state, principal.id, &code)).await?;
    let recovery_codes = renew(&state, principal.id).await?;
    Ok(Answer(Codes { recovery_codes, message: "Earlier recovery codes are void." }))
}

/// Take the second factor away
///
/// Not where the organisation demands one of the role.
#[utoipa::path(
    delete, path = "/api/v1/auth/mfa", operation_id = "disable_second_factor", tag = "auth", request_body = PasswordAndCode,
    responses((status = OK, description = "The password is enough again", body = Gone), SecondFactorProblems),
)]
async fn disable(
    axum::extract::State(state): axum::extract::State<State>,
    principal: Principal,
    origin: Origin,
    from: ClientAddress,
    Json { value: PasswordAndCode { password, code }, .. }: Json<PasswordAndCode>,
) -> Result<(StatusCode, Answer<Gone>), RouteError> {
    permissions::check(&principal, Action::ManageSelf)?;
    let user: User = session::load(&state, principal.id).await?;
    if !user.second_factor {
        return Err(RouteError::NoSecondFactor);
    }
    let organisation: Organisation = session::load(&state, principal.tenant).await?;
    if session::demands(&state, &organisation, event_role(principal.role)) {
        return Err(RouteError::SecondFactorDemanded);
    }
    let proof = async {
        prove(&state, &principal, password).await?;
        super::check(&state, &origin, principal.id, Some(&code)).await
    };
    attempts::proving(&state, principal.id, from, proof).await?;
    // The event first: what does not count any more may be forgotten.
    journal(&state, &origin, &principal, false).await?;
    state.guarded_query(rows::forget(state.store.pool(), principal.id)).await?;
    Ok((StatusCode::OK, Answer(Gone { message: "The password is enough again." })))
}

/// Takes a code of the app, confirmed or not.
async fn take(state: &State, user: Uuid, code: &SecretString) -> Result<(), RouteError> {
    let secret = state.guarded_query(rows::secret(state.store.pool(), user)).await?;
    let secret = secret.ok_or(RouteError::NoSecondFactor)?;
    let code = normalise(code);
    let step = step_of(&secret.bytes, code.expose_secret(), clock::now())?.ok_or(RouteError::WrongCode)?;
    let taken = state.guarded_query(rows::take_step(state.store.pool(), user, step)).await?;
    if taken { Ok(()) } else { Err(RouteError::WrongCode) }
}

/// New recovery codes in place of the old, in clear.
async fn renew(state: &State, user: Uuid) -> Result<Vec<String>, RouteError> {
    let shown: Vec<SecretString> = (0..RECOVERY_CODES).map(|_| generate_recovery_code()).collect();
    let kept: Vec<SecretString> = shown.iter().map(normalise).collect();
    state.guarded_query(rows::confirm(state.store.pool(), user, &kept)).await?;
    Ok(shown.iter().map(|code| code.expose_secret().to_owned()).collect())
}
