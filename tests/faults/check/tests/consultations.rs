//! Consultations whole: lives within the rules and against them, what the clock does, and what clients were told of it.

use docket_events::consultation::Decision;

use super::{super::asked, *};

const ONE: Uuid = Uuid::from_u128(11);
const TWO: Uuid = Uuid::from_u128(12);
const THREE: Uuid = Uuid::from_u128(13);
/// Who has no seat.
const FOUR: Uuid = Uuid::from_u128(14);
const QUESTION: Uuid = Uuid::from_u128(21);
const REMINDER: i64 = 400;
const ESCALATION: i64 = 600;

/// Two of three, with all that the clock can do.
fn terms() -> Given {
    let escalation = json!({"due": at(ESCALATION), "unclaimed": true, "reviewers": [FOUR], "priority": "high"});
    let data = json!({
        "answer": {"type": "approval"}, "rule": {"type": "m_of_n", "m": 2}, "seats": [ONE, TWO, THREE],
        "on_timeout": {"decision": "reject"}, "reminders": [at(REMINDER)], "escalations": [escalation],
        "questions_stop_clock": true,
    });
    ("terms_set", data, 0)
}

fn by(kind: &'static str, who: Uuid, time: i64) -> Given {
    (kind, json!({"by": person(who)}), time)
}

fn to(kind: &'static str, who: Uuid, whom: Uuid, time: i64) -> Given {
    (kind, json!({"by": person(who), "to": person(whom)}), time)
}

fn vote(who: Uuid, decision: &str, time: i64) -> Given {
    ("vote_cast", json!({"by": person(who), "decision": decision, "comment": "answer"}), time)
}

fn late(who: Uuid, decision: &str, ordinal: u32, time: i64) -> Given {
    let data = json!({"by": person(who), "decision": decision, "comment": "answer", "ordinal": ordinal});
    ("late_response_recorded", data, time)
}

fn outcome(who: Uuid, decision: &str, agreed: &[Uuid], time: i64) -> Given {
    let data = json!({"by": person(who), "decision": decision, "comment": "answer", "rule": "m_of_n",
        "request_version": 2, "agreed": agreed});
    ("responded", data, time)
}

fn reminded(time: i64) -> Given {
    ("reminded", json!({"due": at(REMINDER)}), time)
}

/// The same of a clock that stood still for so many milliseconds.
fn moved(given: Given, due: i64, shift: i64) -> Given {
    with(given, "due", json!(at(due + shift)))
}

fn escalated(time: i64) -> Given {
    ("escalated", json!({"step": 0, "due": at(ESCALATION), "reviewers": [FOUR], "priority": "high"}), time)
}

fn ended(deadline: i64, time: i64) -> Given {
    ("timed_out", json!({"deadline": at(deadline), "default": {"decision": "reject"}}), time)
}

fn asked_back(time: i64) -> Given {
    let data = json!({"by": person(ONE), "question_id": QUESTION, "text": "why?", "stops_clock": true});
    ("information_requested", data, time)
}

/// The answer to that, with the clock going on so many milliseconds later than it would have.
fn provided(shift: i64, time: i64) -> Given {
    let clock = json!({"deadline": at(DEADLINE + shift), "reminders": [at(REMINDER + shift)],
        "escalations": [at(ESCALATION + shift)]});
    ("information_provided", json!({"by": who(), "question_id": QUESTION, "text": "so", "clock": clock}), time)
}

/// The same with something of its data changed.
fn with(given: Given, name: &str, value: Value) -> Given {
    let (kind, mut data, time) = given;
    data[name] = value;
    (kind, data, time)
}

/// What is found in the life that begins with a request of two of three.
fn found_in(events: &[Given]) -> Vec<&'static str> {
    found(&[&[requested(), terms()], events].concat())
}

#[test]
fn whole_lives_within_the_rules_are_fine() {
    let lives: [&[Given]; 8] = [
        &[
            vote(ONE, "approve", 5),
            vote(TWO, "reject", 6),
            vote(TWO, "approve", 7),
            outcome(TWO, "approve", &[ONE, TWO], 7),
        ],
        &[vote(ONE, "reject", 5), vote(THREE, "reject", 6), outcome(THREE, "reject", &[ONE, THREE], 6)],
        &[reminded(REMINDER), escalated(ESCALATION + 3), vote(FOUR, "approve", 700), ended(DEADLINE, DEADLINE)],
        &[
            asked_back(300),
            commented("c", 5000),
            provided(4800, 5100),
            moved(reminded(5200), REMINDER, 4800),
            moved(escalated(5400), ESCALATION, 4800),
            ended(5800, 5900),
        ],
        &[
            by("claimed", ONE, 5),
            reminded(500),
            commented("c", 800),
            by("released", WHO, 900),
            escalated(900),
            ended(DEADLINE, DEADLINE),
        ],
        &[to("assigned", WHO, TWO, 5), to("delegated", TWO, FOUR, 6), by("claimed", FOUR, 7), vote(FOUR, "approve", 8)],
        &[ended(DEADLINE, 1200), late(ONE, "approve", 1, 1300), late(ONE, "reject", 2, 1300)],
        &[("withdrawn", json!({"by": who(), "reason": "withdrawn", "comment": "w"}), 5), commented("c", 2000)],
    ];
    for events in lives {
        assert_eq!(found_in(events), [""; 0], "{events:?}");
    }
}

#[test]
fn outcomes_and_votes_against_the_rule_are_seen() {
    let one = vote(ONE, "approve", 5);
    let two = vote(TWO, "approve", 6);
    let agreed = outcome(TWO, "approve", &[ONE, TWO], 6);
    let against: [&[Given]; 15] = [
        &[one.clone(), two.clone()],
        &[one.clone(), two.clone(), commented("c", 7)],
        &[one.clone(), outcome(ONE, "approve", &[ONE], 5)],
        &[one.clone(), two.clone(), outcome(TWO, "approve", &[TWO, THREE], 6)],
        &[one.clone(), two.clone(), outcome(ONE, "approve", &[ONE, TWO], 6)],
        &[one.clone(), two.clone(), outcome(TWO, "reject", &[ONE, TWO], 6)],
        &[one.clone(), two.clone(), outcome(TWO, "approve", &[ONE, TWO], 7)],
        &[one.clone(), two.clone(), with(agreed.clone(), "rule", json!("any_one"))],
        &[one.clone(), two.clone(), with(agreed.clone(), "request_version", json!(1))],
        &[one.clone(), two, agreed.clone(), agreed],
        &[one.clone(), vote(ONE, "approve", 6)],
        &[vote(FOUR, "approve", 5)],
        &[vote(WHO, "approve", 5)],
        &[one, to("delegated", ONE, FOUR, 6), vote(ONE, "reject", 7)],
        &[
            vote(ONE, "approve", 5),
            to("delegated", ONE, FOUR, 6),
            vote(TWO, "approve", 7),
            outcome(TWO, "approve", &[ONE, TWO], 7),
        ],
    ];
    for events in against {
        assert_eq!(found_in(events), ["folds"], "{events:?}");
    }
}

#[test]
fn a_clock_that_is_wrong_is_seen() {
    let against: [&[Given]; 18] = [
        &[reminded(REMINDER - 1)],
        &[reminded(REMINDER), reminded(REMINDER + 1)],
        &[with(reminded(REMINDER), "due", json!(at(REMINDER - 1)))],
        &[commented("c", REMINDER)],
        &[reminded(REMINDER), escalated(ESCALATION - 1)],
        &[reminded(REMINDER), escalated(ESCALATION), escalated(ESCALATION + 1)],
        &[reminded(REMINDER), commented("c", ESCALATION)],
        &[escalated(ESCALATION)],
        &[reminded(REMINDER), with(escalated(ESCALATION), "step", json!(1))],
        &[reminded(REMINDER), with(escalated(ESCALATION), "reviewers", json!([]))],
        &[by("claimed", ONE, 5), reminded(REMINDER), escalated(ESCALATION)],
        &[reminded(DEADLINE), ended(DEADLINE, DEADLINE)],
        &[timed_out(DEADLINE)],
        &[with(ended(DEADLINE, DEADLINE), "default", json!({"decision": "approve"}))],
        &[asked_back(300), ended(DEADLINE, DEADLINE)],
        &[asked_back(300), provided(4700, 5100)],
        &[asked_back(300), provided(4800, 5100), ended(DEADLINE, 5101)],
        &[asked_back(300), with(provided(4800, 5100), "clock", Value::Null)],
    ];
    for events in against {
        assert_eq!(found_in(events), ["folds"], "{events:?}");
    }
}

#[test]
fn work_against_the_rules_is_seen() {
    let by_another = ("withdrawn", json!({"by": person(ONE), "reason": "withdrawn", "comment": "w"}), 5);
    let against: [&[Given]; 14] = [
        &[by("claimed", ONE, 5), by("claimed", TWO, 6)],
        &[by("claimed", FOUR, 5)],
        &[by("released", ONE, 5)],
        &[by("claimed", ONE, 5), by("released", TWO, 6)],
        &[to("assigned", ONE, TWO, 5)],
        &[to("assigned", WHO, FOUR, 5)],
        &[to("delegated", ONE, TWO, 5)],
        &[to("delegated", ONE, WHO, 5)],
        &[to("delegated", ONE, FOUR, 5), to("delegated", FOUR, ONE, 6)],
        &[asked_back(5), asked_back(6)],
        &[with(asked_back(5), "stops_clock", json!(false))],
        &[provided(0, 5)],
        &[by_another],
        &[ended(DEADLINE, DEADLINE), late(ONE, "approve", 2, 1200)],
    ];
    for events in against {
        assert_eq!(found_in(events), ["folds"], "{events:?}");
    }
    assert_eq!(found(&[requested(), commented("c", 0), terms()]), ["folds"], "terms come with the request");
}

#[test]
fn what_belongs_neither_to_a_command_nor_to_the_clock_is_seen() {
    let events = [requested(), terms(), by("claimed", ONE, 5), reminded(REMINDER)];
    let spoilt = |place: usize, meta: Value| {
        let change = |index: usize, row: &mut Row| {
            if index == place {
                row.meta = meta.to_string();
            }
        };
        read(&events, change).1.checks().into_keys().collect::<Vec<_>>()
    };
    assert_eq!(spoilt(2, json!({"correlation_id": "claimed", "principal": ONE})), [""; 0]);
    assert_eq!(spoilt(2, json!({"principal": ONE})), ["nothing else"], "without a key");
    assert_eq!(spoilt(2, json!({"correlation_id": "claimed", "principal": TWO})), ["nothing else"], "by another");
    assert_eq!(spoilt(0, json!({"correlation_id": "other", "principal": WHO})), ["nothing else"], "of another key");
    assert_eq!(spoilt(3, json!({})), ["nothing else"], "of nobody");
    assert_eq!(spoilt(3, json!({"principal": ONE})), ["nothing else"], "of somebody without a key");
}

/// The checks that find something when ONE knows `fate` of the command `key`, and `events` follow a plain request.
fn compared_to(key: &str, kind: Kind, fate: Fate, events: &[Given]) -> Vec<&'static str> {
    let (mut journal, mut findings) = read(&[&[requested()], events].concat(), |_, _| {});
    let mut books = Books::default();
    let ask = ask_entry();
    let mut command = entry(key, kind, fate);
    command.principal = ONE;
    let mut remembered = HashMap::from([(ask.row, Remembered { stream: STREAM, version: 1, status: 201 })]);
    if let Fate::Acknowledged(answer) = &command.fate {
        remembered.insert(command.row, Remembered { stream: STREAM, version: answer.version, status: 200 });
    }
    for entry in [ask, command] {
        books.enter(entry, std::time::Duration::ZERO);
    }
    told::check(&mut journal, &books, &Rows(remembered), &mut findings);
    findings.checks().into_keys().collect()
}

#[test]
fn what_was_told_of_the_work_is_compared_with_what_is() {
    let claim = |fate, events: &[Given]| compared_to("claimed", Kind::Claim, fate, events);
    let claimed = [by("claimed", ONE, 5)];
    assert_eq!(claim(acknowledged(2), &claimed), [""; 0]);
    assert_eq!(claim(acknowledged(3), &claimed), ["acknowledged"], "another version");
    assert_eq!(claim(acknowledged(1), &[]), ["acknowledged"], "lost");
    assert_eq!(claim(Fate::Refused(409), &claimed), ["nothing else"], "refused and done");
    assert_eq!(claim(Fate::Refused(409), &[]), ["answers"], "refused for nothing");
    let delegate = |whom| {
        let events = [to("delegated", ONE, TWO, 5)];
        compared_to("delegated", Kind::Delegate { to: whom }, acknowledged(2), &events)
    };
    assert_eq!((delegate(TWO), delegate(THREE)), (vec![], vec!["acknowledged"]), "to another");
    let question = |id| {
        let events = [with(asked_back(5), "stops_clock", json!(false))];
        compared_to("why?", Kind::Question { id }, acknowledged(2), &events)
    };
    assert_eq!((question(QUESTION), question(WHO)), (vec![], vec!["acknowledged"]), "under another id");
    let late = |decision| {
        let events = [timed_out(DEADLINE), late(ONE, "approve", 1, 1200)];
        compared_to("answer", Kind::Respond(decision), acknowledged(3), &events)
    };
    assert_eq!((late(Decision::Approve), late(Decision::Reject)), (vec![], vec!["acknowledged"]), "another answer");
}

#[test]
fn what_changed_nothing_is_compared_with_what_there_was_to_change() {
    // Another's command, which the books do not know, is a finding of its own.
    let foreign = "nothing else";
    let claim = |fate| compared_to("again", Kind::Claim, fate, &[by("claimed", ONE, 5)]);
    assert_eq!(claim(acknowledged(2)), [foreign], "it had it in hand");
    assert_eq!(claim(acknowledged(1)), ["acknowledged", foreign], "nobody had");
    assert_eq!(claim(Fate::Refused(409)), ["answers", foreign], "nobody else had it");
    let others = compared_to("mine", Kind::Claim, Fate::Refused(409), &[by("claimed", TWO, 5)]);
    assert_eq!(others, [foreign], "somebody else had");
    assert_eq!(compared_to("r", Kind::Release, acknowledged(1), &[]), [""; 0], "nobody had it");
    assert_eq!(compared_to("r", Kind::Withdraw, Fate::Refused(409), &[timed_out(DEADLINE)]), ["answers"], "by another");
}

#[test]
fn what_a_command_had_the_clock_do_must_have_met_it() {
    let events = [requested(), timed_out(DEADLINE)];
    let met = |principal: Uuid, key: &str| {
        let (mut journal, mut findings) = read(&events, |index, row| {
            if index == 1 {
                row.meta = json!({"correlation_id": key, "principal": principal}).to_string();
            }
        });
        let mut books = Books::default();
        let mut command = entry("claimed", Kind::Claim, Fate::Refused(409));
        command.principal = ONE;
        let ask = ask_entry();
        let remembered = HashMap::from([(ask.row, Remembered { stream: STREAM, version: 1, status: 201 })]);
        for entry in [ask, command] {
            books.enter(entry, std::time::Duration::ZERO);
        }
        told::check(&mut journal, &books, &Rows(remembered), &mut findings);
        findings.checks().into_keys().collect::<Vec<_>>()
    };
    assert_eq!(met(ONE, "claimed"), [""; 0]);
    assert_eq!(met(TWO, "claimed"), ["nothing else"], "of another person");
    assert_eq!(met(ONE, "who?"), ["nothing else"], "of a command that nobody sent");
    assert_eq!(met(WHO, "ask"), ["nothing else"], "of the one that asked");
}

#[test]
fn a_request_that_became_another_is_seen() {
    const MINUTE: i64 = 60_000;
    let body = json!({"title": "ask", "timeout_minutes": 3, "reviewers": [THREE, ONE, TWO], "on_timeout": "reject",
        "rule": {"type": "m_of_n", "m": 2}, "reminders": [2, 1], "questions_stop_clock": true, "priority": "high",
        "escalations": [{"after_minutes": 1, "unclaimed": true, "reviewers": [FOUR], "priority": "urgent"}]});
    let asked = with(requested(), "deadline", json!(at(3 * MINUTE)));
    let asked = with(with(asked, "reviewers", json!([THREE, ONE, TWO])), "priority", json!("high"));
    let step = json!([{"due": at(MINUTE), "unclaimed": true, "reviewers": [FOUR], "priority": "urgent"}]);
    let as_asked = with(with(terms(), "reminders", json!([at(MINUTE), at(2 * MINUTE)])), "escalations", step);
    let differ = |asked: Given, terms: Given| {
        let (journal, _) = read(&[asked, terms], |_, _| {});
        asked::differences(&body.to_string(), &journal.streams[&STREAM]).len()
    };
    assert_eq!(differ(asked.clone(), as_asked.clone()), 0);
    for (name, value) in [
        ("deadline", json!(at(4 * MINUTE))),
        ("reviewers", json!([ONE])),
        ("priority", json!("low")),
        ("labels", json!(["x"])),
    ] {
        assert!(differ(with(asked.clone(), name, value), as_asked.clone()) > 0, "{name}");
    }
    for (name, value) in [
        ("rule", json!({"type": "m_of_n", "m": 1})),
        ("seats", json!([ONE, TWO])),
        ("on_timeout", Value::Null),
        ("reminders", json!([at(MINUTE)])),
        ("escalations", json!([])),
        ("questions_stop_clock", json!(false)),
        ("asker_may_answer", json!(true)),
    ] {
        assert!(differ(asked.clone(), with(as_asked.clone(), name, value)) > 0, "{name}");
    }
}

#[test]
fn a_clock_that_was_told_another_instant_is_seen() {
    let compare = |events: &[Given], told: Option<i64>, asked_until: i64| {
        let (journal, mut findings) = read(&[&[requested(), terms()], events].concat(), |_, _| {});
        let rows = told.map(|due| (STREAM, at(due))).into_iter().collect();
        streams::compare_deadlines(&journal, rows, at(asked_until), &mut findings);
        findings.checks().into_keys().collect::<Vec<_>>()
    };
    let none = [""; 0];
    assert_eq!(compare(&[], Some(REMINDER), 0), none);
    assert_eq!(compare(&[reminded(REMINDER)], Some(ESCALATION), REMINDER), none);
    assert_eq!(compare(&[reminded(REMINDER), by("claimed", ONE, 500)], Some(DEADLINE), ESCALATION), none);
    assert_eq!(compare(&[asked_back(300)], None, 5000), none);
    assert_eq!(compare(&[asked_back(300), provided(4800, 5100)], Some(REMINDER + 4800), 5100), none);

    assert_eq!(compare(&[], Some(DEADLINE), 0), ["deadlines"], "the end and not the reminder");
    assert_eq!(compare(&[], None, 0), ["deadlines"], "nothing");
    assert_eq!(compare(&[asked_back(300)], Some(REMINDER), 5000), ["deadlines"], "of a clock that stands still");
    assert_eq!(compare(&[], Some(REMINDER), REMINDER), ["deadlines"], "due and left");
    assert_eq!(compare(&[vote(ONE, "approve", 5)], Some(ESCALATION), 5), ["deadlines"], "the step after the next");
}
