//! A row of consultations, and the view that it becomes. Owns what columns mean.

use chrono::{DateTime, Utc};
use docket_domain::consultation::{
    State, receipt,
    view::{
        AnswerView, ConsultationView, HistoryView, OutcomeView, PersonView, TemplateView, TermsView, VoteView,
        WithdrawalView,
    },
};
use docket_events::{
    consultation::{Answer, AnswerKind, Priority, TermsSet},
    engagement::Item,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

/// The columns of [`ConsultationRow`], of the view `c`.
pub(super) const COLUMNS: &str = "c.id, c.version, c.state, c.title, c.body, c.context, c.proposed, c.external_id, c.requested_by,
    c.requested_by_name, c.requested_at, c.reviewers, c.added_reviewers, c.terms, c.deadline, c.clock_stopped_at, c.priority, c.labels,
    c.subject, c.subject_name, c.callback_url, c.supersedes, c.template_name, c.template_version, c.receipt_minutes, c.cites, c.request_terms_version,
    c.claimed_by, c.claimed_by_name,
    c.open_question_count, c.ended_at, c.decision, c.content, c.rule, c.request_version, c.ended_by, c.ended_by_name, c.agreed,
    c.outcome_comment, c.withdrawal_reason, c.comment_count, c.late_response_count, c.updated_at,
    (select count(*) from read.consultation_vote v where v.consultation_id = c.id) as vote_count";

#[derive(sqlx::FromRow)]
pub(super) struct ConsultationRow {
    pub(super) id: Uuid,
    version: i64,
    state: String,
    title: String,
    body: Option<String>,
    context: Option<String>,
    proposed: Option<String>,
    external_id: Option<String>,
    requested_by: Uuid,
    requested_by_name: Option<String>,
    requested_at: DateTime<Utc>,
    reviewers: Vec<Uuid>,
    added_reviewers: Vec<Uuid>,
    terms: Option<String>,
    deadline: Option<DateTime<Utc>>,
    clock_stopped_at: Option<DateTime<Utc>>,
    priority: i16,
    labels: Vec<String>,
    subject: Option<Uuid>,
    subject_name: Option<String>,
    callback_url: Option<String>,
    supersedes: Option<Uuid>,
    template_name: Option<String>,
    template_version: Option<i64>,
    receipt_minutes: Option<i32>,
    cites: Option<String>,
    request_terms_version: i64,
    claimed_by: Option<Uuid>,
    claimed_by_name: Option<String>,
    open_question_count: i32,
    vote_count: i64,
    ended_at: Option<DateTime<Utc>>,
    decision: Option<String>,
    content: Option<String>,
    rule: Option<String>,
    request_version: Option<i64>,
    ended_by: Option<Uuid>,
    ended_by_name: Option<String>,
    agreed: Vec<Uuid>,
    outcome_comment: Option<String>,
    withdrawal_reason: Option<String>,
    comment_count: i32,
    late_response_count: i32,
    updated_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
pub(super) struct HistoryRow {
    pub(super) consultation_id: Uuid,
    version: i64,
    event_id: Uuid,
    kind: String,
    at: DateTime<Utc>,
    by_id: Option<Uuid>,
    by_name: Option<String>,
    to_id: Option<Uuid>,
    to_name: Option<String>,
    decision: Option<String>,
    comment: Option<String>,
    reason: Option<String>,
    details: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct VoteRow {
    pub(super) consultation_id: Uuid,
    voter: Uuid,
    version: i64,
    by_name: Option<String>,
    at: DateTime<Utc>,
    decision: Option<String>,
    content: Option<String>,
    comment: Option<String>,
    terms: Option<String>,
    proposed: Option<String>,
}

/// A row that no projector of this release could have written.
#[derive(Debug, thiserror::Error)]
#[error("the column {0} holds what this release cannot read")]
struct Unreadable(&'static str);

fn unreadable(column: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(Unreadable(column)))
}

/// A word of a fact, such as `approve`.
fn word<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_value(Value::from(text)).map_err(|_| unreadable(column))
}

fn optional_word<T: DeserializeOwned>(column: &'static str, text: Option<&str>) -> Result<Option<T>, sqlx::Error> {
    text.map(|text| word(column, text)).transpose()
}

fn json<T: DeserializeOwned>(column: &'static str, text: Option<&str>) -> Result<Option<T>, sqlx::Error> {
    text.map(serde_json::from_str).transpose().map_err(|_| unreadable(column))
}

fn needed<T>(column: &'static str, value: Option<T>) -> Result<T, sqlx::Error> {
    value.ok_or_else(|| unreadable(column))
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn priority(number: i16) -> Result<Priority, sqlx::Error> {
    Priority::ALL.into_iter().find(|priority| priority.rank() == number).ok_or_else(|| unreadable("priority"))
}

/// The answer that three columns hold.
fn answer(
    decision: Option<&str>,
    content: Option<&str>,
    comment: Option<String>,
    proposed: Option<&Value>,
) -> Result<AnswerView, sqlx::Error> {
    let answer = Answer { decision: optional_word("decision", decision)?, content: json("content", content)?, comment };
    Ok(AnswerView::new(Some(answer), proposed))
}

fn template(name: Option<String>, version: Option<i64>) -> Option<TemplateView> {
    Some(TemplateView { name: name?, version: unsigned(version?) })
}

/// The terms and the proposal of an edit, wherever it stands.
fn terms(terms: Option<&str>, proposed: Option<&str>) -> Result<(Option<TermsSet>, Option<Value>), sqlx::Error> {
    let terms: Option<TermsSet> = json("terms", terms)?;
    let public = match terms.as_ref().map(|terms| &terms.answer) {
        Some(AnswerKind::Edit { proposed: Some(proposed), .. }) => Some(proposed.clone()),
        Some(_) | None => None,
    };
    let proposed = if public.is_some() { public } else { json("proposed", proposed)? };
    Ok((terms, proposed))
}

impl ConsultationRow {
    fn outcome(&self, state: State, proposed: Option<&Value>) -> Result<Option<OutcomeView>, sqlx::Error> {
        if state != State::Responded {
            return Ok(None);
        }
        let comment = self.outcome_comment.clone();
        Ok(Some(OutcomeView {
            answer: answer(self.decision.as_deref(), self.content.as_deref(), comment, proposed)?,
            rule: word("rule", needed("rule", self.rule.as_deref())?)?,
            request_version: unsigned(needed("request_version", self.request_version)?),
            by: PersonView::new(needed("ended_by", self.ended_by)?, self.ended_by_name.clone()),
            agreed: self.agreed.clone(),
            at: needed("ended_at", self.ended_at)?,
        }))
    }

    fn withdrawal(&self, state: State) -> Result<Option<WithdrawalView>, sqlx::Error> {
        if state != State::Withdrawn {
            return Ok(None);
        }
        Ok(Some(WithdrawalView {
            reason: word("withdrawal_reason", needed("withdrawal_reason", self.withdrawal_reason.as_deref())?)?,
            by: PersonView::new(needed("ended_by", self.ended_by)?, self.ended_by_name.clone()),
            comment: self.outcome_comment.clone(),
            at: needed("ended_at", self.ended_at)?,
        }))
    }

    pub(super) fn view(self) -> Result<ConsultationView, sqlx::Error> {
        let state = word("state", &self.state)?;
        let (terms, proposed) = terms(self.terms.as_deref(), self.proposed.as_deref())?;
        Ok(ConsultationView {
            outcome: self.outcome(state, proposed.as_ref())?,
            withdrawal: self.withdrawal(state)?,
            id: self.id,
            version: unsigned(self.version),
            state,
            context: json("context", self.context.as_deref())?,
            title: self.title,
            body: self.body,
            external_id: self.external_id,
            requested_by: PersonView::new(self.requested_by, self.requested_by_name),
            requested_at: self.requested_at,
            reviewers: self.reviewers,
            added_reviewers: self.added_reviewers,
            terms: TermsView::new(terms, proposed.as_ref()),
            deadline: self.deadline.filter(|_| self.clock_stopped_at.is_none()),
            clock_stopped_at: self.clock_stopped_at,
            priority: priority(self.priority)?,
            labels: self.labels,
            subject: self.subject.map(|subject| PersonView::new(subject, self.subject_name)),
            callback_url: self.callback_url,
            supersedes: self.supersedes,
            template: template(self.template_name, self.template_version),
            receipt_minutes: self.receipt_minutes.map_or(receipt::DEFAULT_MINUTES, count),
            cites: json::<Vec<Item>>("cites", self.cites.as_deref())?
                .unwrap_or_default()
                .into_iter()
                .map(Into::into)
                .collect(),
            request_version: unsigned(self.request_terms_version),
            receipt: None,
            claimed_by: self.claimed_by.map(|holder| PersonView::new(holder, self.claimed_by_name)),
            open_question_count: count(self.open_question_count),
            vote_count: u32::try_from(self.vote_count).unwrap_or(u32::MAX),
            ended_at: self.ended_at,
            comment_count: count(self.comment_count),
            late_response_count: count(self.late_response_count),
            updated_at: self.updated_at,
        })
    }
}

impl HistoryRow {
    pub(super) fn view(self) -> Result<HistoryView, sqlx::Error> {
        Ok(HistoryView {
            version: unsigned(self.version),
            kind: self.kind,
            at: self.at,
            by: self.by_id.map(|id| PersonView::new(id, self.by_name)),
            to: self.to_id.map(|id| PersonView::new(id, self.to_name)),
            decision: optional_word("decision", self.decision.as_deref())?,
            comment: self.comment,
            reason: optional_word("reason", self.reason.as_deref())?,
            details: json("details", self.details.as_deref())?,
            event_id: self.event_id,
        })
    }
}

impl VoteRow {
    pub(super) fn view(self) -> Result<VoteView, sqlx::Error> {
        let (_, proposed) = terms(self.terms.as_deref(), self.proposed.as_deref())?;
        Ok(VoteView {
            by: PersonView::new(self.voter, self.by_name),
            answer: answer(self.decision.as_deref(), self.content.as_deref(), self.comment, proposed.as_ref())?,
            at: self.at,
            version: unsigned(self.version),
        })
    }
}
