//! What the fields of a message look up in the provider's API: asked once per event and attempt, kept for the later ones.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use json::{Document, Pointer, Value};
use tokio::time::{Instant, timeout};

use crate::customer::api_client::ApiClient;
use crate::deliver::resolver::id_at;
use crate::outside::http::{CallTime, LEAST_TIME};
use crate::record::event::{EventRecord, Fetched, MAX_FETCHED_BYTES};
use crate::record::failure::{DispatchFailure, FailureCode};
use route::credentials;
use route::lookup::{Lookup, PathPart, Place};
use route::routes::{Field, FieldValue, Route, Routes, present};

/// The look-ups of one attempt at one event.
pub(super) struct Lookups<'a> {
    asker: Asker<'a>,
    /// By the look-up's name; whoever asks first makes the call, and the others wait for it.
    answers: Mutex<BTreeMap<&'a str, Shared<BoxFuture<'a, Answer>>>>,
    /// By the route's name: what earlier attempts fetched, and every try of this one.
    fetched: Mutex<BTreeMap<String, Fetched>>,
}

/// What a question needs.
#[derive(Clone, Copy)]
struct Asker<'a> {
    routes: &'a Routes,
    apis: &'a [ApiClient],
    event: &'a EventRecord,
    /// The routes that this attempt tries.
    tried: &'a [&'a str],
    time: CallTime,
}

/// What the API says, without what is redacted, or why it says nothing. A failure is kept, too: the next attempt asks again.
type Answer = Result<Arc<Document<'static>>, DispatchFailure>;

/// What only optional fields want may take so long: the message, which goes without them, has 5 s in all. A call that is cut off
/// then had its time, so that an API that hangs cools off.
const TIME_FOR_OPTIONAL: Duration = LEAST_TIME.saturating_add(Duration::from_millis(100));

/// All optional fields of a message wait no longer than this together: a hanging call ends a moment before, with its own failure.
const TIME_FOR_ALL_OPTIONAL: Duration = TIME_FOR_OPTIONAL.saturating_add(Duration::from_millis(100));

/// No optional field takes the last of an attempt's time: the message is yet to be sent.
const TIME_TO_SEND: Duration = Duration::from_millis(1500);

/// What the fields of one message may still take.
struct Left {
    bytes: usize,
    time_for_optional: Duration,
}

impl<'a> Lookups<'a> {
    pub(super) fn new(
        routes: &'a Routes,
        apis: &'a [ApiClient],
        event: &'a EventRecord,
        tried: &'a [&'a str],
        time: CallTime,
    ) -> Self {
        let (answers, fetched) = (Mutex::default(), Mutex::new(event.fetched.clone()));
        Self { asker: Asker { routes, apis, event, tried, time }, answers, fetched }
    }

    /// What the look-ups gave for the fields of this route, now or in an earlier try. Empty for a route without any.
    ///
    /// # Errors
    /// A required field has no value. What a failure gives an optional field is nothing.
    pub(super) async fn fetch(&self, route: &'a Route, body: Value<'a>) -> Result<Fetched, DispatchFailure> {
        let mut fetched = self.of_earlier_tries().get(&route.name).cloned().unwrap_or_default();
        // The attribute holds all routes of the event.
        let kept = fetched.iter().map(|(field, json)| field.len() + json.as_ref().map_or(0, String::len)).sum();
        let bytes = (MAX_FETCHED_BYTES / self.asker.event.deliveries.len().max(1)).saturating_sub(kept);
        let mut left = Left { bytes, time_for_optional: TIME_FOR_ALL_OPTIONAL };
        let (optional, required): (Vec<_>, Vec<_>) = route.fields.iter().partition(|field| field.optional);
        for field in required.into_iter().chain(optional) {
            let FieldValue::Places(places) = &field.value else { continue };
            // A route that has come to require the field sends nothing without it.
            let is_known = fetched.get(&field.name).is_some_and(|json| json.is_some() || field.optional);
            if is_known || !places.iter().any(|place| matches!(place, Place::Lookup { .. })) {
                continue;
            }
            if let Some(value) = self.value_of(field, places, body, &mut left).await? {
                fetched.insert(field.name.clone(), value);
            }
        }
        if !fetched.is_empty() {
            self.of_earlier_tries().insert(route.name.clone(), fetched.clone());
        }
        Ok(fetched)
    }

    /// What is to be kept: what earlier attempts fetched, and this one.
    pub(super) fn into_fetched(self) -> BTreeMap<String, Fetched> {
        self.fetched.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn of_earlier_tries(&self) -> MutexGuard<'_, BTreeMap<String, Fetched>> {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of a field, and nothing when look-ups gave nothing; `None` when the body has it, in a place before theirs.
    async fn value_of(
        &self,
        field: &Field,
        places: &'a [Place],
        body: Value<'a>,
        left: &mut Left,
    ) -> Result<Option<Option<String>>, DispatchFailure> {
        let mut asked = None;
        for place in places {
            let found = match place {
                Place::Body(pointer) => value_at(body, pointer),
                Place::Lookup { lookup, pointer } => {
                    let answer = match field.optional {
                        true => self.answer_soon(lookup, body, &mut left.time_for_optional).await,
                        false => self.answer(lookup, body).await,
                    };
                    let absent =
                        || DispatchFailure { pointer: Some(place.to_string()), ..FailureCode::LookupIncomplete.into() };
                    match answer {
                        Ok(answer) => {
                            asked.get_or_insert_with(absent);
                            value_at(answer.root(), pointer)
                        }
                        Err(failure) => {
                            asked = Some(failure);
                            None
                        }
                    }
                }
            };
            let Some(found) = found else { continue };
            if asked.is_none() {
                return Ok(None);
            }
            let Some(bytes) = left.bytes.checked_sub(field.name.len() + found.len()) else {
                asked = Some(DispatchFailure { pointer: Some(place.to_string()), ..FailureCode::MappingFailed.into() });
                continue;
            };
            left.bytes = bytes;
            return Ok(Some(Some(found)));
        }
        match asked {
            Some(failure) if !field.optional => Err(failure),
            Some(_) => {
                left.bytes = left.bytes.saturating_sub(field.name.len());
                Ok(Some(None))
            }
            None => Ok(None),
        }
    }

    /// The answer to a look-up that an optional field wants: the call goes on for the routes that require it, and this one does
    /// not wait as long.
    async fn answer_soon(&self, name: &'a str, body: Value<'a>, left: &mut Duration) -> Answer {
        let began = Instant::now();
        let in_time = self.asker.time.ends_at.saturating_duration_since(began).saturating_sub(TIME_TO_SEND);
        let answer = timeout(in_time.min(*left), self.answer(name, body)).await;
        *left = left.saturating_sub(began.elapsed());
        answer.unwrap_or_else(|_| Err(FailureCode::NoTime.into()))
    }

    async fn answer(&self, name: &'a str, body: Value<'a>) -> Answer {
        let asker = self.asker;
        let answer = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.entry(name).or_insert_with(|| asker.ask(name, body).boxed().shared()).clone()
        };
        answer.await
    }
}

impl<'a> Asker<'a> {
    async fn ask(self, name: &'a str, body: Value<'a>) -> Answer {
        let provider = self.event.provider.as_str();
        let cannot_be_asked =
            || DispatchFailure { pointer: Some(format!("lookup:{name}")), ..FailureCode::MappingFailed.into() };
        let lookup = self.routes.lookup(provider, name).ok_or_else(cannot_be_asked)?;
        let path = path(lookup, body).ok_or_else(cannot_be_asked)?;
        let api = self.apis.iter().find(|api| api.provider == provider);
        let api = api.ok_or(FailureCode::ProviderApiSecretUnavailable)?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let answer = api.find(&path, self.time_for(name)).await?.ok_or(FailureCode::LookupNotFound)?;
        let text = answer.text();
        let unreadable = |_| FailureCode::ProviderApiUnreadable;
        let document = Document::of(&*text).map_err(unreadable)?;
        let redacted = document.without(self.routes.redacted(provider)).into_owned();
        Ok(Arc::new(Document::of(redacted).map_err(unreadable)?))
    }

    fn time_for(&self, lookup: &str) -> CallTime {
        match self.is_required(lookup) {
            true => self.time,
            false => CallTime { ends_at: self.time.ends_at.min(Instant::now() + TIME_FOR_OPTIONAL), ..self.time },
        }
    }

    /// Whether a route of this attempt is not sent without it.
    fn is_required(&self, lookup: &str) -> bool {
        self.tried.iter().any(|route| self.routes.by_name(route).is_some_and(|route| route.requires(lookup)))
    }
}

/// As JSON, without credentials.
fn value_at(value: Value<'_>, pointer: &Pointer) -> Option<String> {
    present(value, std::iter::once(pointer)).map(|value| credentials::cut_from(value).into_owned())
}

/// The path's segments; `None` when the body lacks an id that stands in it.
fn path(lookup: &Lookup, body: Value<'_>) -> Option<Vec<String>> {
    let (mut segments, mut last) = (Vec::new(), String::new());
    for part in &lookup.path {
        match part {
            PathPart::Literal(text) => {
                let mut texts = text.split('/');
                last += texts.next().unwrap_or_default();
                segments.extend(texts.map(|text| mem::replace(&mut last, text.to_owned())));
            }
            PathPart::Value(pointers) => last += &pointers.iter().find_map(|pointer| id_at(body, pointer))?,
        }
    }
    segments.push(last);
    // A path begins with a slash, before which nothing stands.
    Some(segments.split_off(1))
}

#[cfg(test)]
mod tests;
