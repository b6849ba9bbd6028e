//! What no seeded bug provokes: journals that are wrong in one way each, and clients that were told something else.

mod consultations;
mod engagement;

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{
    Category, Recorded, ShardId, StreamId,
    personal::{Personal, Sealed},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    journal::{Journal, Row, Snapshots},
    streams,
    told::{self, Remembered, Rows},
    topic,
};
use crate::{
    ledger::{Answer, Books, Command, Entry, Fate, Kind},
    report::Findings,
};

const TENANT: Uuid = Uuid::from_u128(1);
const STREAM: Uuid = Uuid::from_u128(2);
/// Who asked.
const WHO: Uuid = Uuid::from_u128(3);
/// Who answers.
const REVIEWER: Uuid = Uuid::from_u128(4);
/// Milliseconds of the deadline.
const DEADLINE: i64 = 1000;

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis)
}

/// An event: its kind, its data, and the time in milliseconds.
type Given = (&'static str, Value, i64);

fn person(id: Uuid) -> Value {
    let sealed = Sealed { subject: id, key: id, alg: "XC20P".into(), nonce: String::new(), data: String::new() };
    let name: Personal<String> = Personal::Sealed(sealed);
    json!({"id": id, "name": serde_json::to_value(name).expect("a sealed name has a JSON form")})
}

fn who() -> Value {
    person(WHO)
}

fn requested() -> Given {
    ("requested", json!({"title": "ask", "requested_by": who(), "deadline": at(DEADLINE)}), 0)
}

fn commented(key: &str, time: i64) -> Given {
    ("commented", json!({"comment_id": WHO, "by": who(), "text": key}), time)
}

fn voted(time: i64) -> Given {
    ("vote_cast", json!({"by": person(REVIEWER), "decision": "approve", "comment": "answer"}), time)
}

fn responded(time: i64) -> Given {
    let data = json!({"by": person(REVIEWER), "decision": "approve", "comment": "answer", "rule": "any_one", "request_version": 1});
    ("responded", data, time)
}

fn timed_out(time: i64) -> Given {
    ("timed_out", json!({"deadline": at(DEADLINE)}), time)
}

/// What stands beside an event: the clock's mark, or the key that it carries in its text (its kind, where it has none) and who it is by.
fn meta_of(kind: &str, data: &Value) -> Value {
    if matches!(kind, "timed_out" | "reminded" | "escalated") {
        return json!({"causation_id": "deadline"});
    }
    let key = ["title", "text", "comment"].iter().find_map(|name| data[name].as_str());
    // Terms come with the request that stands before them, which is `ask`.
    let key = key.unwrap_or(if kind == "terms_set" { "ask" } else { kind });
    let by = [&data["by"]["id"], &data["requested_by"]["id"]].into_iter().find(|id| id.is_string());
    json!({"correlation_id": key, "principal": by.cloned().unwrap_or(json!(WHO))})
}

/// Reads these events as one shard with one stream; `change` spoils the rows first.
fn read(events: &[Given], change: impl Fn(usize, &mut Row)) -> (Journal, Findings) {
    let (mut journal, mut findings) = (Journal::default(), Findings::default());
    for (index, (kind, data, time)) in events.iter().enumerate() {
        let number = index as i64 + 1;
        let event_type = format!("docket.consultation.{kind}.v1");
        let mut row = Row {
            category: 2,
            shard: 0,
            sequence: number,
            stream_id: STREAM,
            stream_version: number,
            tenant: TENANT,
            time: at(*time),
            event_type,
            data: data.to_string(),
            meta: meta_of(kind, data).to_string(),
        };
        change(index, &mut row);
        journal.row(&row, TENANT, &Snapshots::new(), &mut findings);
    }
    streams::check_ends(&journal, &mut findings);
    (journal, findings)
}

fn found(events: &[Given]) -> Vec<&'static str> {
    read(events, |_, _| {}).1.checks().into_keys().collect()
}

#[test]
fn a_life_within_the_rules_is_fine() {
    assert_eq!(found(&[requested(), commented("c", 5), voted(10), responded(10), commented("d", 20)]), [""; 0]);
    assert_eq!(found(&[requested(), timed_out(DEADLINE), commented("c", 1001)]), [""; 0]);
}

#[test]
fn a_life_against_the_rules_is_seen() {
    let against: [&[Given]; 8] = [
        &[requested(), requested()],
        &[commented("c", 5)],
        &[requested(), voted(DEADLINE), responded(DEADLINE)],
        &[requested(), responded(10)],
        &[requested(), timed_out(DEADLINE - 1)],
        &[requested(), voted(10), responded(10), timed_out(DEADLINE)],
        &[requested(), commented("c", DEADLINE)],
        &[requested(), timed_out(DEADLINE), timed_out(DEADLINE)],
    ];
    for events in against {
        assert_eq!(found(events), ["folds"], "{events:?}");
    }
}

#[test]
fn gaps_and_times_that_run_back_are_seen() {
    let events = [requested(), commented("c", 5), commented("d", 6)];
    let spoilt: [fn(&mut Row); 4] =
        [|row| row.sequence += 1, |row| row.sequence -= 1, |row| row.stream_version += 1, |row| row.time = at(4)];
    for (number, spoil) in spoilt.into_iter().enumerate() {
        let (_, findings) = read(&events, |index, row| {
            if index == 2 {
                spoil(row)
            }
        });
        assert_eq!(findings.checks().into_keys().collect::<Vec<_>>(), ["gap-free"], "{number}");
    }
}

#[test]
fn what_cannot_be_read_or_is_anothers_is_seen() {
    let events = [requested(), commented("c", 5)];
    let (_, findings) = read(&events, |index, row| {
        if index == 1 {
            row.data = "{}".to_owned()
        }
    });
    assert_eq!(findings.checks().into_keys().collect::<Vec<_>>(), ["folds"]);
    let (_, findings) = read(&events, |index, row| {
        if index == 1 {
            row.tenant = WHO
        }
    });
    assert_eq!(findings.checks().into_keys().collect::<Vec<_>>(), ["nothing else"]);
}

fn entry(key: &str, kind: Kind, fate: Fate) -> Entry {
    let (path, body, stream) = (String::new(), String::new(), Some(STREAM));
    Entry::new(Command { key: key.to_owned(), kind, person: 0, stream, path, body }, TENANT, WHO, fate)
}

/// The request that [`requested`] tells.
fn ask_entry() -> Entry {
    let body = json!({"title": "ask", "deadline": at(DEADLINE)}).to_string();
    let mut entry = entry("ask", Kind::Ask { near: false, reviewers: 0 }, Fate::Unknown);
    (entry.command.body, entry.command.stream) = (body, None);
    entry
}

fn acknowledged(version: u64) -> Fate {
    let (position, body) = (String::new(), String::new());
    Fate::Acknowledged(Answer { status: 200, version, stream: STREAM, position, body })
}

/// The checks that find something when a client knows `fate` of the comment `c`, the journal is `events`, and its answer is remembered
/// at `version`.
fn compared(fate: Fate, events: &[Given], version: Option<u64>) -> Vec<&'static str> {
    let (mut journal, mut findings) = read(events, |_, _| {});
    let mut books = Books::default();
    let (ask, comment) = (ask_entry(), entry("c", Kind::Comment, fate));
    let mut remembered = HashMap::from([(ask.row, Remembered { stream: STREAM, version: 1, status: 201 })]);
    remembered.extend(version.map(|version| (comment.row, Remembered { stream: STREAM, version, status: 200 })));
    books.enter(ask, std::time::Duration::ZERO);
    books.enter(comment, std::time::Duration::ZERO);
    told::check(&mut journal, &books, &Rows(remembered), &mut findings);
    findings.checks().into_keys().collect()
}

#[test]
fn what_was_told_is_compared_with_what_is() {
    let once = [requested(), commented("c", 5)];
    let twice = [requested(), commented("c", 5), commented("c", 6)];
    let never = [requested()];
    assert_eq!(compared(acknowledged(2), &once, Some(2)), [""; 0]);
    assert_eq!(compared(Fate::Unknown, &once, Some(2)), [""; 0]);
    assert_eq!(compared(Fate::Unknown, &never, None), [""; 0]);

    assert_eq!(compared(acknowledged(3), &once, Some(3)), ["acknowledged"], "another version");
    assert_eq!(compared(acknowledged(2), &never, Some(2)), ["acknowledged"], "lost");
    assert_eq!(compared(acknowledged(3), &twice, Some(3)), ["acknowledged"], "twice");
    assert_eq!(compared(acknowledged(2), &once, None), ["idempotency"], "forgotten");
    assert_eq!(compared(Fate::Unknown, &once, None), ["idempotency"], "happened and forgotten");
    assert_eq!(compared(Fate::Unknown, &never, Some(2)), ["idempotency"], "remembered and lost");
    assert_eq!(compared(Fate::Unknown, &twice, Some(3)), ["nothing else"], "twice");
    assert_eq!(compared(Fate::Refused(409), &once, None), ["nothing else"], "refused and done");
    assert_eq!(compared(Fate::Refused(409), &never, None), ["answers"], "refused for nothing");
}

#[test]
fn an_event_that_nobody_sent_is_seen() {
    let foreign = [requested(), commented("c", 5), commented("who?", 6)];
    assert_eq!(compared(acknowledged(2), &foreign, Some(2)), ["nothing else"]);
}

/// The event under this sequence of a shard, as journal and topic should both have it.
fn published(sequence: u64) -> Recorded {
    Recorded {
        stream: StreamId::new(Category::Consultation, STREAM),
        shard: 0,
        sequence,
        version: sequence,
        id: Uuid::from_u128(sequence.into()),
        event_type: "docket.consultation.commented.v1".to_owned(),
        tenant: TENANT,
        time: at(0),
        recorded_at: at(0),
        data: "{}".to_owned(),
        meta: "{}".to_owned(),
    }
}

#[test]
fn a_topic_may_repeat_events_and_nothing_else() {
    let shard = ShardId { category: Category::Consultation, shard: 0 };
    let journal: Vec<Recorded> = (1..=5).map(published).collect();
    let compare = |sequences: &[u64], change: &dyn Fn(&mut Vec<Recorded>)| {
        let mut messages: Vec<Recorded> = sequences.iter().map(|sequence| published(*sequence)).collect();
        change(&mut messages);
        topic::compare(shard, 5, &messages, &journal)
    };
    let as_it_is = |_: &mut Vec<Recorded>| {};
    assert_eq!(compare(&[1, 2, 3, 2, 3, 4, 1, 5], &as_it_is), Vec::<String>::new());
    let gap = compare(&[1, 2, 4, 5], &as_it_is);
    assert_eq!(gap, ["consultation/0 goes from sequence 2 to 4"]);
    let emptied = compare(&[4, 5, 1, 2, 3, 4, 5], &as_it_is);
    assert_eq!(emptied, Vec::<String>::new(), "what was on its way while a broker was emptied");
    let beginning = compare(&[4, 5], &as_it_is);
    assert_eq!(beginning, ["consultation/0 goes from sequence 0 to 4"]);
    let short = compare(&[1, 2, 3], &as_it_is);
    assert_eq!(short, ["consultation/0 ends with sequence 3, and the journal with 5"]);
    let unknown = compare(&[1, 2, 3, 4, 5, 6], &as_it_is);
    assert!(matches!(&unknown[..], [one] if one.contains("under sequence 6, and the journal nothing")), "{unknown:?}");
    let changes: [fn(&mut Recorded); 3] =
        [|event| event.id = WHO, |event| event.data.push(' '), |event| event.version += 1];
    for change in changes {
        let altered = compare(&[1, 2, 3, 2, 4, 5], &|messages| change(&mut messages[3]));
        assert!(matches!(&altered[..], [one] if one.starts_with("under sequence 2 ")), "{altered:?}");
    }
}
