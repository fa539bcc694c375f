//! The page as a person uses it: in a browser, over the bridge itself.

mod browser;
mod dev;
mod files;
mod here;
