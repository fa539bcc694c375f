//! What goes wrong, where and when: drawn for a life before it begins.

use fastrand::Rng;

/// An outside system, or one part of it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum System {
    Table,
    Secrets,
    Api,
    /// A destination by its place in [`DESTINATIONS`](crate::routes::DESTINATIONS).
    Destination(usize),
}

/// How a call fails.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    Hang,
    Refuse,
    /// The connection dies before the call has an effect.
    Die,
    /// The call takes effect, and its answer is lost.
    LoseAnswer,
    /// As `LoseAnswer`, but nothing tells: the answer never comes.
    HangAfter,
    /// No answer comes, and the call takes effect after its sender has given it up.
    Late {
        ms: u32,
    },
    Throttle {
        retry_after: Option<u32>,
    },
    Fail,
    Deny,
    /// A message is refused permanently.
    Reject,
    SayNo,
    Garbage,
    Slow {
        ms: u32,
    },
    /// Keys of a batch are left unprocessed.
    Partial,
}

/// A fault that lasts for a while.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub system: System,
    pub fault: Fault,
    pub from_ms: u64,
    pub to_ms: u64,
    pub percent: u8,
}

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Self::Hang => "hangs",
            Self::Refuse => "refuses the connection",
            Self::Die => "drops the connection",
            Self::LoseAnswer => "loses the answer",
            Self::HangAfter => "takes effect and hangs",
            Self::Late { .. } => "takes effect late",
            Self::Throttle { retry_after: None } => "throttles",
            Self::Throttle { retry_after: Some(_) } => "throttles with Retry-After",
            Self::Fail => "answers 5xx",
            Self::Deny => "denies access",
            Self::Reject => "rejects the message",
            Self::SayNo => "says success: false",
            Self::Garbage => "answers garbage",
            Self::Slow { .. } => "is slow",
            Self::Partial => "answers in part",
        }
    }

    /// One that this system can have.
    pub fn draw(rng: &mut Rng, system: System) -> Self {
        let throttle = |rng: &mut Rng| {
            let seconds = [None, None, Some(1), Some(20), Some(600), Some(36_000)];
            Self::Throttle { retry_after: seconds[rng.usize(..seconds.len())] }
        };
        let slow = |rng: &mut Rng| Self::Slow { ms: rng.u32(1_500..12_000) };
        match (system, rng.u8(..12)) {
            (System::Table, 0 | 1) => Self::Throttle { retry_after: None },
            (System::Table, 2) => Self::Fail,
            (System::Table, 3) => Self::Late { ms: rng.u32(300..5_000) },
            (System::Table, 4) => Self::Hang,
            (System::Table, 5..=7) => Self::LoseAnswer,
            (System::Table, 8) => Self::HangAfter,
            (System::Table, 9) => Self::Partial,
            (System::Table, 10) => Self::Slow { ms: rng.u32(200..2_500) },
            (System::Table, _) => Self::Die,
            (System::Secrets, 0..=3) => Self::Throttle { retry_after: None },
            (System::Secrets, 4..=6) => Self::Fail,
            (System::Secrets, 7..=9) => Self::Hang,
            (System::Secrets, _) => Self::Deny,
            (_, 0 | 1) => Self::Hang,
            (_, 2) => Self::Refuse,
            (_, 3) => throttle(rng),
            (_, 4 | 5) => Self::Fail,
            (_, 6) => Self::Deny,
            (System::Destination(_), 7) => [Self::Reject, Self::SayNo, Self::Fail][rng.usize(..3)],
            (_, 8) => Self::Garbage,
            (_, 9) => slow(rng),
            (_, 10) => Self::LoseAnswer,
            _ => throttle(rng),
        }
    }
}
