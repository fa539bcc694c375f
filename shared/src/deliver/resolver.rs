//! Who an event's customer is: the body says it, the customers table knows it, or the provider's API is asked.

use crate::clock::Clock;
use crate::customer::api_client::ApiClient;
use crate::customer::provider_api::Lookup;
use crate::customer::reference::{Customer, CustomerRef};
use crate::customer::table::Customers;
use crate::record::failure::{DispatchFailure, FailureCode};
use crate::route::routes::{CustomerSource, FieldValue, Route};
use json::{Kind, Pointer, Value};

/// Answers who a customer is. Only asked after the ack.
pub struct Resolver {
    pub clock: Clock,
    /// `None` without `CUSTOMERS_TABLE_NAME`: nobody is linked.
    pub customers: Option<Customers>,
    /// Those that a secret was named for.
    pub apis: Vec<ApiClient>,
}

/// The customer of one message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageCustomer {
    /// Returning.AI's `customerId`.
    pub customer_id: String,
    /// What the customers table knows of the person, if the route asks for any of it.
    pub record: Option<Customer>,
}

impl MessageCustomer {
    /// A customer of whom only the id is known.
    pub fn of(customer_id: String) -> Self {
        Self { customer_id, record: None }
    }
}

/// A longer id is none: keys of both tables have room for 2 kB, and hold a route's name or a kind besides.
const MAX_ID_BYTES: usize = 1024;

impl Resolver {
    /// The customer of the message that `route` makes of `body`, by the first source that knows it.
    ///
    /// # Errors
    /// All of them are transient: `customer_unknown` until somebody links the customer, the others until the table or the API answers.
    /// A source that cannot be asked ends the search: the next one may name somebody else.
    pub async fn resolve(&self, route: &Route, body: Value<'_>) -> Result<MessageCustomer, DispatchFailure> {
        for source in &route.customer {
            let Some(id) = id_at(body, source.pointer()) else { continue };
            let found = match source {
                CustomerSource::Body(_) => Some(MessageCustomer::of(id)),
                CustomerSource::Link { kind, .. } => self.linked(kind, &id).await?,
                CustomerSource::Api { kind, .. } => self.known_to_api(kind, &id).await?,
            };
            if let Some(mut found) = found {
                self.add_record(route, &mut found).await?;
                return Ok(found);
            }
        }
        Err(FailureCode::CustomerUnknown.into())
    }

    async fn linked(&self, kind: &str, id: &str) -> Result<Option<MessageCustomer>, DispatchFailure> {
        let customer = self.find(CustomerRef::new(kind, id).ok()).await?;
        Ok(customer
            .map(|customer| MessageCustomer { customer_id: customer.customer_id.clone(), record: Some(customer) }))
    }

    /// What the table says is cheaper, and what was imported wins over what the API says.
    async fn known_to_api(&self, kind: &str, id: &str) -> Result<Option<MessageCustomer>, DispatchFailure> {
        if let Some(linked) = self.linked(kind, id).await? {
            return Ok(Some(linked));
        }
        let lookup_of = |api: &'_ ApiClient| api.lookups.iter().find(|lookup| lookup.kind == kind);
        match self.apis.iter().find_map(|api| Some((api, lookup_of(api)?))) {
            Some((api, lookup)) => self.ask(api, lookup, id).await,
            None => Ok(None),
        }
    }

    /// Two routes of one event ask the same at the same time: one asks, the other finds it in the table.
    async fn ask(
        &self,
        api: &ApiClient,
        lookup: &Lookup,
        id: &str,
    ) -> Result<Option<MessageCustomer>, DispatchFailure> {
        let Ok(reference) = CustomerRef::new(lookup.kind, id) else { return Ok(None) };
        let turn = api.turn(reference.as_str());
        let waited = turn.try_lock().is_err();
        let _turn = turn.lock().await;
        if waited && let Some(linked) = self.linked(lookup.kind, id).await? {
            return Ok(Some(linked));
        }
        let Some(customer_id) = api.customer_of(lookup, id).await?.filter(|id| is_id(id)) else { return Ok(None) };
        if let Some(customers) = &self.customers {
            // Not remembering costs a question more, and is no reason to keep the message back.
            if let Err(error) = customers.remember(&reference, &customer_id, self.clock.now()).await {
                tracing::warn!(error = %error, "what the provider's API said of a customer could not be remembered");
            }
        }
        Ok(Some(MessageCustomer::of(customer_id)))
    }

    /// Reads the customer's own record if the route asks for something that the link's did not have.
    async fn add_record(&self, route: &Route, found: &mut MessageCustomer) -> Result<(), DispatchFailure> {
        let missing = |field: &FieldValue| match field {
            FieldValue::Customer(attribute) => found.record.as_ref().is_none_or(|record| !record.says(*attribute)),
            FieldValue::Body(_) | FieldValue::Constant(_) => false,
        };
        if route.fields.iter().any(|field| missing(&field.value))
            && let Some(own) = self.find(CustomerRef::of_customer(&found.customer_id).ok()).await?
        {
            found.record = Some(match found.record.take() {
                Some(link) => link.completed_by(own),
                None => own,
            });
        }
        Ok(())
    }

    async fn find(&self, reference: Option<CustomerRef>) -> Result<Option<Customer>, DispatchFailure> {
        let (Some(customers), Some(reference)) = (&self.customers, reference) else { return Ok(None) };
        customers.find(&reference).await.map_err(|error| {
            tracing::warn!(error = %error, "the customers table could not be asked");
            FailureCode::CustomersUnavailable.into()
        })
    }
}

/// The id at `pointer`: a text, or a number by its digits, since ids are compared and not counted.
pub fn id_at(body: Value<'_>, pointer: &Pointer) -> Option<String> {
    let value = body.at(pointer)?;
    let id = match value.kind() {
        Kind::String => value.text()?.into_owned(),
        Kind::Number(digits) => digits.to_owned(),
        _ => return None,
    };
    Some(id).filter(|id| is_id(id))
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ID_BYTES
}

#[cfg(test)]
mod tests;
