//! The in-process ends: DynamoDB, Secrets Manager, Returning.AI and Rail's API, each with its faults.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use serde_json::{Value, json};
use shared::outside::http::in_process::{Answering, InProcess, NoAnswer};
use tokio::task::spawn_local;

use crate::check;
use crate::faults::{Fault, System};
use crate::invocation::running;
use crate::process::{Doom, ProcessId};
use crate::routes::DESTINATIONS;
use crate::secrets::{SIGNING_SECRET, WEBHOOKS_SECRET, signing_key};
use crate::table::Refusal;
use crate::tables;
use crate::time::{MINUTE, SECOND, now_ms, sleep_ms};
use crate::world::{Post, Shared, World, lock, system_name};

pub const DYNAMODB: &str = "https://dynamodb.invalid";
pub const SECRETS_MANAGER: &str = "https://secrets.invalid";
const RETURNING_AI: &str = "https://returning-ai.invalid";
const API: &str = "https://api.invalid";

type Answered = Result<Response<Bytes>, NoAnswer>;

/// The end of an HTTP client: every call is one of the process that makes it.
pub fn end(world: &Shared) -> InProcess {
    let world = world.clone();
    InProcess::new(move |request| answering(world.clone(), request))
}

fn answering(world: Shared, request: Request<Bytes>) -> Answering {
    let process = running().unwrap_or_default();
    Box::pin(async move { call(&world, process, request).await })
}

/// One call from its way there to its way back. A process may die before the call takes effect, and after.
async fn call(world: &Shared, process: ProcessId, request: Request<Bytes>) -> Answered {
    let system = system_of(&request);
    let (there_ms, back_ms, fault) = {
        let mut world = lock(world);
        let fault = world.fault(system);
        let slow = if let Some(Fault::Slow { ms }) = fault { u64::from(ms) } else { 0 };
        if fault.is_some() {
            world.processes[process as usize].faulted.insert(system);
        }
        let (there, back) = latency(&mut world, system);
        (there, back + slow, fault)
    };
    sleep_ms(there_ms).await;
    if comes_before(world, process) {
        return std::future::pending().await;
    }
    match fault {
        Some(Fault::Refuse) => return Err(NoAnswer::Refused),
        Some(Fault::Die) => return Err(NoAnswer::Died),
        Some(Fault::Hang) => return std::future::pending().await,
        _ => {}
    }
    if let Some(Fault::Late { ms }) = fault {
        // Whoever sent it has given it up, and may have sent it again, when it takes effect.
        let world = world.clone();
        spawn_local(async move {
            sleep_ms(ms.into()).await;
            take_effect(&world, process, system, &request, fault);
        });
        return std::future::pending().await;
    }
    let answer = take_effect(world, process, system, &request, fault);
    if comes_after(world, process) {
        return std::future::pending().await;
    }
    sleep_ms(back_ms).await;
    match fault {
        Some(Fault::LoseAnswer) => Err(if lock(world).rng.bool() { NoAnswer::Died } else { NoAnswer::Broken }),
        Some(Fault::HangAfter) => std::future::pending().await,
        _ => Ok(answer),
    }
}

/// What a call does, and its answer.
fn take_effect(
    world: &Shared,
    process: ProcessId,
    system: System,
    request: &Request<Bytes>,
    fault: Option<Fault>,
) -> Response<Bytes> {
    let mut world = lock(world);
    check::expire(&mut world);
    if let Some(Fault::Throttle { retry_after }) = fault {
        let asked = world.processes[process as usize].asked_to_wait_s.entry(system).or_default();
        asked.push(retry_after.unwrap_or_default().into());
    }
    let answer = match system {
        System::Table => dynamodb(&mut world, process, request, fault),
        System::Secrets => secrets_manager(&mut world, process, request, fault),
        System::Api => api(&mut world, request, fault),
        System::Destination(destination) => returning_ai(&mut world, process, destination, request, fault),
    };
    world.step(|text| {
        let _ = write!(text, "p{process} {} -> {}", name_of(request), answer.status().as_u16());
        if let Some(fault) = fault {
            let _ = write!(text, " ({} {})", system_name(system), fault.name());
        }
    });
    answer
}

fn system_of(request: &Request<Bytes>) -> System {
    match request.uri().host() {
        Some("dynamodb.invalid") => System::Table,
        Some("secrets.invalid") => System::Secrets,
        Some("api.invalid") => System::Api,
        _ => {
            let name = request.uri().path().split('/').nth(1).unwrap_or_default();
            let at =
                DESTINATIONS.iter().position(|destination| destination.trim_start_matches("incoming-webhook:") == name);
            System::Destination(at.unwrap_or_default())
        }
    }
}

fn name_of(request: &Request<Bytes>) -> String {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.split_once('.')).map(|(_, operation)| operation);
    match operation {
        Some(operation) => {
            let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            let key = [
                "/Key/pk/S",
                "/Item/pk/S",
                "/Key/ref/S",
                "/Item/ref/S",
                "/ExpressionAttributeValues/:due/S",
                "/SecretId",
            ];
            let key = key.iter().find_map(|pointer| body.pointer(pointer)).and_then(Value::as_str).unwrap_or_default();
            format!("{operation} {key}")
        }
        None => format!("{} {}", request.method(), request.uri()),
    }
}

fn latency(world: &mut World, system: System) -> (u64, u64) {
    let (least, most) = match system {
        System::Table => (1, 12),
        System::Secrets => (5, 40),
        System::Api => (30, 400),
        System::Destination(_) if world.is_calm => (50, 100),
        System::Destination(_) => (20, 600),
    };
    (world.rng.u64(least..most), world.rng.u64(least..most))
}

fn comes_before(world: &Shared, id: ProcessId) -> bool {
    let mut world = lock(world);
    let Some(process) = world.processes.get_mut(id as usize) else { return false };
    process.calls += 1;
    let dies = process.doom == Some(Doom::BeforeCall(process.calls));
    if dies {
        world.died(id, "it was killed before a call took effect");
    }
    dies
}

fn comes_after(world: &Shared, id: ProcessId) -> bool {
    let mut world = lock(world);
    let Some(process) = world.processes.get(id as usize) else { return false };
    let dies = process.doom == Some(Doom::AfterCall(process.calls));
    if dies {
        world.died(id, "it was killed after a call took effect");
    }
    dies
}

fn answer(status: u16, body: &Value) -> Response<Bytes> {
    text_answer(status, body.to_string())
}

fn text_answer(status: u16, body: String) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}

fn exception(status: u16, name: &str) -> Response<Bytes> {
    answer(status, &json!({ "__type": format!("com.amazonaws#{name}"), "message": "simulated" }))
}

fn dynamodb(world: &mut World, process: ProcessId, request: &Request<Bytes>, fault: Option<Fault>) -> Response<Bytes> {
    match fault {
        Some(Fault::Throttle { .. }) => return exception(400, "ProvisionedThroughputExceededException"),
        Some(Fault::Fail) => return exception(500, "InternalServerError"),
        Some(Fault::Deny) => return exception(400, "AccessDeniedException"),
        _ => {}
    }
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default();
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let moment = world.moment(fault == Some(Fault::Partial));
    if operation == "GetItem" && body["TableName"] == tables::EVENTS {
        check::run::on_read(world, process, body["Key"]["pk"]["S"].as_str().unwrap_or_default());
    }
    match world.tables.call(operation, &body, moment) {
        Ok((said, write)) => {
            if operation == "BatchGetItem" {
                check::harm::on_pauses_read(world, process, &body, &said);
            }
            if let Some(write) = write {
                check::observe(world, Some(process), &write);
                world.take_up(process, &write);
                let is_told = !matches!(
                    fault,
                    Some(Fault::LoseAnswer | Fault::HangAfter | Fault::Late { .. } | Fault::Slow { .. })
                );
                world.processes[process as usize].uncertain |= !is_told;
            }
            text_answer(200, said)
        }
        Err(Refusal::ConditionFailed(item)) => {
            world.processes[process as usize].conditions_failed += 1;
            if item.is_none() && body["ConditionExpression"].as_str().is_some_and(|text| text.contains("taken_by")) {
                let pk = body["Key"]["pk"]["S"].as_str().unwrap_or_default().to_owned();
                world.processes[process as usize].gone.insert(pk);
            }
            let mut said = json!({ "__type": "com.amazonaws#ConditionalCheckFailedException", "message": "simulated" });
            if let Some(item) = item {
                said["Item"] = Value::Object(Arc::unwrap_or_clone(item));
            }
            answer(400, &said)
        }
        Err(Refusal::Invalid(why)) => {
            world.violate("every request to DynamoDB is valid", operation, why);
            exception(400, "ValidationException")
        }
        Err(Refusal::NoTable) => exception(400, "ResourceNotFoundException"),
    }
}

fn secrets_manager(
    world: &mut World,
    process: ProcessId,
    request: &Request<Bytes>,
    fault: Option<Fault>,
) -> Response<Bytes> {
    match fault {
        Some(Fault::Throttle { .. }) => return exception(400, "ThrottlingException"),
        Some(Fault::Fail) => return exception(500, "InternalServiceError"),
        Some(Fault::Deny) => return exception(400, "AccessDeniedException"),
        _ => {}
    }
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let (id, stage) =
        (body["SecretId"].as_str().unwrap_or_default(), body["VersionStage"].as_str().unwrap_or_default());
    let back = u32::from(stage == "AWSPREVIOUS");
    let version = match id {
        SIGNING_SECRET => world.signing_version,
        WEBHOOKS_SECRET => world.webhooks_version,
        _ => 1,
    };
    let mut secret = match version.checked_sub(back).filter(|version| *version > 0) {
        None => return exception(400, "ResourceNotFoundException"),
        Some(version) => match id {
            SIGNING_SECRET => json!({ "keys": { "default": signing_key(version) } }),
            WEBHOOKS_SECRET => webhooks(version),
            _ => json!({
                "base_url": API,
                "token_url": format!("{API}/token"),
                "client_id": "simulation",
                "client_secret": "simulation",
            }),
        },
    };
    let unusable = world.unusable.filter(|entry| entry.secret == id);
    if let Some(entry) = unusable {
        entry.put_into(&mut secret);
    }
    if back == 0 {
        check::harm::on_secret_read(world, process, id == SIGNING_SECRET, unusable.is_some());
    }
    answer(200, &json!({ "Name": id, "SecretString": secret.to_string() }))
}

fn webhooks(version: u32) -> Value {
    let key = format!("api-key-{version}");
    let workflow = |name: &str| {
        json!({
            "mode": "session",
            "handshake_url": format!("{RETURNING_AI}/{name}/handshake"),
            "webhook_url": format!("{RETURNING_AI}/{name}/hook"),
            "api_key": key,
            "api_key_header": "x-api-key",
        })
    };
    let workflows = DESTINATIONS.iter().filter(|name| !name.contains(':'));
    json!({
        "workflows": workflows.map(|name| ((*name).to_owned(), workflow(name))).collect::<serde_json::Map<_, _>>(),
        "incoming_webhooks": { "kyc": { "url": format!("{RETURNING_AI}/kyc/in"), "api_key": key } },
    })
}

fn api(world: &mut World, request: &Request<Bytes>, fault: Option<Fault>) -> Response<Bytes> {
    if let Some(refusal) = refusal(fault) {
        return refusal;
    }
    if request.uri().path() == "/token" {
        let token = format!("token-{}", world.rng.u32(..));
        world.api_tokens.insert(token.clone(), now_ms() + 10 * MINUTE);
        return answer(200, &json!({ "access_token": token, "expires_in": 600 }));
    }
    let token = header(request.headers(), "authorization").trim_start_matches("Bearer ");
    if fault == Some(Fault::Deny) || world.api_tokens.get(token).is_none_or(|until| *until < now_ms()) {
        world.api_tokens.remove(token);
        return answer(401, &json!({ "error": "invalid_token" }));
    }
    if request.uri().path().contains("/payments/") {
        // Another answer each time: whoever asks again sends something else.
        return answer(200, &json!({ "data": { "note": format!("note-{}", world.rng.u64(..)) } }));
    }
    let account = request.uri().path().rsplit('/').next().unwrap_or_default();
    match world.accounts.get(account) {
        Some(customer) => answer(200, &json!({ "data": { "customer_id": customer } })),
        None => answer(404, &json!({ "error": "not_found" })),
    }
}

/// What a system answers instead of doing what was asked.
fn refusal(fault: Option<Fault>) -> Option<Response<Bytes>> {
    match fault? {
        Fault::Throttle { retry_after } => {
            let mut throttled = answer(429, &json!({ "error": "slow down" }));
            if let Some(seconds) = retry_after {
                throttled.headers_mut().insert("retry-after", seconds.into());
            }
            Some(throttled)
        }
        Fault::Fail => Some(answer(503, &json!({ "error": "unavailable" }))),
        Fault::Reject => Some(answer(400, &json!({ "error": "bad message" }))),
        _ => None,
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn returning_ai(
    world: &mut World,
    process: ProcessId,
    destination: usize,
    request: &Request<Bytes>,
    fault: Option<Fault>,
) -> Response<Bytes> {
    let now = now_ms();
    let is_session = request.uri().path().ends_with("/hook");
    let key = header(request.headers(), "x-api-key");
    let key_fits = key == format!("api-key-{}", world.webhooks_version)
        || (now < world.old_key_until && key == format!("api-key-{}", world.webhooks_version - 1));
    if request.uri().path().ends_with("/handshake") {
        let refused = refusal(fault);
        if let Some(refused) = refused {
            return refused;
        }
        if !key_fits || fault == Some(Fault::Deny) {
            return answer(401, &json!({ "success": false }));
        }
        if fault == Some(Fault::Garbage) {
            return garbage();
        }
        let token = format!("session-{}", world.rng.u64(..));
        world.sessions.insert(token.clone(), (destination, now + 300 * SECOND));
        return answer(200, &json!({ "success": true, "data": { "sessionToken": token, "expiresIn": 300 } }));
    }

    let message: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let token = header(request.headers(), "x-session-token");
    let is_known = match is_session {
        true => world.sessions.get(token).is_some_and(|(of, until)| *of == destination && now < *until),
        false => key_fits,
    };
    let said = if !is_known || fault == Some(Fault::Deny) {
        world.sessions.remove(token);
        answer(401, &json!({ "success": false }))
    } else if let Some(refused) = refusal(fault) {
        refused
    } else {
        match fault {
            Some(Fault::SayNo) => answer(200, &json!({ "success": false })),
            Some(Fault::Garbage) => garbage(),
            _ => answer(200, &json!({ "success": true })),
        }
    };
    // A page of a proxy's may stand before a message that has arrived.
    let arrived =
        is_known && !matches!(fault, Some(Fault::Deny)) && said.status() == 200 && fault != Some(Fault::SayNo);
    let lost = matches!(fault, Some(Fault::LoseAnswer | Fault::HangAfter));
    let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
    let key = text("idempotencyKey");
    let (event, route) = key.rsplit_once('/').unwrap_or_default();
    let (provider, id) = event.split_once(':').unwrap_or_default();
    let post = Post {
        at: now,
        process,
        destination,
        pk: format!("{provider}#{id}"),
        incarnation: 0,
        attempts: 0,
        route: route.to_owned(),
        occurred_at: text("occurredAt"),
        source_event_type: text("sourceEventType"),
        customer: text("customerId"),
        note: message["note"].as_str().map(str::to_owned),
        accepted: arrived,
        answered: (!lost).then_some(if fault == Some(Fault::SayNo) || fault == Some(Fault::Garbage) {
            0
        } else {
            said.status().as_u16()
        }),
    };
    let pk = post.pk.clone();
    check::on_post(world, post);
    if world.deletes_at == Some(world.posts.len()) {
        check::delete(world, &pk);
    }
    said
}

fn garbage() -> Response<Bytes> {
    Response::new(Bytes::from_static(b"<html>a page of a proxy</html>"))
}
