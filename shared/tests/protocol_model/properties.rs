//! What is held against every world, every item and every write.

use std::collections::BTreeSet;

use shared::clock::UnixMillis;
use shared::record::event::{
    AttemptBy, DispatchOutcome, DispatchState, DispatchSuccess, EventRecord, EventState, MAX_HISTORY, dead_parts,
    pending_parts,
};

use super::{BEGIN, ItemId, Model, ROUTES, World, Write};
use crate::{Property, table};

/// How far the worlds that were visited went: what never happened cannot have been checked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sights {
    pub(crate) most_attempts: u32,
    /// To one route.
    pub(crate) most_messages: u8,
    /// Names of the event's states.
    pub(crate) states: BTreeSet<&'static str>,
}

impl Model {
    pub(super) fn check(&mut self, world: &World) -> Result<(), Property> {
        if let Some(broken) = world.broken {
            return Err(broken);
        }
        let Some(held) = world.held else {
            return if world.acknowledged { Err(Property::NoAckWithoutARecord) } else { Ok(()) };
        };
        if !self.verdicts.contains_key(&held) {
            let verdict = self.check_item(held);
            self.verdicts.insert(held, verdict);
        }
        self.verdicts[&held]?;

        let item = self.items.at(held);
        self.sights.most_attempts = self.sights.most_attempts.max(item.event.attempts);
        self.sights.states.insert(item.event.state.name());
        for (route, name) in ROUTES.iter().enumerate() {
            let state = item.event.deliveries.get(*name).map(|delivery| delivery.state);
            if state == Some(DispatchState::Delivered) && world.accepted[route] == 0 {
                return Err(Property::DeliveredMeansAccepted);
            }
            self.sights.most_messages = self.sights.most_messages.max(world.accepted[route]);
            if world.accepted[route] > 1 + world.disturbed[route] {
                return Err(Property::OneMessageUnlessDisturbed);
            }
            if self.bounds.timely && world.disturbed[route] > 0 {
                return Err(Property::NothingDisturbsATimelyRun);
            }
        }
        Ok(())
    }

    pub(super) fn compare(
        &self,
        world: &World,
        write: Write,
        before: &EventRecord,
        after: &EventRecord,
    ) -> Result<(), Property> {
        if let Write::Settle(settled) = write {
            let attempts = self.records.at(settled).attempts;
            if attempts != before.attempts || attempts < u32::from(world.settled) {
                return Err(Property::OnlyTheLatestAttemptSettles);
            }
        }
        if after.attempts < before.attempts {
            return Err(Property::AttemptsNeverDecrease);
        }
        if before.state == EventState::Delivered && before != after {
            return Err(Property::WhatIsDeliveredStaysSo);
        }
        for (route, delivery) in &before.deliveries {
            let is_left = after.deliveries.get(route).is_none_or(|after| after.state != delivery.state);
            match delivery.state {
                DispatchState::Delivered | DispatchState::Skipped if is_left => {
                    return Err(Property::WhatIsDeliveredStaysSo);
                }
                DispatchState::Dead if is_left && !matches!(before.state, EventState::Dead | EventState::Dismissed) => {
                    return Err(Property::OnlyAnOperatorRevives);
                }
                _ => {}
            }
        }
        if before.history.len() < MAX_HISTORY && !after.history.starts_with(&before.history) {
            return Err(Property::HistoryOnlyGrows);
        }
        Ok(())
    }

    /// An item is found by whoever has to find it, and one healthy run from here on ends well, whoever else is dead.
    fn check_item(&mut self, held: ItemId) -> Result<(), Property> {
        let item = self.items.at(held);
        let event = &item.event;
        let has_time = event.next_attempt_at.is_some();
        let is_found = match event.state {
            EventState::Pending => {
                has_time && item.due.as_deref().is_some_and(is_pending_part) && event.expires_at.is_none()
            }
            EventState::Dead => {
                has_time
                    && item.due.as_deref().is_some_and(|due| dead_parts().any(|part| part == due))
                    && event.expires_at.is_none()
            }
            EventState::Delivered | EventState::Ignored | EventState::Dismissed => {
                !has_time && item.due.is_none() && event.expires_at.is_some()
            }
        };
        let waits = event.pending_routes().next().is_some();
        if !is_found || waits != (event.state == EventState::Pending) {
            return Err(Property::WhatIsAcknowledgedIsFound);
        }

        // The redrive of a week later; or the operator, for what only an operator may take up.
        let now = UnixMillis(event.next_attempt_at.map_or(BEGIN.0, |at| at.0 * 1000) + 7 * 24 * 60 * 60 * 1000);
        let taken_by = "a healthy run".to_owned();
        let (ours, by) = match event.state {
            EventState::Delivered => return Ok(()),
            EventState::Pending => (event.is_due(now).then(|| event.take_over(now, taken_by)), AttemptBy::Redrive),
            EventState::Dead | EventState::Ignored | EventState::Dismissed => {
                let wanted = self.bounds.wanted.iter().copied();
                (event.revive(wanted, |_| false, now, taken_by), AttemptBy::Manual)
            }
        };
        let Some(ours) = ours.filter(|_| table::may_take_over(event, event, None)) else {
            return if self.bounds.wanted.is_empty() { Ok(()) } else { Err(Property::EachEventIsDeliveredInTheEnd) };
        };
        if event.unsettled >= self.bounds.gives_up_after {
            // It is given up, and an operator has to find it.
            let given_up = self.items.number(table::changed(&item, &ours.give_up(by, now), None));
            return self.check_item(given_up);
        }
        let taken = table::changed(&item, &ours, None);
        let outcomes: Vec<(String, DispatchOutcome)> = ours
            .pending_routes()
            .map(|route| (route.to_owned(), Ok(DispatchSuccess::Delivered { http_status: 200 })))
            .collect();
        let after = ours.settle(by, &outcomes, now, now, |_| now.since(ours.waits_since()), self.bounds.draw);
        let ends_well = table::may_settle(&taken.event, &after, None) && {
            let settled = table::changed(&taken, &after, None);
            let refused = settled.event.deliveries.values().any(|delivery| delivery.state == DispatchState::Dead);
            settled.event.state == if refused { EventState::Dead } else { EventState::Delivered }
        };
        if ends_well { Ok(()) } else { Err(Property::EachEventIsDeliveredInTheEnd) }
    }
}

pub(super) fn is_pending_part(due: &str) -> bool {
    pending_parts().any(|part| part == due)
}
