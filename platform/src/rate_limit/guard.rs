//! The limits in front of routes.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use super::{Count, Limiter, fields};
use crate::auth::Principal;
use crate::http::ClientAddress;
use crate::problem::Problem;

/// Paths that are limited, with all below; what operators and browsers load besides is not.
const LIMITED: [&str; 2] = ["/api/", "/graphql"];

/// What a request was counted as. An extension of every limited request: whoever finds out who asks counts it there.
#[derive(Debug, Clone)]
pub struct Charge(Arc<Charged>);

#[derive(Debug)]
struct Charged {
    limiter: Limiter,
    counts: Mutex<Vec<Count>>,
}

impl Charge {
    fn new(limiter: Limiter) -> Self {
        Self(Arc::new(Charged { limiter, counts: Mutex::default() }))
    }

    /// The limits themselves.
    pub fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    /// Counts the request as `principal`'s, once.
    ///
    /// # Errors
    /// When it is one too many.
    pub async fn principal(&self, principal: &Principal) -> Result<(), Problem> {
        let kind = Limiter::kind_of(principal);
        if let Some(count) = self.counted(|count| count.kind == kind) {
            return judge(Some(count));
        }
        judge(self.note(self.0.limiter.count(kind, principal.id.as_bytes()).await))
    }

    fn counted(&self, is_it: impl Fn(&Count) -> bool) -> Option<Count> {
        self.counts().iter().copied().find(is_it)
    }

    fn note(&self, count: Option<Count>) -> Option<Count> {
        self.counts().extend(count);
        count
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Vec<Count>> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, headers: &mut HeaderMap) {
        fields::write(&self.counts(), headers);
    }
}

fn judge(count: Option<Count>) -> Result<(), Problem> {
    match count {
        Some(count) if count.refused => Err(count.problem()),
        Some(_) | None => Ok(()),
    }
}

impl Limiter {
    /// Puts the limits in front of the routes that `router` has by now.
    pub fn guard(&self, router: Router) -> Router {
        let limiter = self.clone();
        router.route_layer(middleware::from_fn(move |request, next| guarded(limiter.clone(), request, next)))
    }
}

async fn guarded(limiter: Limiter, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    if !LIMITED.iter().any(|limited| route.starts_with(limited)) {
        return next.run(request).await;
    }
    let address = request.extensions().get::<ClientAddress>().and_then(|client| client.counted());
    let charge = Charge::new(limiter.clone());
    let count = if limiter.0.open_routes.iter().any(|open| open == route) {
        limiter.count_open(route, address).await
    } else {
        limiter.count_address(address).await
    };
    let mut response = match judge(charge.note(count)) {
        Ok(()) => {
            request.extensions_mut().insert(charge.clone());
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    charge.write(response.headers_mut());
    response
}
