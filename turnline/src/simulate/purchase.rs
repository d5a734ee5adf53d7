//! What an admitted visitor does: hold a seat, charge, pay, check the books; or give the slot back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::sleep;

use super::chance::{Chance, random_key};
use super::figures::{Release, Timing};
use super::http::{Answer, Away, Call};
use super::message::{Mine, Reason};
use super::rules::{At, Audit, Fact, LedgerLine, judge_audit, judge_key_repeat};
use super::shop::{Offer, Seat};
use super::world::World;

/// How often someone looks again while all remaining seats are only held.
const LOOKS_MOST: u32 = 5;
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How an errand came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    Paid,
    GaveBack,
    SoldOut,
    /// What `tickets/me` says about a ticket that should have ended; none when it has not.
    Settled(Option<Reason>),
    Failed(String),
}

/// One visitor on an errand beside the open channel.
pub struct Errands {
    pub world: Arc<World>,
    pub index: usize,
    pub number: u64,
    pub ticket: String,
    /// The newest pass; a renewal replaces it while the errand runs.
    pub pass: Arc<Mutex<String>>,
    pub chance: Chance,
}

#[derive(Deserialize)]
struct Held {
    reservation_id: String,
    amount_minor: i64,
}

#[derive(Deserialize)]
struct State {
    state: String,
}

#[derive(Deserialize)]
struct Payment {
    payment_id: String,
    state: String,
}

#[derive(Deserialize)]
struct Balance {
    amount_minor: i64,
}

#[derive(Deserialize)]
struct Ledger {
    items: Vec<LedgerRow>,
}

#[derive(Deserialize)]
struct LedgerRow {
    amount_minor: i64,
    kind: String,
}

/// What went wrong: the system's word, or its absence, after which nobody knows what was done.
#[derive(Clone, Debug)]
enum Trouble {
    Said(String),
    Away(String),
}

type Step<T> = Result<T, Trouble>;

impl Trouble {
    fn why(self) -> String {
        match self {
            Trouble::Said(why) | Trouble::Away(why) => why,
        }
    }
}

impl Errands {
    /// Buys a seat, or gives the slot back when that cannot be.
    pub async fn buy(mut self) -> Errand {
        let outcome = match self.seat_and_payment().await {
            Ok(true) => return Errand::Paid,
            Ok(false) => Errand::SoldOut,
            Err(trouble) => Errand::Failed(trouble.why()),
        };
        // Whoever cannot buy must not stand in the way of the next.
        match self.hand_back().await {
            Ok(()) => outcome,
            Err(trouble) if outcome == Errand::SoldOut => Errand::Failed(trouble.why()),
            Err(_) => outcome,
        }
    }

    pub async fn give_back(mut self) -> Errand {
        match self.hand_back().await {
            Ok(()) => Errand::GaveBack,
            Err(trouble) => Errand::Failed(trouble.why()),
        }
    }

    /// Asks whether the ticket has ended.
    pub async fn settle(mut self) -> Errand {
        let call = Call::get(self.world.api.room_path("/tickets/me")).bearer(&self.ticket);
        match self.world.api.call(call, &mut self.chance).await {
            Ok(answer) => match answer.read::<Mine>() {
                Ok(mine) => Errand::Settled(mine.reason.filter(|_| mine.state == "ended")),
                Err(why) => {
                    self.ticket_refused(&answer, "tickets/me");
                    Errand::Failed(why)
                }
            },
            Err(Away(why)) => Errand::Failed(why),
        }
    }

    async fn hand_back(&mut self) -> Step<()> {
        self.see(Fact::ReleaseAsked);
        let (asked, wanted) = self.asking();
        let call = Call::delete(self.world.api.room_path("/tickets/me")).bearer(&self.ticket);
        let answer =
            self.world.api.call(call, &mut self.chance).await.map_err(|Away(why)| Trouble::Away(why))?;
        if answer.status != 204 {
            self.ticket_refused(&answer, "DELETE tickets/me");
            return Err(Trouble::Said(format!("giving back: {}", answer.problem())));
        }
        self.released(asked, wanted);
        Ok(())
    }

    /// True when paid, false when there is nothing left to buy.
    async fn seat_and_payment(&mut self) -> Step<bool> {
        let Some((seat, held)) = self.hold_a_seat().await? else { return Ok(false) };
        let mut retried = false;
        let charged = match held.amount_minor {
            0 => 0,
            amount => self.charge(amount, &mut retried).await?,
        };
        let payment = self.pay(&seat, &held, &mut retried).await;
        let paid = match &payment {
            Ok(()) => Some(held.amount_minor),
            Err(Trouble::Said(_)) => Some(0),
            Err(Trouble::Away(_)) => None,
        };
        if (self.world.probed(self.index) || retried)
            && let Err(trouble) = self.audit(charged, paid, &held).await
        {
            self.world.remark(format!("books not read: {}", trouble.why()));
        }
        payment.map(|()| true)
    }

    async fn hold_a_seat(&mut self) -> Step<Option<(Seat, Held)>> {
        let world = self.world.clone();
        let Some(shop) = &world.shop else { return Ok(None) };
        let mut looks = 0;
        loop {
            let seat = match shop.offer(&world.api, &mut self.chance).await.map_err(Trouble::Said)? {
                Offer::Seat(seat) => seat,
                Offer::Held if looks < LOOKS_MOST => {
                    looks += 1;
                    sleep(LOOK_AGAIN).await;
                    continue;
                }
                Offer::Held | Offer::SoldOut => return Ok(None),
            };
            let key = random_key().map_err(|e| Trouble::Said(e.to_string()))?;
            let body = json!({"performance_id": seat.performance_id, "seat_id": seat.seat_id});
            let answer = self.with_pass(Call::post("/v1/reservations", body.clone()).key(&key)).await?;
            let taken = answer.status == 409 && answer.code() == "seat_taken";
            if answer.ok() || taken {
                shop.gone(&seat);
            }
            if answer.ok() {
                world.figures().took(Timing::Hold, answer.took);
                return Ok(Some((seat, answer.read().map_err(Trouble::Said)?)));
            }
            if !taken {
                self.refused(&answer, "reserving with its pass");
                return Err(Trouble::Said(format!("hold: {}", answer.problem())));
            }
        }
    }

    /// Charges the balance; what was charged, in minor units.
    async fn charge(&mut self, amount: i64, retried: &mut bool) -> Step<i64> {
        let key = random_key().map_err(|e| Trouble::Said(e.to_string()))?;
        let body = json!({"amount_minor": amount});
        let answer = self.with_pass(Call::post("/v1/balance/charges", body.clone()).key(&key)).await?;
        *retried |= answer.attempts > 1;
        if answer.ok() {
            self.world.figures().took(Timing::Charge, answer.took);
            return Ok(amount);
        }
        // The visitor may have money of before; if not, the payment says so.
        if answer.code() == "charges_disabled" {
            return Ok(0);
        }
        self.refused(&answer, "charging with its pass");
        Err(Trouble::Said(format!("charge: {}", answer.problem())))
    }

    async fn pay(&mut self, seat: &Seat, held: &Held, retried: &mut bool) -> Step<()> {
        let key = random_key().map_err(|e| Trouble::Said(e.to_string()))?;
        let body = json!({"reservation_id": held.reservation_id});
        self.see(Fact::PayAsked);
        let (asked, wanted) = self.asking();
        let answer = self.with_pass(Call::post("/v1/payments", body.clone()).key(&key)).await?;
        *retried |= answer.attempts > 1;
        if !answer.ok() {
            self.refused(&answer, "paying with its pass");
            return Err(Trouble::Said(format!("pay: {}", answer.problem())));
        }
        let payment: Payment = answer.read().map_err(Trouble::Said)?;
        if payment.state != "completed" {
            let why = format!("pay: answered {} with state {:?}", answer.status, payment.state);
            return Err(Trouble::Said(why));
        }
        self.see(Fact::Paid { seat: seat.name() });
        self.world.figures().took(Timing::Pay, answer.took);
        self.released(asked, wanted);
        if self.world.probed(self.index) {
            let again = self.with_pass(Call::post("/v1/payments", body.clone()).key(&key)).await?;
            let id = again.read::<Payment>().map_or_else(|why| why, |payment| payment.payment_id);
            judge_key_repeat(&mut self.world.tally(), self.number, &payment.payment_id, &id);
        }
        Ok(())
    }

    /// Reads the visitor's own books.
    async fn audit(&mut self, charged: i64, paid: Option<i64>, held: &Held) -> Step<()> {
        let balance: Balance = self.own("/v1/balance").await?;
        let ledger: Ledger = self.own("/v1/balance/ledger").await?;
        let reservation: State = self.own(&format!("/v1/reservations/{}", held.reservation_id)).await?;
        let audit = Audit {
            number: self.number,
            balance: balance.amount_minor,
            ledger: ledger
                .items
                .into_iter()
                .map(|row| LedgerLine { amount: row.amount_minor, kind: row.kind })
                .collect(),
            charged: Some(charged),
            paid,
            confirmed: Some(reservation.state == "confirmed"),
        };
        judge_audit(&mut self.world.tally(), &audit);
        Ok(())
    }

    /// Reads something that belongs to the visitor; a pass given back still reads it.
    async fn own<T: DeserializeOwned>(&mut self, path: &str) -> Step<T> {
        let answer = self.with_pass(Call::get(path)).await?;
        self.refused(&answer, "reading what is one's own");
        answer.read().map_err(|why| Trouble::Said(format!("GET {path}: {why}")))
    }

    /// Calls with the newest pass.
    async fn with_pass(&mut self, call: Call<'_>) -> Step<Answer> {
        let pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = self
            .world
            .api
            .call(call.bearer(&pass), &mut self.chance)
            .await
            .map_err(|Away(why)| Trouble::Away(why))?;
        if answer.attempts > 1 {
            self.world.figures().retried_calls += 1;
        }
        Ok(answer)
    }

    /// A slot was freed; leaving while waiting frees none.
    fn released(&self, asked: At, wanted: bool) {
        let answered = self.world.now();
        if self.world.witness(self.index).is_some_and(|witness| witness.admitted.is_some()) {
            self.world.figures().released(Release { asked, answered, wanted });
        }
    }

    /// When a release is asked for, and whether somebody waits for the slot.
    fn asking(&self) -> (At, bool) {
        (self.world.now(), self.world.counts.waiting.load(Ordering::Relaxed) > 0)
    }

    fn see(&self, fact: Fact) {
        self.world.see(self.index, fact);
    }

    fn refused(&self, answer: &Answer, how: &'static str) {
        if matches!(answer.status, 401 | 403) {
            self.see(Fact::PassRefused { status: answer.status, how });
        }
    }

    fn ticket_refused(&self, answer: &Answer, how: &'static str) {
        if matches!(answer.status, 401 | 403 | 404) {
            self.see(Fact::TicketRefused { status: answer.status, how });
        }
    }
}
