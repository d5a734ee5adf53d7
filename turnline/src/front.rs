//! The way in: connections are taken, requests are read within limits, and answered until the process drains.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::system::around::Around;

/// Connections the kernel may hold before we have taken them; a flash crowd arrives all at once.
pub const BACKLOG: u32 = 8_192;
/// How long a request's head may take to come, and a new connection may say nothing.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A request's head has no more fields and bytes than this: a ticket is 256 characters, a pass some hundreds.
const HEAD_FIELDS: usize = 64;
const HEAD_BYTES: usize = 16 * 1024;
/// How long what was sent may go unconfirmed before the kernel gives the connection up: the peer has fallen.
const UNCONFIRMED: Duration = Duration::from_secs(60);
/// How long to wait when the system gives no more connections.
const BREATH: Duration = Duration::from_millis(50);

/// Listens on an address; with `shared`, beside other processes that do so too (`SO_REUSEPORT`).
///
/// # Errors
/// The address is taken, or is none of this machine.
pub fn listen(address: SocketAddr, shared: bool) -> anyhow::Result<TcpListener> {
    let why = || format!("cannot listen on {address}; is another process there? choose another --listen");
    let socket =
        if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.with_context(why)?;
    socket.set_reuseaddr(true).with_context(why)?;
    socket.set_reuseport(shared).with_context(why)?;
    socket.bind(address).with_context(why)?;
    socket.listen(BACKLOG).with_context(why)
}

/// Takes connections and serves them until stopped; then waits for the answers under way.
pub async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) {
    serve_within(HEAD_TIMEOUT, listener, app, stop).await;
}

async fn serve_within(head_timeout: Duration, listener: TcpListener, app: Router, stop: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(HEAD_FIELDS)
        .max_buf_size(HEAD_BYTES);
    let (builder, connections) = (builder.http1_only(), GracefulShutdown::new());
    let app = Arc::new(Around::new(app));
    while let Some(taken) = stop.run_until_cancelled(listener.accept()).await {
        let (stream, peer) = match taken {
            Ok(taken) => taken,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "no more connections can be taken for a moment; `turnline doctor` says what this machine allows");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        // A socket that cannot be tuned serves all the same.
        let _ = tune(&stream);
        let app = app.clone();
        let answer = service_fn(move |request| answer(app.clone(), peer, request));
        let (builder, watcher, stop) = (builder.clone(), connections.watcher(), stop.clone());
        tokio::spawn(async move {
            // hyper counts from the first byte on.
            let mut first = [0];
            let began = timeout(head_timeout, stop.run_until_cancelled(stream.peek(&mut first))).await;
            if !matches!(began, Ok(Some(Ok(1)))) {
                return;
            }
            let connection = watcher
                .watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), answer).into_owned());
            // A visitor who breaks off, or sends what is no HTTP, was answered by the connection itself.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    connections.shutdown().await;
}

fn tune(stream: &TcpStream) -> std::io::Result<()> {
    // Positions are small and urgent.
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(UNCONFIRMED))
}

async fn answer(
    app: Arc<Around>,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<axum::response::Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    app.answer(request.map(Body::new)).await
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    const LOCAL: &str = "127.0.0.1:0";
    const SHORT: Duration = Duration::from_millis(200);

    struct Front {
        address: SocketAddr,
        stop: CancellationToken,
        serving: JoinHandle<()>,
    }

    fn serve_here(app: Router) -> Front {
        let listener = listen(LOCAL.parse().unwrap(), false).unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let serving = tokio::spawn(serve_within(SHORT, listener, app, stop.clone()));
        Front { address, stop, serving }
    }

    /// What comes back for these bytes until the other side closes.
    async fn answer_to(address: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "{:?} was waited for", String::from_utf8_lossy(bytes));
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_is_not_waited_for() {
        let front = serve_here(Router::new().route("/", get(|| async { "here" })));
        for slow in ["", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhost: x\r\nx-slow:"] {
            let answer = answer_to(front.address, slow.as_bytes()).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{slow:?}: {answer}");
        }
        let whole = answer_to(front.address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(whole.ends_with("here"), "{whole}");
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused() {
        let front = serve_here(Router::new());
        let many: String = (0..HEAD_FIELDS + 1).map(|at| format!("x-{at}: y\r\n")).collect();
        let long = format!("x-long: {}\r\n", "y".repeat(2 * HEAD_BYTES));
        for fields in [many, long] {
            let request = format!("GET / HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
            let answer = answer_to(front.address, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
    }

    #[tokio::test]
    async fn answers_under_way_are_waited_for_and_nobody_new_is_taken() {
        let (asked, go_on) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Notify::new()));
        let app = Router::new().route(
            "/",
            get({
                let (asked, go_on) = (asked.clone(), go_on.clone());
                || async move {
                    asked.notify_one();
                    go_on.notified().await;
                    "done"
                }
            }),
        );
        let front = serve_here(app);
        let address = front.address;
        let under_way =
            tokio::spawn(async move { answer_to(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await });
        asked.notified().await;
        front.stop.cancel();
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!front.serving.is_finished());
        go_on.notify_one();
        assert!(under_way.await.unwrap().ends_with("done"));
        front.serving.await.unwrap();
    }

    #[tokio::test]
    async fn an_address_is_shared_only_by_those_who_say_so() {
        let first = listen(LOCAL.parse().unwrap(), true).unwrap();
        let address = first.local_addr().unwrap();
        assert!(listen(address, true).is_ok());
        assert!(format!("{:#}", listen(address, false).unwrap_err()).contains("another process"));
    }
}
