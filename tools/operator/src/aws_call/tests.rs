use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::region::Region;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use local::front::{Answer, Front, Guests};
use shared::outside::aws::sdk_reason;
use shared::outside::http::Http;

use super::*;

fn config(region: &'static str) -> aws_types::sdk_config::Builder {
    let credentials = Credentials::new("AKIDLOCAL", "local", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(Http::new().unwrap())
        .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(1)))
}

/// A service that gives these answers one after the other, and the paths and signatures of the calls to it.
fn service(answers: Vec<Response<Bytes>>) -> (Front, Arc<Mutex<Vec<[String; 2]>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (seen, answers) = (calls.clone(), Mutex::new(answers.into_iter()));
    let front = Front::start(
        0,
        1024,
        |_| Guests::Programs,
        move |request| {
            let signature = request.headers().get("authorization").map_or("", |it| it.to_str().unwrap());
            seen.lock().unwrap().push([request.uri().to_string(), signature.to_owned()]);
            let answer = answers.lock().unwrap().next().unwrap();
            async move { Answer::Http(answer) }
        },
    );
    (front.unwrap(), calls)
}

fn answer(status: StatusCode, code: &'static str, body: &'static str) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
    *answer.status_mut() = status;
    if !code.is_empty() {
        answer.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(code));
    }
    answer
}

async fn get(config: &SdkConfig, path: &str) -> Result<AwsAnswer, CallError> {
    let mut request = Request::new(String::new());
    *request.uri_mut() = path.parse().unwrap();
    tokio::time::timeout(Duration::from_secs(20), call(config, "Scheduler", "GetSchedule", request)).await.unwrap()
}

#[tokio::test]
async fn a_call_is_signed_for_its_service_and_repeated_after_a_failure_that_may_pass() {
    let busy = answer(StatusCode::SERVICE_UNAVAILABLE, "", "");
    let throttled = answer(StatusCode::BAD_REQUEST, "ThrottlingException", "{}");
    let (front, calls) = service(vec![busy, throttled, answer(StatusCode::OK, "", "{}")]);
    let config = config("eu-west-1").endpoint_url(front.url()).build();
    assert_eq!(get(&config, "/schedules/a%20b?groupName=c").await.unwrap().body, b"{}");
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 3);
    for [path, signature] in calls.iter() {
        assert_eq!(path, "/schedules/a%20b?groupName=c");
        assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIDLOCAL/"), "{signature}");
        assert!(signature.contains("/eu-west-1/scheduler/aws4_request, "), "{signature}");
    }
}

#[tokio::test]
async fn a_failure_has_the_code_that_aws_gives_it() {
    let cases = [
        (answer(StatusCode::NOT_FOUND, "ResourceNotFoundException", "{}"), "ResourceNotFoundException"),
        (answer(StatusCode::NOT_FOUND, "ns#NotFoundException:http://a.example/", "{}"), "NotFoundException"),
        (answer(StatusCode::FORBIDDEN, "", "<E><Error><Type/><Code>AccessDenied</Code></Error></E>"), "AccessDenied"),
        (answer(StatusCode::FORBIDDEN, "", "<html>"), "refused without a code"),
        (answer(StatusCode::FORBIDDEN, "", ""), "refused without a code"),
    ];
    for (answer, code) in cases {
        let (front, _) = service(vec![answer]);
        let config = config("eu-west-1").endpoint_url(front.url()).build();
        assert_eq!(sdk_reason(&get(&config, "/").await.unwrap_err()), code);
    }
}

#[tokio::test]
async fn a_service_is_where_aws_has_it_in_each_partition() {
    let cases = [
        ("Lambda", "eu-west-1", false, false, "https://lambda.eu-west-1.amazonaws.com"),
        ("CloudFormation", "cn-north-1", false, false, "https://cloudformation.cn-north-1.amazonaws.com.cn"),
        ("Scheduler", "us-gov-west-1", false, false, "https://scheduler.us-gov-west-1.amazonaws.com"),
        ("Lambda", "us-east-1", true, false, "https://lambda-fips.us-east-1.amazonaws.com"),
        ("CloudFormation", "us-east-1", false, true, "https://cloudformation.us-east-1.api.aws"),
    ];
    for (service, region, fips, dual_stack, url) in cases {
        let config = config(region).use_fips(fips).use_dual_stack(dual_stack).build();
        assert_eq!(endpoint(&config, service).await.unwrap(), url);
    }
}

#[test]
fn texts_are_read_with_their_entities_and_an_empty_element_has_an_empty_one() {
    let xml = b"<a><k>one &amp; two</k><v/><other>3</other><k></k><v>4</v></a>";
    let expected = [("k", "one & two"), ("v", ""), ("k", ""), ("v", "4")];
    let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
    assert_eq!(texts(xml, &["k", "v"]).unwrap(), expected);
}
