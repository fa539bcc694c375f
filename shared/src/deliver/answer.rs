//! What an answer of Returning.AI's means for the message, or for the handshake.

use json::{Document, Value};
use reqwest::header::HeaderValue;

use crate::clock::UnixMillis;
use crate::outside::http::HttpAnswer;
use crate::outside::token_slot::{Token, is_token};
use crate::record::failure::{DispatchFailure, FailureCode};

/// Returning.AI's documented lifetime, for an answer without one.
const DEFAULT_TOKEN_LIFE_S: u64 = 300;

/// What the body of a 2xx says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Report {
    Success,
    Failure,
    /// It is not an answer of Returning.AI's, such as a proxy's page: the message may not have arrived.
    Unreadable,
}

impl HttpAnswer {
    /// The outcome of a message: success is a 2xx whose body does not say otherwise.
    pub(super) fn outcome(&self) -> Result<u16, DispatchFailure> {
        let status = self.status.as_u16();
        let code = match (status, report(&self.text())) {
            (200..=299, Report::Success) => return Ok(status),
            (200..=299, Report::Failure) => FailureCode::ReportedFailure,
            (200..=299, Report::Unreadable) => FailureCode::AnswerUnreadable,
            (400 | 413 | 422, _) => FailureCode::Refused,
            (401 | 403, _) => FailureCode::Unauthorized,
            (404 | 410, _) => FailureCode::NotFound,
            (429, _) => FailureCode::Throttled,
            (500..=599, _) => FailureCode::ServerError,
            _ => FailureCode::UnexpectedStatus,
        };
        Err(DispatchFailure { status: Some(status), retry_after: self.retry_after, ..code.into() })
    }

    /// The session that a handshake opened.
    pub(super) fn session(&self, now: UnixMillis) -> Result<Token, DispatchFailure> {
        let status = self.outcome().map_err(|failure| match failure.code {
            // A handshake contains nothing of the event, so its rejection can be mended and the event must wait.
            FailureCode::Unauthorized | FailureCode::Refused => {
                DispatchFailure { code: FailureCode::HandshakeRefused, ..failure }
            }
            _ => failure,
        })?;
        let text = self.text();
        let token = Document::of(&*text).ok().and_then(|answer| token(answer.root(), now));
        token.ok_or(DispatchFailure { status: Some(status), ..FailureCode::HandshakeUnreadable.into() })
    }
}

fn token(answer: Value<'_>, now: UnixMillis) -> Option<Token> {
    let data = answer.get("data")?;
    let token = data.get("sessionToken")?.text().filter(|token| is_token(token))?;
    let token = HeaderValue::from_str(&token).ok()?;
    Some(Token::given(token, data.get("expiresIn"), DEFAULT_TOKEN_LIFE_S, now))
}

/// Looks for a `success: false` among the members of the object that `body` begins with, and for nothing else: what arrived
/// must not be sent again for the sake of a field that nobody reads. The object may end early, as when it is longer than
/// what is read of it. Takes one pass and no stack.
fn report(body: &str) -> Report {
    if body.trim().is_empty() {
        return Report::Success;
    }
    let Some(mut rest) = body.trim_start().strip_prefix('{') else { return Report::Unreadable };
    if rest.trim_start().starts_with('}') {
        return Report::Success;
    }
    loop {
        let Some((key, value)) = member(rest) else { return Report::Unreadable };
        let is_success = serde_json::from_str::<String>(key).is_ok_and(|key| key == "success");
        if is_success && value.starts_with("false") {
            return Report::Failure;
        }
        let end = value_end(value);
        match value[end..].chars().next() {
            Some(',') => rest = &value[end + 1..],
            // What follows the object was written by something in between.
            Some(_) => return Report::Success,
            // It might still have become `false`.
            None if is_success && !value.starts_with("true") => return Report::Unreadable,
            None => return Report::Success,
        }
    }
}

/// A key with its quotes, and the text from its value on.
fn member(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let (key, rest) = text.split_at(string_end(text.as_bytes(), 0)?);
    Some((key, rest.trim_start().strip_prefix(':')?.trim_start()))
}

/// Where the string that begins at `start` ends, if one begins there and ends at all.
fn string_end(text: &[u8], start: usize) -> Option<usize> {
    if text.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The place of the comma or the bracket behind the value that `text` begins with; the end of the text if it has none.
fn value_end(text: &str) -> usize {
    let text = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at = string_end(text, at).unwrap_or(text.len());
                continue;
            }
            b'{' | b'[' => depth += 1,
            b',' | b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests;
