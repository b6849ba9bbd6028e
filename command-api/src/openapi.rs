//! The description of this role's part of the HTTP interface.
//!
//! Owns what all operations have in common: the problems, the security scheme, the title. The operations describe themselves.

use std::collections::BTreeMap;

use docket_platform::{ProblemDocument, problem::PROBLEM_JSON};
use utoipa::{
    IntoParams, IntoResponses, Modify, OpenApi, ToSchema,
    openapi::{
        self, ContentBuilder, RefOr, Response, ResponseBuilder,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

/// What the document says before its operations.
#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "Docket: commands", description = "Asks for human decisions and takes them. Reads are elsewhere; writes are here."),
    components(schemas(ProblemDocument)),
    modifiers(&Bearer),
    security(("bearer" = [])),
    tags(
        (name = "auth", description = "Logging in, and access tokens"),
        (name = "api-keys", description = "Keys for software"),
        (name = "webhooks", description = "Whom to tell of what happened"),
        (name = "organisation", description = "Members, invitations, groups"),
        (name = "consultations", description = "Requests for a decision"),
        (name = "knowledge", description = "Entities, and how they are related"),
        (name = "feed", description = "Articles, topics, and what readers keep"),
        (name = "engagement", description = "What readers do with articles and entities"),
    ),
)]
pub(crate) struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let said = "An access token, or an API key where its scopes allow the operation";
        let bearer = Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(Some(said));
        let scheme = SecurityScheme::Http(bearer.build());
        document.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}

/// The problems of every command.
pub(crate) struct CommandProblems;

impl IntoResponses for CommandProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (
                "400",
                "The request cannot be understood: `invalid_json`, `invalid_utf8`, `invalid_header`, `idempotency_key_required`, …",
            ),
            ("401", "No valid token or API key: `unauthorized`, `token_expired`, `key_expired`"),
            ("403", "Not allowed: `forbidden`, `four_eyes`, `not_a_reviewer`, `not_the_requester`"),
            ("404", "There is no such consultation: `not_found`"),
            (
                "409",
                "It has its outcome: `already_ended`, the member `state` says which; somebody else has it in hand: `claimed`; \
                 `delegation_loop`, `too_many`; of its receipt: `no_receipt`, `receipt_redeemed`",
            ),
            ("410", "The person whom it was about was erased: `erased`"),
            ("412", "`If-Match` names another version: `version_mismatch`; the member `version` says which it is"),
            ("413", "Too large: `too_large`, `event_too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields), `idempotency_key_reused`"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, `backlog_full`, with `Retry-After`"),
        ])
    }
}

/// The problems of commands to the feed, and of what readers did.
pub(crate) struct FeedProblems;

impl IntoResponses for FeedProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "The request cannot be understood: `invalid_json`, `invalid_utf8`, `invalid_header`, …"),
            ("401", "No valid token or API key: `unauthorized`, `token_expired`, `key_expired`"),
            ("403", "Not allowed: `forbidden`"),
            ("404", "There is no such article or topic: `not_found`"),
            ("409", "`retracted`, `topic_in_itself`, `topic_has_parts`, `too_many_topics`, `batch_taken`"),
            ("412", "`If-Match` names another version: `version_mismatch`; the member `version` says which it is"),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields), `idempotency_key_reused`"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, `backlog_full`, with `Retry-After`"),
        ])
    }
}

/// The problems of commands to the knowledge graph.
pub(crate) struct KnowledgeProblems;

impl IntoResponses for KnowledgeProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "The request cannot be understood: `invalid_json`, `invalid_utf8`, `invalid_header`, …"),
            ("401", "No valid token or API key: `unauthorized`, `token_expired`, `key_expired`"),
            ("403", "Not allowed: `forbidden`"),
            ("404", "There is no such entity or relationship: `not_found`"),
            (
                "409",
                "`retracted`; `merged_away`, the member `merged_into` says into which; of the entity that is to stay: \
                 `target_retracted`, `target_merged_away`",
            ),
            ("412", "`If-Match` names another version: `version_mismatch`; the member `version` says which it is"),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields), `idempotency_key_reused`"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, `backlog_full`, with `Retry-After`"),
        ])
    }
}

/// The problems of redeeming a receipt.
pub(crate) struct ReceiptProblems;

impl IntoResponses for ReceiptProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "The request cannot be understood: `invalid_json`, `invalid_utf8`, `invalid_header`, …"),
            ("401", "No valid token or API key: `unauthorized`, `token_expired`, `key_expired`"),
            ("403", "Not allowed: `forbidden`"),
            (
                "409",
                "`receipt_redeemed`, with the members `redeemed_by` and `redeemed_at`; `receipt_revoked`, with `revoked_at`; \
                 `receipt_expired`",
            ),
            ("410", "The person whom it was about was erased: `erased`"),
            ("412", "`If-Match` names another version: `version_mismatch`; the member `version` says which it is"),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            (
                "422",
                "`receipt_malformed`: it is no receipt; `receipt_altered`: it is not what was signed, or says something else than what \
                 was decided; `receipt_foreign`: another installation's or organisation's; `receipt_payload_mismatch`: not what was \
                 decided upon; `idempotency_key_reused`",
            ),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, `backlog_full`, with `Retry-After`"),
        ])
    }
}

/// The headers that every command takes.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for the document: `Envelope` reads them")]
pub(crate) struct CommandHeaders {
    /// Repeating the request under the same key gets the first answer
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
    /// The `ETag` that the consultation must have
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// The problems of logging in.
pub(crate) struct LoginProblems;

impl IntoResponses for LoginProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "The request cannot be understood: `invalid_json`, `invalid_utf8`, …"),
            (
                "401",
                "Unknown address, wrong password, or an address that is not confirmed yet: `invalid_credentials`. The password was right, and the account has a second factor: \
                 `second_factor_needed`, `wrong_code`",
            ),
            ("403", "`no_organisation`: the user belongs to none, or not to the one that was named"),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields)"),
            (
                "429",
                "Too many wrong passwords from here: `too_many_attempts`; too many requests: `rate_limited`; with `Retry-After`",
            ),
            ("503", "Not now: `database_unavailable`, `overloaded`, with `Retry-After`"),
        ])
    }
}

/// The problems of renewing tokens.
pub(crate) struct RefreshProblems;

impl IntoResponses for RefreshProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "The request cannot be understood: `invalid_json`, `invalid_utf8`, …"),
            ("401", "`invalid_refresh_token`: it is none of ours, was used before, or its session has ended"),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields)"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, with `Retry-After`"),
        ])
    }
}

/// The problems of what one does with one's own sessions.
pub(crate) struct SessionProblems;

impl IntoResponses for SessionProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "The request cannot be understood: `invalid_json`, `invalid_path`, …"),
            ("401", "No valid token: `unauthorized`, `token_expired`, `token_revoked`"),
            (
                "403",
                "Not allowed: `forbidden` (an API key has no account), `second_factor_required`, `no_organisation`",
            ),
            ("404", "`not_found`: there is no such session"),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields)"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, with `Retry-After`"),
        ])
    }
}

/// The problems of second factors.
pub(crate) struct SecondFactorProblems;

impl IntoResponses for SecondFactorProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "The request cannot be understood: `invalid_json`, `invalid_utf8`, …"),
            ("401", "No valid token: `unauthorized`, `token_expired`, `token_revoked`. Or `wrong_code`"),
            ("403", "`wrong_password`. Or not allowed: `forbidden`, `second_factor_required`"),
            ("409", "`no_second_factor`, `second_factor_exists`, `second_factor_demanded`"),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields)"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, with `Retry-After`"),
        ])
    }
}

/// The problems of asking for a mail.
pub(crate) struct ForgotProblems;

impl IntoResponses for ForgotProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "The request cannot be understood: `invalid_json`, `invalid_utf8`, …"),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields)"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, with `Retry-After`"),
        ])
    }
}

/// The problems of setting a password with a mailed token.
pub(crate) struct ResetProblems;

impl IntoResponses for ResetProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (
                "400",
                "`invalid_token`: the link was used, has expired, or is none of ours. Or the request cannot be understood",
            ),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "`validation_failed`: the password is too short, too long or too easy to guess"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, with `Retry-After`"),
        ])
    }
}

/// The problems of changing a password.
pub(crate) struct ChangePasswordProblems;

impl IntoResponses for ChangePasswordProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "The request cannot be understood: `invalid_json`, `invalid_utf8`, …"),
            ("401", "No valid token: `unauthorized`, `token_expired`"),
            ("403", "`wrong_password`: the current password is wrong. `forbidden`: an API key has none"),
            ("409", "`password_changed`: the password was changed at the same time"),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "`validation_failed`: the password is too short, too long or too easy to guess"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, with `Retry-After`"),
        ])
    }
}

const MANAGE: [(&str, &str); 8] = [
    ("400", "The request cannot be understood: `invalid_json`, `invalid_path`, `invalid_header`, …"),
    ("401", "No valid token: `unauthorized`, `token_expired`, `token_revoked`"),
    ("403", "Not allowed: `forbidden`"),
    ("404", "There is no such member, invitation or group: `not_found`"),
    ("409", "`last_admin`: nobody could manage the organisation any more; `name_taken`, `too_many`"),
    ("412", "`If-Match` names another version: `version_mismatch`; the member `version` says which it is"),
    ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields), `idempotency_key_reused`"),
    ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, `backlog_full`, with `Retry-After`"),
];
const BODY: [(&str, &str); 2] = [("413", "Too large: `too_large`"), ("415", "Not JSON: `unsupported_media_type`")];

/// The problems of commands to an organisation that have no body.
pub(crate) struct ManageProblems;

impl IntoResponses for ManageProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&MANAGE)
    }
}

/// The problems of those that have one.
pub(crate) struct ManageWithBodyProblems;

impl IntoResponses for ManageWithBodyProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[&MANAGE[..], &BODY].concat())
    }
}

/// The problems of accepting an invitation.
pub(crate) struct AcceptProblems;

impl IntoResponses for AcceptProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (
                "400",
                "`invalid_token`: the link was used, was taken back, has expired, or is none of ours. Or the request cannot be understood",
            ),
            ("401", "No valid token: `unauthorized`, `token_expired`, `token_revoked`"),
            ("403", "Not allowed: `forbidden`"),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields)"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, with `Retry-After`"),
        ])
    }
}

/// The problems of registering.
pub(crate) struct RegisterProblems;

impl IntoResponses for RegisterProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (
                "400",
                "`invalid_token`: the invitation was used, was taken back, has expired, or is none of ours. Or the request cannot be understood",
            ),
            ("403", "`registration_closed`: here one registers with an invitation"),
            ("409", "`account_exists`: the invited address has an account; log in and accept the invitation"),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields)"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, with `Retry-After`"),
        ])
    }
}

/// The problems of showing that an address is one's own.
pub(crate) struct VerifyProblems;

impl IntoResponses for VerifyProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (
                "400",
                "`invalid_token`: the link was used, has expired, or is none of ours. Or the request cannot be understood",
            ),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields)"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, with `Retry-After`"),
        ])
    }
}

/// The problems of getting no more mails.
pub(crate) struct UnsubscribeProblems;

impl IntoResponses for UnsubscribeProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "`invalid_token`: the link has expired, or is none of ours. `invalid_form`, `invalid_query`"),
            ("413", "Too large: `too_large`"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, with `Retry-After`"),
        ])
    }
}

/// The problems of reading something that not everybody may see.
pub(crate) struct ReadProblems;

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("401", "No valid token: `unauthorized`, `token_expired`"),
            ("403", "Not allowed: `forbidden`"),
            ("503", "Not now: `database_unavailable`, with `Retry-After`"),
        ])
    }
}

pub(crate) fn problems(table: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let schema = RefOr::Ref(openapi::Ref::from_schema_name(ProblemDocument::name()));
    // Every route is limited; some say more of it.
    [("429", "Too many requests: `rate_limited`, with `Retry-After`")]
        .iter()
        .chain(table)
        .map(|(status, description)| {
            let content = ContentBuilder::new().schema(Some(schema.clone())).build();
            let response = ResponseBuilder::new().description(*description).content(PROBLEM_JSON, content).build();
            ((*status).to_owned(), RefOr::T(response))
        })
        .collect()
}
