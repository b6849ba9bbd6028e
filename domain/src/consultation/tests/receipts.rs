//! Receipts: what they say of which outcome, and what is refused.

use docket_events::{
    DataKey, HasPersonal,
    consultation::{ReceiptRedeemed, ReceiptRevoked},
};

use super::*;
use crate::consultation::{receipt::payload_sha256, view::ConsultationView};

const CONSULTATION: u128 = 7;

fn receipt(story: &Story) -> Option<Receipt> {
    ConsultationView::of(id(CONSULTATION), story.0.clone()).as_ref().and_then(Receipt::of)
}

fn approved() -> Story {
    Story::asked().and(10, respond(GRACE, Decision::Approve))
}

fn redeem(receipt: Receipt, payload: Option<Value>) -> Command {
    RedeemReceipt { receipt, by: person(ADA), payload }.into()
}

fn revoke(by: u128, as_admin: bool) -> Command {
    let reason = Some("It was performed by hand.".to_owned());
    RevokeReceipt { consultation: id(CONSULTATION), by: person(by), as_admin, reason }.into()
}

fn redeemed(receipt: &Receipt) -> Event {
    Event::ReceiptRedeemed(ReceiptRedeemed { receipt: receipt.jti, by: person(ADA) })
}

/// The hash of the final payload after this answer.
fn hash(answer: AnswerKind, given: Given) -> String {
    let terms = Terms { answer, ..Terms::default() };
    let story = Story::nothing().and(0, Request { terms, ..request() }).and(1, super::answer(GRACE, given));
    receipt(&story).unwrap().payload_sha256
}

fn hash_of(payload: &Value) -> String {
    payload_sha256(payload).unwrap()
}

#[test]
fn a_payload_is_hashed_in_its_canonical_form() {
    // RFC 8785, sections 3.2.2 and 3.2.4, and its order of keys (3.2.3).
    let sample: Value = serde_json::from_str(
        r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#,
    )
    .unwrap();
    let canonical = |value: &Value| serde_json_canonicalizer::to_string(value).unwrap();
    assert_eq!(
        canonical(&sample),
        r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
    );
    let keys = json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
    assert_eq!(
        canonical(&keys),
        "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
    );
    // Appendix B, and a number beyond what a double holds exactly: JavaScript reads it as this one.
    for (number, written) in [
        ("-0", "0"),
        ("5e-324", "5e-324"),
        ("9007199254740993", "9007199254740992"),
        ("295147905179352830000", "295147905179352830000"),
        ("999999999999999900000", "999999999999999900000"),
        ("1e21", "1e+21"),
        ("333333333.33333325", "333333333.33333325"),
        ("0.000001", "0.000001"),
        ("1424953923781206.2", "1424953923781206.2"),
    ] {
        assert_eq!(canonical(&serde_json::from_str(number).unwrap()), written);
    }
    let null = "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b";
    assert_eq!(hash_of(&Value::Null), null, "as sha256sum has it of the four letters");
    assert_eq!(hash_of(&json!({"b": 1.0, "a": [2]})), hash_of(&json!({"a": [2], "b": 1})));
}

#[test]
fn a_receipt_says_what_was_decided_by_whom_and_for_how_long_it_holds() {
    let receipt = receipt(&approved()).unwrap();
    let at = minute(10).timestamp();
    assert_eq!((receipt.sub, receipt.iat, receipt.exp), (id(CONSULTATION), at, at + 86_400));
    let said = serde_json::to_value(&receipt).unwrap();
    let expected = json!({
        "sub": id(CONSULTATION), "jti": receipt.jti, "iat": at, "exp": at + 86_400, "external_id": "pr-7", "outcome": "responded",
        "decision": "approve", "rule": "any_one", "request_version": 1, "decided_by": {"by": id(GRACE), "agreed": []},
        "payload_sha256": hash_of(&json!({"branch": "release/7", "checks": [1, 2.5, null]})),
    });
    assert_eq!(said, expected);
    assert!(!said.to_string().contains("Person"), "names stand in no receipt");
}

#[test]
fn the_same_outcome_has_the_same_receipt_whatever_happens_after_it() {
    let first = receipt(&approved());
    let comment = Comment { comment_id: id(9), by: person(EDSGER), text: "Well done.".to_owned() };
    let later = approved().and(20, comment).and(21, redeem(first.clone().unwrap(), None));
    assert_eq!(receipt(&later), first);
    let another = Story::asked().and(11, respond(GRACE, Decision::Approve));
    assert_ne!(receipt(&another).unwrap().jti, first.unwrap().jti);
}

#[test]
fn only_an_outcome_that_decides_has_a_receipt() {
    assert_eq!(receipt(&Story::asked()), None);
    assert_eq!(receipt(&Story::asked().and(1, withdraw(ADA, Reason::Withdrawn, false))), None);
    let late = receipt(&Story::asked().and(61, Expire)).unwrap();
    assert_eq!((late.iat, late.outcome), (minute(61).timestamp(), State::TimedOut));
    assert_eq!((late.decision, late.rule, late.decided_by), (None, None, None));
    assert_eq!(late.payload_sha256, hash_of(&Value::Null), "nothing counts");
}

#[test]
fn after_a_time_out_the_receipt_is_of_what_counts_then() {
    let terms = |answer, on_timeout| Terms { answer, on_timeout: Some(on_timeout), ..Terms::default() };
    let timed_out = |terms| receipt(&Story::nothing().and(0, Request { terms, ..request() }).and(60, Expire)).unwrap();
    let approval = timed_out(terms(AnswerKind::Approval, Given::decision(Decision::Approve)));
    assert_eq!((approval.decision, approval.request_version), (Some(Decision::Approve), 2));
    assert_eq!(Some(approval.payload_sha256), request().context.as_ref().and_then(payload_sha256));
    let options = ["eu", "us"].map(str::to_owned).to_vec();
    let chosen = Given { choices: Some(vec!["us".to_owned()]), ..Given::default() };
    let choice = timed_out(terms(AnswerKind::Choice { options, min: 1, max: 1 }, chosen));
    assert_eq!(choice.payload_sha256, hash_of(&json!(["us"])));
    let proposed = json!({"amount": 100});
    let edit = AnswerKind::Edit { proposed: Some(proposed.clone()), paths: vec!["/amount".to_owned()], schema: None };
    let as_proposed = timed_out(terms(edit.clone(), Given::decision(Decision::Approve)));
    assert_eq!(as_proposed.payload_sha256, hash_of(&proposed));
    assert_eq!(timed_out(terms(edit, Given::decision(Decision::Reject))).payload_sha256, hash_of(&Value::Null));
}

#[test]
fn the_final_payload_is_what_was_asked_for() {
    let proposed = json!({"amount": 100, "to": "Acme"});
    let edit = AnswerKind::Edit { proposed: Some(proposed.clone()), paths: vec!["/amount".to_owned()], schema: None };
    let changed = json!({"amount": 80.5, "to": "Acme"});
    let given = Given { payload: Some(changed.clone()), ..Given::decision(Decision::Approve) };
    assert_eq!(hash(edit.clone(), given), hash_of(&changed));
    assert_eq!(hash(edit.clone(), Given::decision(Decision::Approve)), hash_of(&proposed));
    assert_eq!(hash(edit, Given::decision(Decision::Reject)), hash_of(&Value::Null));
    let form = Given { form: Some(json!({"name": "x"})), ..Given::default() };
    assert_eq!(hash(AnswerKind::Form { schema: json!({"type": "object"}) }, form), hash_of(&json!({"name": "x"})));
    let context = request().context.unwrap();
    assert_eq!(hash(AnswerKind::Approval, Given::decision(Decision::Reject)), hash_of(&context));
}

#[test]
fn how_long_a_receipt_holds_is_the_asker_s_to_say() {
    let asked = |minutes| Request { receipt_minutes: Some(minutes), ..request() };
    for minutes in [0, 525_601] {
        Story::nothing().when(0, asked(minutes)).invalid("receipt_minutes");
    }
    let story = Story::nothing().and(0, asked(5)).and(10, respond(GRACE, Decision::Approve));
    let receipt = receipt(&story).unwrap();
    assert_eq!(receipt.exp, minute(15).timestamp());
    assert!(!receipt.has_expired(minute(15) - TimeDelta::seconds(1)) && receipt.has_expired(minute(15)));
    story.when(14, redeem(receipt.clone(), None)).then(&[redeemed(&receipt)]);
    story.when(15, redeem(receipt, None)).refused(Refusal::ReceiptExpired);
}

#[test]
fn a_receipt_is_redeemed_once_and_whoever_comes_later_learns_by_whom_and_when() {
    let receipt = receipt(&approved()).unwrap();
    approved().when(20, redeem(receipt.clone(), request().context)).then(&[redeemed(&receipt)]);
    let story = approved().and(20, redeem(receipt.clone(), None));
    let before = Refusal::ReceiptRedeemed { by: id(ADA), at: minute(20) };
    story.when(21, redeem(receipt, None)).refused(before.clone());
    story.when(21, revoke(ADA, true)).refused(before);
    assert_eq!(story.0.state(), Some(State::Responded));
}

#[test]
fn a_receipt_is_good_for_no_other_payload() {
    let receipt = receipt(&approved()).unwrap();
    for payload in [json!({"branch": "release/8"}), Value::Null] {
        approved().when(20, redeem(receipt.clone(), Some(payload))).refused(Refusal::ReceiptPayloadMismatch);
    }
}

#[test]
fn what_was_never_issued_is_refused_whoever_signed_it() {
    let receipt = receipt(&approved()).unwrap();
    Story::nothing().when(20, redeem(receipt.clone(), None)).refused(Refusal::NotFound);
    Story::asked().when(20, redeem(receipt.clone(), None)).refused(Refusal::ReceiptForeign);
    for forged in [
        Receipt { exp: receipt.exp + 1, ..receipt.clone() },
        Receipt { decision: Some(Decision::Reject), ..receipt.clone() },
        Receipt { payload_sha256: hash_of(&json!({})), ..receipt.clone() },
        Receipt { jti: id(8), ..receipt.clone() },
    ] {
        approved().when(20, redeem(forged, None)).refused(Refusal::ReceiptAltered);
    }
}

#[test]
fn a_receipt_is_revoked_by_who_asked_and_by_administrators_until_it_is_redeemed() {
    let receipt = receipt(&approved()).unwrap();
    approved().when(20, revoke(GRACE, false)).refused(Refusal::NotTheRequester);
    let reason = Some("It was performed by hand.".to_owned());
    let revoked = |by| Event::ReceiptRevoked(ReceiptRevoked { receipt: receipt.jti, by: person(by), reason });
    approved().when(20, revoke(GRACE, true)).then(&[revoked.clone()(GRACE)]);
    approved().when(20, revoke(ADA, false)).then(&[revoked(ADA)]);
    let story = approved().and(20, revoke(ADA, false));
    story.when(21, revoke(ADA, false)).then(&[]);
    story.when(21, redeem(receipt, None)).refused(Refusal::ReceiptRevoked { at: minute(20) });
    Story::asked().when(20, revoke(ADA, false)).refused(Refusal::NoReceipt);
    Story::asked()
        .and(1, withdraw(ADA, Reason::Withdrawn, false))
        .when(20, revoke(ADA, true))
        .refused(Refusal::NoReceipt);
}

#[test]
fn what_was_about_an_erased_person_has_no_receipt_any_more() {
    let key = DataKey::new(id(900), [7; 32]);
    let terms = Terms { subject: Some(person(40)), ..Terms::default() };
    let mut story = Story::nothing().and(0, Request { terms, ..request() }).and(10, respond(GRACE, Decision::Approve));
    let before = receipt(&story).unwrap();
    story.0.seal_all(&|_| Some(key.clone()), &mut || [9; 24]).unwrap();
    story.0.open_all(&|_| Some(key.clone())).unwrap();
    assert_eq!(receipt(&story), Some(before.clone()), "sealing changes nothing");
    story.0.seal_all(&|_| Some(key.clone()), &mut || [9; 24]).unwrap();
    story.0.open_all(&|_| None).unwrap();
    assert_eq!(receipt(&story), None);
    story.when(20, redeem(before, None)).refused(Refusal::Erased);
}
