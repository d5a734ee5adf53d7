//! Seats held by visitors inside: hold, read, give back.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use edge::{NoBody, Problem, ProblemBody, StrictJson};
use kernel::crash::{self, CrashPoint};
use kernel::ports::reservations::{GiveBackOutcome, HoldOutcome, HoldWish, Operation, OwnWish};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Shop;
use crate::problems::{
    conflict, hold_refused, pass_released, settled, unknown_performance, unknown_reservation, unknown_seat,
    wrong_room,
};
use crate::visitor::{Id, Visitor};
use crate::wire::{NewReservation, ReservationBody};

pub fn routes() -> OpenApiRouter<Arc<Shop>> {
    OpenApiRouter::new().routes(routes!(hold)).routes(routes!(read, give_back))
}

/// Hold a seat until the visit ends.
#[utoipa::path(
    post, path = "/v1/reservations", tag = "shop", security(("pass" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters")),
    request_body = NewReservation,
    responses(
        (status = 201, body = ReservationBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "pass_required, invalid_pass, pass_expired"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "wrong_room, pass_released"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "unknown_performance, unknown_seat"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "seat_taken, hold_limit"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "idempotency_key_reused"),
    )
)]
async fn hold(
    State(shop): State<Arc<Shop>>,
    visitor: Visitor,
    StrictJson(body): StrictJson<NewReservation>,
) -> Result<impl IntoResponse, Problem> {
    let key = visitor.key(Operation::Hold, &[body.performance_id.as_bytes(), body.seat_id.as_bytes()])?;
    let now = shop.now();
    let wish = HoldWish {
        caller: visitor.caller(&shop, now).await?,
        reservation_id: Uuid::new_v4().to_string(),
        performance_id: body.performance_id,
        seat_id: body.seat_id,
        max_holds: shop.config.max_holds,
        key,
        traceparent: visitor.traceparent(),
    };
    let (outcome, fresh) = settled(shop.store().hold(wish, now).await?)?;
    crash::passing(CrashPoint::HoldKept);
    let refused = |result: &'static str, problem: Problem| {
        metrics::counter!("turnline_reservation_holds_total", "result" => result).increment(1);
        Err(problem)
    };
    match outcome {
        HoldOutcome::Held(reservation) => {
            if fresh {
                shop.seats_moved(&reservation.performance_id);
                metrics::counter!("turnline_reservation_holds_total", "result" => "held").increment(1);
            }
            // What a hold was when it was made is what every repeat of the call is told.
            let body = ReservationBody::new(reservation, kernel::words::Timestamp::from_millis(0));
            Ok((StatusCode::CREATED, Json(body)))
        }
        HoldOutcome::SeatTaken => {
            refused("seat_taken", conflict("seat_taken", "somebody has this seat; choose another one"))
        }
        HoldOutcome::Limit => {
            let most = shop.config.max_holds;
            refused(
                "hold_limit",
                conflict(
                    "hold_limit",
                    format!("you hold {most} seats, which is all you may; give one back first"),
                ),
            )
        }
        HoldOutcome::UnknownPerformance => Err(unknown_performance()),
        HoldOutcome::UnknownSeat => Err(unknown_seat()),
        HoldOutcome::WrongRoom => Err(wrong_room()),
        HoldOutcome::SlotEnded => Err(pass_released()),
    }
}

/// Read a reservation of one's own.
#[utoipa::path(
    get, operation_id = "reservation", path = "/v1/reservations/{id}", tag = "shop", security(("pass" = [])),
    params(("id" = String, Path, description = "The reservation")),
    responses(
        (status = 200, body = ReservationBody),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "pass_required, invalid_pass, pass_expired"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "unknown_reservation"),
    )
)]
async fn read(
    State(shop): State<Arc<Shop>>,
    visitor: Visitor,
    Id(id): Id,
) -> Result<Json<ReservationBody>, Problem> {
    let found = shop.store().reservation(&visitor.owner, &id).await?;
    let reservation = found.ok_or_else(unknown_reservation)?;
    Ok(Json(ReservationBody::new(reservation, shop.now())))
}

/// Give a held seat back; doing so again changes nothing.
#[utoipa::path(
    delete, path = "/v1/reservations/{id}", tag = "shop", security(("pass" = [])),
    params(
        ("id" = String, Path, description = "The reservation"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters"),
    ),
    responses(
        (status = 204, description = "The seat is free"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "invalid_idempotency_key"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "pass_required, invalid_pass, pass_expired"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "unknown_reservation"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "already_confirmed"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "idempotency_key_reused"),
    )
)]
async fn give_back(
    State(shop): State<Arc<Shop>>,
    visitor: Visitor,
    Id(id): Id,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    let key = visitor.key(Operation::GiveBack, &[id.as_bytes()])?;
    let now = shop.now();
    visitor.was_heard(&shop, now).await;
    let wish = OwnWish { owner: visitor.owner.clone(), id, key, traceparent: visitor.traceparent() };
    let (outcome, _) = settled(shop.store().give_back(wish, now).await?)?;
    match outcome {
        GiveBackOutcome::Over { performance_id } => {
            shop.seats_moved(&performance_id);
            Ok(StatusCode::NO_CONTENT)
        }
        GiveBackOutcome::Refused(refusal) => Err(hold_refused(refusal)),
        GiveBackOutcome::Unknown => Err(unknown_reservation()),
    }
}
