use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;

use super::*;
use crate::outside::aws;
use crate::outside::http::Http;
use crate::testing::{Loopback, Reply, settable_clock};

/// Secrets Manager with one secret: the value of each version, or the error that it answers.
#[derive(Clone, Debug, Default)]
struct Fake {
    current: Option<String>,
    previous: Option<String>,
    error: Option<&'static str>,
}

type World = (Loopback, Arc<Mutex<Fake>>, CachedSecret<String>);

fn world(clock: Clock, current: &str) -> World {
    let fake = Arc::new(Mutex::new(Fake { current: Some(current.to_owned()), ..Fake::default() }));
    let answers = Arc::clone(&fake);
    let server = Loopback::start(move |_, asked| {
        assert_eq!(asked.header("x-amz-target"), Some("secretsmanager.GetSecretValue"));
        let question = asked.json();
        assert_eq!(question["SecretId"], "signing");
        let fake = answers.lock().unwrap().clone();
        let value = match question["VersionStage"].as_str() {
            Some("AWSCURRENT") => fake.current,
            Some("AWSPREVIOUS") => fake.previous,
            stage => panic!("{stage:?}"),
        };
        match (fake.error, value) {
            (Some(error), _) => Reply::json(400, format!(r#"{{"__type":"{error}","Message":"of no use"}}"#)),
            (None, Some(value)) => Reply::json(200, serde_json::json!({ "SecretString": value }).to_string()),
            (None, None) => Reply::json(400, r#"{"__type":"ResourceNotFoundException"}"#),
        }
    });
    let client = aws::secrets_manager(&server.aws(), &Http::new().unwrap());
    let secret = CachedSecret::new(client, "signing".to_owned(), clock, parse);
    (server, fake, secret)
}

fn parse(text: &str) -> (Option<String>, Vec<Problem>) {
    let problem = || Problem { field: "keys".to_owned(), expected: "something else" };
    match text {
        "malformed" => (None, vec![problem()]),
        text => (Some(text.to_owned()), text.contains("flawed").then(problem).into_iter().collect()),
    }
}

fn set(fake: &Mutex<Fake>, change: impl FnOnce(&mut Fake)) {
    change(&mut fake.lock().unwrap());
}

fn advance(now: &AtomicU64, span: Duration) {
    now.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::Relaxed);
}

/// How often the secret was read.
#[track_caller]
fn check_reads(server: &Loopback, expected: usize) {
    assert_eq!(server.asked().len(), expected);
}

async fn value(secret: &CachedSecret<String>) -> Result<String, String> {
    secret.value().await.map(|value| value.to_string()).map_err(|error| error.to_string())
}

async fn newer(secret: &CachedSecret<String>, seen: &Arc<String>) -> Result<Option<String>, String> {
    secret.newer_than(seen).await.map(|newer| newer.map(|newer| newer.to_string())).map_err(|error| error.to_string())
}

const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_secret_is_read_once_and_kept_for_five_minutes() {
    let (clock, now) = settable_clock!();
    let (server, fake, secret) = world(clock, "new");
    assert_eq!(secret.fresh(), None);
    assert_eq!(value(&secret).await.as_deref(), Ok("new"));

    set(&fake, |fake| fake.current = Some("newest".to_owned()));
    advance(now, MAX_AGE - MILLISECOND);
    assert_eq!(value(&secret).await.as_deref(), Ok("new"));
    assert_eq!(secret.fresh().as_deref().map(String::as_str), Some("new"));
    check_reads(&server, 1);

    advance(now, MILLISECOND);
    assert_eq!(secret.fresh(), None);
    assert_eq!(value(&secret).await.as_deref(), Ok("newest"));
    check_reads(&server, 2);
}

#[tokio::test]
async fn a_previous_version_is_read_alone_and_is_empty_until_the_secret_changes() {
    let (clock, now) = settable_clock!();
    let (server, fake, secret) = world(clock, "new");
    let secret = secret.previous();
    assert_eq!(value(&secret).await.as_deref(), Ok(""));
    set(&fake, |fake| fake.previous = Some("old".to_owned()));
    advance(now, MAX_AGE - MILLISECOND);
    assert_eq!(value(&secret).await.as_deref(), Ok(""));
    advance(now, MILLISECOND);
    assert_eq!(value(&secret).await.as_deref(), Ok("old"));
    check_reads(&server, 2);
    assert!(server.asked().iter().all(|asked| asked.json()["VersionStage"] == "AWSPREVIOUS"));
    secret.forget();
    assert_eq!(secret.fresh(), None);
    assert_eq!(value(&secret).await.as_deref(), Ok("old"));
    check_reads(&server, 3);
}

#[tokio::test]
async fn a_previous_version_that_cannot_be_read_is_asked_for_less_and_less() {
    let (clock, now) = settable_clock!();
    let (server, fake, secret) = world(clock, "new");
    let secret = secret.previous().cooling_down(SIGNING_COOL_DOWN);
    for (error, may_pass) in [("DecryptionFailure", false), ("ThrottlingException", true)] {
        set(&fake, |fake| fake.error = Some(error));
        secret.forget();
        let before = server.asked().len();
        for (reads, wait_s) in [4, 8, 16, 30, 30].into_iter().enumerate() {
            let failure = secret.value().await.unwrap_err();
            assert_eq!(failure.may_pass(), may_pass, "{error}");
            // The SDK repeats what may pass.
            let asked = server.asked().len();
            assert!(asked - before > reads, "{error}");
            advance(now, Duration::from_secs(wait_s) - MILLISECOND);
            assert_eq!(secret.value().await.unwrap_err(), failure);
            assert_eq!(server.asked().len(), asked, "{error} {wait_s}");
            advance(now, MILLISECOND);
        }
    }
}

#[tokio::test]
async fn a_call_that_is_cut_off_counts_as_one_without_an_answer() {
    let (clock, _) = settable_clock!();
    let silent = Loopback::start(|_, _| Reply::Silence);
    let client = aws::secrets_manager(&silent.aws(), &Http::new().unwrap());
    let secret = CachedSecret::new(client, "signing".to_owned(), clock, parse).previous();
    let cut_off = tokio::time::timeout(Duration::from_millis(50), secret.value()).await;
    cut_off.expect_err("nobody answers");
    assert_eq!(value(&secret).await, Err("secret `signing` cannot be read: no answer in time".to_owned()));
    assert!(secret.value().await.unwrap_err().may_pass());
}

#[tokio::test]
async fn what_is_left_out_of_a_value_is_counted_at_each_read() {
    let (clock, now) = settable_clock!();
    let (_server, fake, secret) = world(clock, "flawed");
    assert_eq!(value(&secret).await.as_deref(), Ok("flawed"));
    assert_eq!((secret.take_left_out(), secret.take_left_out()), (1, 0));
    for _ in 0..2 {
        advance(now, MAX_AGE);
        assert_eq!(value(&secret).await.as_deref(), Ok("flawed"));
    }
    assert_eq!(secret.take_left_out(), 2);
    set(&fake, |fake| fake.current = Some("sound".to_owned()));
    advance(now, MAX_AGE);
    assert_eq!(value(&secret).await.as_deref(), Ok("sound"));
    assert_eq!(secret.take_left_out(), 0);
}

#[tokio::test]
async fn a_newer_value_is_looked_for_less_and_less_until_there_is_one() {
    let (clock, now) = settable_clock!();
    let (server, fake, secret) = world(clock, "new");
    let secret = secret.cooling_down(SIGNING_COOL_DOWN);
    let mut seen = secret.value().await.unwrap();
    for change in ["newer", "newest"] {
        for wait_s in [2, 4, 8, 16, 30, 30] {
            let reads = server.asked().len();
            advance(now, Duration::from_secs(wait_s) - MILLISECOND);
            assert_eq!(newer(&secret, &seen).await, Ok(None));
            check_reads(&server, reads);
            advance(now, MILLISECOND);
            assert_eq!(newer(&secret, &seen).await, Ok(None), "an unchanged value is no newer one");
            check_reads(&server, reads + 1);
        }
        set(&fake, |fake| fake.current = Some(change.to_owned()));
        advance(now, Duration::from_secs(30));
        assert_eq!(newer(&secret, &seen).await, Ok(Some(change.to_owned())));
        seen = secret.value().await.unwrap();
    }
}

#[tokio::test]
async fn however_many_ask_at_once_it_is_read_once() {
    let (clock, _) = settable_clock!();
    let (server, _, secret) = world(clock, "new");
    let values = join_all((0..64).map(|_| value(&secret))).await;
    assert!(values.iter().all(|value| value.as_deref() == Ok("new")), "{values:?}");
    check_reads(&server, 1);
}

#[tokio::test]
async fn a_secret_that_was_never_read_is_asked_for_each_time_and_the_error_names_it() {
    let (clock, _) = settable_clock!();
    let (server, fake, secret) = world(clock, "new");
    for (error, reason) in [
        ("AccessDeniedException", "AccessDeniedException"),
        ("ResourceNotFoundException", "ResourceNotFoundException"),
        ("DecryptionFailure", "DecryptionFailure"),
    ] {
        set(&fake, |fake| fake.error = Some(error));
        assert_eq!(value(&secret).await, Err(format!("secret `signing` cannot be read: {reason}")));
    }
    check_reads(&server, 3);
    set(&fake, |fake| fake.error = None);
    assert_eq!(value(&secret).await.as_deref(), Ok("new"));
}

#[tokio::test]
async fn a_secret_that_is_malformed_names_the_field() {
    let (clock, _) = settable_clock!();
    let (_server, _, secret) = world(clock, "malformed");
    assert_eq!(value(&secret).await, Err("secret `signing`: keys: something else expected".to_owned()));
}

#[tokio::test]
async fn nobody_answering_is_an_error_with_a_reason() {
    let (clock, _) = settable_clock!();
    let nobody = Loopback::nobody();
    let client = aws::secrets_manager(&nobody.aws(), &Http::new().unwrap());
    let secret = CachedSecret::new(client, "signing".to_owned(), clock, parse);
    assert_eq!(value(&secret).await, Err("secret `signing` cannot be read: no connection".to_owned()));
}

#[tokio::test]
async fn an_old_value_serves_on_while_it_cannot_be_refreshed_and_each_try_cools_down() {
    let (clock, now) = settable_clock!();
    let (server, fake, secret) = world(clock, "new");
    assert_eq!(value(&secret).await.as_deref(), Ok("new"));
    for (fault, error) in [("down", Some("AccessDeniedException")), ("malformed", None)] {
        let reads = server.asked().len();
        set(&fake, |fake| {
            fake.error = error;
            fake.current = Some("malformed".to_owned());
        });
        advance(now, MAX_AGE);
        for _ in 0..3 {
            assert_eq!(value(&secret).await.as_deref(), Ok("new"), "{fault}");
        }
        check_reads(&server, reads + 1);
        advance(now, COOL_DOWN - MILLISECOND);
        assert_eq!(value(&secret).await.as_deref(), Ok("new"), "{fault}");
        check_reads(&server, reads + 1);
        advance(now, MILLISECOND);
        assert_eq!(value(&secret).await.as_deref(), Ok("new"), "{fault}");
        check_reads(&server, reads + 2);
    }
    set(&fake, |fake| fake.current = Some("newest".to_owned()));
    advance(now, COOL_DOWN);
    assert_eq!(value(&secret).await.as_deref(), Ok("newest"));
}

#[tokio::test]
async fn a_newer_value_is_looked_for_once_in_ten_seconds() {
    let (clock, now) = settable_clock!();
    let (server, fake, secret) = world(clock, "new");
    let seen = secret.value().await.unwrap();
    set(&fake, |fake| fake.current = Some("newest".to_owned()));

    advance(now, COOL_DOWN - MILLISECOND);
    assert_eq!(newer(&secret, &seen).await, Ok(None));
    check_reads(&server, 1);

    advance(now, MILLISECOND);
    assert_eq!(newer(&secret, &seen).await, Ok(Some("newest".to_owned())));
    check_reads(&server, 2);
    // A caller that has seen the older one gets the newer one without a call.
    assert_eq!(newer(&secret, &seen).await, Ok(Some("newest".to_owned())));
    let seen = secret.value().await.unwrap();
    assert_eq!(newer(&secret, &seen).await, Ok(None));
    check_reads(&server, 2);
}

#[tokio::test]
async fn however_many_look_for_a_newer_value_at_once_it_is_read_once() {
    let (clock, now) = settable_clock!();
    let (server, fake, secret) = world(clock, "new");
    let seen = secret.value().await.unwrap();
    set(&fake, |fake| fake.current = Some("newest".to_owned()));
    advance(now, COOL_DOWN);
    let newer = join_all((0..64).map(|_| newer(&secret, &seen))).await;
    assert!(newer.iter().all(|newer| *newer == Ok(Some("newest".to_owned()))), "{newer:?}");
    check_reads(&server, 2);
}

#[tokio::test]
async fn whether_there_is_a_newer_value_is_unknown_while_the_secret_cannot_be_read() {
    let (clock, now) = settable_clock!();
    let (server, fake, secret) = world(clock, "new");
    let seen = secret.value().await.unwrap();
    set(&fake, |fake| fake.error = Some("AccessDeniedException"));
    advance(now, COOL_DOWN);
    let unknown = Err("secret `signing` cannot be read: AccessDeniedException".to_owned());
    assert_eq!(newer(&secret, &seen).await, unknown);
    // And so it stays until the next try, which is not before the cool-down is over.
    assert_eq!(newer(&secret, &seen).await, unknown);
    check_reads(&server, 2);
    // Deliveries that a kept key verifies are not affected.
    assert_eq!(value(&secret).await.as_deref(), Ok("new"));

    set(&fake, |fake| fake.error = None);
    advance(now, COOL_DOWN);
    assert_eq!(newer(&secret, &seen).await, Ok(None));
}

#[tokio::test]
async fn a_value_that_will_soon_be_old_is_read_ahead() {
    let (clock, now) = settable_clock!();
    let (server, fake, secret) = world(clock, "new");
    secret.refresh_ahead().await;
    check_reads(&server, 0);
    secret.value().await.unwrap();

    set(&fake, |fake| fake.current = Some("newest".to_owned()));
    advance(now, REFRESH_AHEAD_AGE - MILLISECOND);
    secret.refresh_ahead().await;
    check_reads(&server, 1);

    advance(now, MILLISECOND);
    secret.refresh_ahead().await;
    check_reads(&server, 2);
    assert_eq!(value(&secret).await.as_deref(), Ok("newest"));
    secret.refresh_ahead().await;
    check_reads(&server, 2);
}
