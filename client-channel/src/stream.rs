//! The same messages as server-sent events, for those whose network lets no WebSocket through.

use std::convert::Infallible;
use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use kernel::words::EndReason;

use crate::outbox::{Outbox, Outgoing};
use crate::shard::{Post, Shards};
use crate::visit::{Visit, Wish, Word};

/// Answers with the stream; it ends with the ticket, or when the process stops. The stream of an ended ticket
/// takes no seat, and says only its reason.
pub fn answer(visit: Visit, over: Option<EndReason>, shards: Arc<Shards>) -> Response {
    let keep_alive = KeepAlive::new().interval(visit.hall.core.config.ping_every);
    let outbox = Arc::new(Outbox::default());
    let number = visit.ticket.number;
    match over {
        Some(reason) => {
            outbox.put(Outgoing::Ended(reason));
        }
        None => shards.of(number).post(Post::Stream(visit.hall.clone(), number, outbox.clone())),
    }
    let listener = Listener { visit, outbox, shards, over: false };
    let events = stream::unfold(Some(listener), |listener| async { listener?.next().await });
    let mut answer = Sse::new(events).keep_alive(keep_alive).into_response();
    // Proxies hold an answer back to send it in larger pieces, unless told not to.
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    answer.headers_mut().extend([unbuffered]);
    answer
}

struct Listener {
    visit: Visit,
    outbox: Arc<Outbox>,
    shards: Arc<Shards>,
    /// The last message is out.
    over: bool,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Option<Self>)> {
        // The connection asks for the next event when it has taken the last one: `admitted` was written.
        if let Some(session) = self.visit.unclaimed() {
            let claimed = self.visit.errand().run(Wish::Claim(session)).await;
            self.visit.granted(claimed);
        }
        while !self.over {
            let Some(outgoing) = self.outbox.take() else {
                self.outbox.rung().await;
                continue;
            };
            match self.visit.word(outgoing) {
                Word::Silence => {}
                Word::Say(text) | Word::Admit(text) => return Some(self.event(&text)),
                Word::End(text) | Word::Fail(text, _) => {
                    self.over = true;
                    return Some(self.event(&text));
                }
                Word::Away => self.over = true,
            }
        }
        None
    }

    fn event(self, text: &str) -> (Result<Event, Infallible>, Option<Self>) {
        (Ok(Event::default().data(text)), Some(self))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let (hall, number) = (self.visit.hall.id, self.visit.ticket.number);
        self.shards.of(number).post(Post::StreamLeft(hall, number, self.outbox.clone()));
    }
}
