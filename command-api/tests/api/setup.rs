//! The first start, and users that an operator adds: safe to repeat, to race and to kill.

use docket_command_api::setup::{self, FirstStart, FirstStartOptions, SetupError};
use docket_events::identity::Role;
use serde_json::json;

use crate::support::{App, request};

fn options() -> FirstStartOptions {
    FirstStartOptions { reviewer: true, ..FirstStartOptions::default() }
}

async fn can_log_in(app: &App, email: &str, password: &str) -> bool {
    let body = json!({"email": email, "password": password}).to_string();
    app.send(request(None, "/api/v1/auth/login", body.into(), &[])).await.status == 200
}

/// What was made: logging in makes sessions, and they are no concern of the first start.
async fn identity_events(app: &App) -> Vec<String> {
    sqlx::query_scalar(
        "select split_part(event_type, '.', 3) from write.journal where event_type not like '%.session_%'
         order by recorded_at, sequence",
    )
    .fetch_all(&app.owner)
    .await
    .unwrap()
}

#[tokio::test]
async fn the_first_start_makes_an_organisation_and_people_once() {
    let app = App::new().await;
    let FirstStart { organisation, people } = setup::first_start(&app.store, options()).await.unwrap().unwrap();
    assert_eq!(organisation, app.organisation);
    assert_eq!(people.iter().map(|person| person.role).collect::<Vec<_>>(), [Role::Admin, Role::Reviewer]);
    for person in &people {
        assert!(
            person.generated && can_log_in(&app, &person.email, person.expose_password()).await,
            "{}",
            person.email
        );
    }
    let before = identity_events(&app).await;
    assert_eq!(before.len(), 5, "{before:?}");
    assert!(setup::first_start(&app.store, options()).await.unwrap().is_none());
    assert_eq!(identity_events(&app).await, before);
}

#[tokio::test]
async fn given_address_and_password_are_used() {
    let app = App::new().await;
    let options = FirstStartOptions {
        organisation: Some("Acme".to_owned()),
        admin_email: Some("Ada@Example.org".to_owned()),
        admin_password: Some("correct horse".into()),
        reviewer: false,
    };
    let started = setup::first_start(&app.store, options.clone()).await.unwrap().unwrap();
    let [admin] = started.people.as_slice() else { panic!("{started:?}") };
    assert!(!admin.generated);
    assert!(!format!("{started:?}").contains("correct horse"));
    assert!(can_log_in(&app, "ada@example.org", "correct horse").await);
    assert!(setup::first_start(&app.store, options).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_first_starts_report_each_person_once() {
    let app = App::new().await;
    let (one, other, third) = (app.other_store(), app.other_store(), app.other_store());
    let (one, other, third) = tokio::join!(
        setup::first_start(&one, options()),
        setup::first_start(&other, options()),
        setup::first_start(&third, options())
    );
    let people: Vec<_> = [one, other, third]
        .into_iter()
        .filter_map(|started| started.unwrap())
        .flat_map(|started| started.people)
        .collect();
    assert_eq!(people.len(), 2);
    for person in &people {
        assert!(can_log_in(&app, &person.email, person.expose_password()).await, "the reported password is the one");
    }
    assert_eq!(identity_events(&app).await.len(), 5);
}

#[tokio::test]
async fn a_killed_first_start_is_finished_by_the_next() {
    let app = App::new().await;
    setup::first_start(&app.store, options()).await.unwrap().unwrap();
    let before = identity_events(&app).await;
    // As if it had been killed before the last step of the first person; its password was never told.
    sqlx::query("delete from auth.account").execute(&app.owner).await.unwrap();
    let changed = FirstStartOptions { admin_email: Some("other@example.org".to_owned()), ..options() };
    let started = setup::first_start(&app.store, changed).await.unwrap().unwrap();
    assert_eq!(started.people[0].email, setup::ADMIN_EMAIL, "the registration stands");
    for person in &started.people {
        assert!(can_log_in(&app, &person.email, person.expose_password()).await);
    }
    assert_eq!(identity_events(&app).await, before);
}

#[tokio::test]
async fn a_user_is_added_once_and_an_address_belongs_to_one() {
    let app = App::new().await;
    let add = |email: &'static str, password: &'static str| {
        setup::create_user(&app.store, email, "Ada", Role::Requester, password.into())
    };
    let first = add("ada@example.org", "first password").await.unwrap();
    let again = add("ADA@example.org", "second password").await.unwrap();
    assert!(first.created && !again.created && first.user_id == again.user_id);
    assert!(can_log_in(&app, "ada@example.org", "first password").await);
    assert!(!can_log_in(&app, "ada@example.org", "second password").await);
    assert!(matches!(add("bob@example.org", "short").await, Err(SetupError::Unfit(_))));
    assert!(matches!(add("no address", "long enough").await, Err(SetupError::Refused(_))));
    // The address that the first start wants is taken: it does without, and the user keeps it.
    let options = FirstStartOptions { admin_email: Some("ada@example.org".to_owned()), ..FirstStartOptions::default() };
    assert!(setup::first_start(&app.store, options).await.unwrap().is_none());
    assert!(can_log_in(&app, "ada@example.org", "first password").await);
}
