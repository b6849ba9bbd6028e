//! The receipt of an outcome: what it says, and what may still be done with it.
//!
//! Owns the claims (RFC 7519) that an outcome comes to, the hash of the final payload, and the decisions to redeem and to revoke. Who signs
//! them, and with which key, is no part of it. The same outcome always comes to the same claims, wherever its view was made.

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{
    consultation::{AnswerKind, ConsultationEvent, Decision, Person, ReceiptRedeemed, ReceiptRevoked, Rule},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Asked, Consultation, RedeemReceipt, Refusal, RevokeReceipt, State,
    decide::Verdict,
    validate,
    view::{AnswerView, ConsultationView},
};

/// How long a receipt holds when the asker does not say: a day.
pub const DEFAULT_MINUTES: u32 = 1_440;
/// How long it may hold at most: a year.
pub const MAX_MINUTES: u32 = 525_600;

/// What a receipt says. A receipt that was issued stays as it was: what is added later must be optional, and absent where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Receipt)]
pub struct Receipt {
    /// The consultation.
    pub sub: Uuid,
    /// The receipt: the same for the same outcome.
    pub jti: Uuid,
    /// When the outcome came, in seconds since 1970.
    pub iat: i64,
    /// From when on the receipt is not accepted, in seconds since 1970.
    pub exp: i64,
    /// The asker's own name for the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// `responded` or `timed_out`.
    #[schema(value_type = String, pattern = "^(responded|timed_out)$")]
    pub outcome: State,
    /// `approve` or `reject`, where that was asked; after a time-out what the request had for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^(approve|reject)$")]
    pub decision: Option<Decision>,
    /// The rule that was applied; absent after a time-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub rule: Option<Rule>,
    /// The version of the consultation at which the request stood.
    pub request_version: u64,
    /// Who decided; absent after a time-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<DecidedBy>,
    /// The SHA-256 of the final payload in its canonical form (RFC 8785), in lower-case hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub payload_sha256: String,
}

/// Who decided, by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReceiptDecidedBy)]
pub struct DecidedBy {
    /// Whose vote completed the rule.
    pub by: Uuid,
    /// Whose votes agree with the outcome, where it took several.
    pub agreed: Vec<Uuid>,
}

/// What became of a receipt. The first stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptEnd {
    /// Somebody performs what was decided.
    Redeemed {
        /// Who.
        by: Person,
        /// When.
        at: DateTime<Utc>,
    },
    /// It is not accepted any more.
    Revoked {
        /// Who revoked it.
        by: Person,
        /// When.
        at: DateTime<Utc>,
    },
}

impl ReceiptEnd {
    pub(super) fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        let (Self::Redeemed { by, .. } | Self::Revoked { by, .. }) = self;
        visit(&mut by.name);
    }
}

impl Receipt {
    /// The receipt of the outcome that `view` shows.
    ///
    /// None while it is pending, when it was withdrawn, and where the person whom it is about was erased: what was decided cannot be told
    /// any more.
    #[must_use]
    pub fn of(view: &ConsultationView) -> Option<Self> {
        if view.subject.as_ref().is_some_and(|subject| subject.erased) {
            return None;
        }
        let outcome = view.outcome.as_ref();
        let (at, answer) = match view.state {
            State::Pending | State::Withdrawn => return None,
            State::Responded => (outcome?.at, Some(&outcome?.answer)),
            State::TimedOut => (view.ended_at?, view.terms.on_timeout.as_ref()),
        };
        let iat = at.timestamp();
        Some(Self {
            sub: view.id,
            jti: Uuid::new_v5(&view.id, format!("receipt:{}:{iat}", view.state).as_bytes()),
            iat,
            exp: iat + TimeDelta::minutes(i64::from(view.receipt_minutes)).num_seconds(),
            external_id: view.external_id.clone(),
            outcome: view.state,
            decision: answer.and_then(|answer| answer.decision),
            rule: outcome.map(|outcome| outcome.rule),
            request_version: view.request_version,
            decided_by: outcome.map(|outcome| DecidedBy { by: outcome.by.id, agreed: outcome.agreed.clone() }),
            payload_sha256: payload_sha256(&final_payload(view, answer))?,
        })
    }

    /// Whether it is not accepted any more at `now`.
    #[must_use]
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        now.timestamp() >= self.exp
    }
}

impl ConsultationView {
    /// Shows the receipt of the outcome, if it has one, as `sign` makes it of the claims.
    ///
    /// # Errors
    /// That of `sign`.
    pub fn sign<E>(&mut self, sign: impl FnOnce(&Receipt) -> Result<String, E>) -> Result<(), E> {
        self.receipt = Receipt::of(self).map(|receipt| sign(&receipt)).transpose()?;
        Ok(())
    }
}

/// What was decided upon, as whoever performs it needs it: the proposal as approved, the data of a form, the choices, and for yes or no the
/// request's context. Null where there is none.
fn final_payload(view: &ConsultationView, answer: Option<&AnswerView>) -> Value {
    let Some(answer) = answer else { return Value::Null };
    let payload = match &view.terms.answer {
        AnswerKind::Approval => view.context.clone(),
        AnswerKind::Choice { .. } => answer.choices.clone().map(Value::from),
        AnswerKind::Form { .. } => answer.form.clone(),
        // What counts after a time-out is an answer without changes.
        AnswerKind::Edit { proposed, .. } if answer.decision == Some(Decision::Approve) => {
            answer.payload.clone().or_else(|| proposed.clone())
        }
        AnswerKind::Edit { .. } => None,
    };
    payload.unwrap_or(Value::Null)
}

/// The SHA-256 of a payload in its canonical form (RFC 8785), in lower-case hexadecimal digits; none of what has no such form.
#[must_use]
pub fn payload_sha256(payload: &Value) -> Option<String> {
    let canonical = serde_json_canonicalizer::to_vec(payload).ok()?;
    Some(Sha256::digest(canonical).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The receipt that was issued for the outcome of the consultation `id`.
fn issued(id: Uuid, state: &Consultation) -> Option<Receipt> {
    ConsultationView::of(id, state.clone()).as_ref().and_then(Receipt::of)
}

pub(super) fn redeem(state: &Consultation, command: RedeemReceipt, now: DateTime<Utc>) -> Verdict {
    let RedeemReceipt { receipt, by, payload } = command;
    let issued = issued(receipt.sub, state).ok_or(Refusal::ReceiptForeign)?;
    // A signature alone is not believed: whoever got hold of a key still cannot redeem what was never decided.
    if issued != receipt {
        return Err(Refusal::ReceiptAltered);
    }
    match &state.receipt_end {
        Some(ReceiptEnd::Redeemed { by, at }) => return Err(Refusal::ReceiptRedeemed { by: by.id, at: *at }),
        Some(ReceiptEnd::Revoked { at, .. }) => return Err(Refusal::ReceiptRevoked { at: *at }),
        None => {}
    }
    if receipt.has_expired(now) {
        return Err(Refusal::ReceiptExpired);
    }
    if payload.is_some_and(|payload| payload_sha256(&payload).as_ref() != Some(&receipt.payload_sha256)) {
        return Err(Refusal::ReceiptPayloadMismatch);
    }
    Ok(vec![ConsultationEvent::ReceiptRedeemed(ReceiptRedeemed { receipt: receipt.jti, by })])
}

pub(super) fn revoke(state: &Consultation, asked: &Asked, command: RevokeReceipt) -> Verdict {
    let RevokeReceipt { consultation, by, as_admin, reason } = command;
    validate::optional_comment("reason", reason.as_deref())?;
    if !asked.is_asker(by.id) && !as_admin {
        return Err(Refusal::NotTheRequester);
    }
    let issued = issued(consultation, state).ok_or(Refusal::NoReceipt)?;
    match &state.receipt_end {
        Some(ReceiptEnd::Redeemed { by, at }) => Err(Refusal::ReceiptRedeemed { by: by.id, at: *at }),
        Some(ReceiptEnd::Revoked { .. }) => Ok(Vec::new()),
        None => Ok(vec![ConsultationEvent::ReceiptRevoked(ReceiptRevoked { receipt: issued.jti, by, reason })]),
    }
}
