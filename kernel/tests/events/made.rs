//! Any event that we might write, with every field that may be absent there or not.

use kernel::control::Control;
use kernel::event::v1::{Arrival, Drawn, LaneRun};
use kernel::event::{
    CancellationFact, Event, FaultFact, PaymentFact, PaymentRef, ReplyFact, ReservationFact, ReservationRef,
    RoomEvent, RoomFact,
};
use kernel::policy::{LanePolicy, Policy, PrequeueOrder};
use kernel::reservation::HoldEnd;
use kernel::words::{Digest, EndReason, LaneName, Number, Ranges, RoomId, Timestamp, hex};
use proptest::prelude::*;

/// The name of each type; one that is added has to be named here, and then asks for a schema.
pub fn type_of(event: &Event) -> &'static str {
    match event {
        Event::Room(event) => match event.fact {
            RoomFact::RoomConfigured { .. } => "RoomConfigured",
            RoomFact::RoomStateChanged { .. } => "RoomStateChanged",
            RoomFact::RoomRebuilt { .. } => "RoomRebuilt",
            RoomFact::WaitingTokensIssued { .. } => "WaitingTokensIssued",
            RoomFact::WaitingTokensDeparted { .. } => "WaitingTokensDeparted",
            RoomFact::WaitingTokensReinstated { .. } => "WaitingTokensReinstated",
            RoomFact::ActiveTokensIssued { .. } => "ActiveTokensIssued",
            RoomFact::ActiveTokenClaimed { .. } => "ActiveTokenClaimed",
            RoomFact::ActiveTokenRenewed { .. } => "ActiveTokenRenewed",
            RoomFact::ActiveTokenReleased { .. } => "ActiveTokenReleased",
            RoomFact::RoomProgressed { .. } => "RoomProgressed",
        },
        Event::Reservation(fact) => match fact {
            ReservationFact::ReservationHeld { .. } => "ReservationHeld",
            ReservationFact::ReservationConfirmed { .. } => "ReservationConfirmed",
            ReservationFact::ReservationReleased { .. } => "ReservationReleased",
            ReservationFact::ReservationCancelled { .. } => "ReservationCancelled",
        },
        Event::Payment(fact) => match fact {
            PaymentFact::PaymentCompleted(_) => "PaymentCompleted",
            PaymentFact::PaymentFailed { .. } => "PaymentFailed",
            PaymentFact::PaymentCancelled(_) => "PaymentCancelled",
        },
        Event::Cancellation(CancellationFact::CancelPaymentRequested(_)) => "CancelPaymentRequested",
        Event::Reply(fact) => match fact {
            ReplyFact::PaymentCancellationSucceeded(_) => "PaymentCancellationSucceeded",
            ReplyFact::PaymentCancellationFailed { .. } => "PaymentCancellationFailed",
        },
        Event::Fault(FaultFact::FaultFound { .. }) => "FaultFound",
    }
}

pub fn event() -> impl Strategy<Value = Event> {
    prop_oneof![11 => room_event(), 4 => reservation_event(), 6 => money_event(), 1 => fault_event()]
}

fn room_event() -> impl Strategy<Value = Event> {
    let fact = prop_oneof![room_fact(), waiting_fact(), active_fact()];
    (room(), 1..=u64::MAX, time(), fact)
        .prop_map(|(room, seq, at, fact)| Event::Room(RoomEvent { room, seq, at, fact }))
}

fn room_fact() -> BoxedStrategy<RoomFact> {
    prop_oneof![
        (policy(), maybe(sha256()))
            .prop_map(|(policy, lottery_commitment)| RoomFact::RoomConfigured { policy, lottery_commitment }),
        (control(), maybe(".*"), maybe(drawn()))
            .prop_map(|(state, notice, drawn)| RoomFact::RoomStateChanged { state, notice, drawn }),
        any::<(u64, u64)>().prop_map(|(through_seq, issued)| RoomFact::RoomRebuilt { through_seq, issued }),
        (control(), any::<[u64; 6]>()).prop_map(|(state, figures)| {
            let [version, called_through, departed_delta, waiting, active, rate] = figures;
            RoomFact::RoomProgressed { version, state, called_through, departed_delta, waiting, active, rate }
        }),
    ]
    .boxed()
}

fn waiting_fact() -> BoxedStrategy<RoomFact> {
    let runs = prop::collection::vec(
        (lane(), number(), number()).prop_map(|(lane, first, last)| LaneRun { lane, first, last }),
        0..4,
    );
    prop_oneof![
        (number(), number(), runs, arrivals()).prop_map(|(first, last, lanes, visitors)| {
            RoomFact::WaitingTokensIssued { first, last, lanes, visitors }
        }),
        (ranges(), reason()).prop_map(|(ranges, reason)| RoomFact::WaitingTokensDeparted { ranges, reason }),
        (ranges(), arrivals())
            .prop_map(|(ranges, visitors)| RoomFact::WaitingTokensReinstated { ranges, visitors }),
    ]
    .boxed()
}

fn active_fact() -> BoxedStrategy<RoomFact> {
    prop_oneof![
        (ranges(), time()).prop_map(|(ranges, claim_by)| RoomFact::ActiveTokensIssued { ranges, claim_by }),
        (number(), time())
            .prop_map(|(number, expires_at)| RoomFact::ActiveTokenClaimed { number, expires_at }),
        (number(), time())
            .prop_map(|(number, expires_at)| RoomFact::ActiveTokenRenewed { number, expires_at }),
        (number(), reason()).prop_map(|(number, reason)| RoomFact::ActiveTokenReleased { number, reason }),
    ]
    .boxed()
}

fn reservation_event() -> impl Strategy<Value = Event> {
    let id = || ".{1,40}";
    let fact = prop_oneof![
        (reservation(), time()).prop_map(|(reservation, expires_at)| ReservationFact::ReservationHeld {
            reservation,
            expires_at
        }),
        (reservation(), id()).prop_map(|(reservation, payment_id)| {
            ReservationFact::ReservationConfirmed { reservation, payment_id }
        }),
        (reservation(), prop::sample::select(HoldEnd::ALL.to_vec()))
            .prop_map(|(reservation, reason)| ReservationFact::ReservationReleased { reservation, reason }),
        (reservation(), id()).prop_map(|(reservation, payment_id)| {
            ReservationFact::ReservationCancelled { reservation, payment_id }
        }),
    ];
    fact.prop_map(Event::Reservation)
}

fn reservation() -> impl Strategy<Value = ReservationRef> {
    payment().prop_map(|payment| ReservationRef {
        room: payment.room,
        reservation_id: payment.reservation_id,
        performance_id: payment.performance_id,
        seat_id: payment.seat_id,
        number: payment.number,
        amount_minor: payment.amount_minor,
        currency: payment.currency,
    })
}

fn money_event() -> impl Strategy<Value = Event> {
    let reason = "[a-z_]{1,20}";
    prop_oneof![
        payment().prop_map(|payment| Event::Payment(PaymentFact::PaymentCompleted(payment))),
        (payment(), reason)
            .prop_map(|(payment, reason)| { Event::Payment(PaymentFact::PaymentFailed { payment, reason }) }),
        payment().prop_map(|payment| Event::Payment(PaymentFact::PaymentCancelled(payment))),
        payment().prop_map(|payment| Event::Cancellation(CancellationFact::CancelPaymentRequested(payment))),
        payment().prop_map(|payment| Event::Reply(ReplyFact::PaymentCancellationSucceeded(payment))),
        (payment(), reason).prop_map(|(payment, reason)| {
            Event::Reply(ReplyFact::PaymentCancellationFailed { payment, reason })
        }),
    ]
}

fn fault_event() -> impl Strategy<Value = Event> {
    (room(), "[a-z.-]{1,30}", "[a-z_]{1,20}", ".{1,60}").prop_map(|(room, place, code, detail)| {
        Event::Fault(FaultFact::FaultFound { room, place, code, detail })
    })
}

fn payment() -> impl Strategy<Value = PaymentRef> {
    let id = || ".{1,40}";
    (room(), [id(), id(), id(), id()], number(), 1..=i64::MAX, "[A-Z]{3}").prop_map(
        |(room, [payment_id, reservation_id, performance_id, seat_id], number, amount_minor, currency)| {
            PaymentRef {
                room,
                payment_id,
                reservation_id,
                performance_id,
                seat_id,
                number,
                amount_minor,
                currency,
            }
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let lanes = prop::collection::vec(
        (lane(), 1..=1_000u32).prop_map(|(name, weight)| LanePolicy { name, weight }),
        0..4,
    );
    let seconds = || 1..=604_800u64;
    let order = prop_oneof![Just(PrequeueOrder::Fifo), Just(PrequeueOrder::Lottery)];
    (
        0..=1_000_000_000u64,
        maybe(1..=60_000_000u64),
        [seconds(), seconds(), seconds(), seconds()],
        maybe(0..=1_000_000_000u64),
        [maybe(time()), maybe(time())],
        order,
        lanes,
        maybe(".{0,60}"),
    )
        .prop_map(
            |(capacity, rate, seconds, max_waiting, [opens_at, closes_at], prequeue, lanes, go_to)| {
                let [active_seconds, max_session_seconds, claim_seconds, grace_seconds] = seconds;
                Policy {
                    capacity,
                    admit_per_minute: rate,
                    active_seconds,
                    max_session_seconds,
                    claim_seconds,
                    grace_seconds,
                    max_waiting,
                    opens_at,
                    closes_at,
                    prequeue,
                    lanes,
                    go_to,
                }
            },
        )
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let beacon = maybe(prop::collection::vec(any::<u8>(), 0..70).prop_map(|bytes| hex(&bytes)));
    (0..=u64::MAX, sha256(), sha256(), beacon).prop_map(|(frozen, secret, list_root, beacon)| Drawn {
        frozen,
        secret,
        list_root,
        beacon,
    })
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let digest = || any::<[u8; 16]>().prop_map(Digest);
    let arrival = (number(), maybe(digest()), maybe(digest())).prop_map(|(number, visitor, key)| Arrival {
        number,
        visitor,
        key,
    });
    prop::collection::vec(arrival, 0..4)
}

/// At most as many runs as we put into one event.
fn ranges() -> impl Strategy<Value = Ranges> {
    let some = prop::collection::btree_set(1..5_000u64, 1..60).prop_map(|set| set.into_iter().collect());
    prop_oneof![
        9 => some,
        1 => number().prop_map(Ranges::one),
        1 => Just((1..=1_000).map(|number| number * 2).collect()),
    ]
}

fn room() -> impl Strategy<Value = RoomId> {
    "[a-z0-9][a-z0-9_-]{0,63}".prop_map(|text| RoomId::parse(&text).unwrap())
}

fn lane() -> impl Strategy<Value = LaneName> {
    "[a-z0-9_-]{1,32}".prop_map(|text| LaneName::parse(&text).unwrap())
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![4 => 1..1_000_000u64, 1 => 1..=u64::MAX]
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0..=Timestamp::MAX.as_millis()).prop_map(Timestamp::from_millis)
}

fn sha256() -> impl Strategy<Value = String> {
    any::<[u8; 32]>().prop_map(|bytes| hex(&bytes))
}

fn control() -> impl Strategy<Value = Control> {
    prop::sample::select(vec![Control::Prequeue, Control::Open, Control::Paused, Control::Closed])
}

fn reason() -> impl Strategy<Value = EndReason> {
    use EndReason::{Expired, Left, NoShow, Paid, Revoked, RoomClosed};
    prop::sample::select(vec![Paid, Expired, NoShow, Left, Revoked, RoomClosed])
}

fn maybe<T: std::fmt::Debug>(what: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::of(what)
}
