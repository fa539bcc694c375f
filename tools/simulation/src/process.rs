//! What a process of the bridge is, and when it dies.

pub type ProcessId = u32;

/// What a process is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Receiver,
    Redrive,
    /// A redrive that an operator asked for by its keys.
    Manual,
    Operator,
}

/// When a process dies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Doom {
    AtPoll(u32),
    /// At its n-th call, before the call has an effect.
    BeforeCall(u32),
    /// At its n-th call, after the call has had its effect and before the answer.
    AfterCall(u32),
}
