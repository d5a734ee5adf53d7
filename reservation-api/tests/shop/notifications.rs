//! People are told by a webhook that fails at times: a real HTTP server beside the shop.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use kernel::event::Record;
use kernel::ports::{Clock, EventLog};
use reservation_api::{Config, Webhook};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::scene::{PRICE, Scene, eventually, fresh, room};

/// What the receiver does with the next message.
#[derive(Clone, Copy)]
enum Then {
    Refuse(StatusCode),
    /// Refuses and says after how many seconds to come again.
    Later(StatusCode, u64),
    /// Never answers.
    Hang,
}

#[derive(Clone, Default)]
struct Heard {
    taken: Arc<Mutex<Vec<String>>>,
    refused: Arc<Mutex<usize>>,
    moods: Arc<Mutex<VecDeque<Then>>>,
}

struct Receiver {
    url: String,
    heard: Heard,
    serving: JoinHandle<()>,
}

impl Receiver {
    /// Does these in turn, and then takes everything.
    async fn in_moods(moods: impl IntoIterator<Item = Then>) -> Self {
        let heard = Heard { moods: Arc::new(Mutex::new(moods.into_iter().collect())), ..Heard::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/services/T/B/secret", listener.local_addr().unwrap());
        let router = Router::new().route("/services/T/B/secret", post(take)).with_state(heard.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, heard, serving }
    }

    fn taken(&self) -> Vec<String> {
        self.heard.taken.lock().unwrap().clone()
    }

    /// The sum of the figures before `word` in all messages taken.
    fn sum(&self, word: &str) -> u64 {
        let before = |text: &String| -> u64 {
            let words: Vec<&str> = text.split_whitespace().collect();
            let figures = words.windows(2).filter(|pair| pair[1] == word);
            figures.filter_map(|pair| pair[0].parse::<u64>().ok()).sum()
        };
        self.taken().iter().map(before).sum()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(heard): State<Heard>, Json(message): Json<Value>) -> Response {
    let mood = heard.moods.lock().unwrap().pop_front();
    if mood.is_some() {
        *heard.refused.lock().unwrap() += 1;
    }
    match mood {
        Some(Then::Refuse(status)) => status.into_response(),
        Some(Then::Later(status, seconds)) => {
            (status, [("retry-after", seconds.to_string())]).into_response()
        }
        Some(Then::Hang) => std::future::pending().await,
        None => {
            heard.taken.lock().unwrap().push(message["text"].as_str().unwrap().to_owned());
            "ok".into_response()
        }
    }
}

fn told_at(receiver: &Receiver) -> impl FnOnce(Config) -> Config {
    let webhook = Some(Webhook::parse(&receiver.url).unwrap());
    move |config| Config { webhook, notify_every: Duration::from_millis(200), ..config }
}

#[tokio::test]
async fn people_are_told_of_every_payment_in_few_messages_by_a_webhook_that_fails_at_times() {
    let moods = [
        Then::Refuse(StatusCode::INTERNAL_SERVER_ERROR),
        Then::Later(StatusCode::TOO_MANY_REQUESTS, 0),
        Then::Refuse(StatusCode::FOUND),
    ];
    let receiver = Receiver::in_moods(moods).await;
    let scene = Scene::set_with(30, told_at(&receiver)).await;
    let running = scene.run();
    let mut first = None;
    for at in 1..=20 {
        let buyer = scene.buyer(PRICE).await;
        let payment = scene.buy(&buyer, &format!("A{at}")).await;
        first.get_or_insert((buyer, payment));
    }
    let poor = scene.called().await;
    let id = scene.hold(&poor, "B1").await.expect(201).text("reservation_id");
    scene.pay(&poor, &fresh(), &id).await.refused(402, "insufficient_balance");
    let (buyer, payment) = first.unwrap();
    scene.cancel(&buyer, &payment).await.expect(202);
    eventually("everything was told", async || (receiver.sum("cancelled") == 1).then_some(())).await;
    assert_eq!((receiver.sum("paid"), receiver.sum("failed")), (20, 1), "{:?}", receiver.taken());
    assert_eq!(*receiver.heard.refused.lock().unwrap(), moods.len());
    assert!(receiver.taken().len() < 10, "one message for many events: {:?}", receiver.taken());
    assert!(receiver.taken().iter().any(|text| text.contains("insufficient_balance 1")));
    running.drained().await;
}

#[tokio::test]
async fn a_webhook_that_never_answers_is_on_nobodys_way_and_what_it_missed_is_told_after_a_restart() {
    let receiver = Receiver::in_moods([Then::Hang; 3]).await;
    let scene = Scene::set_with(3, told_at(&receiver)).await;
    let running = scene.run();
    let buyer = scene.buyer(PRICE).await;
    scene.buy(&buyer, "A1").await;
    eventually("the webhook is asked", async || (*receiver.heard.refused.lock().unwrap() > 0).then_some(()))
        .await;
    let next = scene.buyer(PRICE).await;
    scene.buy(&next, "A2").await;
    running.drained().await;
    assert!(receiver.taken().is_empty());

    let calm = Receiver::in_moods([]).await;
    let scene = scene.reopened_with(told_at(&calm));
    let running = scene.run();
    eventually("what was missed is told", async || (calm.sum("paid") == 2).then_some(())).await;
    running.drained().await;
}

#[tokio::test]
async fn people_are_told_of_faults_and_not_of_what_is_long_past() {
    let receiver = Receiver::in_moods([]).await;
    let scene = Scene::set_with(3, told_at(&receiver)).await;
    let demo = room("demo");
    let fault =
        |what: &str, at| Record::fault(&demo, "expiration", "room_figures", what, "<3 slots>".into(), at);
    let old = scene.clock.now();
    scene.rooms.publish(vec![fault("1", old)]).await.unwrap();
    scene.advance(3_601);
    let now = scene.clock.now();
    // The second was found twice: it is one fault.
    scene.rooms.publish(vec![fault("2", now), fault("2", now), fault("3", now)]).await.unwrap();
    let running = scene.run();
    eventually("people are told", async || {
        let taken = receiver.taken().join("\n");
        (taken.contains("room_figures in expiration") && taken.contains("one by one: 1")).then_some(())
    })
    .await;
    let taken = receiver.taken().join("\n");
    assert!(taken.contains("&lt;3 slots&gt;"), "{taken}");
    assert!(taken.contains("(2 times)"), "{taken}");
    running.drained().await;
}
