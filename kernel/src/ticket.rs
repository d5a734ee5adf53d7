//! Tickets: opaque, signed, self-contained. A ticket is a function of the secret, the room and the place,
//! so the same place always gives the same text and nothing is stored per ticket.
//!
//! `base64url(number, 8 bytes big-endian ‖ sub) . base64url(first 16 bytes of HMAC-SHA256)`

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::words::{Number, RoomId};

/// A ticket is never longer than this, in characters.
pub const TICKET_CHARS_MAX: usize = 256;
/// A visitor's `sub` in bytes at most: what fits a ticket of 256 characters with all else.
pub const SUB_BYTES_MAX: usize = 128;
const MAC_BYTES: usize = 16;

/// A room as tickets know it: a room made anew under an old name has another birth, so old tickets are foreign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomBirth {
    pub room: RoomId,
    pub born: u64,
}

/// What a valid ticket says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    pub number: Number,
    /// The visitor token's `sub`, in a room that knows its visitors.
    pub sub: Option<String>,
}

/// Forged, truncated, or of another room: which, is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no ticket of this room")]
pub struct BadTicket;

#[derive(Clone)]
pub struct TicketKey(Hmac<Sha256>);

impl TicketKey {
    pub fn new(secret: &[u8]) -> Self {
        let mut key = [0; 32];
        // 32 bytes are within what HKDF-SHA256 can give, and HMAC takes keys of any length.
        let derived = Hkdf::<Sha256>::new(None, secret).expand(b"turnline ticket v1", &mut key);
        debug_assert!(derived.is_ok());
        let empty = || unreachable!("HMAC takes keys of any length");
        Self(Hmac::new_from_slice(&key).unwrap_or_else(|_| empty()))
    }

    pub fn sign(&self, birth: &RoomBirth, ticket: &Ticket) -> String {
        let mut payload = ticket.number.to_be_bytes().to_vec();
        payload.extend_from_slice(ticket.sub.as_deref().unwrap_or_default().as_bytes());
        format!(
            "{}.{}",
            BASE64.encode(&payload),
            BASE64.encode(&self.mac(birth, b"ticket", &payload)[..MAC_BYTES])
        )
    }

    pub fn verify(&self, birth: &RoomBirth, text: &str) -> Result<Ticket, BadTicket> {
        if text.len() > TICKET_CHARS_MAX {
            return Err(BadTicket);
        }
        let (payload, mac) = text.split_once('.').ok_or(BadTicket)?;
        let payload = BASE64.decode(payload).map_err(|_| BadTicket)?;
        let mac = BASE64.decode(mac).map_err(|_| BadTicket)?;
        if mac.len() != MAC_BYTES {
            return Err(BadTicket);
        }
        self.keyed(birth, b"ticket", &payload).verify_truncated_left(&mac).map_err(|_| BadTicket)?;
        let (number, sub) = payload.split_first_chunk::<8>().ok_or(BadTicket)?;
        let sub = std::str::from_utf8(sub).map_err(|_| BadTicket)?;
        Ok(Ticket { number: u64::from_be_bytes(*number), sub: (!sub.is_empty()).then(|| sub.to_owned()) })
    }

    /// The id of the ticket with this number: unguessable, and the same whenever it is asked for.
    pub fn id(&self, birth: &RoomBirth, number: Number) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&self.mac(birth, b"id", &number.to_be_bytes())[..16]);
        id
    }

    /// The `sub` of this ticket's passes: the visitor's own, or the ticket's.
    pub fn subject(&self, birth: &RoomBirth, ticket: &Ticket) -> String {
        match &ticket.sub {
            Some(sub) => format!("v:{sub}"),
            None => format!("t:{}", BASE64.encode(self.id(birth, ticket.number))),
        }
    }

    fn keyed(&self, birth: &RoomBirth, purpose: &[u8], message: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in [purpose, birth.room.as_str().as_bytes(), &birth.born.to_be_bytes()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.update(message);
        mac
    }

    fn mac(&self, birth: &RoomBirth, purpose: &[u8], message: &[u8]) -> [u8; 32] {
        self.keyed(birth, purpose, message).finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn birth(room: &str, born: u64) -> RoomBirth {
        RoomBirth { room: RoomId::parse(room).unwrap(), born }
    }

    proptest! {
        #[test]
        fn a_ticket_says_what_was_signed(number: u64, sub in prop::option::of("[a-z@.]{1,128}")) {
            let (key, home) = (TicketKey::new(b"secret"), birth("demo", 1));
            let ticket = Ticket { number, sub };
            let text = key.sign(&home, &ticket);
            prop_assert!(text.len() <= TICKET_CHARS_MAX, "{} characters", text.len());
            prop_assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
            prop_assert_eq!(key.verify(&home, &text), Ok(ticket));
        }

        #[test]
        fn a_touched_ticket_is_no_ticket(number: u64, at in 0..34usize, to in "[A-Za-z0-9_.-]") {
            let (key, home) = (TicketKey::new(b"secret"), birth("demo", 1));
            let text = key.sign(&home, &Ticket { number, sub: None });
            let mut touched = text.clone();
            touched.replace_range(at..=at, &to);
            prop_assume!(touched != text);
            prop_assert_eq!(key.verify(&home, &touched), Err(BadTicket));
            prop_assert_eq!(key.verify(&home, &text[..at]), Err(BadTicket));
        }
    }

    #[test]
    fn another_room_birth_or_secret_is_foreign() {
        let key = TicketKey::new(b"secret");
        let text = key.sign(&birth("demo", 1), &Ticket { number: 1, sub: None });
        assert_eq!(key.verify(&birth("other", 1), &text), Err(BadTicket));
        assert_eq!(key.verify(&birth("demo", 2), &text), Err(BadTicket));
        assert_eq!(TicketKey::new(b"other").verify(&birth("demo", 1), &text), Err(BadTicket));
    }
}
