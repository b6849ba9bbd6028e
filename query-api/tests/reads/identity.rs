//! Groups, invitations, sessions, API keys, the trail, and what `me` tells, from rows as the projections write them.

use docket_platform::auth::{Principal, Role};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    organisation::Organisation,
    support::{World, person},
};

/// The nodes of all pages of a list, asked for `size` at a time.
async fn pages(world: &World, token: &str, list: &str, arguments: &str, size: usize, fields: &str) -> Vec<Value> {
    let (mut nodes, mut after) = (Vec::new(), String::new());
    loop {
        let query = format!(
            "{{ {list}(first: {size}{arguments}{after}) {{ nodes {{ {fields} }} pageInfo {{ hasNextPage endCursor }} }} }}"
        );
        let (page, position) = world.query(token, &query).await;
        assert!(!position.is_empty());
        let page = &page[list];
        let found = page["nodes"].as_array().unwrap();
        assert!(found.len() <= size);
        nodes.extend(found.iter().cloned());
        if page["pageInfo"]["hasNextPage"] == false {
            return nodes;
        }
        after = format!(", after: {}", page["pageInfo"]["endCursor"]);
    }
}

fn column(nodes: &[Value], name: &str) -> Vec<String> {
    nodes.iter().map(|node| node[name].as_str().unwrap_or("-").to_owned()).collect()
}

#[tokio::test]
async fn templates_are_shown_in_their_newest_version_and_by_name_in_any() {
    let world = World::new().await;
    let ours = Organisation::make(&world, 1, "Ours").await;
    for (n, name, version, retired) in
        [(1, "b", 1, "null"), (1, "b", 3, "null"), (2, "a", 1, "now()"), (3, "c", 1, "null")]
    {
        let id = Uuid::from_u128(0x7000 + n);
        world
            .run(&format!(
                "insert into read.template_v1 (id, version, tenant, name, shard, request, set_by, set_at, retired_at) values
                     ('{id}', {version}, '{}', '{name}', 0, '{{\"title\":\"{{{{x}}}} {version}\"}}', '{}',
                      timestamptz '2026-01-01' + make_interval(mins => {version}), {retired})",
                ours.tenant, ours.admin
            ))
            .await;
    }
    let token = world.token(ours.tenant).await;
    let shown = pages(&world, &token, "templates", "", 1, "name version request retiredAt setBy { name }").await;
    let own = ours.consultation.to_string();
    assert_eq!(column(&shown, "name"), [own.as_str(), "b", "c"], "the last set first");
    assert_eq!((&shown[1]["version"], &shown[1]["request"]["title"]), (&json!(3), &json!("{{x}} 3")));
    assert_eq!(shown[1]["setBy"]["name"], "Ours");
    let all = pages(&world, &token, "templates", ", retired: true", 2, "name retiredAt").await;
    assert_eq!(column(&all, "name"), [own.as_str(), "b", "c", "a"]);
    assert!(all[3]["retiredAt"].is_string());
    let one = r#"{ first: template(name: "b", version: 1) { version } newest: template(name: "b") { version }
                   none: template(name: "b", version: 2) { version } huge: template(name: "b", version: 9223372036854775807) { version } }"#;
    let data = world.query(&token, one).await.0;
    assert_eq!(data, json!({ "first": { "version": 1 }, "newest": { "version": 3 }, "none": null, "huge": null }));
    assert_eq!(world.refused(&token, r#"{ template(name: "\u0000") { version } }"#).await.1, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn groups_are_shown_with_their_members_page_by_page() {
    let world = World::new().await;
    let ours = Organisation::make(&world, 1, "Ours").await;
    for n in 0..7 {
        let group = Uuid::from_u128(0x6000 + n);
        let at = format!("2026-01-01T00:0{}:00Z", n / 3);
        world
            .run(&format!("insert into read.group_v1 values ('{}', '{group}', 0, 'Group {n}', '{at}')", ours.tenant))
            .await;
    }
    let many = Uuid::from_u128(0x6002);
    world
        .run(&format!(
            "insert into read.group_member_v1 select '{0}', '{many}', ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 0,
                 timestamptz '2026-01-01' + make_interval(mins => n) from generate_series(1, 150) n;
             insert into read.member_v1 select '{0}', user_id, 0, 'reviewer', since from read.group_member_v1 where group_id = '{many}';
             insert into read.user_v1 values ('{1}', 0, 'First', null, now())",
            ours.tenant,
            person(1)
        ))
        .await;
    let token = world.token(ours.tenant).await;
    let groups = pages(&world, &token, "groups", "", 3, "id name memberCount").await;
    let expected: Vec<_> = (0..7).map(|n| format!("Group {n}")).chain(["Ours".to_owned()]).collect();
    assert_eq!(column(&groups, "name"), expected);
    assert_eq!((&groups[2]["memberCount"], &groups[3]["memberCount"]), (&json!(150), &json!(0)));

    let (few, _) = world.query(&token, "{ groups(first: 3) { nodes { members(limit: 2) { id name } } } }").await;
    let first = json!([{"id": person(1), "name": "First"}, {"id": Uuid::from_u128(2), "name": null}]);
    assert_eq!(few["groups"]["nodes"], json!([{"members": []}, {"members": []}, {"members": first}]));
    for limit in ["0", "101"] {
        let query = format!("{{ groups(first: 1) {{ nodes {{ members(limit: {limit}) {{ id }} }} }} }}");
        assert_eq!(world.refused(&token, &query).await.1, "INVALID_ARGUMENT", "{limit}");
    }
    // All of a large one.
    let members = pages(&world, &token, "members", &format!(", group: \"{many}\""), 100, "id").await;
    assert_eq!(members.len(), 150);
    let reviewers =
        pages(&world, &token, "members", &format!(", role: ADMIN, group: \"{}\"", ours.group), 9, "id").await;
    assert_eq!(column(&reviewers, "id"), [ours.admin.to_string()]);
}

#[tokio::test]
async fn only_invitations_that_can_be_accepted_are_shown() {
    let world = World::new().await;
    let ours = Organisation::make(&world, 1, "Ours").await;
    let token = world.token_of(ours.principal()).await;
    let invite = async |n: u128, email: &str, ends: &str| {
        let id = Uuid::from_u128(0x1700 + n);
        world
            .run(&format!(
                "insert into read.invitation_v1 values ('{}', '{id}', 0, {email}, 'reviewer', null, '2026-01-0{n}T00:00:00Z', now() + interval '{ends}')",
                ours.tenant
            ))
            .await;
    };
    invite(1, "'one@docket.example'", "1 minute").await;
    invite(2, "'two@docket.example'", "-1 second").await;
    invite(3, "null", "1 minute").await;
    let waiting = pages(&world, &token, "invitations", "", 2, "email role invitedBy { name } invitedAt").await;
    assert_eq!(column(&waiting, "email"), ["Ours@docket.example", "-", "one@docket.example"], "the newest first");
    assert_eq!((&waiting[0]["invitedBy"]["name"], &waiting[1]["invitedBy"]), (&json!("Ours"), &Value::Null));
    assert_eq!(waiting[2]["role"], "REVIEWER");
}

#[tokio::test]
async fn sessions_are_ones_own_that_go_on_and_the_one_that_asks_is_marked() {
    let world = World::new().await;
    let ours = Organisation::make(&world, 1, "Ours").await;
    let elsewhere = Organisation::make(&world, 2, "Elsewhere").await;
    let add = async |n: u128, tenant: Uuid, user: Uuid, credentials: i64, ends: &str, rest: &str| {
        let id = Uuid::from_u128(0x5e00 + n);
        world
            .run(&format!(
                "insert into read.session_v1 values ('{id}', '{tenant}', 0, '{user}', 'switch', {credentials}, '2026-01-0{n}T00:00:00Z',
                     now() + interval '{ends}', false, '192.0.2.{n}', 'agent {n}'{rest})"
            ))
            .await;
    };
    let (tenant, admin) = (ours.tenant, ours.admin);
    add(1, tenant, admin, 9, "1 hour", "").await;
    add(2, tenant, admin, 9, "-1 second", "").await;
    add(3, tenant, admin, 9, "1 hour", ", now(), 'revoked'").await;
    add(4, tenant, person(7), 9, "1 hour", "").await;
    add(5, elsewhere.tenant, admin, 9, "1 hour", "").await;
    add(6, tenant, admin, 4, "1 hour", "").await;
    add(7, tenant, admin, 4, "1 hour", "").await;
    let used = format!(
        "insert into auth.session (id, tenant, user_id, last_used_at, expires_at)
         values ('{}', '{tenant}', '{admin}', '2026-02-01T00:00:00Z', now())",
        Uuid::from_u128(0x5e01)
    );
    world.run(&used).await;
    let token = world.token_of(ours.principal()).await;
    let fields = "id current method startedAt lastUsedAt expiresAt newPlace address agent";
    let shown = async || column(&pages(&world, &token, "sessions", "", 2, fields).await, "address");
    assert_eq!(shown().await, ["Ours", "192.0.2.7", "192.0.2.6", "192.0.2.1"]);
    // A change of the password ended those whose login had been checked before, but the one that was kept.
    let ended = format!("update read.account_v1 set sessions_ended = 5, session_kept = '{}'", Uuid::from_u128(0x5e07));
    world.run(&ended).await;
    assert_eq!(shown().await, ["192.0.2.7", "192.0.2.1"]);
    world.run("update read.account_v1 set session_kept = null").await;
    assert_eq!(shown().await, ["192.0.2.1"]);

    let id = Uuid::from_u128(0x5e01);
    let token = world.token_of(Principal { session: Some(id), ..ours.principal() }).await;
    let one = &pages(&world, &token, "sessions", "", 9, fields).await[0];
    assert_eq!((&one["id"], &one["current"], &one["method"]), (&json!(id), &json!(true), &json!("SWITCH")));
    assert_eq!((&one["lastUsedAt"], &one["agent"]), (&json!("2026-02-01T00:00:00Z"), &json!("agent 1")));
}

#[tokio::test]
async fn api_keys_are_shown_with_when_they_were_used_and_without_a_secret() {
    let world = World::new().await;
    let ours = Organisation::make(&world, 1, "Ours").await;
    let other = Organisation::make(&world, 2, "Other").await;
    world
        .run(&format!(
            "insert into read.api_key_v1 values ('{2}', '{0}', 0, 'older', '{{consultation:ask,identity:read}}', '{3}', '2026-01-01', '2026-06-01',
                 '2026-02-01', '2026-02-02', '2026-03-01');
             insert into auth.api_key_use values ('{2}', '{0}', '2026-02-03'), ('{1}', '{4}', '2026-02-04')",
            ours.tenant,
            ours.key,
            person(60),
            person(61),
            other.tenant,
        ))
        .await;
    let token = world.token_of(ours.principal()).await;
    let fields = "name scopes createdBy { id name } createdAt expiresAt rotatedAt oldSecretUntil revokedAt lastUsedAt";
    let keys = pages(&world, &token, "apiKeys", "", 1, fields).await;
    assert_eq!(column(&keys, "name"), ["Ours", "older"]);
    assert_eq!(keys[0]["lastUsedAt"], Value::Null, "a row of another tenant is none");
    let day = |day: &str| format!("2026-{day}T00:00:00Z");
    let older = json!({
        "name": "older", "scopes": ["consultation:ask", "identity:read"], "createdBy": {"id": person(61), "name": null},
        "createdAt": day("01-01"), "expiresAt": day("06-01"), "rotatedAt": day("02-01"), "oldSecretUntil": day("02-02"),
        "revokedAt": day("03-01"), "lastUsedAt": day("02-03"),
    });
    assert_eq!(keys[1], older);
}

#[tokio::test]
async fn the_trail_tells_who_did_what_to_whom_and_from_where() {
    let world = World::new().await;
    let ours = Organisation::make(&world, 1, "Ours").await;
    world.run("delete from read.audit_v1").await;
    let nil = Uuid::nil();
    let entry = async |n: u128, tenant: Uuid, kind: &str, by: Option<Uuid>, session: Option<Uuid>, user: Uuid| {
        let text = |id: Option<Uuid>| id.map_or("null".to_owned(), |id| format!("'{id}'"));
        world
            .run(&format!(
                "insert into read.audit_v1 values ('{}', '{tenant}', 0, '{kind}', '2026-01-01T00:0{}:00Z', {}, {}, null, '{user}')",
                Uuid::from_u128(0xe000 + n),
                n / 2,
                text(by),
                text(session)
            ))
            .await;
    };
    let (ada, gone, session) = (ours.admin, person(70), ours.session);
    entry(1, ours.tenant, "session_started", Some(ada), Some(session), ada).await;
    entry(2, nil, "password_changed", Some(ada), Some(person(71)), ada).await;
    entry(3, nil, "password_changed", Some(gone), None, gone).await;
    entry(4, ours.tenant, "member_removed", Some(ada), Some(session), gone).await;
    entry(5, ours.tenant, "role_changed", Some(gone), None, ada).await;
    entry(6, person(72), "role_changed", Some(ada), None, ada).await;
    let token = world.token_of(ours.principal()).await;
    let fields = "type at by { id name } session address agent user { id name }";
    let trail = async |filter: &str| {
        let filter = if filter.is_empty() { String::new() } else { format!(", filter: {{{filter}}}") };
        column(&pages(&world, &token, "auditTrail", &filter, 2, fields).await, "type")
    };
    // What happened to the account of somebody who does not belong to it is not shown, nor what happened elsewhere.
    assert_eq!(trail("").await, ["role_changed", "member_removed", "password_changed", "session_started"]);
    assert_eq!(trail(&format!("user: \"{gone}\"")).await, ["role_changed", "member_removed"], "to them, and by them");
    assert_eq!(
        trail("types: [\"password_changed\", \"session_started\"]").await,
        ["password_changed", "session_started"]
    );
    let within = "from: \"2026-01-01T00:01:00Z\", until: \"2026-01-01T00:02:00Z\"";
    assert_eq!(trail(within).await, ["password_changed"], "from is part of it, until is not");
    assert_eq!(trail("types: []").await, [""; 0]);
    let wrong = "{ auditTrail(filter: {types: [\"role_changed\", \"nonsense\"]}) { nodes { id } } }";
    assert_eq!(world.refused(&token, wrong).await.1, "INVALID_ARGUMENT");

    let all = pages(&world, &token, "auditTrail", "", 9, fields).await;
    let person = |id: Uuid, name: Option<&str>| json!({"id": id, "name": name});
    assert_eq!((&all[1]["by"], &all[1]["user"]), (&person(ada, Some("Ours")), &person(gone, None)));
    assert_eq!(
        (&all[1]["session"], &all[1]["address"], &all[1]["agent"]),
        (&json!(session), &json!("Ours"), &json!("Ours"))
    );
    assert_eq!(
        (&all[2]["session"], &all[2]["address"]),
        (&Value::Null, &Value::Null),
        "a session of another organisation"
    );
    // Once somebody belongs to it, so does what happened to the account.
    world.run(&format!("insert into read.audit_member_v1 values ('{}', '{gone}', 0)", ours.tenant)).await;
    assert_eq!(trail("types: [\"password_changed\"]").await.len(), 2);
    // Once they have left, what came after that is theirs again; what was before stays told, and by name.
    world
        .run(&format!(
            "insert into read.audit_person_v1 values ('{gone}', 0, 'Gone');
             update read.audit_member_v1 set until = (select min(at) from read.audit_v1 where user_id = '{gone}' and kind = 'password_changed')
                 - interval '1 microsecond' where user_id = '{gone}'"
        ))
        .await;
    assert_eq!(trail("types: [\"password_changed\"]").await.len(), 1);
    let all = pages(&world, &token, "auditTrail", "", 9, fields).await;
    assert_eq!(all[1]["user"], person(gone, Some("Gone")));
}

#[tokio::test]
async fn me_tells_where_else_one_belongs_and_how_the_account_stands() {
    let world = World::new().await;
    let ours = Organisation::make(&world, 1, "Ours").await;
    let other = Organisation::make(&world, 2, "Other").await;
    let query = "{ me { organisations { organisation { id name } role } secondFactor emailVerified
        notifications { asked outcome timeZone digestHour quietHours { from to } } } }";
    let me = async |principal| world.query(&world.token_of(principal).await, query).await.0["me"].clone();
    let place = |of: &Organisation, name: &str, role: &str| json!({"organisation": {"id": of.tenant, "name": name}, "role": role});
    let expected = json!({"organisations": [place(&ours, "Ours", "ADMIN")], "secondFactor": true, "emailVerified": true,
        "notifications": {"asked": "AT_ONCE", "outcome": "AT_ONCE", "timeZone": "UTC", "digestHour": 8, "quietHours": null}});
    assert_eq!(me(ours.principal()).await, expected);
    world
        .run(&format!(
            "insert into read.member_v1 values ('{}', '{}', 0, 'analyst', now() + interval '1 second');
             update read.account_v1 set second_factor_at = null, notifications = '{{\"asked\":\"digest\",\"outcome\":\"none\",
                 \"time_zone\":\"Europe/Berlin\",\"digest_hour\":7,\"quiet_hours\":{{\"from\":1320,\"to\":425}}}}'",
            other.tenant, ours.admin
        ))
        .await;
    let expected = json!({
        "organisations": [place(&ours, "Ours", "ADMIN"), place(&other, "Other", "ANALYST")],
        "secondFactor": false, "emailVerified": true,
        "notifications": {"asked": "DIGEST", "outcome": "NONE", "timeZone": "Europe/Berlin", "digestHour": 7,
            "quietHours": {"from": "22:00", "to": "07:05"}},
    });
    assert_eq!(me(ours.principal()).await, expected);
    // The same in the other organisation, and there too the lists show that organisation alone.
    let there = Principal::member(ours.admin, other.tenant, Role::Analyst);
    assert_eq!(me(there).await, expected);
    let token = world.token_of(there).await;
    let mixed = "{ me { organisations { role } } members { nodes { id role } } a: me { organisation { name } organisations { role } } }";
    let (answer, _) = world.query(&token, mixed).await;
    assert_eq!(
        answer["members"]["nodes"],
        json!([{"id": other.admin, "role": "ADMIN"}, {"id": ours.admin, "role": "ANALYST"}])
    );
    assert_eq!(
        answer["a"],
        json!({"organisation": {"name": "Other"}, "organisations": [{"role": "ADMIN"}, {"role": "ANALYST"}]})
    );
    // Nobody knows of this one.
    let unknown = json!({"organisations": [], "secondFactor": null, "emailVerified": null, "notifications": null});
    assert_eq!(me(Principal::member(person(90), ours.tenant, Role::Reviewer)).await, unknown);
}

#[tokio::test]
async fn every_list_refuses_pages_that_are_none() {
    let world = World::new().await;
    let ours = Organisation::make(&world, 1, "Ours").await;
    let token = world.token_of(ours.principal()).await;
    for list in ["groups", "invitations", "sessions", "apiKeys", "auditTrail"] {
        for arguments in ["first: 0", "first: 101", "after: \"!\""] {
            let query = format!("{{ {list}({arguments}) {{ edges {{ cursor }} }} }}");
            assert_eq!(world.refused(&token, &query).await, (400, "INVALID_ARGUMENT".to_owned()), "{query}");
        }
        let query = format!("{{ {list}(atLeast: \"!\") {{ edges {{ cursor }} }} }}");
        assert_eq!(world.refused(&token, &query).await.1, "INVALID_POSITION", "{query}");
    }
}
