//! `bridge customers`: whose customer is behind an id of a provider's.

mod import;

use std::io;

use clap::{Args, Subcommand};
use operator::OperatorError;
use serde::Serialize;
use shared::clock::Clock;
use shared::customer::reference::{Customer, CustomerRef};

use crate::target::CustomersTarget;
use crate::terminal::{self, Lines, out, print};

/// The customers table: import a file, show an entry, write an entry
#[derive(Args)]
pub(crate) struct Customers {
    #[command(subcommand)]
    verb: CustomersVerb,
}

#[derive(Subcommand)]
enum CustomersVerb {
    Import(import::Import),
    Get(Get),
    Put(Put),
}

/// Show the entry of a ref; exit code 3 if there is none
#[derive(Args)]
#[command(after_help = GET_EXAMPLES, after_long_help = GET_EXAMPLES)]
struct Get {
    /// KIND:value, for example rail-account:CUSTOMER_USD_001
    #[arg(value_name = "REF", value_parser = reference)]
    reference: CustomerRef,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: CustomersTarget,
}

/// Write the entry of a ref; replaces the whole entry
#[derive(Args)]
#[command(after_help = PUT_EXAMPLES, after_long_help = PUT_EXAMPLES)]
struct Put {
    /// KIND:value, for example rillis-user:67a3a506b0f4c1e2d3a4b5c6
    #[arg(value_name = "REF", value_parser = reference)]
    reference: CustomerRef,
    /// The broker's own id of the customer: a message's customerId
    #[arg(long, value_name = "ID", value_parser = customer_id)]
    customer_id: String,
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    #[arg(long, value_name = "NAME")]
    first_name: Option<String>,
    #[arg(long, value_name = "NAME")]
    last_name: Option<String>,
    /// A login of a trading platform; repeatable
    #[arg(long, value_name = "LOGIN")]
    trading_account: Vec<String>,
    #[command(flatten)]
    target: CustomersTarget,
}

const GET_EXAMPLES: &str = "Examples:
  bridge customers get rail-account:CUSTOMER_USD_001
  bridge customers get customer:C-1001 --json
  bridge customers get customer:C-1001 --customers-table customers --profile prod    in AWS";

const PUT_EXAMPLES: &str = "Examples:
  bridge customers put rillis-user:67a3a506b0f4c1e2d3a4b5c6 --customer-id C-1001
  bridge customers put customer:C-1001 --customer-id C-1001 --email sample@example.com --trading-account 5001
  bridge customers put rail-account:CUSTOMER_USD_001 --customer-id C-1001 --customers-table customers --profile prod";

/// A record as `--json` has it.
#[derive(Serialize)]
struct Record<'c> {
    r#ref: &'c str,
    customer_id: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<&'c str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    trading_accounts: &'c [String],
    updated_at: String,
}

impl Customers {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        match self.verb {
            CustomersVerb::Import(import) => import.run().await,
            CustomersVerb::Get(get) => get.run().await,
            CustomersVerb::Put(put) => put.run().await,
        }
    }
}

impl Get {
    async fn run(self) -> Result<(), OperatorError> {
        let place = self.target.open(None).await?;
        let found = place.customers()?.find(&self.reference).await.map_err(|error| place.store_error(&error))?;
        let Some(customer) = found else {
            return Err(OperatorError::refused(
                format!("No customer {} in {}", self.reference, place.name()),
                format!("add it with `bridge customers put {} --customer-id ID`", self.reference),
            ));
        };
        let record = Record::of(&self.reference, &customer);
        print(|out| match self.json {
            true => terminal::write_json(out, [&record]),
            false => record.write(out),
        })?;
        Ok(())
    }
}

impl Put {
    async fn run(self) -> Result<(), OperatorError> {
        let place = self.target.open(None).await?;
        let customer = Customer {
            email: self.email,
            first_name: self.first_name,
            last_name: self.last_name,
            trading_accounts: self.trading_account,
            ..Customer::new(&self.customer_id, Clock::system().now())
        };
        let put = place.customers()?.put(&self.reference, &customer).await;
        put.map_err(|error| place.store_error(&error))?;
        out!("{} is customer {} at {}.", self.reference, self.customer_id, place.name());
        Ok(())
    }
}

fn reference(text: &str) -> Result<CustomerRef, String> {
    operator::customers::lines::reference(text).map_err(|reason| reason.to_string())
}

fn customer_id(text: &str) -> Result<String, String> {
    operator::customers::lines::customer_id(text).map(str::to_owned).map_err(|reason| reason.to_string())
}

impl<'c> Record<'c> {
    fn of(reference: &'c CustomerRef, customer: &'c Customer) -> Self {
        Self {
            r#ref: reference.as_str(),
            customer_id: &customer.customer_id,
            email: customer.email.as_deref(),
            first_name: customer.first_name.as_deref(),
            last_name: customer.last_name.as_deref(),
            trading_accounts: &customer.trading_accounts,
            updated_at: customer.updated_at.to_string(),
        }
    }

    fn write(&self, out: &mut Lines) -> io::Result<()> {
        let logins = self.trading_accounts.join(", ");
        let lines = [
            ("ref", Some(self.r#ref)),
            ("customer id", Some(self.customer_id)),
            ("email", self.email),
            ("first name", self.first_name),
            ("last name", self.last_name),
            ("trading accounts", Some(logins.as_str()).filter(|logins| !logins.is_empty())),
            ("updated", Some(self.updated_at.as_str())),
        ];
        for (name, value) in lines {
            if let Some(value) = value {
                writeln!(out, "{name:<16}  {value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
