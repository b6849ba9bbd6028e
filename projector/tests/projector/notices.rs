//! Notices: each kind reaches whom it concerns, no storm of mails comes of many, and nothing is told that is not true any more.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use docket_domain::webhook::stream_of;
use docket_events::{
    Category, Personal, StreamId,
    consultation::{
        Assigned, ConsultationEvent as C, Delegated, Escalated, InformationProvided, InformationRequested, Reminded,
        Requested, TimedOut,
    },
    identity::{
        EndpointEnd, EndpointFormat, IdentityEvent as I, Mailing, MemberEnd, MemberRemoved, NotificationPreferencesSet,
        QuietHours, ReadingShown, WebhookEndpointDisabled, WebhookEndpointSet,
    },
};
use docket_platform::{
    auth::mailed::{self, Unsubscribed},
    clock, db, ids,
};
use docket_projector::reactors::{
    Patience,
    deliveries::{self, State},
};

use crate::{
    desk::{
        ADA, ADMIN, ANN, ASKER, AT_ONCE, Desk, GRACE, HOUR, LINUS, URL, id, person, requested, responded, urgent,
        voted, withdrawn,
    },
    server::Server,
    support::{TENANT, consultation, late},
};

#[tokio::test]
async fn each_kind_reaches_whom_it_concerns_and_nobody_else() {
    let mut desk = Desk::open().await;
    assert_eq!(desk.told(1, requested("Merge?", &[ADA, GRACE])).await, ["ada", "grace"]);
    let to = |to| C::Assigned(Assigned { by: person(ASKER), to: person(to) });
    assert_eq!(desk.told(1, to(GRACE)).await, ["grace"]);
    let question = InformationRequested::new(id(50), person(GRACE), "Which?".into(), None, false);
    assert_eq!(desk.told(1, C::InformationRequested(question)).await, ["asker"]);
    let answer = InformationProvided::new(id(50), person(ASKER), "That.".into(), None, None);
    assert_eq!(desk.told(1, C::InformationProvided(answer)).await, ["grace"]);
    assert_eq!(desk.told(1, C::Reminded(Reminded { due: clock::now() })).await, ["ada", "grace"]);
    let escalated =
        Escalated { step: 0, due: clock::now(), reviewers: vec![id(LINUS)], priority: None, notify: vec![id(ANN)] };
    assert_eq!(desk.told(1, C::Escalated(escalated)).await, ["ada", "ann", "grace", "linus"]);
    assert!(desk.told(1, voted(ADA)).await.is_empty());
    assert_eq!(desk.told(1, responded(LINUS)).await, ["ada", "asker", "grace"]);

    desk.world.say(consultation(2), requested("Ship?", &[])).await;
    assert_eq!(desk.reached().await, ["ada", "grace", "linus"], "every reviewer");
    let delegated = C::Delegated(Delegated { by: person(ADA), to: person(LINUS) });
    assert_eq!(desk.told(2, delegated).await, ["linus"]);
    let timed_out = C::TimedOut(TimedOut { deadline: clock::now(), default: None });
    assert_eq!(desk.told(2, timed_out).await, ["asker"]);
    assert!(desk.told(2, late(1)).await.is_empty());

    desk.world.say(consultation(3), requested("Scale?", &[ADA])).await;
    assert_eq!(desk.reached().await, ["ada"]);
    assert_eq!(desk.told(3, withdrawn(ADMIN)).await, ["asker"]);
}

#[tokio::test]
async fn a_letter_opens_the_consultation_and_says_who_wants_what_and_how_it_ends() {
    let mut desk = Desk::open().await;
    let deadline: DateTime<Utc> = "2038-03-05T08:04:00Z".parse().expect("a time");
    let request = Requested { deadline: Some(deadline), ..Requested::new("Merge?", person(ASKER)) };
    desk.told(1, C::Requested(Requested { reviewers: vec![id(ADA)], ..request })).await;
    desk.seen = 0;
    let [letter] = &desk.mails()[..] else { panic!("one letter") };
    assert_eq!(letter.header("Subject"), Some("Decision wanted: Merge?"));
    for said in [
        "Hello Ada,",
        "Asker asks for a decision in Works:",
        "Until: 5 March 2038, 08:04 UTC",
        &format!("{URL}/consultations/{}", consultation(1).id),
        &format!("{URL}/settings/notifications"),
    ] {
        assert!(letter.says(said), "{said}: {}", letter.0);
    }
    assert_eq!(letter.header("List-Unsubscribe-Post"), Some("List-Unsubscribe=One-Click"));
    let link = letter.header("List-Unsubscribe").expect("a link").trim_matches(['<', '>']);
    assert!(letter.says(&format!("Get no more mails like this: {link}")), "{}", letter.0);
    let (_, token) = link.split_once("/api/v1/notifications/unsubscribe?token=").expect("a token");
    let mut door = db::door(&desk.world.owner).await.expect("open");
    let whose = mailed::unsubscriber(&mut door, &token.into()).await.expect("looked up");
    assert_eq!(whose, Some((id(ADA), Unsubscribed::Asked)));
    assert!(mailed::holder(&mut door, mailed::Purpose::ResetPassword, &token.into()).await.expect("asked").is_none());
}

#[tokio::test]
async fn whoever_may_vote_is_told_that_their_reading_is_shown() {
    let mut desk = Desk::open().await;
    let words = "Shown with your vote: what you open beforehand";
    for shown in [false, true] {
        if shown {
            let organisation = StreamId::new(Category::Identity, TENANT);
            desk.world.say(organisation, I::ReadingShown(ReadingShown { shown })).await;
            desk.rest().await;
        }
        desk.world.say(consultation(u128::from(shown)), requested("Merge?", &[ADA])).await;
        desk.note().await;
        desk.write(AT_ONCE).await;
        let [letter] = &desk.mails()[..] else { panic!("one letter") };
        assert_eq!(letter.says(words), shown, "{}", letter.0);
    }
}

#[tokio::test]
async fn five_hundred_requests_at_once_are_two_mails_also_where_two_processes_write() {
    let mut desk = Desk::open().await;
    let writing = [desk.begin(HOUR, Patience::default()), desk.begin(HOUR, Patience::default())];
    for n in 1..=500 {
        desk.world.say(consultation(n), requested(&format!("Case {n}"), &[ADA])).await;
    }
    desk.note().await;
    desk.until("select count(*) from react.notice", 500).await;
    desk.until("select count(*) from react.reader where due_at <= clock_timestamp() or claim is not null", 0).await;
    assert_eq!(desk.mails().len(), 1, "the first goes at once, and the rest waits");
    desk.rest().await;
    desk.until("select count(*) from react.notice where state = 'pending'", 0).await;
    let [digest] = &desk.mails()[..] else { panic!("one more letter") };
    assert!(digest.says(" notices from Docket") && digest.says(" more."), "{}", digest.0);
    for writing in writing {
        writing.stop().await;
    }
}

#[tokio::test]
async fn a_digest_counts_what_it_does_not_list() {
    let mut desk = Desk::open().await;
    for n in 1..=487 {
        desk.world.say(consultation(n), requested(&format!("Case {n}"), &[ADA])).await;
    }
    assert_eq!(desk.reached().await, ["ada"]);
    desk.seen = 0;
    let letter = desk.mails().remove(0);
    assert!(letter.says("Subject: 487 notices from Docket") && letter.says("And 437 more."), "{}", letter.0);
}

#[tokio::test]
async fn quiet_hours_hold_back_all_but_what_is_urgent_and_then_it_goes_as_one() {
    let mut desk = Desk::open().await;
    let now = clock::now();
    let minute = |ahead: i64| {
        let then = now + TimeDelta::minutes(ahead);
        u16::try_from(then.hour() * 60 + then.minute()).expect("a minute of a day")
    };
    let quiet = Some(QuietHours { from: minute(-60), to: minute(120) });
    let set = NotificationPreferencesSet { quiet_hours: quiet, ..NotificationPreferencesSet::default() };
    desk.prefers(ADA, set.clone()).await;
    assert!(desk.told(1, requested("Now?", &[ADA])).await.is_empty());
    assert!(desk.told(2, requested("Or now?", &[ADA])).await.is_empty());
    let wakes: DateTime<Utc> =
        sqlx::query_scalar("select due_at from react.reader").fetch_one(&desk.world.owner).await.expect("a reader");
    assert!(wakes > now + TimeDelta::minutes(118) && wakes <= now + TimeDelta::minutes(121), "{wakes}");
    assert_eq!(desk.told(3, urgent("Fire?")).await, ["ada"]);
    desk.seen = 0;
    assert_eq!(desk.mails()[0].header("Subject"), Some("Decision wanted: Fire?"));
    // They end.
    desk.prefers(ADA, NotificationPreferencesSet { quiet_hours: None, ..set }).await;
    desk.rest().await;
    assert_eq!(desk.reached().await, ["ada"]);
    desk.seen = 1;
    let digest = desk.mails().remove(0);
    assert!(digest.says("2 notices from Docket") && !digest.says("Fire?"), "{}", digest.0);
}

#[tokio::test]
async fn everybody_is_told_as_they_want() {
    let mut desk = Desk::open().await;
    let set = |asked, outcome| NotificationPreferencesSet { asked, outcome, ..NotificationPreferencesSet::default() };
    desk.prefers(ADA, set(Mailing::None, Mailing::AtOnce)).await;
    desk.prefers(GRACE, set(Mailing::Digest, Mailing::None)).await;
    assert_eq!(desk.told(1, requested("Merge?", &[])).await, ["linus"]);
    let due: DateTime<Utc> = sqlx::query_scalar("select due_at from react.reader where user_id = $1")
        .bind(id(GRACE))
        .fetch_one(&desk.world.owner)
        .await
        .expect("a reader");
    assert!(due > clock::now() && (due.hour(), due.minute()) == (8, 0), "{due}");
    desk.world.say(consultation(1), voted(ADA)).await;
    desk.world.say(consultation(1), voted(GRACE)).await;
    assert_eq!(desk.told(1, responded(LINUS)).await, ["ada", "asker"], "what she asked for is at once, and not wanted");
    assert!(desk.reasons().await.contains("the reader wants no such mail"));
    // A day later the request is decided: there is nothing to put into the digest.
    desk.world.sql("update react.notice set noted_at = noted_at - interval '1 day'").await;
    desk.rest().await;
    assert!(desk.reached().await.is_empty());
    assert!(desk.reasons().await.contains("the consultation ended before the reader was told"));
}

#[tokio::test]
async fn what_is_answered_withdrawn_or_no_concern_any_more_is_not_told() {
    let mut desk = Desk::open().await;
    desk.world.say(consultation(1), requested("Withdrawn?", &[ADA])).await;
    desk.world.say(consultation(2), requested("Left?", &[GRACE])).await;
    desk.world.say(consultation(3), requested("Answered?", &[LINUS])).await;
    desk.note().await;
    assert_eq!(desk.world.number("select count(*) from react.notice where state = 'pending'").await, 3);
    desk.world.say(consultation(1), withdrawn(ASKER)).await;
    let left = MemberRemoved { user_id: id(GRACE), reason: MemberEnd::Left };
    desk.world.say(StreamId::new(Category::Identity, TENANT), I::MemberRemoved(left)).await;
    desk.world.say(consultation(3), voted(LINUS)).await;
    desk.write(AT_ONCE).await;
    assert!(desk.mails().is_empty());
    let reasons = desk.reasons().await;
    for why in ["ended before", "no member", "no concern"] {
        assert!(reasons.iter().any(|reason| reason.contains(why)), "{why}: {reasons:?}");
    }
}

#[tokio::test]
async fn who_was_erased_gets_nothing_and_is_named_nowhere() {
    let mut desk = Desk::open().await;
    desk.world.say(consultation(1), requested("Merge?", &[ADA, GRACE])).await;
    desk.note().await;
    desk.world
        .sql(
            "delete from vault.data_key where subject in
        ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000002')",
        )
        .await;
    desk.write(AT_ONCE).await;
    let letters = desk.mails();
    let [letter] = &letters[..] else { panic!("one letter: {letters:?}") };
    assert_eq!(letter.to(), "grace");
    assert!(letter.says("Somebody asks for a decision") && !letter.says("Asker"), "{}", letter.0);
    assert!(desk.reasons().await.contains("the person was erased"));
    let kept = desk.texts("select n::text from react.notice n union all select i::text from react.intent i").await;
    assert!(kept.iter().all(|row| !row.contains("reader.example") && !row.contains("Merge")), "{kept:?}");
}

#[tokio::test]
async fn history_is_told_to_nobody() {
    let mut desk = Desk::open().await;
    desk.world.say(consultation(1), requested("Before?", &[ADA])).await;
    desk.world.sql("update write.journal set meta = '{\"imported\":true}' where event_type like '%requested%'").await;
    assert!(desk.reached().await.is_empty());
    assert_eq!(desk.world.number("select count(*) from react.intent").await, 0);
}

#[tokio::test]
async fn a_letter_that_was_cut_off_goes_again_under_the_same_id() {
    let mut desk = Desk::open().await;
    let taking = std::mem::replace(&mut desk.server, Server::start(&[(".", None)]).await);
    desk.world.say(consultation(1), requested("Merge?", &[ADA])).await;
    desk.world.say(consultation(2), requested("Ship?", &[ADA])).await;
    desk.note().await;
    let writing = desk.begin(AT_ONCE, Patience::default());
    let arrive = async {
        while desk.server.taken().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), arrive).await.expect("taken, though nobody says so");
    // Nothing of that process runs any further.
    writing.task.abort();
    assert!(writing.task.await.is_err_and(|error| error.is_cancelled()));
    let first = desk.mails().remove(0);

    desk.server = taking;
    desk.seen = 0;
    // Another comes meanwhile, and the claim ends.
    desk.world.say(consultation(3), requested("Scale?", &[ADA])).await;
    desk.note().await;
    desk.world.sql("update react.reader set due_at = now()").await;
    desk.write(HOUR).await;
    let again = desk.mails();
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(again[0].header("Message-ID"), first.header("Message-ID"));
    assert!(again[0].says("2 notices") && !again[0].says("Scale?"), "{}", again[0].0);
    desk.rest().await;
    desk.write(HOUR).await;
    assert_eq!(desk.mails()[0].header("Subject"), Some("Decision wanted: Scale?"));
}

#[tokio::test]
async fn what_no_provider_takes_is_tried_again_then_given_up_and_tried_once_more_when_told() {
    let mut desk = Desk::open().await;
    let taking = std::mem::replace(&mut desk.server, Server::start(&[("RCPT", Some("451 later"))]).await);
    desk.world.say(consultation(1), requested("Merge?", &[ADA])).await;
    desk.note().await;
    let patience = Patience { attempts: 2, first: Duration::from_millis(10), ..Patience::default() };
    let writing = desk.begin(AT_ONCE, patience);
    desk.until("select count(*) from react.notice where state = 'dead' and attempts = 2", 1).await;
    writing.stop().await;
    let pool = &desk.world.pool;
    let dead = deliveries::list(pool, State::Dead, Some("letters"), 10).await.expect("listed");
    let [entry] = &dead[..] else { panic!("one is given up: {dead:?}") };
    assert_eq!(entry.target, format!("asked to {}", id(ADA)));
    assert!(entry.outcome.as_deref().is_some_and(|why| why.contains("smtp")), "{entry:?}");
    assert_eq!(deliveries::list(pool, State::Dead, None, 10).await.expect("listed"), dead);
    assert_eq!(deliveries::retry(pool, Some(ids::new_id()), None).await.expect("done"), 0);
    assert_eq!(deliveries::retry(pool, Some(entry.id), None).await.expect("done"), 1);
    desk.server = taking;
    desk.write(AT_ONCE).await;
    assert_eq!(desk.mails()[0].to(), "ada");
    desk.world.sql("update react.notice set settled_at = now() - interval '1 year'").await;
    desk.world.sql("update react.reader set rests = now() - interval '1 year'").await;
    assert!(deliveries::trim(&desk.world.pool, HOUR).await.expect("forgotten") >= 2);
    assert_eq!(
        desk.world.number("select (select count(*) from react.notice) + (select count(*) from react.reader)").await,
        0
    );
}

#[tokio::test]
async fn administrators_are_told_of_an_endpoint_that_was_disabled_but_not_where_it_is_exactly() {
    let mut desk = Desk::open().await;
    let webhooks = StreamId::new(Category::Identity, stream_of(TENANT));
    let endpoint = id(0xe0);
    desk.world
        .say(
            webhooks,
            I::WebhookEndpointSet(WebhookEndpointSet {
                endpoint_id: endpoint,
                url: Personal::known(endpoint, "https://hooks.chat.example/services/s3cret".to_owned()),
                description: None,
                event_types: vec!["consultation.*".to_owned()],
                format: EndpointFormat::Standard,
                template: None,
                set_by: id(ADMIN),
            }),
        )
        .await;
    let disabled = |reason| {
        let failing_since = Some(clock::now());
        I::WebhookEndpointDisabled(WebhookEndpointDisabled {
            endpoint_id: endpoint,
            reason,
            failing_since,
            disabled_by: None,
        })
    };
    desk.world.say(webhooks, disabled(EndpointEnd::Off)).await;
    assert!(desk.reached().await.is_empty(), "whoever turned it off knows");
    desk.world.say(webhooks, disabled(EndpointEnd::Failing)).await;
    assert_eq!(desk.reached().await, ["root"]);
    desk.seen = 0;
    let letter = desk.mails().remove(0);
    assert!(letter.says("Where: hooks. chat. example") && letter.says("nothing reached it any more"), "{}", letter.0);
    assert!(!letter.says("s3cret") && letter.header("List-Unsubscribe").is_none(), "{}", letter.0);
}
