//! Lists: pages, filters, and that details are loaded together.

use std::collections::HashSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Asked, World, instant, person};

fn page(after: Option<&str>, filter: &str) -> Value {
    let query = format!(
        "query($after: String) {{ consultations(first: 10, after: $after, filter: {{{filter}}}) {{
            edges {{ cursor node {{ id title }} }} pageInfo {{ hasNextPage hasPreviousPage endCursor startCursor }} }} }}"
    );
    json!({ "query": query, "variables": { "after": after } })
}

#[tokio::test]
async fn pages_follow_each_other_without_gaps_or_doubles_while_rows_come_in() {
    let world = World::new().await;
    let tenant = Uuid::from_u128(0xa);
    let token = world.token(tenant).await;
    // The order must come from the query, not from an index that happens to have it, nor from the order of writing.
    world.run("drop index read.consultation_v1_newest, read.consultation_v1_state").await;
    let mut expected = HashSet::new();
    for n in 0..47 {
        // Many at the same instant: the id decides then.
        let asked = Asked { at: instant(n / 7), ..Asked::titled(n.to_string()) };
        let id = Uuid::new_v5(&tenant, &[u8::try_from(n).unwrap()]);
        world.write(tenant, id, &asked, "requested").await;
        expected.insert(id.to_string());
    }
    let (mut after, mut seen, mut order) = (None, Vec::new(), Vec::new());
    loop {
        let (status, answer) = world.post(&token, &page(after.as_deref(), "")).await;
        assert_eq!(status, 200, "{answer}");
        let connection = &answer["data"]["consultations"];
        for edge in connection["edges"].as_array().unwrap() {
            seen.push(edge["node"]["id"].as_str().unwrap().to_owned());
            order.push(edge["node"]["title"].as_str().unwrap().parse::<i64>().unwrap() / 7);
        }
        let info = &connection["pageInfo"];
        assert_eq!(info["hasPreviousPage"], after.is_some());
        after = info["endCursor"].as_str().map(str::to_owned);
        if info["hasNextPage"] == false {
            break;
        }
        // Newer than everything: it belongs to a page already passed.
        world.asked(tenant, &Asked { at: instant(1_000), ..Asked::titled("9999") }).await;
    }
    assert_eq!(seen.len(), 47);
    assert_eq!(seen.into_iter().collect::<HashSet<_>>(), expected);
    assert!(order.is_sorted_by(|newer, older| newer >= older), "{order:?}");
}

#[tokio::test]
async fn filters_choose_and_combine() {
    let world = World::new().await;
    let tenant = Uuid::from_u128(0xa);
    let token = world.token(tenant).await;
    for (n, state) in ["pending", "timed_out", "withdrawn"].into_iter().enumerate() {
        let seconds = i64::try_from(n).unwrap();
        let mut asked = Asked { state, at: instant(seconds), ..Asked::titled(state) };
        asked.external_id = Some(format!("case-{n}"));
        world.asked(tenant, &asked).await;
    }
    // A withdrawal without its reason is a row that no projector writes.
    world
        .run(
            "update read.consultation_v1 set withdrawal_reason = 'superseded', ended_by = requested_by,
               ended_at = updated_at where state = 'withdrawn'",
        )
        .await;
    let titles = async |filter: &str| {
        let (status, answer) = world.post(&token, &page(None, filter)).await;
        assert_eq!(status, 200, "{answer}");
        let edges = answer["data"]["consultations"]["edges"].as_array().unwrap().clone();
        edges.iter().map(|edge| edge["node"]["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(titles("").await, ["withdrawn", "timed_out", "pending"]);
    assert_eq!(titles("states: [TIMED_OUT]").await, ["timed_out"]);
    assert_eq!(titles("states: [TIMED_OUT, PENDING, PENDING]").await, ["timed_out", "pending"]);
    assert_eq!(titles(r#"externalId: "case-0""#).await, ["pending"]);
    assert_eq!(titles(r#"externalId: "case-0", states: [WITHDRAWN]"#).await, [""; 0]);
    assert_eq!(titles(&format!("requestedBy: \"{}\"", person(2))).await, [""; 0]);
    assert_eq!(titles(&format!("requestedAfter: \"{}\"", instant(0).to_rfc3339())).await, ["withdrawn", "timed_out"]);
    assert_eq!(titles(&format!("requestedBefore: \"{}\"", instant(1).to_rfc3339())).await, ["pending"]);
}

#[tokio::test]
async fn a_page_out_of_bounds_or_behind_no_cursor_is_refused() {
    let world = World::new().await;
    let token = world.token(Uuid::from_u128(0xa)).await;
    for arguments in [
        "first: 0",
        "first: -1",
        "first: 101",
        "first: 2147483647",
        r#"after: "x""#,
        r#"filter: {externalId: "\u0000"}"#,
    ] {
        let query = format!("{{ consultations({arguments}) {{ edges {{ cursor }} }} }}");
        assert_eq!(world.refused(&token, &query).await, (400, "INVALID_ARGUMENT".into()), "{arguments}");
    }
}

#[tokio::test]
async fn histories_and_sums_are_read() {
    let world = World::new().await;
    let tenant = Uuid::from_u128(0xa);
    let token = world.token(tenant).await;
    for n in 0..5 {
        let (id, _) = world.asked(tenant, &Asked { name: None, ..Asked::titled(n.to_string()) }).await;
        world.write(tenant, id, &Asked::titled(""), "commented").await;
    }
    let (data, _) = world
        .query(
            &token,
            "{ consultations(first: 10) { edges { node { requestedBy { name erased } context requestedAt
                          history { version kind by { name } decision } } } } }",
        )
        .await;
    let edges = data["consultations"]["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 5);
    for edge in edges {
        let node = &edge["node"];
        assert_eq!(node["requestedBy"], json!({"name": null, "erased": true}));
        assert_eq!(node["context"], json!({"a": [1.5], "b": 1}));
        assert_eq!(node["requestedAt"], "2025-06-15T15:06:40Z");
        assert_eq!(
            node["history"],
            json!([{"version": 1, "kind": "requested", "by": {"name": null}, "decision": null},
                   {"version": 2, "kind": "commented", "by": {"name": "Ada"}, "decision": null}])
        );
    }
    world.run(&format!(
        "insert into read.consultation_stats_v1 (tenant, shard, pending, responded, approved, rejected, timed_out, comments)
         values ('{tenant}', 0, 1, 2, 1, 1, 3, 9), ('{tenant}', 1, 10, 20, 15, 5, 30, 90),
                ('{}', 0, 500, 500, 500, 500, 500, 500)",
        Uuid::from_u128(0xb)
    )).await;
    let (data, _) = world
        .query(&token, "{ consultationStats { pending responded approved rejected timedOut comments total } }")
        .await;
    let stats = json!({"pending": 11, "responded": 22, "approved": 16, "rejected": 6, "timedOut": 33, "comments": 99, "total": 66});
    assert_eq!(data["consultationStats"], stats);
}
