//! The frozen hash: the shard of a stream never changes.

use std::fs;

use docket_events::{StreamId, shard_of};
use serde::Deserialize;

use crate::fixtures;

#[derive(Deserialize)]
struct Frozen {
    stream: String,
    of_16: u16,
    of_2: u16,
}

fn frozen() -> Vec<Frozen> {
    serde_json::from_str(&fs::read_to_string(fixtures::folder().join("shards.json")).unwrap()).unwrap()
}

#[test]
fn every_frozen_stream_keeps_its_shard() {
    assert!(frozen().len() >= 20);
    for Frozen { stream, of_16, of_2 } in frozen() {
        let id: StreamId = stream.parse().unwrap();
        assert_eq!((shard_of(id, 16), shard_of(id, 2)), (of_16, of_2), "{stream}");
        assert_eq!((id.shard(16).shard, id.shard(16).category), (of_16, id.category));
        assert_eq!(id.to_string(), stream);
    }
}

#[test]
fn shards_are_within_their_number_and_all_are_used() {
    for shards in [1, 2, 3, 16] {
        let streams =
            (0..1_000_u128).map(|n| StreamId::new(docket_events::Category::Consultation, uuid::Uuid::from_u128(n)));
        let mut used: Vec<_> = streams.map(|stream| shard_of(stream, shards)).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used, (0..shards).collect::<Vec<_>>());
    }
}

#[test]
fn what_names_no_stream_is_refused() {
    for text in ["", "consultation", "consultation-", "consultation-7", "opinion-01990000-0000-7000-8000-000000000001"]
    {
        assert!(text.parse::<StreamId>().is_err(), "{text}");
    }
}
