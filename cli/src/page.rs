//! The page over the events.

#[cfg(test)]
mod tests;
