//! Who an event's customer is: by the body itself, by the customers table, or by the provider's API.

use crate::clock::Clock;
use crate::customer::api_client::ApiClient;
use crate::customer::provider_api::Lookup;
use crate::customer::reference::{Customer, CustomerRef};
use crate::customer::table::Customers;
use crate::outside::http::CallTime;
use crate::record::failure::{DispatchFailure, FailureCode};
use json::{Pointer, Value};
use route::routes::{CustomerSource, FieldValue, Route};

/// Finds the customer of an event. Only used after the ack.
pub struct Resolver {
    pub clock: Clock,
    /// `None` without `CUSTOMERS_TABLE_NAME`: no customer is linked.
    pub customers: Option<Customers>,
    /// The APIs whose secret is configured.
    pub apis: Vec<ApiClient>,
}

/// The customer of one message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageCustomer {
    /// Returning.AI's `customerId`.
    pub customer_id: String,
    /// The customer's record, if the route asks for any of it.
    pub record: Option<Customer>,
}

impl MessageCustomer {
    /// A customer of whom only the id is known.
    pub fn of(customer_id: String) -> Self {
        Self { customer_id, record: None }
    }
}

/// Longer ids are treated as absent: keys of both tables hold 2 kB, including a route's name or a kind.
const MAX_ID_BYTES: usize = 1024;

impl Resolver {
    /// The customer of the message that `route` makes of `body`, by the first source that has one.
    ///
    /// # Errors
    /// All are transient: `customer_unknown` until the customer is linked, the others until the table or the API answers. A
    /// source that cannot be asked ends the search, since the next one may give another customer.
    pub async fn resolve(
        &self,
        route: &Route,
        body: Value<'_>,
        time: CallTime,
    ) -> Result<MessageCustomer, DispatchFailure> {
        for source in &route.customer {
            let Some(id) = id_at(body, source.pointer()) else { continue };
            let found = match source {
                CustomerSource::Body(_) => Some(MessageCustomer::of(id)),
                CustomerSource::Link { kind, .. } => self.linked(kind, &id).await?,
                CustomerSource::Api { kind, .. } => self.known_to_api(kind, &id, time).await?,
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

    /// The table first: it is cheaper, and an import wins over the API.
    async fn known_to_api(
        &self,
        kind: &str,
        id: &str,
        time: CallTime,
    ) -> Result<Option<MessageCustomer>, DispatchFailure> {
        if let Some(linked) = self.linked(kind, id).await? {
            return Ok(Some(linked));
        }
        let lookup_of = |api: &'_ ApiClient| api.lookups.iter().find(|lookup| lookup.kind == kind);
        match self.apis.iter().find_map(|api| Some((api, lookup_of(api)?))) {
            Some((api, lookup)) => self.ask(api, lookup, id, time).await,
            None => Ok(None),
        }
    }

    /// Two routes of one event may ask the same at the same time: one asks the API, the other finds the answer in the table.
    async fn ask(
        &self,
        api: &ApiClient,
        lookup: &Lookup,
        id: &str,
        time: CallTime,
    ) -> Result<Option<MessageCustomer>, DispatchFailure> {
        let Ok(reference) = CustomerRef::new(lookup.kind, id) else { return Ok(None) };
        let turn = api.turn(reference.as_str());
        let waited = turn.try_lock().is_err();
        let _turn = turn.lock().await;
        if waited && let Some(linked) = self.linked(lookup.kind, id).await? {
            return Ok(Some(linked));
        }
        let Some(customer_id) = api.customer_of(lookup, id, time).await?.filter(|id| is_id(id)) else {
            return Ok(None);
        };
        if let Some(customers) = &self.customers {
            // Without this the API is asked again; that is no reason to hold the message back.
            if let Err(error) = customers.remember(&reference, &customer_id, self.clock.now()).await {
                tracing::warn!(error = %error, "the provider API's answer could not be stored in the customers table");
            }
        }
        Ok(Some(MessageCustomer::of(customer_id)))
    }

    /// Adds the customer's own record if the route asks for something that the link does not have.
    async fn add_record(&self, route: &Route, found: &mut MessageCustomer) -> Result<(), DispatchFailure> {
        let missing = |field: &FieldValue| match field {
            FieldValue::Customer(attribute) => found.record.as_ref().is_none_or(|record| !record.says(*attribute)),
            FieldValue::Places(_) | FieldValue::Constant(_) => false,
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
            tracing::warn!(error = %error, "the customers table could not be read");
            FailureCode::CustomersUnavailable.into()
        })
    }
}

/// The id at `pointer`: a string, or a number with the digits that were sent.
pub fn id_at(body: Value<'_>, pointer: &Pointer) -> Option<String> {
    Some(body.at(pointer)?.text_or_digits()?.into_owned()).filter(|id| is_id(id))
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ID_BYTES
}

#[cfg(test)]
mod tests;
