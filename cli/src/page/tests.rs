//! The page, in a browser.

mod browser;
