use super::*;
use crate::http_client::{HttpClient, SendError};
use crate::testing::{BOUND, MOMENT, within};

#[tokio::test]
async fn a_handshake_gives_a_token_that_opens_the_webhook() {
    let world = World::start();
    let (status, answer) = world.handshake("kyc", &[("authorization", KYC_KEY)]).await;
    assert_eq!((status, &answer["success"], &answer["data"]["expiresIn"]), (200, &json!(true), &json!(300)));
    let token = answer["data"]["sessionToken"].as_str().unwrap();
    let (status, answer) = world.message("kyc", token).await;
    assert_eq!((status, answer), (200, json!({ "success": true, "data": { "received": true } })));
    let messages = world.ai.messages("kyc");
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].body, json!({ "eventType": "kyc.approved" }));
    assert_eq!(messages[0].raw, Bytes::from_static(MESSAGE));
    assert_eq!(messages[0].token.as_deref(), Some(token));
    assert_eq!((world.ai.handshakes("kyc"), world.ai.violations()), (1, vec![]));
}

#[tokio::test]
async fn a_handshake_wants_the_key_raw_or_as_x_api_key() {
    let world = World::start();
    let bearer = format!("Bearer {KYC_KEY}");
    for (headers, expected) in [
        (vec![("authorization", KYC_KEY)], 200),
        (vec![("x-api-key", KYC_KEY)], 200),
        (vec![("authorization", bearer.as_str())], 401),
        (vec![("x-api-key", "rai_sample_deposits_key_do_not_use")], 401),
        (vec![], 401),
    ] {
        let (status, answer) = world.handshake("kyc", &headers).await;
        assert_eq!((status, &answer["success"]), (expected, &json!(expected == 200)), "{headers:?}");
    }
    assert_eq!(world.rules_broken(), [Rule::BearerPrefix]);
    assert_eq!(world.ai.handshakes("kyc"), 5);
}

#[tokio::test]
async fn a_message_wants_a_live_token_of_its_own_workflow() {
    let world = World::start();
    let of_another = world.token("deposits").await;
    for token in ["", "st_unknown", &of_another] {
        assert_eq!(world.message("kyc", token).await.0, 401, "{token}");
    }
    assert_eq!(world.rules_broken(), [Rule::TokenOfAnotherWorkflow]);

    world.ai.set_workflow(Workflow { expires_in_s: 0, ..Workflow::session("kyc") });
    let expired = world.token("kyc").await;
    assert_eq!(world.message("kyc", &expired).await.0, 401);

    world.ai.set_workflow(Workflow::session("kyc"));
    let revoked = world.token("kyc").await;
    world.ai.revoke_tokens("kyc");
    assert_eq!(world.message("kyc", &revoked).await.0, 401);
    assert_eq!((world.ai.messages("kyc").len(), world.ai.attempts().len()), (0, 5));
}

#[tokio::test]
async fn what_was_accepted_since_is_known_when_only_the_newest_are_remembered() {
    let world = World::start();
    world.ai.remember(3);
    let token = world.token("kyc").await;
    for _ in 0..20 {
        assert_eq!(world.message("kyc", &token).await.0, 200);
    }
    assert!((3..=6).contains(&world.ai.attempts().len()), "{}", world.ai.attempts().len());
    let before = world.ai.attempts_ever();
    assert_eq!(before, 20);
    world.message("kyc", &token).await;
    world.message("kyc", "st_unknown").await;
    world.message("kyc", &token).await;
    let since = world.ai.messages_since(before);
    assert_eq!((since.len(), world.ai.attempts_ever()), (2, 23));
    assert!(since.iter().all(|message| message.accepted));
}

#[tokio::test]
async fn expired_tokens_do_not_pile_up() {
    let world = World::start();
    world.ai.set_workflow(Workflow { expires_in_s: 0, ..Workflow::session("kyc") });
    for _ in 0..5 {
        world.token("kyc").await;
    }
    assert_eq!(world.ai.world.state().tokens.len(), 1);
}

#[tokio::test]
async fn a_token_serves_many_messages_or_one_as_the_workflow_wants() {
    let world = World::start();
    let token = world.token("kyc").await;
    assert_eq!(world.message("kyc", &token).await.0, 200);
    assert_eq!(world.message("kyc", &token).await.0, 200);

    world.ai.set_workflow(Workflow { token_use: TokenUse::Once, ..Workflow::session("kyc") });
    let token = world.token("kyc").await;
    assert_eq!(world.message("kyc", &token).await.0, 200);
    assert_eq!(world.message("kyc", &token).await.0, 401);
}

#[tokio::test]
async fn an_api_key_on_the_main_call_is_a_violation() {
    let world = World::start();
    let token = world.token("kyc").await;
    let headers = [("content-type", JSON), ("x-session-token", &token), ("authorization", KYC_KEY)];
    let url = world.ai.webhook_url("kyc");
    assert_eq!(world.post(&url, &headers, MESSAGE).await.unwrap().0, 200);
    let expected = Violation { at: Some(At::Webhook("kyc".to_owned())), rule: Rule::ApiKeyOnMainCall };
    assert_eq!(world.ai.violations(), [expected]);
}

#[tokio::test]
async fn a_legacy_workflow_takes_the_key_on_the_main_call_and_gives_no_tokens() {
    let world = World::start();
    world.ai.set_workflow(Workflow::legacy("kyc"));
    assert_eq!(world.handshake("kyc", &[("authorization", KYC_KEY)]).await.0, 403);
    let url = world.ai.webhook_url("kyc");
    for (key, expected) in [(KYC_KEY, 200), ("wrong", 401)] {
        let headers = [("content-type", JSON), ("authorization", key)];
        assert_eq!(world.post(&url, &headers, MESSAGE).await.unwrap().0, expected, "{key}");
    }
    assert_eq!((world.ai.messages("kyc").len(), world.ai.violations()), (1, vec![]));
}

#[tokio::test]
async fn an_incoming_webhook_takes_its_key() {
    let world = World::start();
    let url = world.ai.incoming_url("vip-chat");
    for (key, expected) in [("rai_sample_vip-chat_key_do_not_use", 200), ("wrong", 401)] {
        let headers = [("content-type", JSON), ("x-api-key", key)];
        assert_eq!(world.post(&url, &headers, MESSAGE).await.unwrap().0, expected, "{key}");
    }
    assert_eq!(world.ai.messages("vip-chat").len(), 1);
}

#[tokio::test]
async fn what_is_no_json_object_is_refused_and_a_violation() {
    let world = World::start();
    let token = world.token("kyc").await;
    let url = world.ai.webhook_url("kyc");
    for (content_type, body, expected) in [
        ("text/plain", MESSAGE, 415),
        ("application/json", b"[1]".as_slice(), 400),
        ("application/json", b"{", 400),
        ("application/json; charset=utf-8", MESSAGE, 200),
    ] {
        let headers = [("content-type", content_type), ("x-session-token", &token)];
        let (status, _) = world.post(&url, &headers, body).await.unwrap();
        assert_eq!(status, expected, "{content_type} {}", String::from_utf8_lossy(body));
    }
    let expected = [Rule::ContentTypeIsNotJson, Rule::BodyIsNotAnObject, Rule::BodyIsNotAnObject];
    assert_eq!(world.rules_broken(), expected);
}

#[tokio::test]
async fn an_unknown_url_is_404_and_a_violation() {
    let world = World::start();
    for path in ["/nowhere/webhook", "/kyc/hook", "/kyc", "/incoming/none"] {
        let url = format!("{}{path}", world.ai.url());
        assert_eq!(world.post(&url, &[("content-type", JSON)], MESSAGE).await.unwrap().0, 404, "{path}");
    }
    assert_eq!(world.rules_broken(), [Rule::UnknownUrl; 4]);
}

#[tokio::test]
async fn a_fault_that_refuses_leaves_no_message() {
    for (fault, status, success) in [
        (Fault::Status(503), 503, json!(false)),
        (Fault::RetryAfter { status: 429, after: "7".to_owned() }, 429, json!(false)),
        (Fault::SuccessFalse, 200, json!(false)),
        (Fault::WrongContentType, 200, json!(null)),
        (Fault::RevokeTokens, 401, json!(false)),
    ] {
        let world = World::start();
        let token = world.token("kyc").await;
        world.ai.inject(Some(At::Webhook("kyc".to_owned())), fault.clone(), When::Next(1));
        let (told, answer) = world.message("kyc", &token).await;
        assert_eq!((told, &answer["success"]), (status, &success), "{fault:?}");
        let attempts = world.ai.attempts();
        assert_eq!((attempts.len(), attempts[0].accepted), (1, false), "{fault:?}");
        assert_eq!(attempts[0].fault, Some(fault.clone()));

        let expected = if fault == Fault::RevokeTokens { 401 } else { 200 };
        assert_eq!(world.message("kyc", &token).await.0, expected, "after {fault:?}");
    }
}

#[tokio::test]
async fn retry_after_is_said_as_scripted() {
    let world = World::start();
    let token = world.token("kyc").await;
    let after = "Wed, 21 Oct 2026 07:28:00 GMT".to_owned();
    world.ai.inject(None, Fault::RetryAfter { status: 503, after: after.clone() }, When::Next(1));
    let headers = [("content-type", JSON), ("x-session-token", &token)];
    let url = world.ai.webhook_url("kyc");
    let posted = world.client.post(&url, &headers, Bytes::from_static(MESSAGE));
    let response = within(posted).await.unwrap();
    assert_eq!(text(response.headers(), "retry-after"), Some(after.as_str()));
}

#[tokio::test]
async fn a_broken_connection_leaves_a_message_only_when_it_broke_after_accepting() {
    for (fault, accepted) in [(Fault::Reset, 0), (Fault::Garbage, 0), (Fault::ResetAfterAccept, 1)] {
        let world = World::start();
        let token = world.token("kyc").await;
        world.ai.inject(None, fault.clone(), When::Next(1));
        let headers = [("content-type", JSON), ("x-session-token", &token)];
        let outcome = world.post(&world.ai.webhook_url("kyc"), &headers, MESSAGE).await;
        assert!(matches!(outcome, Err(SendError::NoResponse(_))), "{fault:?}: {outcome:?}");
        assert_eq!(world.ai.all_messages().len(), accepted, "{fault:?}");
        assert_eq!(world.ai.attempts().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn an_answer_that_hangs_is_seen_as_an_attempt() {
    let world = World::start();
    let token = world.token("kyc").await;
    world.ai.inject(None, Fault::Hang, When::UntilCleared);
    assert!(tokio::time::timeout(MOMENT, world.message("kyc", &token)).await.is_err());
    world.ai.wait_for(|attempts| attempts.len() == 1, BOUND).await.unwrap();
    world.ai.clear_faults();
    assert_eq!(world.message("kyc", &token).await.0, 200);
}

#[tokio::test]
async fn an_answer_may_be_spoilt_after_the_message_was_accepted() {
    let world = World::start();
    let token = world.token("kyc").await;
    world.ai.inject(None, Fault::GarbageBody, When::Next(1));
    let (status, answer) = world.message("kyc", &token).await;
    assert_eq!((status, answer), (200, json!(null)));
    world.ai.inject(None, Fault::SlowBody(MOMENT), When::Next(1));
    let began = Instant::now();
    assert_eq!(world.message("kyc", &token).await.1["success"], true);
    assert!(began.elapsed() >= MOMENT);
    assert_eq!(world.ai.messages("kyc").len(), 2);
}

#[tokio::test]
async fn a_handshake_fails_by_script_as_well() {
    let world = World::start();
    world.ai.inject(Some(At::Handshake("kyc".to_owned())), Fault::Status(500), When::Next(1));
    assert_eq!(world.handshake("deposits", &[("x-api-key", "wrong")]).await.0, 401);
    assert_eq!(world.handshake("kyc", &[("authorization", KYC_KEY)]).await.0, 500);
    world.ai.inject(None, Fault::GarbageBody, When::Next(1));
    assert_eq!(world.handshake("kyc", &[("authorization", KYC_KEY)]).await, (200, json!(null)));
    assert_eq!(world.handshake("kyc", &[("authorization", KYC_KEY)]).await.0, 200);
}

#[tokio::test]
async fn the_secret_has_what_the_functions_need() {
    let world = World::start();
    let secret = world.ai.secret();
    let expected = json!({
        "handshake_url": world.ai.handshake_url("kyc"),
        "webhook_url": world.ai.webhook_url("kyc"),
        "api_key": KYC_KEY,
        "mode": "session",
    });
    assert_eq!(secret["workflows"]["kyc"], expected);
    assert_eq!(secret["incoming_webhooks"]["vip-chat"]["url"], world.ai.incoming_url("vip-chat"));
}

#[tokio::test]
async fn waiting_ends_with_the_bound() {
    let world = World::start();
    let outcome = world.ai.wait_for(|attempts| !attempts.is_empty(), MOMENT).await;
    assert_eq!(outcome, Err(Timeout { bound: MOMENT }));
}

const KYC_KEY: &str = "rai_sample_kyc_key_do_not_use";
const MESSAGE: &[u8] = br#"{"eventType":"kyc.approved"}"#;

struct World {
    ai: ReturningAi,
    client: HttpClient,
}

impl World {
    fn start() -> Self {
        let workflows = ["kyc", "deposits"].map(Workflow::session).to_vec();
        let incoming = vec![IncomingWebhook::with_sample_key("vip-chat")];
        let ai = ReturningAi::start(workflows, incoming).unwrap();
        Self { ai, client: HttpClient::default() }
    }

    async fn handshake(&self, workflow: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        self.post(&self.ai.handshake_url(workflow), headers, b"").await.unwrap()
    }

    async fn token(&self, workflow: &str) -> String {
        let key = format!("rai_sample_{workflow}_key_do_not_use");
        let (status, answer) = self.handshake(workflow, &[("authorization", &key)]).await;
        assert_eq!(status, 200);
        answer["data"]["sessionToken"].as_str().unwrap().to_owned()
    }

    async fn message(&self, workflow: &str, token: &str) -> (u16, Value) {
        let headers = [("content-type", JSON), ("x-session-token", token)];
        self.post(&self.ai.webhook_url(workflow), &headers, MESSAGE).await.unwrap()
    }

    /// The status, and the body where it is JSON.
    async fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<(u16, Value), SendError> {
        let response = within(self.client.post(url, headers, Bytes::copy_from_slice(body))).await?;
        let body = serde_json::from_slice(response.body()).unwrap_or_default();
        Ok((response.status().as_u16(), body))
    }

    fn rules_broken(&self) -> Vec<Rule> {
        self.ai.violations().into_iter().map(|violation| violation.rule).collect()
    }
}
