//! What a life will be: drawn whole before it begins.

use crate::faults::{Fault, System, Weather};
use crate::routes::DESTINATIONS;
use crate::secrets::Entry;
use crate::strangers::Bad;
use crate::time::{BEGINNING_MS, DAY, HOUR, MINUTE, SECOND};
use crate::world::{Fact, World};

#[derive(Clone, Debug)]
pub struct Plan {
    pub span: Span,
    /// When a fact is first sent.
    pub sends: Vec<(u64, usize)>,
    pub acts: Vec<(u64, Act)>,
    pub links: Vec<Link>,
    /// What must be refused, with the fact that it is made of.
    pub strangers: Vec<(u64, Bad, usize)>,
    /// When all faults are over.
    pub heals_at: u64,
    /// A short fault while a person redrives what is dead.
    pub after: Option<Weather>,
    /// Facts that a provider sends again long after.
    pub replays: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Span {
    Minutes,
    Hours,
    Days,
    Years,
}

/// Something that an operator does.
#[derive(Clone, Debug)]
pub enum Act {
    Pause(usize),
    Resume(usize),
    /// Whatever waits, or is dead.
    RedriveAll,
    Dismiss(String),
    RotateSigningKey,
    RotateApiKey,
    Import(Link),
}

/// A customer that the customers table comes to know.
#[derive(Clone, Debug)]
pub struct Link {
    pub reference: String,
    pub customer: String,
    /// The customer never registers.
    pub never: bool,
}

impl Plan {
    pub fn draw(world: &mut World) -> Self {
        let span = match world.rng.u8(..100) {
            0..70 => Span::Minutes,
            70..88 => Span::Hours,
            88..94 => Span::Days,
            _ => Span::Years,
        };
        let length = match span {
            Span::Minutes => world.rng.u64(2 * MINUTE..15 * MINUTE),
            Span::Hours => world.rng.u64(HOUR..10 * HOUR),
            Span::Days => world.rng.u64(3 * DAY..6 * DAY),
            Span::Years => world.rng.u64(MINUTE..100 * DAY),
        };
        let begins = BEGINNING_MS + world.rng.u64(..MINUTE);
        let mut plan = Self {
            span,
            sends: Vec::new(),
            acts: Vec::new(),
            links: Vec::new(),
            strangers: Vec::new(),
            heals_at: begins + length,
            after: None,
            replays: Vec::new(),
        };
        for _ in 0..world.rng.usize(1..5) {
            plan.draw_fact(world, begins, length);
        }
        plan.draw_weather(world, begins, length);
        plan.draw_acts(world, begins, length);
        plan.draw_rare(world, begins, length);
        if span == Span::Years {
            plan.replays = (0..world.facts.len()).filter(|_| world.rng.u8(..3) == 0).collect();
        }
        plan
    }

    fn draw_fact(&mut self, world: &mut World, begins: u64, length: u64) {
        let number = world.facts.len();
        let at = begins + world.rng.u64(..(length / 2).min(20 * MINUTE));
        let happened = at - world.rng.u64(..30 * SECOND);
        let occurred_at = shared::clock::UnixMillis(happened).to_string();
        let customer = world.rng.u8(..3);
        let event_id = format!("evt-{number}");
        let links = self.links.len();
        let (provider, event_type, routes, body) = match world.rng.u8(..10) {
            0..=4 => {
                let account = format!("account-{number}");
                let named = match world.rng.u8(..4) {
                    // The customer is in the body, the provider's API knows it, or an import comes.
                    0 => format!(r#""customer_id":"customer-{customer}","#),
                    1 | 2 => {
                        world.accounts.insert(account.clone(), format!("customer-{customer}"));
                        String::new()
                    }
                    _ => {
                        self.link(world, format!("rail-account:{account}"), customer, begins, length);
                        String::new()
                    }
                };
                let data = format!(r#"{{{named}"account_id":"{account}","amount":"{number}.50"}}"#);
                ("rail", Some("TRANSACTION_POSTED"), &["deposit", "first-deposit"][..], data)
            }
            5 | 6 => {
                let data = format!(r#"{{"customer_id":"customer-{customer}","status":"OPEN"}}"#);
                ("rail", Some("ACCOUNT_OPEN"), &["account"][..], data)
            }
            7 | 8 => {
                let user = format!("user-{number}");
                self.link(world, format!("rillis-user:{user}"), customer, begins, length);
                let data = format!(r#"{{"user_id":"{user}","flow_id":"flow-{number}","identity":{{"x":1}}}}"#);
                ("rillis", Some("FLOW_COMPLETED"), &["kyc", "kyc-account"][..], data)
            }
            _ if world.rng.bool() => ("rail", Some("CARD_ORDERED"), &[][..], "{}".to_owned()),
            _ => ("rail", None, &[][..], "{}".to_owned()),
        };
        let body = match (provider, event_type) {
            ("rail", Some(event_type)) => format!(
                r#"{{"event_id":"{event_id}","event_type":"{event_type}","event_date":"{occurred_at}","event_data":{body}}}"#
            ),
            ("rail", None) => format!(r#"{{"event_id":"{event_id}","event_date":"{occurred_at}"}}"#),
            (_, event_type) => format!(
                r#"{{"id":"{event_id}","type":"{}","timestamp":{happened},"data":{body}}}"#,
                event_type.unwrap_or_default()
            ),
        };
        let kills = if world.rng.u8(..60) == 0 { world.rng.u32(1..14) } else { 0 };
        let fact = Fact {
            provider,
            event_id,
            event_type,
            happened,
            occurred_at,
            body,
            routes,
            prompt: self.links.len() == links,
            is_deadly: kills > 0,
            kills,
            acknowledged: None,
        };
        // Another fact under the same id: of another type, or of the same one at another time.
        let other = (event_type == Some("ACCOUNT_OPEN") && world.rng.u8(..5) == 0).then(|| {
            let happened = happened + 1 + world.rng.u64(..MINUTE);
            let occurred_at = shared::clock::UnixMillis(happened).to_string();
            let other_type = if world.rng.bool() { "ACCOUNT_FROZEN" } else { "ACCOUNT_OPEN" };
            let body = fact.body.replace(&fact.occurred_at, &occurred_at);
            let body = body.replace("ACCOUNT_OPEN", other_type).replace("\"OPEN\"", "\"OTHER\"");
            Fact { event_type: Some(other_type), happened, occurred_at, body, ..fact.clone() }
        });
        world.facts.push(fact);
        self.sends.push((at, number));
        if let Some(other) = other {
            world.facts.push(other);
            self.sends.push((at + world.rng.u64(..5 * MINUTE), number + 1));
        }
    }

    fn link(&mut self, world: &mut World, reference: String, customer: u8, begins: u64, length: u64) {
        let link = Link { reference, customer: format!("customer-{customer}"), never: world.rng.u16(..8000) == 0 };
        if !link.never {
            let at = match world.rng.u8(..3) {
                0 => begins,
                _ => begins + world.rng.u64(..length.min(40 * MINUTE)),
            };
            self.acts.push((at, Act::Import(link.clone())));
        }
        self.links.push(link);
    }

    fn draw_weather(&mut self, world: &mut World, begins: u64, length: u64) {
        let systems = [
            System::Table,
            System::Table,
            System::Secrets,
            System::Api,
            System::Destination(0),
            System::Destination(1),
            System::Destination(2),
            System::Destination(3),
        ];
        let how_many = match world.rng.u8(..10) {
            0 | 1 => 0,
            2..=6 => world.rng.usize(1..4),
            _ => world.rng.usize(3..8),
        };
        for _ in 0..how_many {
            let system = systems[world.rng.usize(..systems.len())];
            let fault = Fault::draw(&mut world.rng, system);
            let from_ms = begins + world.rng.u64(..length.min(30 * MINUTE));
            let lasts = match (system, world.rng.u8(..4)) {
                // A table is seldom away for long.
                (System::Table | System::Secrets, _) => world.rng.u64(SECOND..5 * MINUTE),
                (_, 0) => world.rng.u64(SECOND..MINUTE),
                (_, 1 | 2) => world.rng.u64(MINUTE..20 * MINUTE),
                _ => length,
            };
            let percent = [15, 40, 100][world.rng.usize(..3)];
            world.troubled.insert(system);
            world.weather.push(Weather { system, fault, from_ms, to_ms: from_ms + lasts, percent });
        }
        if world.rng.bool() {
            let system = System::Destination(world.rng.usize(..DESTINATIONS.len()));
            let fault = [Fault::Fail, Fault::Throttle { retry_after: None }][world.rng.usize(..2)];
            self.after = Some(Weather { system, fault, from_ms: 0, to_ms: 0, percent: 100 });
        }
    }

    fn draw_rare(&mut self, world: &mut World, begins: u64, length: u64) {
        let facts = world.facts.len();
        let rare = &mut world.rare;
        world.unusable = (rare.u8(..12) == 0).then(|| Entry::draw(rare));
        world.deletes_at = (rare.u8(..60) == 0).then(|| rare.usize(1..4));
        // A key that is left out may be the one of a forged signature.
        if rare.u8(..5) == 0 || world.unusable.is_some() {
            for _ in 0..rare.usize(1..6) {
                let (at, bad) = (begins + rare.u64(..length.min(20 * MINUTE)), Bad::ALL[rare.usize(..Bad::ALL.len())]);
                self.strangers.push((at, bad, rare.usize(..facts)));
            }
        }
    }

    fn draw_acts(&mut self, world: &mut World, begins: u64, length: u64) {
        for destination in 0..DESTINATIONS.len() {
            if world.rng.u8(..8) == 0 {
                let from = begins + world.rng.u64(..length.min(10 * MINUTE));
                self.acts.push((from, Act::Pause(destination)));
                if world.rng.u8(..3) > 0 {
                    let to = from + world.rng.u64(1..length);
                    self.acts.push((to.min(self.heals_at), Act::Resume(destination)));
                }
            }
        }
        let acts = [(Act::RedriveAll, 6), (Act::RotateSigningKey, 12), (Act::RotateApiKey, 12)];
        for (act, one_in) in acts {
            if world.rng.u8(..one_in) == 0 {
                self.acts.push((begins + world.rng.u64(..length), act));
            }
        }
    }
}
