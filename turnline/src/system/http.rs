//! One address in front of the services of a process: their routes, the pages, health, figures, and the
//! description of the whole API.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use edge::Problem;
use utoipa::OpenApi;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Ref, RefOr};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use super::{Readiness, Role, System};
use crate::telemetry::Figures;

const PROBLEM: &str = "application/problem+json";

#[derive(OpenApi)]
#[openapi(info(
    title = "Turnline",
    description = "A virtual waiting queue that pushes every visitor their own place in line.",
    license(name = "MIT OR Apache-2.0")
))]
struct Description;

pub fn router(system: &System, figures: Figures) -> Router {
    let all_of = |roles: &[Role]| {
        let none = OpenApiRouter::with_openapi(Description::openapi());
        roles.iter().fold(none, |all, role| all.merge(system.routes(*role))).split_for_parts()
    };
    let (routes, _) = all_of(&system.roles);
    let (_, mut description) = all_of(&Role::ALL);
    describe_tokens(&mut description);
    describe_answers(&mut description);
    let health = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(system.readiness())
        .route("/metrics", get(render).with_state(figures));
    let pages = match system.roles.contains(&Role::WaitingQueue) {
        true => web::routes().method_not_allowed_fallback(edge::method_not_allowed),
        false => Router::new(),
    };
    routes
        .method_not_allowed_fallback(edge::method_not_allowed)
        .merge(health.method_not_allowed_fallback(edge::method_not_allowed))
        .merge(pages)
        .merge(SwaggerUi::new("/docs").url("/openapi.json", description))
        .fallback(edge::not_found)
}

fn describe_tokens(description: &mut utoipa::openapi::OpenApi) {
    let components = description.components.get_or_insert_default();
    for (name, what) in [
        ("ticket", "the visitor's ticket"),
        ("pass", "the admitted visitor's pass"),
        ("admin", "TURNLINE_ADMIN_TOKEN"),
    ] {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(what)).build();
        components.add_security_scheme(name, SecurityScheme::Http(scheme));
    }
}

/// What holds for every call: each answer says what it is, a refusal is a problem, and any call may be refused.
fn describe_answers(description: &mut utoipa::openapi::OpenApi) {
    let problem = || {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemBody"))).build();
        ResponseBuilder::new().description("Refused").content(PROBLEM, content).build()
    };
    let operations = description.paths.paths.values_mut().flat_map(|path| {
        [&mut path.get, &mut path.put, &mut path.post, &mut path.delete].into_iter().flatten()
    });
    for operation in operations {
        for (status, response) in &mut operation.responses.responses {
            let RefOr::T(response) = response else { continue };
            if response.description.is_empty() {
                let known = status.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
                let reason = known.and_then(|status| status.canonical_reason()).unwrap_or("Refused");
                reason.clone_into(&mut response.description);
            }
            if status.starts_with(['4', '5'])
                && let Some(body) = response.content.shift_remove("application/json")
            {
                response.content.insert(PROBLEM.to_owned(), body);
            }
        }
        let responses = &mut operation.responses.responses;
        responses.entry("default".to_owned()).or_insert_with(|| problem().into());
    }
}

async fn ready(State(readiness): State<Readiness>) -> Result<&'static str, Problem> {
    readiness.check().await?;
    Ok("ready\n")
}

async fn render(State(figures): State<Figures>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], figures.render())
}
