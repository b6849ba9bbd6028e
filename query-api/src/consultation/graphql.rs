//! Consultations in GraphQL: the types, and nothing that reads them but their history.
//!
//! Owns names and nullability. They follow the view that REST shows, in camelCase.

use async_graphql::{
    ComplexObject, Context, Enum, InputObject, Json, Object, Result, SimpleObject, dataloader::DataLoader,
};
use docket_domain::consultation::{
    Receipt, State,
    view::{ConsultationView, HistoryView, PersonView, VoteView, WithdrawalView},
};
use docket_events::consultation::WithdrawalReason;
use docket_platform::{Problem, auth::Principal};
use serde_json::Value;
use uuid::Uuid;

use super::{
    as_of::AsOf,
    filter::{Filter, Reviewer, Sort},
    graphql_terms::{DecisionWord, Outcome, PriorityWord, Terms, Vote},
    history::{Histories, Votes},
    reading::{self, Cited, VoteReading},
    rows::Stats,
};
use crate::{
    changes::Changed,
    graphql::{Asker, Instant, error},
};

/// What a history is counted as: how many entries it may be expected to have.
const HISTORY_COST: usize = 10;
/// The same of what was read.
const READING_COST: usize = 20;

/// Where a consultation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "State")]
pub enum ConsultationState {
    /// Asked, and not ended yet.
    Pending,
    /// Decided by votes.
    Responded,
    /// The deadline passed first.
    TimedOut,
    /// Taken back.
    Withdrawn,
}

/// Why a consultation was taken back before an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "WithdrawalReason", name = "WithdrawalReason")]
pub enum ReasonWord {
    /// The asker took it back.
    Withdrawn,
    /// An administrator cancelled it.
    Cancelled,
    /// A newer consultation stands in its place.
    Superseded,
}

/// A person, by the name it bore at the time of the act.
#[derive(Debug, Clone, SimpleObject)]
pub struct Person {
    /// The person's id.
    id: Uuid,
    /// The name; null when it was erased.
    name: Option<String>,
    /// Whether the person was erased.
    erased: bool,
}

impl From<PersonView> for Person {
    fn from(person: PersonView) -> Self {
        Self { id: person.id, name: person.name, erased: person.erased }
    }
}

/// How it was taken back.
#[derive(Debug, Clone, SimpleObject)]
pub struct Withdrawal {
    /// Why.
    reason: ReasonWord,
    /// Who took it back.
    by: Person,
    /// In that person's words.
    comment: Option<String>,
    /// When.
    at: Instant,
}

impl From<WithdrawalView> for Withdrawal {
    fn from(withdrawal: WithdrawalView) -> Self {
        Self {
            reason: withdrawal.reason.into(),
            by: withdrawal.by.into(),
            comment: withdrawal.comment,
            at: Instant(withdrawal.at),
        }
    }
}

/// One event of a consultation.
#[derive(Debug, Clone, SimpleObject)]
pub struct HistoryEntry {
    /// The version that the event led to.
    version: u64,
    /// What happened: requested, terms_set, commented, claimed, released, assigned, delegated, information_requested,
    /// information_provided, reminded, escalated, vote_cast, responded, withdrawn, timed_out, late_response_recorded,
    /// receipt_redeemed or receipt_revoked; later releases may add to these.
    kind: String,
    /// When.
    at: Instant,
    /// Who did it; null when it was the clock.
    by: Option<Person>,
    /// The decision of a vote, an outcome or a late response.
    decision: Option<DecisionWord>,
    /// What was said.
    comment: Option<String>,
    /// Why it was withdrawn.
    reason: Option<ReasonWord>,
    /// To whom it was assigned or delegated.
    to: Option<Person>,
    /// What else the event tells: what was chosen, given or changed, which question, what was due.
    details: Option<Json<Value>>,
    /// The event's id.
    event_id: Uuid,
}

impl From<HistoryView> for HistoryEntry {
    fn from(entry: HistoryView) -> Self {
        Self {
            version: entry.version,
            kind: entry.kind,
            at: Instant(entry.at),
            by: entry.by.map(Into::into),
            decision: entry.decision.map(Into::into),
            comment: entry.comment,
            reason: entry.reason.map(Into::into),
            to: entry.to.map(Into::into),
            details: entry.details.map(Json),
            event_id: entry.event_id,
        }
    }
}

/// A template, in the version that was used.
#[derive(Debug, Clone, SimpleObject)]
pub struct TemplateUsed {
    /// What it is called.
    name: String,
    /// Which version of it.
    version: u64,
}

/// A request for a human decision.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct Consultation {
    /// The consultation's id.
    pub id: Uuid,
    /// Where it stands.
    state: ConsultationState,
    /// One line that says what is to be decided.
    title: String,
    /// The request in full, Markdown.
    body: Option<String>,
    /// What the asker's software handed along.
    context: Option<Json<Value>>,
    /// The asker's own name for this request.
    external_id: Option<String>,
    /// Who asked.
    requested_by: Person,
    /// When it was asked.
    requested_at: Instant,
    /// Who may answer by name; empty, and the terms name nobody: every reviewer of the organisation.
    reviewers: Vec<Uuid>,
    /// Who may answer besides, since an escalation.
    added_reviewers: Vec<Uuid>,
    /// How it is decided.
    terms: Terms,
    /// From this instant on it has timed out; null also while the clock stands still.
    deadline: Option<Instant>,
    /// Since when the clock stands still, because the asker is asked for information.
    clock_stopped_at: Option<Instant>,
    /// How soon it is wanted by now.
    priority: PriorityWord,
    /// Words to find it by.
    labels: Vec<String>,
    /// Whom it is about.
    subject: Option<Person>,
    /// Where the asker wants to be told of the outcome.
    callback_url: Option<String>,
    /// The consultation in whose place this one stands.
    supersedes: Option<Uuid>,
    /// The template that it was made from.
    template: Option<TemplateUsed>,
    /// Who has it in hand.
    claimed_by: Option<Person>,
    /// How many questions wait for the asker's answer.
    open_question_count: u32,
    /// How many have voted.
    vote_count: u32,
    /// How many minutes the receipt of the outcome holds.
    receipt_minutes: u32,
    /// What it rests on.
    cites: Vec<Cited>,
    /// The version at which the request stood, with how it is decided.
    request_version: u64,
    /// When it ended; null while it is pending.
    ended_at: Option<Instant>,
    /// The decision; null unless it was responded to.
    outcome: Option<Outcome>,
    /// Why it was taken back; null unless it was.
    withdrawal: Option<Withdrawal>,
    /// How many comments were made.
    comment_count: u32,
    /// How many answers came after the deadline.
    late_response_count: u32,
    /// The version of its stream: how many events it has.
    version: u64,
    /// The time of its last event.
    updated_at: Instant,
    /// What the receipt of the outcome says.
    #[graphql(skip)]
    claims: Option<Receipt>,
    /// The votes that counted then, where it is told as it stood.
    #[graphql(skip)]
    then: Option<Vec<VoteView>>,
}

#[ComplexObject]
impl Consultation {
    /// The last vote of each who voted, in the order of the stream.
    #[graphql(complexity = "1 + HISTORY_COST * child_complexity")]
    async fn votes(&self, context: &Context<'_>) -> Result<Vec<Vote>> {
        if let Some(votes) = &self.then {
            return Ok(votes.iter().cloned().map(Into::into).collect());
        }
        let votes = context.data::<DataLoader<Votes>>()?;
        let votes = votes.load_one(self.id).await.map_err(|problem| error::from_problem(&problem))?;
        Ok(votes.unwrap_or_default().into_iter().map(Into::into).collect())
    }

    /// The signed receipt of the outcome, a JWS (RFC 7515): see `docs/receipts.md`. Null while it is pending, when it was withdrawn, and when
    /// the person whom it is about was erased.
    async fn receipt(&self, context: &Context<'_>) -> Result<Option<String>> {
        let Some(claims) = &self.claims else { return Ok(None) };
        let asker = Asker::of(context)?;
        let signed = async {
            let keys = asker.gate.reads().receipts().keys().await?;
            keys.sign(asker.principal.tenant, claims.iat, claims)
        };
        signed.await.map(Some).map_err(|error| error::from_problem(&Problem::from(error)))
    }

    /// Since when what reviewers open of what a consultation cites, or while they consider it, is shown with the vote that they cast after it;
    /// null: it is not.
    async fn reading_shown_since(&self, context: &Context<'_>) -> Result<Option<Instant>> {
        let since = Box::pin(reading::since(Asker::of(context)?)).await.map_err(error::from_read)?;
        Ok(since.map(Instant))
    }

    /// What the voters had opened before they voted, by vote, in the order of the stream; the last 500.
    #[graphql(complexity = "1 + READING_COST * child_complexity")]
    async fn reading(&self, context: &Context<'_>) -> Result<Vec<VoteReading>> {
        let read = reading::of(Asker::of(context)?, self.id, &self.cites);
        let mut votes = Box::pin(read).await.map_err(error::from_read)?;
        // As it stood, it had no more than so many events.
        votes.retain(|vote| vote.version <= self.version || self.then.is_none());
        Ok(votes)
    }

    /// What happened, in order.
    #[graphql(complexity = "1 + HISTORY_COST * child_complexity")]
    async fn history(&self, context: &Context<'_>) -> Result<Vec<HistoryEntry>> {
        let histories = context.data::<DataLoader<Histories>>()?;
        let history = histories.load_one(self.id).await.map_err(|problem| error::from_problem(&problem))?;
        // As it stood, it had no more than so many events.
        let history = history
            .unwrap_or_default()
            .into_iter()
            .filter(|entry| entry.version <= self.version || self.then.is_none());
        Ok(history.map(Into::into).collect())
    }
}

impl From<ConsultationView> for Consultation {
    fn from(view: ConsultationView) -> Self {
        Self {
            claims: Receipt::of(&view),
            receipt_minutes: view.receipt_minutes,
            cites: view.cites.into_iter().map(Into::into).collect(),
            request_version: view.request_version,
            id: view.id,
            state: view.state.into(),
            title: view.title,
            body: view.body,
            context: view.context.map(Json),
            external_id: view.external_id,
            requested_by: view.requested_by.into(),
            requested_at: Instant(view.requested_at),
            reviewers: view.reviewers,
            added_reviewers: view.added_reviewers,
            terms: view.terms.into(),
            deadline: view.deadline.map(Instant),
            clock_stopped_at: view.clock_stopped_at.map(Instant),
            priority: view.priority.into(),
            labels: view.labels,
            subject: view.subject.map(Into::into),
            callback_url: view.callback_url,
            supersedes: view.supersedes,
            template: view.template.map(|template| TemplateUsed { name: template.name, version: template.version }),
            claimed_by: view.claimed_by.map(Into::into),
            open_question_count: view.open_question_count,
            vote_count: view.vote_count,
            ended_at: view.ended_at.map(Instant),
            outcome: view.outcome.map(Into::into),
            withdrawal: view.withdrawal.map(Into::into),
            comment_count: view.comment_count,
            late_response_count: view.late_response_count,
            version: view.version,
            updated_at: Instant(view.updated_at),
            then: None,
        }
    }
}

impl From<AsOf> for Consultation {
    fn from(AsOf { consultation, votes }: AsOf) -> Self {
        Self { then: Some(votes), ..consultation.into() }
    }
}

/// Which consultations are asked for; all that is given must hold.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ConsultationFilter {
    /// In one of these states.
    states: Option<Vec<ConsultationState>>,
    /// With this name given by the asker.
    external_id: Option<String>,
    /// Asked by this person.
    requested_by: Option<Uuid>,
    /// Asked after this instant.
    requested_after: Option<Instant>,
    /// Asked before this instant.
    requested_before: Option<Instant>,
    /// Changed after this instant.
    updated_after: Option<Instant>,
    /// With all of these labels.
    labels: Option<Vec<String>>,
    /// That this user is named to answer, or has in hand.
    reviewer: Option<Uuid>,
    /// Of this priority or a higher one.
    priority: Option<PriorityWord>,
    /// That wait for an answer of whoever asks: by name, by group, by role, or as any reviewer.
    inbox: Option<bool>,
    /// In nobody's hands.
    unclaimed: Option<bool>,
    /// Due before this instant.
    due_before: Option<Instant>,
    /// With these words in title, body or external id: a word of three letters or more is found by its beginning, `"several words"` stand
    /// together, `or` stands between alternatives, and `-word` must not be there.
    text: Option<String>,
}

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Enum)]
#[graphql(remote = "Sort")]
pub enum ConsultationSort {
    /// The last asked first.
    #[default]
    Newest,
    /// The last changed first.
    Updated,
    /// The first due first; what is never due, or while the clock stands still, is left out.
    Due,
}

impl ConsultationFilter {
    /// What `asker` means by it.
    pub fn of(self, asker: &Principal) -> Filter {
        let filter = self;
        let mut states: Vec<State> = Vec::new();
        for state in filter.states.unwrap_or_default().into_iter().map(State::from) {
            if !states.contains(&state) {
                states.push(state);
            }
        }
        Filter {
            states,
            external_id: filter.external_id,
            requested_by: filter.requested_by,
            requested_after: filter.requested_after.map(|instant| instant.0),
            requested_before: filter.requested_before.map(|instant| instant.0),
            updated_after: filter.updated_after.map(|instant| instant.0),
            labels: filter.labels.unwrap_or_default(),
            reviewer: filter.reviewer,
            priority: filter.priority.map(Into::into),
            inbox: filter.inbox.unwrap_or(false).then_some(Reviewer { id: asker.id, role: asker.role }),
            unclaimed: filter.unclaimed.unwrap_or(false),
            due_before: filter.due_before.map(|instant| instant.0),
            text: filter.text,
        }
    }
}

/// Counts over all consultations of the organisation.
pub struct ConsultationStats(pub Stats);

/// Counts over all consultations of the organisation.
#[Object]
impl ConsultationStats {
    /// Pending now.
    async fn pending(&self) -> i64 {
        self.0.pending
    }

    /// Decided by votes.
    async fn responded(&self) -> i64 {
        self.0.responded
    }

    /// Granted.
    async fn approved(&self) -> i64 {
        self.0.approved
    }

    /// Refused.
    async fn rejected(&self) -> i64 {
        self.0.rejected
    }

    /// The deadline passed first.
    async fn timed_out(&self) -> i64 {
        self.0.timed_out
    }

    /// Taken back.
    async fn withdrawn(&self) -> i64 {
        self.0.withdrawn
    }

    /// Consultations with at least one answer after the deadline.
    async fn late_answered(&self) -> i64 {
        self.0.late_answered
    }

    /// Answers after the deadline.
    async fn late_responses(&self) -> i64 {
        self.0.late_responses
    }

    /// Comments.
    async fn comments(&self) -> i64 {
        self.0.comments
    }

    /// All consultations.
    async fn total(&self) -> i64 {
        self.0.pending + self.0.responded + self.0.timed_out + self.0.withdrawn
    }
}

/// A consultation changed.
#[derive(Debug, Clone, SimpleObject)]
pub struct ConsultationChange {
    /// The consultation as it stands now; it may be newer than this change.
    consultation: Consultation,
    /// What happened: requested, terms_set, commented, claimed, released, assigned, delegated, information_requested,
    /// information_provided, reminded, escalated, vote_cast, responded, withdrawn, timed_out, late_response_recorded,
    /// receipt_redeemed or receipt_revoked; later releases may add to these.
    kind: String,
    /// Resume behind this change with `since`.
    position: String,
    /// When the change came to the read model.
    at: Instant,
}

impl From<Changed<ConsultationView>> for ConsultationChange {
    fn from(changed: Changed<ConsultationView>) -> Self {
        Self {
            consultation: changed.shown.into(),
            kind: changed.kind,
            position: changed.position.to_string(),
            at: Instant(changed.at),
        }
    }
}
