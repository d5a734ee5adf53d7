//! Payments: pay, read, cancel. The answer to a cancellation never waits for the compensation.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use edge::{NoBody, Problem, ProblemBody, StrictJson};
use kernel::crash::{self, CrashPoint};
use kernel::ports::reservations::{CancelOutcome, Operation, OwnWish, PayOutcome, PayWish};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Shop;
use crate::paging::{Items, LISTS, Part};
use crate::problems::{
    hold_refused, not_cancellable, pass_released, payment_failed, settled, unknown_payment,
    unknown_reservation,
};
use crate::visitor::{Id, Visitor};
use crate::wire::{NewPayment, PaymentBody};

pub fn routes() -> OpenApiRouter<Arc<Shop>> {
    OpenApiRouter::new().routes(routes!(pay, list)).routes(routes!(read)).routes(routes!(cancel))
}

/// Pay for a held seat from the balance. The slot is freed for the next visitor.
#[utoipa::path(
    post, path = "/v1/payments", tag = "shop", security(("pass" = [])),
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible characters")),
    request_body = NewPayment,
    responses(
        (status = 201, body = PaymentBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "idempotency_key_required, invalid_idempotency_key, invalid_body, unknown_field"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "pass_required, invalid_pass, pass_expired"),
        (status = 402, body = ProblemBody, content_type = "application/problem+json", description = "insufficient_balance"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "pass_released"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "unknown_reservation"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "hold_expired, already_confirmed, reservation_cancelled"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "idempotency_key_reused"),
    )
)]
async fn pay(
    State(shop): State<Arc<Shop>>,
    visitor: Visitor,
    StrictJson(body): StrictJson<NewPayment>,
) -> Result<impl IntoResponse, Problem> {
    let key = visitor.required_key(Operation::Pay, &[body.reservation_id.as_bytes()])?;
    let now = shop.now();
    let wish = PayWish {
        caller: visitor.caller(&shop, now).await?,
        payment_id: Uuid::new_v4().to_string(),
        reservation_id: body.reservation_id,
        key,
        traceparent: visitor.traceparent(),
    };
    let (outcome, fresh) = settled(shop.store().pay(wish, now).await?)?;
    crash::passing(CrashPoint::PaymentKept);
    let count = |result: &'static str| {
        if fresh {
            shop.posted.notify_one();
            metrics::counter!("turnline_reservation_payments_total", "result" => result).increment(1);
        }
    };
    match outcome {
        PayOutcome::Completed(row) => {
            if fresh {
                shop.seat_maps.touch(&row.performance_id);
            }
            count("completed");
            Ok((StatusCode::CREATED, Json(PaymentBody::from(row))))
        }
        PayOutcome::Failed(_, failure) => {
            count(failure.as_str());
            Err(payment_failed(failure))
        }
        PayOutcome::Refused(refusal) => Err(hold_refused(refusal)),
        PayOutcome::UnknownReservation => Err(unknown_reservation()),
        PayOutcome::SlotEnded => Err(pass_released()),
    }
}

/// Read a payment of one's own.
#[utoipa::path(
    get, operation_id = "payment", path = "/v1/payments/{id}", tag = "shop", security(("pass" = [])),
    params(("id" = String, Path, description = "The payment")),
    responses(
        (status = 200, body = PaymentBody),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "pass_required, invalid_pass, pass_expired"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "unknown_payment"),
    )
)]
async fn read(
    State(shop): State<Arc<Shop>>,
    visitor: Visitor,
    Id(id): Id,
) -> Result<Json<PaymentBody>, Problem> {
    let found = shop.store().payment(&visitor.owner, &id).await?;
    Ok(Json(found.ok_or_else(unknown_payment)?.into()))
}

/// One's own payments, failed ones too, the newest first.
#[utoipa::path(
    get, operation_id = "payments", path = "/v1/payments", tag = "shop", security(("pass" = [])), params(Part),
    responses(
        (status = 200, body = Items<PaymentBody>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "invalid_limit, invalid_cursor, invalid_query"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "pass_required, invalid_pass, pass_expired"),
    )
)]
async fn list(
    State(shop): State<Arc<Shop>>,
    visitor: Visitor,
    part: Part,
) -> Result<Json<Items<PaymentBody>>, Problem> {
    let page = shop.store().payments(&visitor.owner, part.range(LISTS)?).await?;
    Ok(Json(Items::of(page, PaymentBody::from)))
}

/// Ask for a payment to be undone: the money comes back and the seat free, a moment later.
#[utoipa::path(
    post, path = "/v1/payments/{id}/cancel", tag = "shop", security(("pass" = [])),
    params(
        ("id" = String, Path, description = "The payment"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters"),
    ),
    responses(
        (status = 202, body = PaymentBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "invalid_idempotency_key"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "pass_required, invalid_pass, pass_expired"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "unknown_payment"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "payment_not_completed"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "idempotency_key_reused"),
    )
)]
async fn cancel(
    State(shop): State<Arc<Shop>>,
    visitor: Visitor,
    Id(id): Id,
    _: NoBody,
) -> Result<impl IntoResponse, Problem> {
    let key = visitor.key(Operation::Cancel, &[id.as_bytes()])?;
    let now = shop.now();
    visitor.was_heard(&shop, now).await;
    let wish = OwnWish { owner: visitor.owner.clone(), id, key, traceparent: visitor.traceparent() };
    let (outcome, fresh) = settled(shop.store().request_cancel(wish, now).await?)?;
    crash::passing(CrashPoint::CancelKept);
    match outcome {
        CancelOutcome::Accepted(row) => {
            if fresh {
                shop.posted.notify_one();
                metrics::counter!("turnline_reservation_cancellations_asked_total").increment(1);
            }
            Ok((StatusCode::ACCEPTED, Json(PaymentBody::from(row))))
        }
        CancelOutcome::Refused(refusal) => Err(not_cancellable(refusal)),
        CancelOutcome::Unknown => Err(unknown_payment()),
    }
}
