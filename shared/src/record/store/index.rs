//! The one reader of the sparse index: what is pending or dead, by the time of its next attempt.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::Select;

use crate::clock::UnixSeconds;
use crate::record::store::EventStore;
use crate::record::store::error::StoreError;
use crate::record::store::item::{Item, integer, number, string};

/// Keys of one part of the index, each with its `next_attempt_at`, and the start of the next page.
#[derive(Debug)]
pub struct IndexPage {
    pub keys: Vec<(String, UnixSeconds)>,
    /// `None` when no page follows.
    pub next: Option<Cursor>,
}

/// Which keys of a part are read, and in which order.
#[derive(Clone, Copy, Debug)]
pub enum IndexRange {
    /// Those due by then, the soonest next attempt first.
    Due(UnixSeconds),
    /// All, the soonest first.
    SoonestFirst,
    /// All, the latest first.
    LatestFirst,
}

/// Where a page begins.
#[derive(Clone, Debug)]
pub struct Cursor(pub(super) Item);

/// The sparse index over what is pending or dead: `due`, then `next_attempt_at`; keys only.
pub const DUE_INDEX: &str = "due-index";

/// Keys per page: about 10 kB, and a second's work for redrive.
pub const DUE_PAGE: u32 = 256;

impl EventStore {
    /// A page of at most so many keys of one part of the index, which may lag behind the table.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn indexed(
        &self,
        due: &str,
        range: IndexRange,
        at_most: u32,
        from: Option<&Cursor>,
    ) -> Result<IndexPage, StoreError> {
        let part = self.part(due, at_most).set_exclusive_start_key(from.map(|cursor| cursor.0.clone()));
        let asked = match range {
            IndexRange::Due(by) => part
                .key_condition_expression("due = :due AND next_attempt_at <= :by")
                .expression_attribute_values(":by", number(by.0)),
            IndexRange::SoonestFirst => part,
            IndexRange::LatestFirst => part.scan_index_forward(false),
        };
        let output = asked.send().await.map_err(|error| self.unavailable(&error))?;
        let key = |item: &Item| {
            let pk = item.get("pk")?.as_s().ok()?;
            Some((pk.clone(), UnixSeconds(integer(item, "next_attempt_at")?)))
        };
        Ok(IndexPage {
            keys: output.items().iter().filter_map(key).collect(),
            next: output.last_evaluated_key.map(Cursor),
        })
    }

    /// How many events one part of the index holds, due or not, and whether there are more than were counted.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn count(&self, due: &str, at_most: u32) -> Result<(u64, bool), StoreError> {
        let output =
            self.part(due, at_most).select(Select::Count).send().await.map_err(|error| self.unavailable(&error))?;
        Ok((u64::try_from(output.count()).unwrap_or_default(), output.last_evaluated_key.is_some()))
    }

    fn part(&self, due: &str, at_most: u32) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .index_name(DUE_INDEX)
            .key_condition_expression("due = :due")
            .expression_attribute_values(":due", string(due))
            .limit(i32::try_from(at_most).unwrap_or(i32::MAX))
    }
}
