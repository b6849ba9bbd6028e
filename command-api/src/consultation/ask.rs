//! `POST /api/v1/consultations`: ask for a decision.

use axum::{http::StatusCode, response::Response};
use chrono::{DateTime, NaiveDateTime};
use docket_domain::{
    consultation::{self, Due, Expire, Refusal, view::ConsultationView},
    identity::Organisation,
};
use docket_events::{
    consultation::{Person, Priority, TemplateUsed, WithdrawalReason},
    engagement::Item,
};
use docket_log::{CommandContext, Statuses, faults};
use docket_platform::{
    auth::{Principal, permissions::Action},
    http::Json,
    ids,
};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    error::RouteError,
    run::{self, Done},
    template,
    terms::{self, AnswerRequest, EscalationRequest, Reviewer, RuleRequest, Wanted},
};
use crate::{
    auth::session::load,
    envelope::{Envelope, Needs},
    existing,
    openapi::CommandProblems,
    state::State,
};

const MAX_SUBJECT_CHARS: usize = 200;

/// What is to be decided.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AskRequest, example = json!({
    "title": "Deploy release 4.2 to production?",
    "body": "All checks passed. **Migration**: adds one index.",
    "context": {"pipeline": 8841, "commit": "3f2a91c"},
    "external_id": "pipeline-8841",
    "timeout_minutes": 60
}))]
pub(super) struct Request {
    /// One line that says what is to be decided, 1 to 200 characters; needed unless the template has one.
    #[schema(required = false)]
    title: String,
    /// The request in full, Markdown, at most 64 KiB.
    body: Option<String>,
    /// What the asker's software wants to hand along: any JSON, at most 200 KiB.
    context: Option<Value>,
    /// The asker's own name for this request. Asking again under the same name gets the first request.
    external_id: Option<String>,
    /// From this instant on it has timed out: with an offset, such as `2026-06-01T12:00:00Z`, or the time on the wall of `time_zone`,
    /// such as `2026-06-01T12:00:00`. Not together with `timeout_minutes`.
    #[schema(example = "2026-06-01T12:00:00Z")]
    deadline: Option<String>,
    /// The zone of a `deadline` without an offset, by its IANA name, such as `Europe/Berlin`.
    time_zone: Option<String>,
    /// It times out so many minutes after it was asked. Not together with `deadline`.
    #[schema(minimum = 1, maximum = 5_256_000)]
    timeout_minutes: Option<u32>,
    /// Whether `timeout_minutes` and escalations count the organisation's business time only.
    #[serde(default)]
    business_time: bool,
    /// Who may answer: users, groups and roles; none named: every reviewer of the organisation.
    #[serde(default)]
    reviewers: Vec<Reviewer>,
    /// What is asked for; yes or no if not given.
    answer: Option<AnswerRequest>,
    /// When votes are an outcome; the first one if not given.
    rule: Option<RuleRequest>,
    /// Whether neither who asks nor who made the key that asks may answer; so it is if not given.
    four_eyes: Option<bool>,
    /// How soon it is wanted; `normal` if not given.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(low|normal|high|urgent)$")]
    priority: Priority,
    /// Words to find it by, at most 20.
    #[serde(default)]
    labels: Vec<String>,
    /// Whom it is about: a member's id, or the asker's own name for a person. Body, context, proposal and answers then belong to that
    /// person and go when the person is erased; the title does not.
    subject: Option<String>,
    /// What counts when the deadline passes: `nothing` (if not given), `approve`, `reject`, or one of the options.
    on_timeout: Option<String>,
    /// When reviewers are reminded: so many minutes before the deadline.
    #[serde(default)]
    reminders: Vec<u32>,
    /// What happens when there is no decision after a while.
    #[serde(default)]
    escalations: Vec<EscalationRequest>,
    /// Whether the clock stands still while a reviewer waits for information.
    #[serde(default)]
    questions_stop_clock: bool,
    /// Where the asker wants to be told of the outcome: an `https` or `http` URL.
    callback_url: Option<String>,
    /// How many minutes the receipt of the outcome holds; 1440, a day, if not given.
    #[schema(minimum = 1, maximum = 525_600)]
    receipt_minutes: Option<u32>,
    /// What it rests on: articles and entities that the organisation has, at most 50.
    #[serde(default)]
    cites: Vec<Cited>,
    /// A request that the organisation has prepared; what is given besides stands in place of what it says.
    pub(super) template: Option<template::Used>,
    /// The id of an own consultation in whose place this one stands: it is withdrawn as superseded.
    supersedes: Option<Uuid>,
}

/// An article or an entity.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CitedRequest, example = json!({"entity_id": "01990000-0000-7000-8000-0000000000e1"}))]
struct Cited {
    /// The article.
    article_id: Option<Uuid>,
    /// The entity, in place of an article.
    entity_id: Option<Uuid>,
}

pub(super) struct Ask;

impl Needs for Ask {
    const ACTION: Action = Action::Ask;
}

/// The id of the consultation that `tenant` knows as `external_id`: the same whenever it is asked, and by whom.
#[must_use]
pub fn stream_of(tenant: Uuid, external_id: &str) -> Uuid {
    Uuid::new_v5(&tenant, format!("consultation:{external_id}").as_bytes())
}

fn due(request: &Request) -> Result<Option<Due>, RouteError> {
    let Some(deadline) = &request.deadline else {
        if request.time_zone.is_some() {
            return Err(RouteError::wrong("time_zone", "must be given with a `deadline` only"));
        }
        return Ok(request.timeout_minutes.map(|minutes| Due::After { minutes }));
    };
    if request.timeout_minutes.is_some() {
        let reason = "must not be given together with `deadline`";
        return Err(RouteError::Contradiction { field: "timeout_minutes", reason });
    }
    let local = deadline.parse::<NaiveDateTime>();
    match (DateTime::parse_from_rfc3339(deadline), local, &request.time_zone) {
        (Ok(instant), _, None) => Ok(Some(Due::At(instant.to_utc()))),
        (Ok(_), _, Some(_)) => {
            Err(RouteError::wrong("time_zone", "must not be given with a `deadline` that has an offset"))
        }
        (Err(_), Ok(at), Some(time_zone)) => Ok(Some(Due::Local { at, time_zone: time_zone.clone() })),
        (Err(_), Ok(_), None) => Err(RouteError::wrong("deadline", "must have an offset, or come with a `time_zone`")),
        (Err(_), Err(_), _) => {
            Err(RouteError::wrong("deadline", "must be a date and time of RFC 3339, such as `2026-06-01T12:00:00Z`"))
        }
    }
}

fn callback(url: Option<&str>) -> Result<(), RouteError> {
    let Some(text) = url else { return Ok(()) };
    check_url(text).map_err(|reason| RouteError::wrong("callback_url", reason))
}

/// Whether something can be sent to `url` as far as its text tells: the rest of a sentence that begins with the field's name.
pub(crate) fn check_url(text: &str) -> Result<(), &'static str> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match url {
        None => Err("must be an `https` or `http` URL"),
        Some(url) if !url.username().is_empty() || url.password().is_some() => Err("must not hold credentials"),
        Some(_) => Ok(()),
    }
}

/// Whom it is about: a member, or somebody whom the asker has a name for; each tenant has its own people.
async fn subject(state: &State, tenant: Uuid, text: Option<String>) -> Result<Option<Person>, RouteError> {
    let Some(text) = text else { return Ok(None) };
    if !(1..=MAX_SUBJECT_CHARS).contains(&text.trim().chars().count()) || text.chars().any(char::is_control) {
        return Err(RouteError::wrong("subject", format!("must have 1 to {MAX_SUBJECT_CHARS} characters")));
    }
    if let Ok(user) = text.parse::<Uuid>() {
        let organisation: Organisation = load(state, tenant).await?;
        if organisation.members.contains_key(&user)
            && let Some(name) = state.guarded(state.people.name(user)).await?
        {
            return Ok(Some(Person::named(user, &*name)));
        }
    }
    let id = Uuid::new_v5(&tenant, format!("subject:{text}").as_bytes());
    Ok(Some(Person::named(id, text)))
}

/// What it rests on: all of it is there to be read, whatever becomes of it later.
async fn cited(state: &State, tenant: Uuid, cited: Vec<Cited>) -> Result<Vec<Item>, RouteError> {
    let item = |cited| match cited {
        Cited { article_id: Some(id), entity_id: None } => Ok(Item::Article(id)),
        Cited { article_id: None, entity_id: Some(id) } => Ok(Item::Entity(id)),
        Cited { .. } => Err(RouteError::wrong("cites", "must each name either an article or an entity")),
    };
    let items = cited.into_iter().map(item).collect::<Result<Vec<Item>, RouteError>>()?;
    for (kind, name) in [(existing::ARTICLES, "article"), (existing::ENTITIES, "entity")] {
        let ids: Vec<Uuid> = items.iter().filter(|item| item.kind() == name).map(|item| item.id()).collect();
        let found = async { Ok(existing::among(state.store.pool(), tenant, kind, &ids).await?) };
        let there = state.guarded(found).await?;
        if let Some(id) = ids.iter().find(|id| !there.contains(id)) {
            return Err(RouteError::wrong("cites", format!("must be of the organisation; it has no {name} {id}")));
        }
    }
    Ok(items)
}

/// The command of a request, with everything looked up.
pub(super) async fn command(
    state: &State,
    principal: &Principal,
    requested_by: Person,
    request: Request,
) -> Result<consultation::Request, RouteError> {
    let deadline = due(&request)?;
    callback(request.callback_url.as_deref())?;
    let Request { title, body, context, external_id, priority, labels, callback_url, supersedes, .. } = request;
    let Request { reviewers, answer, rule, four_eyes, on_timeout, reminders, escalations, .. } = request;
    let Request { business_time, questions_stop_clock, subject: about, template, receipt_minutes, cites, .. } = request;
    let subject = subject(state, principal.tenant, about).await?;
    let cites = cited(state, principal.tenant, cites).await?;
    let wanted = Wanted {
        reviewers,
        answer,
        rule,
        four_eyes,
        on_timeout,
        reminders,
        escalations,
        questions_stop_clock,
        business_time,
        subject,
    };
    let organisation =
        if wanted.names_somebody() { load(state, principal.tenant).await? } else { Organisation::default() };
    let (reviewers, terms) = terms::resolve(wanted, &organisation)?;
    let key_made_by = match principal.scopes {
        Some(_) => state.guarded(state.people.key_maker(principal.id)).await?,
        None => None,
    };
    Ok(consultation::Request {
        body,
        context,
        external_id,
        key_made_by,
        reviewers,
        deadline,
        priority,
        labels,
        callback_url,
        supersedes,
        template: template.map(|used| TemplateUsed { name: used.name, version: used.version.unwrap_or(0) }),
        receipt_minutes,
        cites,
        terms,
        ..consultation::Request::new(title, requested_by)
    })
}

/// Ask for a decision
///
/// Reviewers answer it, or its deadline passes. With an `external_id`, asking again changes nothing and answers 200 with the first
/// request as it stands.
#[utoipa::path(
    post, path = "/api/v1/consultations", operation_id = "ask", tag = "consultations", request_body = Request,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the consultation must have"),
    ),
    responses(
        (status = CREATED, description = "Asked", body = ConsultationView, headers(
            ("Location" = String, description = "Where the consultation is read"),
            ("ETag" = String, description = "The version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        (status = OK, description = "Asked before under this `external_id`: the first request", body = ConsultationView),
        CommandProblems,
    ),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Ask>,
    Json { value: body, hash }: Json<Value>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let context = envelope.context(hash, STATUSES);
    let (status, done) = ask(&state, &envelope.principal, &context, by, body).await?;
    let location = format!("/api/v1/consultations/{}", done.view.id);
    Ok(done.answer(status, Some(location)))
}

/// What asking answers when it made something, and when it found the first request.
pub(super) const STATUSES: Statuses =
    Statuses { changed: StatusCode::CREATED.as_u16(), unchanged: StatusCode::OK.as_u16() };

/// Asks once, as `body` has it.
pub(super) async fn ask(
    state: &State,
    principal: &Principal,
    context: &CommandContext,
    by: Person,
    body: Value,
) -> Result<(StatusCode, Done), RouteError> {
    let named =
        body.get("external_id").and_then(Value::as_str).map(|external_id| stream_of(principal.tenant, external_id));
    // On the heap: requests are large, and so is what waits for them.
    let request = match Box::pin(template::fill(state, principal.tenant, body)).await {
        Ok(request) => request,
        Err(error @ RouteError::Wrong { .. }) => {
            // What was asked before is answered as it was, whatever has become of the template.
            let done = run::as_before(state, context, named.unwrap_or_else(ids::new_id), error).await?;
            return Ok((status_of(&done), done));
        }
        Err(error) => return Err(error),
    };
    let supersedes = request.supersedes;
    // Invented once: every attempt of this request writes the same stream.
    let id =
        request.external_id.as_deref().map_or_else(ids::new_id, |external_id| stream_of(principal.tenant, external_id));
    let looked_up = async {
        let command = command(state, principal, by.clone(), request).await?;
        if let Some(older) = supersedes {
            can_be_superseded(state, context, principal, older, id).await?;
        }
        Ok(command)
    };
    let done = match Box::pin(looked_up).await {
        Ok(command) => run::run(state, context, id, command.into()).await?,
        // What was asked before is answered as it was, whoever has left since.
        Err(error) => run::as_before(state, context, id, error).await?,
    };
    faults::step("ask.before_supersession");
    if let Some(older) = supersedes {
        supersede(state, context, by, older).await?;
    }
    Ok((status_of(&done), done))
}

/// Asking again may find the first request overdue and record that: something changed, but nothing was created.
fn status_of(done: &Done) -> StatusCode {
    let created = done.status == StatusCode::CREATED.as_u16() && done.view.updated_at == done.view.requested_at;
    if created { StatusCode::CREATED } else { StatusCode::OK }
}

/// Refuses unless `older` is the asker's own, and pending, or superseded before by the same request.
async fn can_be_superseded(
    state: &State,
    context: &CommandContext,
    principal: &Principal,
    older: Uuid,
    id: Uuid,
) -> Result<(), RouteError> {
    if older == id {
        return Err(RouteError::wrong("supersedes", "must not be the consultation itself"));
    }
    let found = match run::run(state, &run::for_another(context), older, Expire.into()).await {
        Ok(done) => done.view,
        Err(RouteError::Refused(Refusal::NotFound)) => {
            return Err(RouteError::wrong("supersedes", "must be a consultation of the organisation"));
        }
        Err(error) => return Err(error),
    };
    if found.requested_by.id != principal.id {
        return Err(RouteError::wrong("supersedes", "must be a consultation that the same asker asked"));
    }
    let superseded = found.withdrawal.is_some_and(|withdrawal| withdrawal.reason == WithdrawalReason::Superseded);
    if found.state == consultation::State::Pending || superseded {
        return Ok(());
    }
    Err(RouteError::wrong("supersedes", format!("must be pending; it is {}", found.state)))
}

/// Withdraws what another stands in the place of. Whoever was cut off before this repeats the request, and it is done then.
async fn supersede(state: &State, context: &CommandContext, by: Person, older: Uuid) -> Result<(), RouteError> {
    let reason = WithdrawalReason::Superseded;
    let command = consultation::Withdraw { by, reason, comment: None, as_admin: false };
    match run::run(state, &run::for_another(context), older, command.into()).await {
        // It was decided in this very moment: that stands.
        Ok(_) | Err(RouteError::Refused(Refusal::AlreadyEnded { .. })) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_id_names_one_consultation_a_tenant() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(stream_of(one, "a"), stream_of(one, "a"));
        assert_ne!(stream_of(one, "a"), stream_of(one, "b"));
        assert_ne!(stream_of(one, "a"), stream_of(other, "a"));
        assert_eq!(stream_of(one, "a").get_version_num(), 5);
    }
}
