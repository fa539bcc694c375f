//! The paths of the page, and who answers them.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use operator::events::candidates::Action;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::record::store::MAX_BATCH;

use crate::board::MAX_ROWS;
use crate::files::{FILES, html};
use crate::jobs::Plan;
use crate::problem::Problem;
use crate::{Page, guard, live, playground};

#[derive(Deserialize)]
struct Key {
    pk: String,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct Redrive {
    plan: String,
    rate: u32,
}

#[derive(Deserialize)]
struct Dismiss {
    plan: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct PauseChange {
    name: String,
    paused: bool,
}

type ThePage = State<Arc<Page>>;

/// Serves a page.
pub(crate) fn router(page: &Arc<Page>) -> Router {
    let mut router = Router::new()
        .route("/", get(|State(page): ThePage| async move { axum::response::Html(html(page.guard.token())) }))
        .route("/api/live", get(live::live))
        .route("/api/event", get(async |State(page): ThePage, Query(Key { pk })| page.details(&pk).await))
        .route("/api/find", get(async |State(page): ThePage, Query(Id { id })| page.found(&id).await))
        .route("/api/customers", get(customers))
        .route(
            "/api/redrive/plan",
            post(async |page: ThePage, keys: Json<Keys>| plan(page, Action::Redrive, keys).await),
        )
        .route("/api/redrive/start", post(redrive))
        .route("/api/redrive/stop", post(stop))
        .route(
            "/api/dismiss/plan",
            post(async |page: ThePage, keys: Json<Keys>| plan(page, Action::Dismiss, keys).await),
        )
        .route("/api/dismiss/start", post(dismiss))
        .route("/api/dismiss/stop", post(stop))
        .route("/api/workflows", post(set_paused))
        .route("/api/{*nothing}", any(nothing))
        .with_state(Arc::clone(page));
    if let Some(playground) = &page.playground {
        router = router.merge(playground::router(playground));
    }
    for file in &FILES {
        let answer = ([(header::CONTENT_TYPE, file.content_type)], file.text);
        router = router.route(&format!("/{}", file.name), get(async move || answer));
    }
    router
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Wrong method for this path", "reload the page")
        })
        // The server has its own limit.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(page), guarded))
        // As API Gateway answers: it may be a wrong path of a webhook.
        .fallback(async || (StatusCode::NOT_FOUND, Json(json!({ "message": "Not Found" }))))
}

async fn guarded(State(page): ThePage, request: Request, next: Next) -> Response {
    let mut response = match page.guard.admit(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    guard::protect(response.headers_mut());
    response
}

async fn nothing() -> Problem {
    Problem::not_found("No such path", "the page is at `/`")
}

async fn customers(
    State(page): ThePage,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, Problem> {
    let keys: Vec<String> = parameters.into_iter().filter(|(name, _)| name == "pk").map(|(_, pk)| pk).collect();
    if keys.len() > MAX_BATCH {
        return Err(Problem::unusable(format!("More than {MAX_BATCH} keys"), "request the visible rows only"));
    }
    page.customers(&keys).await.map(Json)
}

async fn plan(State(page): ThePage, action: Action, Json(Keys { keys }): Json<Keys>) -> Result<Json<Plan>, Problem> {
    if keys.is_empty() || keys.len() > MAX_ROWS {
        return Err(Problem::unusable(
            format!("Requires between 1 and {MAX_ROWS} keys"),
            "choose some of the listed events",
        ));
    }
    page.plan(action, &keys).await.map(Json)
}

async fn redrive(State(page): ThePage, Json(Redrive { plan, rate }): Json<Redrive>) -> Result<Json<Value>, Problem> {
    page.redrive(&plan, rate).map(|id| Json(json!({ "job": id })))
}

async fn dismiss(State(page): ThePage, Json(Dismiss { plan, reason }): Json<Dismiss>) -> Result<Json<Value>, Problem> {
    page.dismiss(&plan, &reason).map(|id| Json(json!({ "job": id })))
}

async fn stop(State(page): ThePage) -> Json<Value> {
    page.jobs.stop();
    Json(json!({}))
}

async fn set_paused(
    State(page): ThePage,
    Json(PauseChange { name, paused }): Json<PauseChange>,
) -> Result<Json<Value>, Problem> {
    page.set_paused(&name, paused).await.map(|message| Json(json!({ "said": message })))
}
