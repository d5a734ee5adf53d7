//! A visitor's balance in a room, charges to it, and its ledger.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use edge::{Problem, ProblemBody, StrictJson};
use kernel::ports::reservations::{ChargeOutcome, ChargeWish, Operation};
use kernel::reservation::money::chargeable;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Shop;
use crate::paging::{Items, LISTS, Part};
use crate::problems::{conflict, pass_released, settled};
use crate::visitor::Visitor;
use crate::wire::{BalanceBody, EntryBody, NewCharge};

pub fn routes() -> OpenApiRouter<Arc<Shop>> {
    OpenApiRouter::new().routes(routes!(balance)).routes(routes!(charge)).routes(routes!(ledger))
}

/// One's own balance: always the sum of its ledger.
#[utoipa::path(
    get, path = "/v1/balance", tag = "shop", security(("pass" = [])),
    responses(
        (status = 200, body = BalanceBody),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "pass_required, invalid_pass, pass_expired"),
    )
)]
async fn balance(State(shop): State<Arc<Shop>>, visitor: Visitor) -> Result<Json<BalanceBody>, Problem> {
    Ok(Json(shop.store().balance(&visitor.owner).await?.into()))
}

/// Charge one's own balance, where that is allowed. Answers the balance after it.
#[utoipa::path(
    post, path = "/v1/balance/charges", tag = "shop", security(("pass" = [])),
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible characters")),
    request_body = NewCharge,
    responses(
        (status = 201, body = BalanceBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "idempotency_key_required, invalid_idempotency_key, invalid_amount, invalid_body, unknown_field"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "pass_required, invalid_pass, pass_expired"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "charges_disabled, pass_released"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "balance_limit"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "idempotency_key_reused"),
    )
)]
async fn charge(
    State(shop): State<Arc<Shop>>,
    visitor: Visitor,
    StrictJson(body): StrictJson<NewCharge>,
) -> Result<impl IntoResponse, Problem> {
    let key = visitor.required_key(Operation::Charge, &[&body.amount_minor.to_be_bytes()])?;
    chargeable(body.amount_minor).map_err(|bad| Problem::bad_request("invalid_amount", bad.to_string()))?;
    if !shop.config.charges_enabled {
        let detail = "balances cannot be charged here; the shop credits them";
        return Err(Problem::new(StatusCode::FORBIDDEN, "charges_disabled", detail));
    }
    let now = shop.now();
    let wish = ChargeWish {
        caller: visitor.caller(&shop, now).await?,
        charge_id: Uuid::new_v4().to_string(),
        amount_minor: body.amount_minor,
        key,
    };
    let (outcome, _) = settled(shop.store().charge(wish, now).await?)?;
    match outcome {
        ChargeOutcome::Charged(money) => Ok((StatusCode::CREATED, Json(BalanceBody::from(money)))),
        ChargeOutcome::TooMuch => {
            Err(conflict("balance_limit", "your balance would grow too large; spend some first"))
        }
        ChargeOutcome::SlotEnded => Err(pass_released()),
    }
}

/// What one's balance is made of, the newest first.
#[utoipa::path(
    get, path = "/v1/balance/ledger", tag = "shop", security(("pass" = [])), params(Part),
    responses(
        (status = 200, body = Items<EntryBody>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "invalid_limit, invalid_cursor, invalid_query"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "pass_required, invalid_pass, pass_expired"),
    )
)]
async fn ledger(
    State(shop): State<Arc<Shop>>,
    visitor: Visitor,
    part: Part,
) -> Result<Json<Items<EntryBody>>, Problem> {
    let page = shop.store().ledger(&visitor.owner, part.range(LISTS)?).await?;
    Ok(Json(Items::of(page, EntryBody::from)))
}
