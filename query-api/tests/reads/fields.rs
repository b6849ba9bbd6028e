//! Every field and subscription of GraphQL, and every REST read, with who may not come through it: without a token, in a role or with a
//! scope that is not allowed, from another tenant. A field that is not listed here, or an identifier that it takes and that is not
//! tried, fails the test.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::Response;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use docket_log::Position;
use docket_platform::{
    auth::{
        Principal, Role, Scope,
        permissions::{Action, allows},
    },
    ids,
};
use docket_query_api::page::Cursor;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    organisation::Organisation,
    support::{Asked, World, instant},
};

/// Who may ask.
#[derive(Clone, Copy)]
enum Open {
    /// Whoever has a token or a key.
    Known,
    /// Whoever may do this.
    To(Action),
}

/// A field with everything that can name something in it: `ID`, `CURSOR`, and `SINCE` for a position before all.
struct Field {
    name: &'static str,
    open: Open,
    query: &'static str,
}

const fn field(name: &'static str, open: Open, query: &'static str) -> Field {
    Field { name, open, query }
}

const READ: Open = Open::To(Action::Read);
const MEMBERS: Open = Open::To(Action::ReadMembers);

const KNOWLEDGE: Open = Open::To(Action::ReadKnowledge);
const ENGAGE: Open = Open::To(Action::Engage);
const WEBHOOKS: Open = Open::To(Action::ManageWebhooks);

/// Every path of a REST read.
const PATHS: [&str; 17] = [
    "/api/v1/articles",
    "/api/v1/articles/{id}",
    "/api/v1/consultations",
    "/api/v1/consultations/{id}",
    "/api/v1/consultations/{id}/reading",
    "/api/v1/engagement/{item_id}",
    "/api/v1/entities",
    "/api/v1/entities/{id}",
    "/api/v1/entities/{id}/relationships",
    "/api/v1/events",
    "/api/v1/feed",
    "/api/v1/feed/trending",
    "/api/v1/relationships/{id}",
    "/api/v1/topics",
    "/api/v1/user/engagement",
    "/api/v1/user/saved",
    "/api/v1/user/topics/preferences",
];

const FIELDS: [Field; 39] = [
    field(
        "consultation",
        READ,
        r#"{ consultation(id: "ID") { id title readingShownSince history { kind by { name } } reading { by { name } } } }"#,
    ),
    field(
        "consultations",
        READ,
        r#"{ consultations(filter: {requestedBy: "ID"}, after: "CURSOR") { edges { cursor node { id title } } }
             named: consultations(filter: {reviewer: "ID"}) { edges { node { id title votes { by { id } } } } }
             all: consultations { edges { cursor node { id title } } } }"#,
    ),
    field(
        "consultationsCiting",
        READ,
        r#"{ consultationsCiting(itemId: "ID", after: "CURSOR") { edges { cursor node { id title } } }
             all: consultationsCiting(itemId: "ID") { nodes { id title } } }"#,
    ),
    field("decisionTimes", READ, "{ decisionTimes(by: REVIEWER) { key name decided } }"),
    field("consultationStats", READ, "{ consultationStats { total pending } }"),
    field("node", READ, r#"{ node(id: "ID") { __typename id } }"#),
    field(
        "me",
        Open::Known,
        "{ me { id name email role organisation { id name } organisations { organisation { id name } } secondFactor emailVerified notifications { asked } } }",
    ),
    field(
        "members",
        MEMBERS,
        r#"{ members(group: "ID", after: "CURSOR") { edges { cursor node { id name email } } }
             inGroup: members(group: "ID") { nodes { id name } }
             all: members { edges { cursor node { id name email } } } }"#,
    ),
    field(
        "groups",
        MEMBERS,
        r#"{ groups(after: "CURSOR") { edges { cursor node { id name } } } all: groups { nodes { id name memberCount members { id name } } } }"#,
    ),
    field(
        "templates",
        READ,
        r#"{ templates(after: "CURSOR") { nodes { name } } all: templates { nodes { name request values setBy { id name } } } }"#,
    ),
    field(
        "template",
        READ,
        r#"{ template(name: "ID") { name request setBy { id name } } first: template(name: "ID", version: 1) { name } }"#,
    ),
    field(
        "invitations",
        Open::To(Action::ManageMembers),
        r#"{ invitations(after: "CURSOR") { nodes { id email } } all: invitations { nodes { id email invitedBy { id name } } } }"#,
    ),
    field(
        "sessions",
        Open::To(Action::ManageSelf),
        r#"{ sessions(after: "CURSOR") { nodes { id address } } all: sessions { nodes { id address agent } } }"#,
    ),
    field(
        "apiKeys",
        Open::To(Action::ManageKeys),
        r#"{ apiKeys(after: "CURSOR") { nodes { id name } } all: apiKeys { nodes { id name scopes createdBy { id name } } } }"#,
    ),
    field(
        "auditTrail",
        Open::To(Action::ReadAudit),
        r#"{ auditTrail(filter: {user: "ID"}, after: "CURSOR") { nodes { id address } }
             of: auditTrail(filter: {user: "ID"}) { nodes { id address user { id name } } }
             all: auditTrail { nodes { id type by { id name } session address agent user { id name } group } } }"#,
    ),
    field(
        "webhookEndpoints",
        WEBHOOKS,
        "{ webhookEndpoints { id url description setBy { id name } pending dead rate { attempts } } }",
    ),
    field("webhookEndpoint", WEBHOOKS, r#"{ webhookEndpoint(id: "ID") { id url template } }"#),
    field(
        "webhookDeliveries",
        WEBHOOKS,
        r#"{ webhookDeliveries(filter: {endpointId: "ID", consultationId: "ID"}, after: "CURSOR") { nodes { id outcome } }
             all: webhookDeliveries { nodes { id outcome endpointId consultationId attempts { answer error } } } }"#,
    ),
    field("webhookDelivery", WEBHOOKS, r#"{ webhookDelivery(id: "ID") { id outcome attempts { answer } } }"#),
    field(
        "entity",
        KNOWLEDGE,
        r#"{ entity(id: "ID") { id name aliases relationships(limit: 20) { type confidence targetEntity { id name type } }
             relationshipsConnection(after: "CURSOR") { nodes { id } } relatedEntities(depth: 2) { id name relationshipPath } } }"#,
    ),
    field("searchEntities", KNOWLEDGE, r#"{ searchEntities(text: "treasure") { id name type } }"#),
    field("path", KNOWLEDGE, r#"{ path(from: "ID", to: "ID") { hops entities { id name } relationships { id } } }"#),
    field(
        "neighbourhood",
        KNOWLEDGE,
        r#"{ neighbourhood(id: "ID") { nodes { id name } edges { id source } packed { ids parents relationshipTypes } cut } }"#,
    ),
    field(
        "article",
        KNOWLEDGE,
        r#"{ article(id: "ID") { id title body entities { id name articles { id title } } } }"#,
    ),
    field(
        "articles",
        KNOWLEDGE,
        r#"{ articles(after: "CURSOR") { nodes { id title } } all: articles { nodes { id title body entities { id name } } } }"#,
    ),
    field(
        "searchArticles",
        KNOWLEDGE,
        r#"{ searchArticles(text: "treasure") { article { id } titleMarked excerpt } }"#,
    ),
    field(
        "feed",
        KNOWLEDGE,
        r#"{ feed(after: "PLACE") { nodes { article { id title } } } all: feed { nodes { article { id title } parts { preference seen } } } }"#,
    ),
    field("trending", KNOWLEDGE, "{ trending { kind article { id title } entity { id name } } }"),
    field("topics", KNOWLEDGE, "{ topics { topic name path articles } }"),
    field("myTopicPreferences", ENGAGE, "{ myTopicPreferences { topics { topic weight } } }"),
    field(
        "mySaved",
        ENGAGE,
        r#"{ mySaved(after: "CURSOR") { nodes { articleId } } all: mySaved { nodes { articleId note article { title } } } }"#,
    ),
    field(
        "myEngagement",
        ENGAGE,
        r#"{ myEngagement(after: "CURSOR") { nodes { id } } all: myEngagement { nodes { id itemId consultationId } } }"#,
    ),
    field("engagement", KNOWLEDGE, r#"{ engagement(itemId: "ID") { total { views } days { day counts { views } } } }"#),
    field(
        "entityChanged",
        KNOWLEDGE,
        r#"subscription { entityChanged(id: "ID", since: "SINCE") { entity { id name } entityId kind } }"#,
    ),
    field(
        "graphChanged",
        KNOWLEDGE,
        r#"subscription { graphChanged(around: "ID", since: "SINCE") { id entity { id name } relationship { id } kind } }"#,
    ),
    field("feedUpdated", KNOWLEDGE, r#"subscription { feedUpdated(since: "SINCE") { article { id title } kind } }"#),
    field(
        "engagementCounted",
        KNOWLEDGE,
        r#"subscription { engagementCounted(itemIds: ["ID"], since: "SINCE") { items { itemId total { views } } } }"#,
    ),
    field("webhookAttempted", WEBHOOKS, r#"subscription { webhookAttempted(endpointId: "ID") { deliveryId answer } }"#),
    field(
        "consultationChanged",
        READ,
        r#"subscription { consultationChanged(id: "ID", since: "SINCE") { consultation { id title } } }"#,
    ),
];

/// A place in a reader's feed: at an instant, behind an item with a score of one half.
fn place(id: Uuid) -> String {
    let at = instant(0).timestamp_micros().to_be_bytes();
    let bytes = [&[2][..], &at, &0.5_f64.to_bits().to_be_bytes(), id.as_bytes()].concat();
    format!("{}.{}", URL_SAFE_NO_PAD.encode(bytes), Position::default())
}

/// The query with everything in it naming `id`.
fn naming(query: &str, world: &World, id: Uuid) -> String {
    query
        .replace("ID", &id.to_string())
        .replace("CURSOR", &Cursor { at: instant(0), id }.encode())
        .replace("PLACE", &place(id))
        .replace("SINCE", &world.beginning().to_string())
}

impl Field {
    fn is_subscription(&self) -> bool {
        self.query.starts_with("subscription")
    }

    /// The query with everything in it naming `id`.
    fn naming(&self, world: &World, id: Uuid) -> String {
        naming(self.query, world, id)
    }

    fn admits(&self, principal: &Principal) -> bool {
        match self.open {
            Open::Known => true,
            Open::To(action) => allows(principal, action),
        }
    }
}

/// The type below lists and non-nulls.
fn inner(mut of: &Value) -> &str {
    while of["ofType"].is_object() {
        of = &of["ofType"];
    }
    of["name"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn every_field_and_every_identifier_that_it_takes_is_listed_here() {
    let world = World::new().await;
    let token = world.token(Uuid::from_u128(0xa)).await;
    let of = "name args { name type { name ofType { name ofType { name ofType { name } } } } }";
    let (schema, _) = world
        .query(
            &token,
            &format!(
                "{{ __schema {{ queryType {{ fields {{ {of} }} }} subscriptionType {{ fields {{ {of} }} }}
                    types {{ name inputFields {{ name type {{ name ofType {{ name ofType {{ name ofType {{ name }} }} }} }} }} }} }} }}"
            ),
        )
        .await;
    let schema = &schema["__schema"];
    let inputs: BTreeMap<&str, &Value> = schema["types"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ty| (ty["name"].as_str().unwrap(), &ty["inputFields"]))
        .collect();
    let mut described = BTreeSet::new();
    for field in ["queryType", "subscriptionType"].iter().flat_map(|kind| schema[kind]["fields"].as_array().unwrap()) {
        let name = field["name"].as_str().unwrap();
        described.insert(name.to_owned());
        let Some(listed) = FIELDS.iter().find(|listed| listed.name == name) else { continue };
        let arguments = field["args"].as_array().unwrap();
        let within =
            arguments.iter().flat_map(|argument| inputs[inner(&argument["type"])].as_array().into_iter().flatten());
        for argument in arguments.iter().chain(within) {
            let called = argument["name"].as_str().unwrap();
            let tried = match (inner(&argument["type"]), called) {
                ("UUID", "itemIds") => "itemIds: [\"ID\"]".to_owned(),
                ("UUID", _) => format!("{called}: \"ID\""),
                (_, "after") if name == "feed" => "after: \"PLACE\"".to_owned(),
                (_, "after") => "after: \"CURSOR\"".to_owned(),
                _ => continue,
            };
            assert!(listed.query.contains(&tried), "{name} takes {called}, and no foreign one is tried");
        }
    }
    let listed: BTreeSet<_> = FIELDS.iter().map(|field| field.name.to_owned()).collect();
    assert_eq!(listed, described);
    let rest = serde_json::to_value(docket_query_api::openapi()).unwrap();
    let paths: Vec<_> = rest["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, PATHS.each_ref(), "a new REST read is tried below too");
}

#[tokio::test]
async fn without_a_token_no_field_is_answered() {
    let world = World::new().await;
    let ours = Organisation::make(&world, 1, "ours").await;
    for field in &FIELDS {
        let body = json!({"query": field.naming(&world, ours.consultation)});
        for accept in ["application/json", "text/event-stream"] {
            let request = world.http.post(world.url("/graphql")).header("accept", accept).json(&body);
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 401, "{}", field.name);
            assert_eq!(response.json::<Value>().await.unwrap()["code"], "unauthorized", "{}", field.name);
        }
    }
    for (path, _) in ours.reads() {
        let url = world.url(&format!("/api/v1/{path}"));
        assert_eq!(world.http.get(url).send().await.unwrap().status(), 401, "{path}");
    }
}

fn codes(answer: &Response) -> Vec<String> {
    let errors = serde_json::to_value(&answer.errors).unwrap();
    let code = |error: &Value| error["extensions"]["code"].as_str().unwrap_or_default().to_owned();
    errors.as_array().unwrap().iter().map(code).collect()
}

#[tokio::test]
async fn every_field_is_open_to_the_roles_and_scopes_of_the_table_and_to_no_others() {
    let world = World::new().await;
    let ours = Organisation::make(&world, 1, "ours").await;
    let engine = world.engine();
    let person = |role| (format!("{role}"), Principal::member(ours.admin, ours.tenant, role));
    let key = |scopes: &[Scope]| {
        let name = scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ");
        (format!("a key with [{name}]"), Principal::key(ours.key, ours.tenant, scopes.iter().copied().collect()))
    };
    let people = Role::ALL.into_iter().map(person);
    let keys = Scope::ALL.into_iter().map(|scope| key(&[scope])).chain([key(&[]), key(&Scope::ALL)]);
    for (name, principal) in people.chain(keys) {
        for field in &FIELDS {
            let query = field.naming(&world, ours.consultation);
            let answer = engine.answer(principal, &query).next().await.expect("an answer");
            let expected = if field.admits(&principal) { None } else { Some("FORBIDDEN") };
            let codes: BTreeSet<_> = codes(&answer).into_iter().collect();
            assert_eq!(
                codes.iter().map(String::as_str).collect::<Vec<_>>(),
                Vec::from_iter(expected),
                "{} as {name}",
                field.name
            );
        }
        if principal.scopes.is_none() {
            let token = world.token_of(principal).await;
            for (path, action) in ours.reads() {
                let url = world.url(&format!("/api/v1/{path}"));
                let status = world.http.get(url).bearer_auth(&token).send().await.unwrap().status();
                assert_eq!(status, if allows(&principal, action) { 200 } else { 403 }, "{path} as {name}");
            }
        }
    }
    // What a field shows to a key of itself.
    let (_, key) = key(&[]);
    let answer = engine
        .answer(
            key,
            "{ me { id name email organisations { role } secondFactor emailVerified notifications { asked } } }",
        )
        .next()
        .await;
    let me = json!({"me": {"id": ours.key, "name": null, "email": null, "organisations": [], "secondFactor": null, "emailVerified": null, "notifications": null}});
    assert_eq!(serde_json::to_value(answer.unwrap().data).unwrap(), me);
}

#[tokio::test]
async fn what_another_tenant_has_is_answered_like_what_nobody_has() {
    let world = World::new().await;
    let ours = Organisation::make(&world, 1, "treasure").await;
    let theirs = Organisation::make(&world, 2, "theirs").await;
    let token = world.token_of(theirs.principal()).await;
    let secret = |answer: &str| {
        answer.contains("treasure") || ours.identifiers().iter().any(|(_, id)| answer.contains(&id.to_string()))
    };
    for field in FIELDS.iter().filter(|field| !field.is_subscription()) {
        let answer = async |id: Uuid| world.post(&token, &json!({"query": field.naming(&world, id)})).await;
        for (kind, id) in ours.identifiers() {
            // As like it as can be: what is told apart by order would be told here.
            let nobodys = answer(Uuid::from_u128(id.as_u128() ^ 0x80)).await;
            let foreign = answer(id).await;
            assert_eq!((foreign.0, &foreign.1["errors"]), (200, &Value::Null), "{}: {}", field.name, foreign.1);
            assert_eq!(foreign, nobodys, "the {kind} in {}", field.name);
            assert!(!secret(&foreign.1.to_string()), "the {kind} in {}: {}", field.name, foreign.1);
        }
        // That nothing is seen because nothing would be shown anyway is no proof.
        let own = world.token_of(ours.principal()).await;
        let shown = world.post(&own, &json!({"query": field.naming(&world, ours.consultation)})).await.1.to_string();
        let counts = ["consultationStats", "decisionTimes", "engagement"].contains(&field.name);
        assert!(counts || secret(&shown), "{}: {shown}", field.name);
    }
    for (kind, id) in ours.identifiers() {
        for path in ["consultations/ID", "entities/ID", "entities/ID/relationships", "relationships/ID"] {
            let get = async |id: Uuid| {
                let url = world.url(&format!("/api/v1/{}", path.replace("ID", &id.to_string())));
                let request = world.http.get(url).bearer_auth(&token).header("x-request-id", "same");
                let response = request.send().await.unwrap();
                (response.status().as_u16(), response.headers().len(), response.json::<Value>().await.unwrap())
            };
            let foreign = get(id).await;
            assert_eq!(foreign.0, 404, "{kind} in {path}");
            assert_eq!(foreign, get(ids::new_id()).await, "{kind} in {path}");
        }
        for filter in ["requested_by", "reviewer"] {
            let url = world.url(&format!("/api/v1/consultations?{filter}={id}"));
            let list: Value = world.http.get(url).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
            assert_eq!(list, json!({"consultations": [], "next": null}), "{kind} as {filter}");
        }
    }
    let url = world.url("/api/v1/entities?text=treasure");
    let found: Value = world.http.get(url).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    assert_eq!(found, json!({"entities": []}));
}

#[tokio::test]
async fn attempts_of_another_tenant_are_seen_by_nobody_else() {
    let world = World::new().await;
    let ours = Organisation::make(&world, 1, "treasure").await;
    let theirs = Organisation::make(&world, 2, "theirs").await;
    let engine = world.engine();
    let mut named = engine.answer(
        theirs.principal(),
        &format!("subscription {{ webhookAttempted(endpointId: \"{}\") {{ answer }} }}", ours.consultation),
    );
    let mut all = engine.answer(theirs.principal(), "subscription { webhookAttempted { answer } }");
    let first = serde_json::to_string(&all.next().await.unwrap()).unwrap();
    assert!(first.contains("theirs") && !first.contains("treasure"), "{first}");
    assert!(named.next().now_or_never().is_none() && all.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_subscription_to_what_another_tenant_has_stays_silent() {
    let world = World::new().await;
    let ours = Organisation::make(&world, 1, "treasure").await;
    let theirs = Organisation::make(&world, 2, "theirs").await;
    let engine = world.engine();
    for field in FIELDS.iter().filter(|field| field.is_subscription() && field.name != "webhookAttempted") {
        // What names nothing of another's tells one's own.
        let named = ours.identifiers().into_iter().filter(|_| field.query.contains("ID"));
        let open = named.map(|(kind, id)| {
            let mut stream = engine.answer(theirs.principal(), &field.naming(&world, id));
            (kind, tokio::spawn(async move { stream.next().await }))
        });
        let open: Vec<_> = open.collect();
        let anything = field.query.replace("id: \"ID\", ", "");
        let anything = naming(&anything, &world, theirs.consultation);
        let mut anything = engine.answer(theirs.principal(), &anything);
        // Whatever there was before and whatever comes: the last one heard is our own, and nothing foreign was before it.
        world.write(ours.tenant, ours.consultation, &Asked::titled("treasure"), "commented").await;
        world.asked(theirs.tenant, &Asked::titled("last")).await;
        for organisation in [&ours, &theirs] {
            organisation.changed(&world).await;
        }
        loop {
            let heard = serde_json::to_string(&anything.next().await.unwrap()).unwrap();
            assert!(!heard.contains("treasure"), "{heard}");
            if ["last", "entity_changed", "article_published", "engagementCounted"]
                .iter()
                .any(|own| heard.contains(own))
            {
                break;
            }
        }
        for (kind, stream) in open {
            assert!(!stream.is_finished(), "{} is not silent of the {kind}: {:?}", field.name, stream.await);
            stream.abort();
        }
    }
}
