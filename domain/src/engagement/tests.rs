//! Given a call, when it is told, then one event or a refusal.

use super::*;
use docket_events::engagement::Item;

const READER: Uuid = Uuid::from_u128(1);

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn view(id: u128) -> Engaged {
    Engaged {
        id: Uuid::from_u128(id),
        action: Action::View,
        item: Item::Article(Uuid::from_u128(7)),
        at: None,
        dwell_ms: None,
        consultation_id: None,
    }
}

fn reason(items: &[Engaged]) -> String {
    record(&Batch::default(), READER, items, now()).refusal.unwrap().to_string()
}

#[test]
fn a_call_is_one_event_and_the_same_again_is_none() {
    let items = [view(1), view(2)];
    let decided = record(&Batch::default(), READER, &items, now());
    let [event] = &decided.events[..] else { panic!("{decided:?}") };
    let mut batch = Batch::default();
    batch.evolve(event, At { version: 1, time: now() });
    assert_eq!(record(&batch, READER, &items, now() + OLDEST), Decided::accepted(Vec::new()));
    assert_eq!(record(&batch, READER, &items[..1], now()).refusal, Some(Refusal::BatchTaken));
}

#[test]
fn an_item_that_does_not_do_refuses_the_call_and_is_named() {
    assert!(reason(&[]).contains("1 to 1000"));
    assert!(reason(&vec![view(1); 1_001]).contains("1 to 1000"));
    assert!(reason(&[view(1), view(1)]).contains("item 1 has the id of another"));
    for (index, wrong) in [
        Engaged { action: Action::Dwell, ..view(2) },
        Engaged { action: Action::Dwell, dwell_ms: Some(0), ..view(2) },
        Engaged { action: Action::Dwell, dwell_ms: Some(MAX_DWELL_MS + 1), ..view(2) },
        Engaged { dwell_ms: Some(1), ..view(2) },
        Engaged { at: Some(now() + TimeDelta::minutes(6)), ..view(2) },
        Engaged { at: Some(now() - TimeDelta::days(31)), ..view(2) },
    ]
    .into_iter()
    .enumerate()
    {
        let field = if index < 4 { "`dwell_ms`" } else { "`at`" };
        let reason = reason(&[view(1), wrong]);
        assert!(reason.contains(&format!("in item 1, {field}")), "{reason}");
    }
}

#[test]
fn the_largest_call_fits_an_event() {
    let item = |id| Engaged {
        id: Uuid::from_u128(id),
        action: Action::Dwell,
        item: Item::Article(Uuid::from_u128(u128::MAX)),
        at: Some(now() - TimeDelta::microseconds(1)),
        dwell_ms: Some(MAX_DWELL_MS),
        consultation_id: Some(Uuid::from_u128(u128::MAX)),
    };
    let items: Vec<Engaged> = (0..MAX_ITEMS as u128).map(item).collect();
    let decided = record(&Batch::default(), READER, &items, now());
    let text = docket_events::EventData::encode(&decided.events[0]).unwrap();
    assert!(text.len() < 256 * 1024, "{}", text.len());
}
