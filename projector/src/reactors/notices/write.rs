//! What a letter says, and who need not be told any more.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use docket_domain::{
    identity::Organisation,
    notice::{Case, Kind, Topic, administrators},
};
use docket_events::{
    consultation::{Answer, ConsultationEvent, Content, Decision, Person, Priority, Requested},
    identity::{EndpointEnd, IdentityEvent, WebhookEndpointDisabled},
};
use docket_log::Vault;
use docket_platform::clock;
use sqlx::PgPool;
use uuid::Uuid;

use super::{
    Unsaid,
    queue::Waiting,
    sources::{self, Endpoints, Story},
};
use crate::mail::templates::{LISTED, Notice, when};

/// Consultations that are held in memory at once.
const AT_ONCE: usize = 50;

/// Reads what letters are made of.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) pool: PgPool,
    pub(super) vault: Vault,
    /// Where people see this installation.
    pub(super) url: String,
}

/// What of several notices is still to be told to a reader.
#[derive(Default)]
pub(super) struct Told {
    /// Of what they are, in the order in which they are told.
    pub(super) ids: Vec<Uuid>,
    /// What they belong to.
    pub(super) topics: BTreeSet<Option<Topic>>,
    /// The first of them in full.
    pub(super) listed: Vec<Notice>,
    /// What is not told, and why.
    pub(super) moot: Vec<(Uuid, &'static str)>,
}

/// What a notice is about.
struct Found<'a> {
    waiting: &'a Waiting,
    organisation: &'a Organisation,
}

impl Writer {
    /// What of `notices` is still to be told to `user`.
    pub(super) async fn tell(&self, user: Uuid, notices: &[Waiting]) -> Result<Told, Unsaid> {
        let mut told = Told::default();
        let tenants: BTreeSet<Uuid> = notices.iter().map(|notice| notice.tenant).collect();
        let organisations = sources::organisations(&self.pool, &tenants).await?;
        // Of several notices about one consultation the last tells where it stands.
        let last: HashMap<Uuid, Uuid> = {
            let mut sorted: Vec<&Waiting> = notices.iter().collect();
            sorted.sort_by_key(|notice| (notice.noted_at, notice.id));
            sorted.into_iter().map(|notice| (notice.stream, notice.id)).collect()
        };
        let (kept, earlier): (Vec<&Waiting>, Vec<&Waiting>) = notices
            .iter()
            .partition(|notice| !sources::is_consultation(notice.category) || last[&notice.stream] == notice.id);
        told.moot.extend(earlier.into_iter().map(|notice| (notice.id, "a later one tells more")));
        for some in kept.chunks(AT_ONCE) {
            let streams: HashSet<Uuid> = some.iter().map(|notice| notice.stream).collect();
            let streams: Vec<Uuid> = streams.into_iter().collect();
            let mut stories = sources::consultations(&self.pool, &streams).await?;
            let mut endpoints = HashMap::new();
            if some.iter().any(|notice| !sources::is_consultation(notice.category)) {
                endpoints = sources::endpoints(&self.pool, &streams).await?;
            }
            for waiting in some {
                let Some(organisation) = organisations.get(&waiting.tenant) else {
                    told.moot.push((waiting.id, "there is no such organisation"));
                    continue;
                };
                let found = Found { waiting, organisation };
                let judged = match sources::is_consultation(waiting.category) {
                    true => self.consultation(user, &found, &mut stories, told.listed.len() < LISTED).await?,
                    false => self.endpoint(user, &found, &mut endpoints).await?,
                };
                match judged {
                    Err(why) => told.moot.push((waiting.id, why)),
                    Ok(notice) => {
                        told.ids.push(waiting.id);
                        told.topics.insert(waiting.kind.and_then(Kind::topic));
                        told.listed.extend(notice.filter(|_| told.listed.len() < LISTED));
                    }
                }
            }
        }
        Ok(told)
    }

    /// What is told of a consultation, where it is wanted in full; an error: why it is not told.
    async fn consultation(
        &self,
        user: Uuid,
        Found { waiting, organisation }: &Found<'_>,
        stories: &mut HashMap<Uuid, Story>,
        in_full: bool,
    ) -> Result<Result<Option<Notice>, &'static str>, Unsaid> {
        let Some(kind) = waiting.kind else { return Ok(Err("this release knows no such notice")) };
        let Some(story) = stories.get_mut(&waiting.stream) else { return Ok(Err("the consultation cannot be read")) };
        let Some(event) = story.event(waiting.event).cloned() else { return Ok(Err("the event cannot be read")) };
        let case =
            Case { event: &event, history: &story.events, consultation: &story.state, organisation, now: clock::now() };
        if let Some(why) = case.why_moot(user) {
            return Ok(Err(why));
        }
        if !in_full {
            return Ok(Ok(None));
        }
        self.vault.open(std::slice::from_mut(&mut story.state)).await?;
        let mut opened = [event];
        self.vault.open(&mut opened).await?;
        let [event] = opened;
        let Some(asked) = &story.state.asked else { return Ok(Err("the consultation cannot be read")) };
        Ok(Ok(Some(Notice {
            kind,
            title: asked.request.title.clone(),
            organisation: organisation.name.clone().unwrap_or_default(),
            by: author(&event, &asked.request).and_then(|person| person.name.value().cloned()),
            facts: facts(&event, story).into_iter().chain(shown(kind, organisation)).collect(),
            link: format!("{}/consultations/{}", self.url, waiting.stream),
        })))
    }

    /// The same of an endpoint of webhooks.
    async fn endpoint(
        &self,
        user: Uuid,
        Found { waiting, organisation }: &Found<'_>,
        endpoints: &mut HashMap<Uuid, Endpoints>,
    ) -> Result<Result<Option<Notice>, &'static str>, Unsaid> {
        if !administrators(organisation).contains(&user) {
            return Ok(Err("the reader is no administrator any more"));
        }
        let Some(known) = endpoints.get_mut(&waiting.stream) else { return Ok(Err("the endpoint cannot be read")) };
        let Some(IdentityEvent::WebhookEndpointDisabled(event)) = known.events.get(&waiting.event).cloned() else {
            return Ok(Err("the event cannot be read"));
        };
        self.vault.open(std::slice::from_mut(&mut known.state)).await?;
        let endpoint = known.state.endpoints.get(&event.endpoint_id);
        let Some(endpoint) = endpoint.filter(|endpoint| endpoint.disabled.is_some()) else {
            return Ok(Err("the endpoint is enabled again, or gone"));
        };
        let host = || endpoint.url.value().map(|url| host(url).to_owned());
        Ok(Ok(Some(Notice {
            kind: Kind::WebhookDisabled,
            title: endpoint.description.clone().or_else(host).unwrap_or_else(|| event.endpoint_id.to_string()),
            organisation: organisation.name.clone().unwrap_or_default(),
            by: None,
            facts: of_endpoint(&event, host()),
            link: format!("{}/docs", self.url),
        })))
    }
}

/// Who did it.
const fn author<'a>(event: &'a ConsultationEvent, request: &'a Requested) -> Option<&'a Person> {
    match event {
        ConsultationEvent::Requested(_) => Some(&request.requested_by),
        ConsultationEvent::Assigned(event) => Some(&event.by),
        ConsultationEvent::Delegated(event) => Some(&event.by),
        ConsultationEvent::InformationRequested(event) => Some(&event.by),
        ConsultationEvent::InformationProvided(event) => Some(&event.by),
        _ => None,
    }
}

/// What else there is to know. What a consultation about a person decided is told by no mail.
fn facts(event: &ConsultationEvent, story: &Story) -> Vec<(&'static str, String)> {
    let state = &story.state;
    let is_private = state.subject().is_some();
    match event {
        ConsultationEvent::Responded(_) | ConsultationEvent::TimedOut(_) if is_private => Vec::new(),
        ConsultationEvent::Responded(event) => {
            event.answer().and_then(|answer| words(&answer)).map(|words| ("Decision", words)).into_iter().collect()
        }
        ConsultationEvent::TimedOut(event) => {
            let counts = event.default.as_ref().and_then(words);
            counts.map(|words| ("What counts now", words)).into_iter().collect()
        }
        ConsultationEvent::Withdrawn(_) => Vec::new(),
        _ => {
            let deadline = state.clock.deadline.filter(|_| state.clock.stopped_at.is_none());
            let urgency = match state.work.priority {
                Priority::Urgent => Some("urgent"),
                Priority::High => Some("high"),
                Priority::Normal | Priority::Low => None,
            };
            let until = deadline.map(|deadline: DateTime<Utc>| ("Until", when(deadline)));
            let priority = urgency.map(|urgency| ("Priority", urgency.to_owned()));
            until.into_iter().chain(priority).collect()
        }
    }
}

/// Said to whoever may vote, where the organisation shows it.
fn shown(kind: Kind, organisation: &Organisation) -> Option<(&'static str, String)> {
    let votes = matches!(kind, Kind::Asked | Kind::Assigned | Kind::Delegated | Kind::Reminded | Kind::Escalated);
    let fact =
        || ("Shown with your vote", "what you open beforehand of what it cites, or while you consider it".to_owned());
    (votes && organisation.reading_shown.is_some()).then(fact)
}

fn words(answer: &Answer) -> Option<String> {
    let decision = answer.decision.map(|decision| match decision {
        Decision::Approve => "approved",
        Decision::Reject => "rejected",
    });
    match (&answer.content, decision) {
        (Some(Content::Choices(chosen)), _) => Some(chosen.join(", ")),
        (Some(Content::Changes { .. }), Some(decision)) => Some(format!("{decision} with changes")),
        (_, decision) => decision.map(ToOwned::to_owned),
    }
}

fn of_endpoint(event: &WebhookEndpointDisabled, host: Option<String>) -> Vec<(&'static str, String)> {
    let why = match event.reason {
        EndpointEnd::Off => "somebody turned it off",
        EndpointEnd::Gone => "it answered that it is gone",
        EndpointEnd::Failing => "nothing reached it any more",
    };
    let since = event.failing_since.map(|since| ("Since", when(since)));
    let place = host.map(|host| ("Where", host));
    [place, Some(("Why", why.to_owned())), since].into_iter().flatten().collect()
}

/// What of a URL names the receiver: paths and queries of chat systems hold credentials, and so may what is before the host.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_endpoint_its_host_is_told_and_no_credential() {
        assert_eq!(host("https://hooks.example.org/services/T0/B0/secret?x=1"), "hooks.example.org");
        assert_eq!(host("https://me:secret@hooks.example.org:8443#x"), "hooks.example.org:8443");
    }

    #[test]
    fn an_answer_is_told_in_a_word() {
        let of = |content, decision| words(&Answer { decision, content, comment: None });
        assert_eq!(of(None, Some(Decision::Reject)).as_deref(), Some("rejected"));
        assert_eq!(of(Some(Content::Choices(vec!["eu".into(), "us".into()])), None).as_deref(), Some("eu, us"));
        assert_eq!(of(Some(Content::Form(serde_json::json!({}))), None), None);
    }
}
