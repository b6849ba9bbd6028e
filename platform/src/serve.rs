//! A listener and the server on it.
//!
//! Owns binding an address and the graceful end of connections. It must not know what is served.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::shutdown::Shutdown;

/// How long open connections may go on after the shutdown began. Shorter than the drain, which waits for this too.
pub const CONNECTION_GRACE: Duration = Duration::from_secs(20);

/// Nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody listens there already.
    #[error("{address} is taken by another program; choose another address with --listen or DOCKET_LISTEN")]
    Taken {
        /// What was asked for.
        address: String,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// What was asked for.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The server stopped by itself.
    #[error("the server stopped: {0}")]
    Serve(#[source] io::Error),
}

/// Listens on `address` (`host:port`; port 0 picks a free one) and returns the address it got.
///
/// # Errors
/// When the address is taken, or cannot be listened on.
pub async fn bind(address: &str) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source: io::Error| {
        if source.kind() == io::ErrorKind::AddrInUse {
            ServeError::Taken { address: address.to_owned() }
        } else {
            ServeError::Bind { address: address.to_owned(), source }
        }
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves until the shutdown begins, then lets requests under way finish for at most [`CONNECTION_GRACE`].
///
/// # Errors
/// When the server stops by itself.
pub async fn serve(listener: TcpListener, router: Router, shutdown: &Shutdown) -> Result<(), ServeError> {
    let listener = listener.tap_io(|stream| {
        // Small answers must not wait for more to send.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(shutdown.token().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(CONNECTION_GRACE).await;
    };
    tokio::select! {
        result = server.into_future() => result.map_err(ServeError::Serve),
        () = overdue => {
            tracing::warn!("connections were still open when the server had to end");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn a_taken_port_is_said_to_be_taken() {
        let (_held, address) = bind("127.0.0.1:0").await.expect("a free port");
        let error = bind(&address.to_string()).await.expect_err("taken");
        assert!(matches!(&error, ServeError::Taken { address: named } if *named == address.to_string()));
    }

    #[tokio::test]
    async fn the_server_answers_and_ends_when_told() {
        let (listener, address) = bind("127.0.0.1:0").await.expect("a free port");
        let shutdown = Shutdown::new();
        let served = shutdown.clone();
        let router = Router::new().route("/", get(|| async { "here" }));
        let server = tokio::spawn(async move { serve(listener, router, &served).await });
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        shutdown.begin();
        server.await.expect("no panic").expect("a graceful end");
    }
}
