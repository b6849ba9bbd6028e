//! A subscription of GraphQL to the change feed: from arguments to a stream of answers.

use std::sync::Arc;

use async_graphql::Result;
use futures_util::{Stream, stream};

use super::{Asker, error};
use crate::{
    changes::{Changed, Hub, Interest, Subscriber},
    read,
};

/// Changes as answers of the type `T`: all since a position as it was given, or those from now on.
///
/// # Errors
/// As [`Subscriber::start`], and when the text is no position.
pub(crate) async fn subscribe<I: Interest, T: From<Changed<I::Shown>>>(
    asker: &Asker,
    hub: Arc<Hub<I::In>>,
    since: Option<&str>,
    interest: I,
) -> Result<impl Stream<Item = Result<T>> + use<I, T>> {
    let since = since.map(|token| read::position(Some(token))).transpose().map_err(error::from_read)?;
    let start = Subscriber::start(asker.gate.clone(), hub, asker.principal.tenant, since, interest);
    let subscriber = Box::pin(start).await.map_err(error::from_read)?;
    Ok(stream::unfold(subscriber, |mut subscriber| async {
        let next = Box::pin(subscriber.next()).await?;
        Some((next.map(T::from).map_err(error::from_read), subscriber))
    }))
}
