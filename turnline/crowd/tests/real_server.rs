//! A crowd against servers made of other parts: tokio-tungstenite, and bare sockets for what it refuses to do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crowd::{Crowd, Handshake, Listener};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, handshake::derive_accept_key};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

const SOON: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Opened(u32),
    Heard(u32, String),
    Refused(u32, u16, Option<u64>),
    Closed(u32, Option<u16>),
}

#[derive(Default)]
struct Notes(Vec<Seen>);

impl Listener for Notes {
    fn opened(&mut self, who: u32) {
        self.0.push(Seen::Opened(who));
    }
    fn heard(&mut self, who: u32, text: &[u8]) {
        self.0.push(Seen::Heard(who, String::from_utf8(text.to_vec()).unwrap()));
    }
    fn refused(&mut self, who: u32, status: u16, retry_after_seconds: Option<u64>) {
        self.0.push(Seen::Refused(who, status, retry_after_seconds));
    }
    fn closed(&mut self, who: u32, code: Option<u16>) {
        self.0.push(Seen::Closed(who, code));
    }
}

fn crowd() -> Crowd<Notes> {
    Crowd::new(Notes::default()).unwrap()
}

/// Turns until so much was seen; what was seen is taken away.
fn seen(crowd: &mut Crowd<Notes>, count: usize) -> Vec<Seen> {
    let began = Instant::now();
    while crowd.listener().0.len() < count {
        assert!(began.elapsed() < SOON, "only {:?}", crowd.listener().0);
        crowd.turn(Duration::from_millis(20)).unwrap();
    }
    std::mem::take(&mut crowd.listener().0)
}

/// Turns for a moment, in which nothing may be heard.
fn hears_nothing(crowd: &mut Crowd<Notes>) {
    for _ in 0..10 {
        crowd.turn(Duration::from_millis(20)).unwrap();
    }
    assert_eq!(crowd.listener().0, []);
}

fn request(address: SocketAddr) -> Handshake {
    Handshake::new(&address.to_string(), "/channel", &["turnline.v1", "ticket.abc"])
}

type Socket = WebSocketStream<tokio::net::TcpStream>;

/// A server that answers `turnline.v1` and lets `serve` do as it likes with each socket.
fn server<F: Future<Output = ()> + Send>(serve: impl Fn(Socket) -> F + Send + Sync + 'static) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            let serve = &serve;
            let mut served = futures_util::stream::FuturesUnordered::new();
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => served.push(async move {
                        serve(accept_hdr_async(stream, answer).await.unwrap()).await;
                    }),
                    Some(()) = served.next() => {}
                }
            }
        });
    });
    address
}

#[allow(clippy::result_large_err, reason = "the library's own signature")]
fn answer(
    request: &Request,
    mut response: Response,
) -> Result<Response, tokio_tungstenite::tungstenite::handshake::server::ErrorResponse> {
    assert_eq!(request.headers()["sec-websocket-protocol"], "turnline.v1, ticket.abc");
    response.headers_mut().insert("sec-websocket-protocol", "turnline.v1".parse().unwrap());
    Ok(response)
}

/// A server of bare sockets: reads the request, then `serve` gets its accept key and the stream.
fn bare_server(serve: impl Fn(String, std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            serve(derive_accept_key(key.as_bytes()), stream);
        }
    });
    address
}

fn switching(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

#[test]
fn texts_of_every_length_and_in_pieces_are_heard_whole() {
    let long = "x".repeat(300);
    let sent = long.clone();
    let address = server(move |mut socket| {
        let long = sent.clone();
        async move {
            use tokio_tungstenite::tungstenite::protocol::frame::{
                Frame,
                coding::{Data, OpCode},
            };
            socket.send(Message::text("short")).await.unwrap();
            socket.send(Message::text(long)).await.unwrap();
            let piece = |text: &'static str, code, last| {
                Message::Frame(Frame::message(text, OpCode::Data(code), last))
            };
            socket.send(piece("in ", Data::Text, false)).await.unwrap();
            socket.send(Message::Ping("between".into())).await.unwrap();
            socket.send(piece("two ", Data::Continue, false)).await.unwrap();
            socket.send(piece("pieces", Data::Continue, true)).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong("between".into()));
            socket.send(Message::text("after the pong")).await.unwrap();
            let told = socket.next().await.unwrap().unwrap();
            socket.send(Message::text(format!("you said {told}"))).await.unwrap();
            std::future::pending::<()>().await;
        }
    });
    let mut crowd = crowd();
    crowd.open(3, address, Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9))), &request(address)).unwrap();
    let heard = |text: &str| Seen::Heard(3, text.into());
    let all =
        [Seen::Opened(3), heard("short"), heard(&long), heard("in two pieces"), heard("after the pong")];
    assert_eq!(seen(&mut crowd, 5), all);
    assert!(crowd.say(3, "leave"));
    assert_eq!(seen(&mut crowd, 1), [heard("you said leave")]);
    assert!(!crowd.say(4, "nobody"));
}

#[test]
fn an_answer_and_a_frame_that_come_byte_by_byte_are_put_together() {
    let address = bare_server(|accept, mut stream| {
        stream.set_nodelay(true).unwrap();
        let mut bytes = switching(&accept).into_bytes();
        bytes.extend_from_slice(&[0x81, 126, 0, 130]);
        bytes.extend_from_slice(&[b'y'; 130]);
        bytes.extend_from_slice(&[0x81, 1, b'z']);
        for piece in bytes.chunks(3) {
            stream.write_all(piece).unwrap();
            // sleep: so that the pieces travel one by one
            std::thread::sleep(Duration::from_millis(1));
        }
        std::mem::forget(stream);
    });
    let mut crowd = crowd();
    crowd.open(0, address, None, &request(address)).unwrap();
    let all = [Seen::Opened(0), Seen::Heard(0, "y".repeat(130)), Seen::Heard(0, "z".into())];
    assert_eq!(seen(&mut crowd, 3), all);
}

#[test]
fn a_close_is_told_with_its_code_and_answered() {
    let address = server(|mut socket| async move {
        let code = CloseFrame { code: CloseCode::Restart, reason: "come again".into() };
        socket.close(Some(code)).await.unwrap();
        // The answer to the close ends the stream without an error.
        while let Some(frame) = socket.next().await {
            frame.unwrap();
        }
    });
    let mut crowd = crowd();
    crowd.open(1, address, None, &request(address)).unwrap();
    assert_eq!(seen(&mut crowd, 2), [Seen::Opened(1), Seen::Closed(1, Some(1012))]);
    assert!(!crowd.say(1, "too late"));
}

#[test]
fn an_end_without_a_close_frame_is_told_without_a_code() {
    let address = bare_server(|accept, mut stream| {
        stream.write_all(switching(&accept).as_bytes()).unwrap();
    });
    let mut crowd = crowd();
    crowd.open(1, address, None, &request(address)).unwrap();
    assert_eq!(seen(&mut crowd, 2), [Seen::Opened(1), Seen::Closed(1, None)]);
}

#[test]
fn refusals_are_told() {
    let full = bare_server(|_, mut stream| {
        stream
            .write_all(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 4\r\nContent-Length: 2\r\n\r\nno")
            .unwrap();
    });
    let foreign = bare_server(|_, mut stream| {
        stream.write_all(switching("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").as_bytes()).unwrap();
    });
    let mut crowd = crowd();
    crowd.open(1, full, None, &request(full)).unwrap();
    assert_eq!(seen(&mut crowd, 1), [Seen::Refused(1, 503, Some(4))]);
    crowd.open(1, foreign, None, &request(foreign)).unwrap();
    assert_eq!(seen(&mut crowd, 1), [Seen::Refused(1, 101, None)]);
    hears_nothing(&mut crowd);
}

#[test]
fn nobody_listening_is_told_one_way_or_the_other() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut crowd = crowd();
    if crowd.open(1, free, None, &request(free)).is_ok() {
        assert_eq!(seen(&mut crowd, 1), [Seen::Closed(1, None)]);
    }
}

#[test]
fn who_is_dropped_hears_nothing_more_though_the_descriptor_is_used_again_at_once() {
    let address = server(|mut socket| async move {
        // Until the client is gone: as much as it can take.
        while socket.send(Message::text("news")).await.is_ok() {}
    });
    let quiet = server(|mut socket| async move {
        let _ = socket.send(Message::text("quiet")).await;
        std::future::pending::<()>().await;
    });
    let mut crowd = crowd();
    for round in 0..20 {
        crowd.open(0, address, None, &request(address)).unwrap();
        assert_eq!(seen(&mut crowd, 2)[0], Seen::Opened(0), "round {round}");
        crowd.drop_socket(0);
        // The same number of a descriptor, another visitor.
        crowd.open(1, quiet, None, &request(quiet)).unwrap();
        assert_eq!(seen(&mut crowd, 2), [Seen::Opened(1), Seen::Heard(1, "quiet".into())]);
        // The same visitor on a new socket hears only the new one.
        crowd.open(1, quiet, None, &request(quiet)).unwrap();
        assert_eq!(seen(&mut crowd, 2), [Seen::Opened(1), Seen::Heard(1, "quiet".into())]);
        crowd.drop_all();
        hears_nothing(&mut crowd);
    }
}
