use super::*;

#[test]
fn each_answer_has_its_status_and_one_fixed_body() {
    for (answer, status, body, further) in [
        (Answer::Accepted, 200, r#"{"status":"accepted"}"#, None),
        (Answer::Duplicate, 200, r#"{"status":"duplicate"}"#, None),
        (Answer::Ignored, 200, r#"{"status":"ignored"}"#, None),
        (Answer::BadRequest, 400, r#"{"error":"bad_request"}"#, None),
        (Answer::Unauthorized, 401, r#"{"error":"unauthorized"}"#, None),
        (Answer::NotFound, 404, r#"{"error":"not_found"}"#, None),
        (Answer::MethodNotAllowed, 405, r#"{"error":"method_not_allowed"}"#, Some(("allow", "POST"))),
        (Answer::TooLarge, 413, r#"{"error":"too_large"}"#, None),
        (Answer::Unavailable, 503, r#"{"error":"unavailable"}"#, Some(("retry-after", "5"))),
    ] {
        let response = answer.to_http();
        assert_eq!((response.status_code, response.body), (status, body));
        assert!(body.contains(answer.name()));
        let expected = HashMap::from_iter(further.into_iter().chain([("content-type", "application/json")]));
        assert_eq!(response.headers, expected, "{answer:?}");
    }
}
