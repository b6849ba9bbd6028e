//! Access tokens over HTTP: remembered once verified, and what an administrator sees of that.

use axum::{
    body::Body,
    http::{Request, header},
};
use docket_platform::auth::Role;
use serde_json::json;

use crate::support::{Answer, App, CONSULTATIONS, Member};

const STATS: &str = "/api/v1/auth/cache-stats";

async fn stats(app: &App, token: Option<&str>) -> Answer {
    let mut request = Request::get(STATS);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    app.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_token_is_verified_once_and_remembered() {
    let app = App::new().await;
    let (admin, asker) = (app.member("ada", Role::Admin).await, app.member("bob", Role::Requester).await);
    let answer = stats(&app, Some(&admin.token)).await.expect(200);
    assert_eq!(answer.body, json!({"size": 1, "hits": 0, "misses": 1, "hit_rate": 0.0}));
    assert_eq!(answer.header("cache-control"), "no-store");
    for _ in 0..3 {
        app.post(&asker, CONSULTATIONS, &json!({"title": "t"})).await.expect(201);
    }
    let answer = stats(&app, Some(&admin.token)).await.expect(200);
    assert_eq!(answer.body, json!({"size": 2, "hits": 3, "misses": 2, "hit_rate": 0.6}));
}

#[tokio::test]
async fn figures_of_the_cache_are_for_administrators() {
    let app = App::new().await;
    stats(&app, None).await.problem(401, "unauthorized");
    for role in Role::ALL {
        let Member { token, .. } = app.member(role.as_str(), role).await;
        stats(&app, Some(&format!("{token}A"))).await.problem(401, "unauthorized");
        let answer = stats(&app, Some(&token)).await;
        if role == Role::Admin {
            answer.expect(200);
        } else {
            answer.problem(403, "forbidden");
        }
    }
}
