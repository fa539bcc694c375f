//! Look-ups: what a provider's own API is asked about an event, as data of the routes file.

use std::fmt;

use json::Pointer;

/// One question to a provider's API, declared once in the provider's section. Each route of the provider may use its answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lookup {
    pub provider: String,
    /// Unique among the provider's.
    pub name: String,
    /// Below the base URL; begins with a slash.
    pub path: Vec<PathPart>,
}

/// A part of a look-up's path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PathPart {
    /// As it is sent: letters, digits and `-._~/`.
    Literal(String),
    /// The id in the event's body by the first pointer that finds one, to be percent-encoded. Without an id the look-up cannot be
    /// asked.
    Value(Vec<Pointer>),
}

/// Where the value of a field may stand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// In the event's body.
    Body(Pointer),
    /// In the answer of the look-up of this name, one of the route's provider.
    Lookup { lookup: String, pointer: Pointer },
}

impl Place {
    pub fn pointer(&self) -> &Pointer {
        match self {
            Self::Body(pointer) | Self::Lookup { pointer, .. } => pointer,
        }
    }
}

/// As in the file.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(pointer) => write!(f, "{pointer}"),
            Self::Lookup { lookup, pointer } => write!(f, "lookup:{lookup}:{pointer}"),
        }
    }
}
