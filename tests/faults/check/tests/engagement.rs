//! Engagement: calls that are lost, doubled, altered or nobody's, and counters that are not what was told.

use docket_events::engagement::{Action, Engaged, Item};

use super::{
    super::engagement::{Counters, differences},
    *,
};
use crate::ledger::{Call, Told};

const ARTICLE: Uuid = Uuid::from_u128(31);
const OTHER: Uuid = Uuid::from_u128(32);
const DAY: &str = "1970-01-01";

fn thing(id: u128, action: Action, article: Uuid) -> Engaged {
    let dwell_ms = (action == Action::Dwell).then_some(1_500);
    Engaged { id: Uuid::from_u128(id), action, item: Item::Article(article), at: None, dwell_ms, consultation_id: None }
}

/// A journal in which [`WHO`] told these calls, each in a stream and a shard of its own: (shard, milliseconds, things).
fn journal(calls: &[(i16, i64, &[Engaged])]) -> (Journal, Findings) {
    let (mut journal, mut findings) = (Journal::default(), Findings::default());
    for (number, (shard, time, items)) in calls.iter().enumerate() {
        let sequence = 1 + calls[..number].iter().filter(|(other, ..)| other == shard).count() as i64;
        let row = Row {
            category: Category::Engagement.code(),
            shard: *shard,
            sequence,
            stream_id: Uuid::from_u128(100 + number as u128),
            stream_version: 1,
            tenant: TENANT,
            time: at(*time),
            event_type: "docket.engagement.recorded.v1".to_owned(),
            data: json!({"user_id": WHO, "items": items}).to_string(),
            meta: "{}".to_owned(),
        };
        journal.row(&row, TENANT, &Snapshots::new(), &mut findings);
    }
    (journal, findings)
}

fn told(calls: &[(&[Engaged], bool)]) -> Told {
    let mut told = Told::default();
    for (items, is_taken) in calls {
        let name = (WHO, items.iter().map(|item| item.id).collect());
        told.calls.insert(name, Call { items: items.to_vec(), is_taken: *is_taken });
    }
    told
}

fn compared(told: &Told, calls: &[(i16, i64, &[Engaged])]) -> Vec<&'static str> {
    let (journal, mut findings) = journal(calls);
    journal.engagement.check(told, &mut findings);
    findings.checks().into_keys().collect()
}

#[test]
fn calls_are_compared_with_what_is_journalled() {
    let call = [thing(1, Action::View, ARTICLE), thing(2, Action::Share, ARTICLE)];
    let (taken, unknown) = (told(&[(&call, true)]), told(&[(&call, false)]));
    assert_eq!(compared(&taken, &[(0, 1, &call)]), [""; 0]);
    assert_eq!(compared(&unknown, &[(0, 1, &call)]), [""; 0]);
    assert_eq!(compared(&unknown, &[]), [""; 0]);

    assert_eq!(compared(&taken, &[]), ["acknowledged"], "lost");
    assert_eq!(compared(&taken, &[(0, 1, &call), (1, 2, &call)]), ["acknowledged"], "twice");
    let altered = [thing(1, Action::View, OTHER), call[1].clone()];
    assert_eq!(compared(&taken, &[(0, 1, &altered)]), ["acknowledged"], "altered");
    assert_eq!(compared(&Told::default(), &[(0, 1, &call)]), ["nothing else"], "of nobody");
}

#[test]
fn the_first_telling_of_a_thing_counts_and_no_other() {
    let first = [thing(1, Action::Dwell, ARTICLE), thing(2, Action::View, ARTICLE)];
    let second = [thing(1, Action::View, OTHER), thing(3, Action::View, OTHER)];
    // What is read later was told before.
    let (journal, findings) = journal(&[(0, 20, &second), (1, 10, &first)]);
    assert!(findings.is_empty(), "{findings}");
    let [items, readers, trends] = journal.engagement.counters();
    let counters = |of: &[(Uuid, [i64; 6])]| -> Counters {
        of.iter().map(|(id, counts)| ((*id, DAY.to_owned()), counts.to_vec())).collect()
    };
    assert_eq!(items, counters(&[(ARTICLE, [1, 0, 0, 0, 1, 1_500]), (OTHER, [1, 0, 0, 0, 0, 0])]));
    assert_eq!(readers, counters(&[(WHO, [2, 0, 0, 0, 1, 1_500])]));
    assert_eq!(trends.len(), 2);
}

#[test]
fn counters_that_differ_are_told() {
    let counters = |counts: &[i64]| Counters::from([((ARTICLE, DAY.to_owned()), counts.to_vec())]);
    assert_eq!(differences("item", &counters(&[1, 2]), &counters(&[1, 2])), [""; 0]);
    assert_eq!(differences("item", &counters(&[1, 2]), &counters(&[1, 3])).len(), 1, "counted twice");
    assert_eq!(differences("item", &counters(&[1]), &Counters::new()).len(), 1, "not counted");
    assert_eq!(differences("item", &Counters::new(), &counters(&[0])).len(), 1, "counted, and never told");
}
