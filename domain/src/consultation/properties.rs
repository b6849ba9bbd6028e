//! Whatever commands come, in whatever order and at whatever times: one outcome, the same under replay, the same from any snapshot.

use std::time::Duration as Std;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use docket_events::{
    DataKey, EventData, HasPersonal,
    consultation::{
        AnswerKind, ConsultationEvent as Event, Decision, DecisionRule, Person, WithdrawalReason as Reason,
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{Aggregate, At, Decided, consultation::view::ConsultationView};

const CONSULTATION: Uuid = Uuid::from_u128(0xc0);

/// Person 0 asks most of the time; there are few people, so that the same ones meet again.
fn person() -> impl Strategy<Value = Person> {
    (0..4_u128).prop_map(|n| Person::named(Uuid::from_u128(n), format!("Person {n}")))
}

fn decision() -> impl Strategy<Value = Decision> {
    prop_oneof![Just(Decision::Approve), Just(Decision::Reject)]
}

fn comment() -> impl Strategy<Value = Option<String>> {
    // Blank now and then, which is refused.
    proptest::option::of("[a-zé ]{1,8}")
}

fn context() -> impl Strategy<Value = Option<Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z\"\\\\é😀\u{1}]{0,6}".prop_map(Value::from),
    ];
    let tree = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{0,3}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    });
    proptest::option::of(tree)
}

/// Minutes after the start: small, so that deadlines fall among the commands.
fn due() -> impl Strategy<Value = Option<Due>> {
    prop_oneof![
        1 => Just(None),
        3 => (0..60_u32).prop_map(|minutes| Some(Due::After { minutes })),
        3 => (0..90_i64).prop_map(|n| Some(Due::At(start() + TimeDelta::seconds(n * 45)))),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let reviewers = prop_oneof![Just(vec![]), proptest::collection::vec((0..4_u128).prop_map(Uuid::from_u128), 0..3)];
    let person = prop_oneof![3 => Just(Person::named(Uuid::nil(), "Person 0")), 1 => person()];
    let plain = ("[a-z ]{0,9}", comment(), context(), proptest::option::of("[a-z]{1,4}"), person, reviewers, due());
    (plain, prop_oneof![1 => Just(Terms::default()), 2 => terms()]).prop_map(
        |((title, body, context, external_id, requested_by, reviewers, deadline), terms)| Request {
            body,
            context,
            external_id,
            reviewers,
            deadline,
            terms,
            ..Request::new(title, requested_by)
        },
    )
}

fn ids() -> impl Strategy<Value = Vec<Uuid>> {
    proptest::sample::subsequence(vec![0, 1, 2, 3], 0..=4)
        .prop_map(|ids| ids.into_iter().map(Uuid::from_u128).collect())
}

fn answer_kind() -> impl Strategy<Value = AnswerKind> {
    let options = || ["a", "b", "c"].map(str::to_owned).into();
    prop_oneof![
        3 => Just(AnswerKind::Approval),
        1 => Just(AnswerKind::Choice { options: options(), min: 1, max: 2 }),
        1 => Just(AnswerKind::Form { schema: json!({"type": "integer"}) }),
        1 => Just(AnswerKind::Edit { proposed: Some(json!({"n": 1.5})), paths: vec!["/n".to_owned()], schema: None }),
    ]
}

fn rule() -> impl Strategy<Value = DecisionRule> {
    prop_oneof![
        2 => Just(DecisionRule::AnyOne),
        1 => Just(DecisionRule::All),
        1 => Just(DecisionRule::Majority),
        1 => (0..3_u32).prop_map(|m| DecisionRule::MOfN { m }),
        1 => (1..3_u32, ids()).prop_map(|(m, holders)| DecisionRule::Veto { m, holders }),
        1 => (ids(), ids()).prop_map(|(first, second)| DecisionRule::TwoGroups { first, second, m: 1 }),
    ]
}

fn terms() -> impl Strategy<Value = Terms> {
    let escalation = (0..60_u32, any::<bool>(), ids()).prop_map(|(after_minutes, unclaimed, reviewers)| {
        EscalationStep { after_minutes, unclaimed, reviewers, ..EscalationStep::default() }
    });
    let time = (
        proptest::sample::subsequence(vec![1, 5, 20], 0..=2),
        proptest::collection::vec(escalation, 0..3),
        any::<bool>(),
        proptest::option::weighted(0.2, given()),
    );
    let subject = proptest::option::weighted(0.3, person());
    (answer_kind(), rule(), ids(), any::<bool>(), subject, time).prop_map(
        |(
            answer,
            rule,
            seats,
            asker_may_answer,
            subject,
            (reminders, escalations, questions_stop_clock, on_timeout),
        )| {
            let seats = if rule == DecisionRule::AnyOne { vec![] } else { seats };
            Terms {
                answer,
                rule,
                seats,
                asker_may_answer,
                subject,
                reminders,
                escalations,
                questions_stop_clock,
                on_timeout,
                ..Terms::default()
            }
        },
    )
}

/// Mostly a decision, and now and then what another kind of consultation asks for.
fn given() -> impl Strategy<Value = Given> {
    let choices = proptest::sample::subsequence(vec!["a", "b", "c"], 1..=2);
    let what = prop_oneof![
        4 => decision().prop_map(Given::decision),
        1 => choices.prop_map(|chosen| Given {
            choices: Some(chosen.into_iter().map(str::to_owned).collect()),
            ..Given::default()
        }),
        1 => (0..3_i64).prop_map(|n| Given { form: Some(json!(n)), ..Given::default() }),
        1 => (0..3_i64).prop_map(|n| Given { payload: Some(json!({"n": n})), ..Given::decision(Decision::Approve) }),
    ];
    (what, comment()).prop_map(|(given, comment)| Given { comment, ..given })
}

fn work() -> impl Strategy<Value = Command> {
    let standing = || any::<bool>().prop_map(|is_admin| Standing { is_admin, ..Standing::default() });
    let question = || (0..3_u128).prop_map(Uuid::from_u128);
    let text = || "Which\\?".to_owned();
    prop_oneof![
        (person(), standing()).prop_map(|(by, standing)| Claim { by, standing }.into()),
        (person(), standing()).prop_map(|(by, standing)| Release { by, standing }.into()),
        (person(), standing(), person())
            .prop_map(|(by, standing, to)| { Assign { by, standing, to, of_whom: Standing::default() }.into() }),
        (person(), standing(), person()).prop_map(|(by, standing, to)| Delegate { by, standing, to }.into()),
        (person(), standing(), question()).prop_map(move |(by, standing, question_id)| {
            RequestInformation { question_id, by, standing, text: text() }.into()
        }),
        (person(), question())
            .prop_map(move |(by, question_id)| { ProvideInformation { question_id, by, text: text() }.into() }),
    ]
}

fn withdrawal() -> impl Strategy<Value = Withdraw> {
    let reason = prop_oneof![Just(Reason::Withdrawn), Just(Reason::Superseded), Just(Reason::Cancelled)];
    (person(), reason, comment(), any::<bool>()).prop_map(|(by, reason, comment, as_admin)| Withdraw {
        by,
        reason,
        comment,
        as_admin,
    })
}

/// Who has no receipt revokes none; these come before an outcome too.
fn revocation() -> impl Strategy<Value = RevokeReceipt> {
    (person(), comment(), any::<bool>()).prop_map(|(by, reason, as_admin)| RevokeReceipt {
        consultation: CONSULTATION,
        by,
        as_admin,
        reason,
    })
}

fn command() -> impl Strategy<Value = Command> {
    let talk = (any::<u128>(), person(), "[a-z ]{0,9}").prop_map(|(n, by, text)| Comment {
        comment_id: Uuid::from_u128(n),
        by,
        text,
    });
    let answer = (person(), given()).prop_map(|(by, given)| Respond { by, standing: Standing::default(), given });
    prop_oneof![
        2 => request().prop_map(Command::from),
        2 => talk.prop_map(Command::from),
        6 => answer.prop_map(Command::from),
        4 => work(),
        1 => withdrawal().prop_map(Command::from),
        1 => Just(Command::from(Expire)),
        1 => revocation().prop_map(Command::from),
    ]
}

/// Commands with the time since the one before; none for several at one instant, and whole minutes that hit deadlines exactly.
fn script() -> impl Strategy<Value = Vec<(Std, Command)>> {
    let pause = prop_oneof![
        2 => Just(Std::ZERO),
        3 => (0..20_u64).prop_map(|minutes| Std::from_secs(minutes * 60)),
        2 => (0..1_200_000_000_u64).prop_map(Std::from_micros),
    ];
    proptest::collection::vec((pause, command()), 0..24)
}

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 2, 12, 0, 0).unwrap()
}

fn key() -> DataKey {
    DataKey::new(Uuid::from_u128(77), [7; 32])
}

/// The event as it stands on the log: its personal fields sealed, written and read back. Also its text.
pub(super) fn sealed(mut event: Event) -> (Event, String) {
    event.seal_all(&|_| Some(key()), &mut || [9; 24]).unwrap();
    let text = event.encode().unwrap();
    (Event::decode(event.event_type(), &text).unwrap(), text)
}

/// What a stream lived through: the log, the state folded from it, and the state that was evolved from the decided events
/// before they were written.
struct Story {
    log: Vec<(Event, At)>,
    state: Consultation,
    unwritten: Consultation,
    now: DateTime<Utc>,
}

impl Story {
    fn empty() -> Self {
        Self { log: Vec::new(), state: Consultation::default(), unwritten: Consultation::default(), now: start() }
    }

    fn of(script: Vec<(Std, Command)>) -> Self {
        let mut story = Self::empty();
        for (pause, command) in script {
            story.live(pause, command);
        }
        story
    }

    fn live(&mut self, pause: Std, command: Command) -> Decided<Event, Refusal> {
        self.now += pause;
        let decided = decide(&self.open(), command, self.now);
        for event in &decided.events {
            let at = At { version: self.state.version + 1, time: self.now };
            self.unwritten.evolve(event, at);
            let event = sealed(event.clone()).0;
            self.state.evolve(&event, at);
            self.log.push((event, at));
        }
        decided
    }

    /// The state that decisions are made on.
    fn open(&self) -> Consultation {
        let mut state = self.state.clone();
        if state.decides_in_clear() {
            state.open_all(&|_| Some(key())).unwrap();
        }
        state
    }

    /// The events that end a consultation, with their times.
    fn outcomes(&self) -> Vec<&(Event, At)> {
        let is_outcome =
            |event: &Event| matches!(event, Event::Responded(_) | Event::TimedOut(_) | Event::Withdrawn(_));
        self.log.iter().filter(|(event, _)| is_outcome(event)).collect()
    }

    /// The deadline of the request, or where it was moved to while the clock stood still.
    fn effective_deadline(&self) -> Option<DateTime<Utc>> {
        self.log.iter().rev().find_map(|(event, _)| match event {
            Event::Requested(event) => event.deadline,
            Event::InformationProvided(event) => event.clock.as_ref()?.deadline,
            _ => None,
        })
    }

    /// Whether the clock stood still at some time.
    fn was_stopped(&self) -> bool {
        self.log.iter().any(|(event, _)| matches!(event, Event::InformationRequested(event) if event.stops_clock))
    }
}

fn fold(mut state: Consultation, log: &[(Event, At)]) -> Consultation {
    for (event, at) in log {
        state.evolve(event, *at);
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_consultation_ends_at_most_once(script in script()) {
        let story = Story::of(script);
        prop_assert!(story.outcomes().len() <= 1, "{:?}", story.outcomes());
        prop_assert_eq!(story.outcomes().len() == 1, story.state.outcome.is_some());
    }

    #[test]
    fn after_its_deadline_any_command_finds_it_ended_exactly_once(script in script(), last in command()) {
        let mut story = Story::of(script);
        let Some(deadline) = story.effective_deadline() else { return Ok(()) };
        prop_assume!(story.state.clock.stopped_at.is_none());
        story.now = story.now.max(deadline);
        story.live(Std::ZERO, last);
        prop_assert_eq!(story.outcomes().len(), 1);
        prop_assert!(story.state.deadline().is_none());
    }

    #[test]
    fn outcomes_keep_to_the_deadline_of_the_request(script in script()) {
        let story = Story::of(script);
        let deadline = story.effective_deadline();
        for (event, at) in story.outcomes() {
            match event {
                Event::TimedOut(event) => {
                    prop_assert_eq!(Some(event.deadline), deadline);
                    prop_assert!(at.time >= event.deadline);
                }
                _ => {
                    let in_time = deadline.is_none_or(|deadline| at.time < deadline) || story.was_stopped();
                    prop_assert!(in_time, "ended in time: {event:?}");
                }
            }
        }
        for (event, at) in &story.log {
            if let Event::LateResponseRecorded(_) = event {
                prop_assert!(deadline.is_some_and(|deadline| at.time >= deadline));
            }
        }
    }

    #[test]
    fn nothing_stays_pending_past_its_deadline_once_a_command_came(script in script()) {
        let mut story = Story::empty();
        for (pause, command) in script {
            story.live(pause, command);
            prop_assert_eq!(story.state.overdue(story.now), None);
            prop_assert!(story.state.deadline().is_none_or(|next| next > story.now), "the clock has struck");
        }
    }

    #[test]
    fn the_state_is_the_replay_of_the_log(script in script()) {
        let story = Story::of(script);
        let mut replayed = fold(Consultation::default(), &story.log);
        prop_assert_eq!(&replayed, &story.state);
        // Nothing is lost or changed by writing: not a digit of a number, not a fraction of a second.
        replayed.open_all(&|_| Some(key())).unwrap();
        prop_assert_eq!(replayed, story.unwritten);
    }

    #[test]
    fn folding_from_any_snapshot_is_folding_from_zero(script in script()) {
        let story = Story::of(script);
        for cut in 0..=story.log.len() {
            let (before, after) = story.log.split_at(cut);
            let snapshot = serde_json::to_string(&fold(Consultation::default(), before)).unwrap();
            let restored: Consultation = serde_json::from_str(&snapshot).unwrap();
            prop_assert_eq!(&fold(restored, after), &story.state, "snapshot after {} events", cut);
        }
    }

    #[test]
    fn a_decision_is_the_same_on_a_snapshot(script in script(), next in command()) {
        let story = Story::of(script);
        let snapshot = serde_json::to_string(&story.state).unwrap();
        let restored: Consultation = serde_json::from_str(&snapshot).unwrap();
        prop_assert_eq!(decide(&restored, next.clone(), story.now), decide(&story.state, next.clone(), story.now));
        prop_assert_eq!(decide(&story.open(), next, story.now).events.len() < 100, true);
    }

    #[test]
    fn the_same_command_again_brings_no_events(script in script(), command in command()) {
        let mut story = Story::of(script);
        let first = story.live(Std::ZERO, command.clone());
        let again = decide(&story.open(), command.clone(), story.now);
        if !matches!(command, Command::Comment(_)) {
            prop_assert_eq!(&again.events, &vec![]);
        }
        // Whoever has delegated answers no more, and an answered question is none; whatever else was refused is, and for the same reason.
        if !matches!(command, Command::ProvideInformation(_) | Command::Claim(_) | Command::Respond(_)) {
            prop_assert_eq!(again.refusal, first.refusal);
        }
    }

    #[test]
    fn nothing_changes_an_outcome(script in script()) {
        let mut story = Story::empty();
        let mut first = None;
        for (pause, command) in script {
            story.live(pause, command);
            first = first.or_else(|| story.state.outcome.clone());
            prop_assert_eq!(&story.state.outcome, &first);
        }
    }

    #[test]
    fn an_outcome_has_one_receipt_that_never_changes_and_ends_once(script in script(), payload in context()) {
        let mut story = Story::empty();
        let mut first: Option<Receipt> = None;
        for (pause, command) in script {
            story.live(pause, command);
            let receipt = ConsultationView::of(CONSULTATION, story.open()).as_ref().and_then(Receipt::of);
            prop_assert!(first.is_none() || receipt == first, "{receipt:?} after {first:?}");
            first = receipt;
        }
        let has_one = story.outcomes().iter().any(|(event, _)| !matches!(event, Event::Withdrawn(_)));
        prop_assert_eq!(first.is_some(), has_one);
        let Some(receipt) = first else { return Ok(()) };
        let by = Person::named(Uuid::nil(), "Person 0");
        let redeem = |receipt: &Receipt, payload: Option<Value>| RedeemReceipt { receipt: receipt.clone(), by: by.clone(), payload };
        let altered = Receipt { exp: receipt.exp + 1, ..receipt.clone() };
        prop_assert_eq!(story.live(Std::ZERO, redeem(&altered, None).into()).refusal, Some(Refusal::ReceiptAltered));
        story.live(Std::ZERO, redeem(&receipt, payload).into());
        story.live(Std::ZERO, redeem(&receipt, None).into());
        story.live(Std::ZERO, RevokeReceipt { consultation: CONSULTATION, by, as_admin: true, reason: None }.into());
        let ends = story.log.iter().filter(|(event, _)| matches!(event, Event::ReceiptRedeemed(_) | Event::ReceiptRevoked(_)));
        prop_assert_eq!(ends.count(), 1);
    }

    #[test]
    fn late_responses_follow_a_time_out_and_are_numbered_from_one(script in script()) {
        let story = Story::of(script);
        let mut timed_out = false;
        let mut ordinals = Vec::new();
        for (event, _) in &story.log {
            match event {
                Event::TimedOut(_) => timed_out = true,
                Event::LateResponseRecorded(event) => {
                    prop_assert!(timed_out);
                    ordinals.push(event.ordinal);
                }
                _ => {}
            }
        }
        prop_assert_eq!(&ordinals, &(1..).take(ordinals.len()).collect::<Vec<u32>>());
        prop_assert_eq!(story.state.late_responses.count as usize, ordinals.len());
    }

    #[test]
    fn versions_are_counted_and_times_do_not_fall(script in script()) {
        let story = Story::of(script);
        for (index, (_, at)) in story.log.iter().enumerate() {
            prop_assert_eq!(at.version, index as u64 + 1);
        }
        prop_assert!(story.log.is_sorted_by_key(|(_, at)| at.time));
        prop_assert_eq!(story.state.version, story.log.len() as u64);
    }

    #[test]
    fn nothing_personal_stands_in_clear_in_a_state_folded_from_the_log(script in script()) {
        let mut story = Story::of(script);
        prop_assert!(story.state.unsealed_subjects().is_empty());
        let snapshot = serde_json::to_string(&story.state).unwrap();
        prop_assert!(!snapshot.contains("Person"));
        story.state.open_all(&|_| Some(key())).unwrap();
        let mut sealed = 0;
        story.state.visit_personal(&mut |field| sealed += usize::from(!field.is_known()));
        prop_assert_eq!(sealed, 0, "all that is personal is found");
    }
}
