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
        assert_eq!((response.status().as_u16(), response.body().as_ref()), (status, body.as_bytes()));
        assert!(body.contains(answer.name()));
        let headers: Vec<_> =
            response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let expected: Vec<_> = [("content-type", "application/json")].into_iter().chain(further).collect();
        assert_eq!(headers, expected, "{answer:?}");
    }
}
