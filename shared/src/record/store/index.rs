//! The one reader of the sparse index: what is pending or dead, by the time of its next attempt.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};

use crate::clock::{UnixMillis, UnixSeconds};
use crate::record::store::EventStore;
use crate::record::store::error::StoreError;
use crate::record::store::item::{Item, integer, number, string};

/// What the index has of one event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IndexEntry {
    pub pk: String,
    pub next_attempt_at: UnixSeconds,
    /// `None` when another program wrote the item without it.
    pub received_at: Option<UnixMillis>,
    pub revived_at: Option<UnixMillis>,
    /// As [`EventRecord::waits_for`](crate::record::event::EventRecord::waits_for) says; empty when it cannot be read.
    pub waits_for: Vec<(String, UnixSeconds)>,
}

/// Entries of one part of the index, and the start of the next page.
#[derive(Debug)]
pub struct IndexPage {
    pub entries: Vec<IndexEntry>,
    /// `None` when no page follows.
    pub next: Option<Cursor>,
}

/// Which entries of a part are read, and in which order.
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

/// The sparse index over what is pending or dead: `due`, then `next_attempt_at`.
pub const DUE_INDEX: &str = "due-index";

/// The attributes that the index has besides the keys: what redrive must know of an event to leave it unread.
pub const PROJECTED: [&str; 3] = ["received_at", "revived_at", "waits_for"];

/// Entries per page for readers who need a few only: about 30 kB.
pub const SHORT_PAGE: u32 = 256;

impl Cursor {
    /// What follows this entry of a part.
    pub fn after(due: &str, entry: &IndexEntry) -> Self {
        Self(Item::from([
            ("pk".to_owned(), string(&entry.pk)),
            ("due".to_owned(), string(due)),
            ("next_attempt_at".to_owned(), number(entry.next_attempt_at.0)),
        ]))
    }

    /// The second in which it stands.
    pub fn next_attempt_at(&self) -> Option<UnixSeconds> {
        integer(&self.0, "next_attempt_at").map(UnixSeconds)
    }
}

impl IndexEntry {
    /// From when on the age counts.
    pub fn waits_since(&self) -> Option<UnixMillis> {
        self.revived_at.or(self.received_at)
    }

    fn of(item: &Item) -> Option<Self> {
        let waits_for = item.get("waits_for").and_then(|waits_for| waits_for.as_m().ok());
        let entry =
            |(name, at): (&String, &AttributeValue)| Some((name.clone(), UnixSeconds(at.as_n().ok()?.parse().ok()?)));
        let waits_for: Option<Vec<_>> =
            waits_for.map(|entries| entries.iter().map(entry).collect()).unwrap_or_default();
        Some(Self {
            pk: item.get("pk")?.as_s().ok()?.clone(),
            next_attempt_at: UnixSeconds(integer(item, "next_attempt_at")?),
            received_at: integer(item, "received_at").map(UnixMillis),
            revived_at: integer(item, "revived_at").map(UnixMillis),
            waits_for: waits_for.unwrap_or_default(),
        })
    }
}

impl EventStore {
    /// A page of one part of the index, which may lag behind the table: of 1 MB, some 6,000 entries, unless `at_most` says
    /// less.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn indexed(
        &self,
        due: &str,
        range: IndexRange,
        at_most: Option<u32>,
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
        Ok(IndexPage {
            entries: output.items().iter().filter_map(IndexEntry::of).collect(),
            next: output.last_evaluated_key.map(Cursor),
        })
    }

    /// The whole index, each entry with the part that it is in, if no more than `at_most` are: by one call instead of one for
    /// each part, of which most are empty. `None` when there are more.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn short_index(&self, at_most: u32) -> Result<Option<Vec<(String, IndexEntry)>>, StoreError> {
        let scan = self.client.scan().table_name(&self.table).index_name(DUE_INDEX);
        let output = scan.limit(limit(at_most)).send().await.map_err(|error| self.unavailable(&error))?;
        if output.last_evaluated_key.is_some() {
            return Ok(None);
        }
        let entry = |item: &Item| Some((item.get("due")?.as_s().ok()?.clone(), IndexEntry::of(item)?));
        Ok(Some(output.items().iter().filter_map(entry).collect()))
    }

    /// How many events one part of the index holds, due or not, and whether there are more than were counted.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn count(&self, due: &str, at_most: u32) -> Result<(u64, bool), StoreError> {
        let output = self
            .part(due, Some(at_most))
            .select(Select::Count)
            .send()
            .await
            .map_err(|error| self.unavailable(&error))?;
        Ok((u64::try_from(output.count()).unwrap_or_default(), output.last_evaluated_key.is_some()))
    }

    fn part(&self, due: &str, at_most: Option<u32>) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .index_name(DUE_INDEX)
            .key_condition_expression("due = :due")
            .expression_attribute_values(":due", string(due))
            .set_limit(at_most.map(limit))
    }
}

fn limit(at_most: u32) -> i32 {
    i32::try_from(at_most).unwrap_or(i32::MAX)
}
