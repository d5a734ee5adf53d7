//! One visitor's WebSocket: one task that writes what the shard put into the outbox, hears the visitor's two
//! messages, and asks a silent visitor for a sign of life.

use std::pin::pin;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::message::{CLIENT_BYTES_MAX, ClientMessage};
use crate::upgrade::Socket;
use crate::visit::{Visit, Word, fail};

/// How long, and how many bytes, we still listen after a close so that its code arrives.
const FAREWELL: Duration = Duration::from_secs(2);
const FAREWELL_BYTES: u64 = 16 << 20;
/// How soon a claim that could not be stored is tried again.
const CLAIM_AGAIN: Duration = Duration::from_secs(1);

/// Serves a visitor until either side ends it.
pub async fn serve(mut socket: Socket, mut visit: Visit) {
    let seated = visit.sit_down().await;
    let end = if seated { converse(&mut socket, &mut visit).await } else { End::Close(1012) };
    // From here on nobody is there; the place stays taken until the connection itself is closed.
    visit.outbox.hang_up();
    if let End::Close(code) = end {
        close(socket, visit.core.config.write_timeout.min(FAREWELL), code).await;
    }
}

/// How a conversation ended.
enum End {
    /// The visitor closed, or is gone.
    Gone,
    Close(u16),
}

/// The signs of life of one socket.
struct Pulse {
    sent: u32,
    /// Nothing was heard since the beat's last ping.
    silent: bool,
    /// Any answer to a ping from this one on is the claim.
    claim_from: Option<u32>,
}

async fn converse(socket: &mut Socket, visit: &mut Visit) -> End {
    let (outbox, every) = (visit.outbox.clone(), visit.core.config.ping_every);
    let mut pulse = Pulse { sent: 0, silent: false, claim_from: None };
    let mut beat = pin!(sleep(every));
    loop {
        let ended = tokio::select! {
            () = outbox.rung() => loop {
                let Some(outgoing) = outbox.take() else { break None };
                let word = visit.word(outgoing);
                if let Some(end) = say(socket, visit, &mut pulse, word).await {
                    break Some(end);
                }
            },
            heard = socket.next() => match hear(heard, visit, &mut pulse).await {
                Ok(word) => {
                    if visit.is_unclaimed() && pulse.claim_from.is_none() {
                        // The store did not take the claim: ask for another sign soon.
                        pulse.claim_from = Some(pulse.sent + 1);
                        beat.as_mut().reset(Instant::now() + CLAIM_AGAIN);
                    }
                    say(socket, visit, &mut pulse, word).await
                }
                Err(end) => Some(end),
            },
            () = &mut beat => {
                beat.as_mut().reset(Instant::now() + every);
                // Only a ping of the beat leaves a whole interval for the answer.
                if std::mem::replace(&mut pulse.silent, true) {
                    Some(End::Gone)
                } else {
                    ping(socket, visit, &mut pulse).await
                }
            }
        };
        if let Some(end) = ended {
            return end;
        }
    }
}

async fn say(socket: &mut Socket, visit: &Visit, pulse: &mut Pulse, word: Word) -> Option<End> {
    let within = visit.core.config.write_timeout;
    match word {
        Word::Silence => None,
        Word::Say(text) => write(socket, within, Message::text(text)).await,
        Word::Admit(text) => match write(socket, within, Message::text(text)).await {
            None if visit.is_unclaimed() => {
                pulse.claim_from = Some(pulse.sent + 1);
                ping(socket, visit, pulse).await
            }
            ended => ended,
        },
        Word::End(text) => write(socket, within, Message::text(text)).await.or(Some(End::Close(1000))),
        Word::Fail(text, code) => write(socket, within, Message::text(text)).await.or(Some(End::Close(code))),
        Word::Away => Some(End::Close(1012)),
    }
}

async fn ping(socket: &mut Socket, visit: &Visit, pulse: &mut Pulse) -> Option<End> {
    pulse.sent = pulse.sent.wrapping_add(1);
    let payload = Bytes::copy_from_slice(&pulse.sent.to_be_bytes());
    write(socket, visit.core.config.write_timeout, Message::Ping(payload)).await
}

async fn write(socket: &mut Socket, within: Duration, message: Message) -> Option<End> {
    match timeout(within, socket.send(message)).await {
        Ok(Ok(())) => None,
        Ok(Err(_)) | Err(_) => Some(End::Gone),
    }
}

async fn hear(
    heard: Option<Result<Message, Error>>,
    visit: &mut Visit,
    pulse: &mut Pulse,
) -> Result<Word, End> {
    let Some(Ok(message)) = heard else {
        return match heard {
            Some(Err(Error::Capacity(_))) => Ok(fail("message_too_large", 1009)),
            Some(Err(Error::Utf8(_))) => Ok(fail("unknown_message", 1007)),
            Some(Err(Error::Protocol(error))) if !is_reset(&error) => Err(End::Close(1002)),
            Some(_) | None => Err(End::Gone),
        };
    };
    pulse.silent = false;
    match message {
        Message::Text(text) if text.len() > CLIENT_BYTES_MAX => Ok(fail("message_too_large", 1009)),
        Message::Text(text) => match ClientMessage::parse(&text) {
            Some(ClientMessage::Leave) => Ok(visit.leave().await),
            Some(ClientMessage::Renew) => Ok(visit.renew().await),
            None => Ok(fail("unknown_message", 1008)),
        },
        Message::Binary(_) => Ok(fail("unknown_message", 1008)),
        Message::Pong(payload) => {
            let answered = <[u8; 4]>::try_from(payload.as_ref()).map(u32::from_be_bytes);
            if let (Ok(answered), Some(from)) = (answered, pulse.claim_from)
                && (from..=pulse.sent).contains(&answered)
            {
                pulse.claim_from = None;
                visit.claim().await;
            }
            Ok(Word::Silence)
        }
        // Pings are answered, and a close is confirmed, by the protocol layer at the next read.
        Message::Ping(_) | Message::Close(_) | Message::Frame(_) => Ok(Word::Silence),
    }
}

fn is_reset(error: &tokio_tungstenite::tungstenite::error::ProtocolError) -> bool {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    matches!(error, ProtocolError::ResetWithoutClosingHandshake)
}

/// Closes so that the code arrives: bytes left unread would make the kernel answer with a reset, which
/// overtakes the close. So we end our side and read on for a moment, without keeping anything.
async fn close(mut socket: Socket, within: Duration, code: u16) {
    let frame = CloseFrame { code: code.into(), reason: "".into() };
    if timeout(within, socket.send(Message::Close(Some(frame)))).await.is_ok_and(|sent| sent.is_ok()) {
        // Boxed: few sockets are here at a time, and the others need not be as large.
        Box::pin(async move {
            let until = Instant::now() + FAREWELL;
            let io = socket.get_mut();
            let _ = io.shutdown().await;
            let (mut left, mut bytes) = (FAREWELL_BYTES, vec![0; 4096]);
            while left > 0 {
                tokio::select! {
                    read = io.read(&mut bytes) => match read {
                        Ok(0) | Err(_) => return,
                        Ok(read) => left = left.saturating_sub(read as u64),
                    },
                    () = sleep_until(until) => return,
                }
            }
        })
        .await;
    }
}
