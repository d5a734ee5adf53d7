//! `deploy/nginx.conf` in a real nginx: which path reaches which service, what is sent again and what never is,
//! limits, and channels. The services behind it are stand-ins that record what reaches them.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod standin;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use standin::{Manner, StandIn};
use xtask::services::{Service, Upstreams};

/// nginx in front of two replicas of each service.
struct Front {
    nginx: Service,
    folder: PathBuf,
    waiting_queue: [StandIn; 2],
    client_channel: [StandIn; 2],
    reservation_api: [StandIn; 2],
}

impl Front {
    fn new() -> Front {
        let pair = |name: &'static str| [StandIn::new(name), StandIn::new(name)];
        let (waiting_queue, client_channel, reservation_api) =
            (pair("waiting-queue"), pair("client-channel"), pair("reservation-api"));
        let addresses = |pair: &[StandIn; 2]| pair.iter().map(StandIn::address).collect();
        let upstreams = Upstreams {
            waiting_queue: addresses(&waiting_queue),
            client_channel: addresses(&client_channel),
            reservation_api: addresses(&reservation_api),
        };
        let unique = std::thread::current().name().unwrap_or_default().replace(':', "-");
        let folder = std::env::temp_dir().join(format!("xtask-nginx-{unique}-{}", std::process::id()));
        let nginx = Service::nginx(&folder, upstreams).unwrap();
        Front { nginx, folder, waiting_queue, client_channel, reservation_api }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.nginx.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends a request with these further header lines, and gives the whole answer.
    fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = self.connect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: queue.example:8080\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        // A refusal may come before the body is through.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.nginx.tail());
        }
        let _ = self.nginx.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn is_problem(answer: &str, status: u16, code: &str) -> bool {
    answer.starts_with(&format!("HTTP/1.1 {status} "))
        && answer.contains("Content-Type: application/problem+json\r\n")
        && answer.contains(&format!("\"status\":{status},"))
        && answer.contains(&format!("\"code\":\"{code}\""))
}

#[test]
fn the_files_as_they_are_pass_nginx_own_check() {
    let nginx = xtask::machine::program(&xtask::machine::NGINX).expect("nginx");
    let folder = std::env::temp_dir().join(format!("xtask-nginx-check-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut check = Command::new(nginx);
    check.args(["-t", "-e", "stderr", "-p"]).arg(&folder);
    let said = check.arg("-c").arg(xtask::run::root().join("deploy/nginx.conf")).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn each_path_reaches_its_service() {
    let front = Front::new();
    let table = [
        ("waiting-queue", "/"),
        ("waiting-queue", "/rooms/summer"),
        ("waiting-queue", "/rooms/channel"),
        ("waiting-queue", "/book/7"),
        ("waiting-queue", "/admin"),
        ("waiting-queue", "/assets/turnline.js"),
        ("waiting-queue", "/favicon.ico"),
        ("waiting-queue", "/docs/"),
        ("waiting-queue", "/openapi.json"),
        ("waiting-queue", "/healthz"),
        ("waiting-queue", "/readyz"),
        ("waiting-queue", "/.well-known/jwks.json"),
        ("waiting-queue", "/v1/authorize?room=summer"),
        ("waiting-queue", "/v1/rooms/summer"),
        ("waiting-queue", "/v1/rooms/channel"),
        ("waiting-queue", "/v1/rooms/summer/tickets"),
        ("waiting-queue", "/v1/rooms/summer/tickets/me"),
        ("waiting-queue", "/v1/rooms/summer/tickets/me/renew"),
        ("waiting-queue", "/v1/admin/rooms"),
        ("waiting-queue", "/v1/admin/rooms/summer/open"),
        ("waiting-queue", "/v1/admin/rooms/summer/channel"),
        ("waiting-queue", "/v1/admin/rooms/concerts"),
        ("waiting-queue", "/v1/admin/dlq"),
        ("waiting-queue", "/v1/admin/dlq/turnline.payments/3/replay"),
        ("waiting-queue", "/v1/nothing"),
        ("waiting-queue", "/v1/paymentsandmore"),
        ("client-channel", "/v1/rooms/summer/channel"),
        ("client-channel", "/v1/rooms/channel/channel"),
        ("client-channel", "/v1/rooms/s%C3%A4le/channel?x=1"),
        ("reservation-api", "/v1/concerts"),
        ("reservation-api", "/v1/concerts?cursor=a"),
        ("reservation-api", "/v1/concerts/4/dates"),
        ("reservation-api", "/v1/performances/9/seats"),
        ("reservation-api", "/v1/reservations"),
        ("reservation-api", "/v1/reservations/1"),
        ("reservation-api", "/v1/payments/5/cancel"),
        ("reservation-api", "/v1/balance"),
        ("reservation-api", "/v1/balance/ledger"),
        ("reservation-api", "/v1/admin/concerts"),
    ];
    for (service, path) in table {
        for (method, key) in [("GET", ""), ("POST", ""), ("POST", "Idempotency-Key: abc\r\n")] {
            let answer = front.call(method, path, key, "{}");
            let expected = format!("{service} {method} {path} ");
            assert!(
                answer.starts_with("HTTP/1.1 200 ") && answer.contains(&expected),
                "{method} {path} {key}: expected `{expected}` in\n{answer}"
            );
        }
    }
    assert!(is_problem(&front.call("GET", "/metrics", "", ""), 404, "not_found"));
}

#[test]
fn a_service_sees_the_visitors_host_and_address_and_the_request_as_it_was() {
    let front = Front::new();
    let lies = "X-Forwarded-For: 203.0.113.9\r\nAuthorization: Bearer t\r\n";
    front.call("POST", "/v1/rooms/summer/tickets", lies, "{\"lane\":\"a\"}");
    let seen = StandIn::all_seen(&front.waiting_queue);
    assert_eq!(seen.len(), 1, "{seen:?}");
    for line in ["Host: queue.example:8080", "X-Forwarded-For: 127.0.0.1", "Authorization: Bearer t"] {
        assert!(seen[0].contains(&format!("\r\n{line}\r\n")), "`{line}` is missing in\n{}", seen[0]);
    }
    assert!(!seen[0].contains("203.0.113.9") && seen[0].ends_with("\r\n\r\n{\"lane\":\"a\"}"), "{}", seen[0]);
}

#[test]
fn a_replica_that_is_gone_is_passed_over() {
    let mut front = Front::new();
    front.waiting_queue[0].leave();
    front.client_channel[1].leave();
    for _ in 0..20 {
        for (method, path) in [
            ("POST", "/v1/rooms/summer/tickets"),
            ("GET", "/v1/rooms/summer"),
            ("GET", "/v1/rooms/summer/channel"),
        ] {
            let answer = front.call(method, path, "", "");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{method} {path}: {answer}");
        }
    }
    front.waiting_queue[1].leave();
    let answer = front.call("POST", "/v1/rooms/summer/tickets", "", "");
    assert!(is_problem(&answer, 503, "unavailable") && answer.contains("\r\nRetry-After: 1\r\n"), "{answer}");
    let answer = front.call("POST", "/v1/rooms/summer/tickets", "Idempotency-Key: abc\r\n", "");
    assert!(is_problem(&answer, 503, "unavailable"), "{answer}");
}

#[test]
fn only_what_may_be_repeated_is_sent_again_after_a_broken_answer() {
    let front = Front::new();
    front.waiting_queue[0].be(Manner::BreakOff);
    front.reservation_api[0].be(Manner::BreakOff);
    // Every second call meets the one that breaks off, until nginx leaves it out for a while.
    for path in ["/v1/rooms/summer/tickets", "/v1/reservations"] {
        for at in 0..4 {
            let answer = front.call("POST", path, &format!("Idempotency-Key: key-{at}\r\n"), "{}");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        }
    }
    let seen = StandIn::all_seen(&front.waiting_queue);
    assert!(seen.len() > 4, "none was sent again: {seen:?}");

    // A break-off by both: what has no key was sent once, whoever had it.
    let front = Front::new();
    front.waiting_queue.iter().for_each(|replica| replica.be(Manner::BreakOff));
    let answer = front.call("POST", "/v1/rooms/summer/tickets", "", "{}");
    assert!(is_problem(&answer, 503, "unavailable"), "{answer}");
    assert_eq!(StandIn::all_seen(&front.waiting_queue).len(), 1);
    let answer = front.call("GET", "/v1/rooms/summer", "", "");
    assert!(is_problem(&answer, 503, "unavailable"), "{answer}");
    assert_eq!(StandIn::all_seen(&front.waiting_queue).len(), 3);
}

#[test]
fn an_answer_of_a_service_is_an_answer_even_when_it_is_503() {
    let front = Front::new();
    front.waiting_queue.iter().for_each(|replica| replica.be(Manner::QueueFull));
    let answer = front.call("POST", "/v1/rooms/summer/tickets", "Idempotency-Key: abc\r\n", "{}");
    assert!(is_problem(&answer, 503, "queue_full") && answer.contains("\r\nRetry-After: 30\r\n"), "{answer}");
    assert_eq!(StandIn::all_seen(&front.waiting_queue).len(), 1);
}

#[test]
fn bodies_end_at_64_kib() {
    let front = Front::new();
    for key in ["", "Idempotency-Key: abc\r\n"] {
        for path in ["/v1/rooms/summer/tickets", "/v1/payments"] {
            let answer = front.call("POST", path, key, &"x".repeat(64 * 1024));
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            let answer = front.call("POST", path, key, &"x".repeat(64 * 1024 + 1));
            assert!(is_problem(&answer, 413, "body_too_large"), "{answer}");
        }
    }
}

#[test]
fn a_websocket_goes_through_in_both_directions() {
    let front = Front::new();
    for path in ["/v1/rooms/summer/channel", "/v1/admin/rooms/summer/channel"] {
        let mut stream = front.connect();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: a\r\nSec-WebSocket-Protocol: turnline.v1, ticket.t\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        assert!(read_until(&mut stream, "\r\n\r\n").starts_with("HTTP/1.1 101 "), "{path}");
        for word in ["leave;", "renew;"] {
            stream.write_all(word.as_bytes()).unwrap();
            assert_eq!(read_until(&mut stream, ";"), word, "{path}");
        }
    }
    let seen = StandIn::all_seen(&front.client_channel).remove(0);
    assert!(
        seen.contains("\r\nUpgrade: websocket\r\n") && seen.contains("\r\nConnection: upgrade\r\n"),
        "{seen}"
    );
    assert!(seen.contains("\r\nSec-WebSocket-Protocol: turnline.v1, ticket.t\r\n"), "{seen}");
}

#[test]
fn after_an_outage_every_visitor_gets_a_channel_at_once() {
    let mut front = Front::new();
    front.client_channel.iter_mut().for_each(StandIn::leave);
    for _ in 0..10 {
        let answer = front.call("GET", "/v1/rooms/summer/channel", "", "");
        assert!(is_problem(&answer, 503, "unavailable"), "{answer}");
    }
    front.client_channel.iter_mut().for_each(StandIn::come_back);
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut stream = front.connect();
        let request = "GET /v1/rooms/summer/channel HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let answer = read_until(&mut stream, "\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        // Nobody of them leaves: nginx must not wait for the end of a channel to trust a replica again.
        open.push(stream);
    }
}

#[test]
fn an_event_stream_arrives_as_it_is_written() {
    let front = Front::new();
    front.client_channel.iter().for_each(|replica| replica.be(Manner::EventStream));
    let mut stream = front.connect();
    let request = "GET /v1/rooms/summer/channel HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    // The stand-in writes the second event only when it is told that the first was read.
    let first = read_until(&mut stream, "data: 1\n\n");
    assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    front.client_channel.iter().for_each(StandIn::go_on);
    read_until(&mut stream, "data: 2\n\n");
    let seen = StandIn::all_seen(&front.client_channel).remove(0);
    assert!(!seen.contains("\r\nConnection:") && !seen.contains("\r\nUpgrade:"), "{seen}");
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with(end) {
        assert_eq!(stream.read(&mut byte).expect("more within the timeout"), 1, "it ended after {text:?}");
        text.push(char::from(byte[0]));
    }
    text
}
