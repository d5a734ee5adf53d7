//! The same messages as server-sent events, for those whose network lets no WebSocket through.

use std::convert::Infallible;

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::visit::{Visit, Word};

/// Answers with the stream; it ends with the ticket, or when the process stops.
pub async fn answer(visit: Visit) -> Response {
    let keep_alive = KeepAlive::new().interval(visit.core.config.ping_every);
    let seated = visit.sit_down().await;
    let listener = seated.then_some(Listener { visit, over: false });
    let events = stream::unfold(listener, |listener| async { listener?.next().await });
    let mut answer = Sse::new(events).keep_alive(keep_alive).into_response();
    // Proxies hold an answer back to send it in larger pieces, unless told not to.
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    answer.headers_mut().extend([unbuffered]);
    answer
}

struct Listener {
    visit: Visit,
    /// The last message is out.
    over: bool,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Option<Self>)> {
        // The connection asks for the next event when it has taken the last one: `admitted` was written.
        self.visit.claim().await;
        let outbox = self.visit.outbox.clone();
        while !self.over {
            let Some(outgoing) = outbox.take() else {
                outbox.rung().await;
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
