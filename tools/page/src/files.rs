//! The files that the browser loads, compiled into the program.

use std::fmt::Write as _;

use crate::alarms;

/// A file beside the HTML.
pub(crate) struct File {
    pub(crate) name: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) text: &'static str,
}

const HTML: &str = include_str!("assets/index.html");

/// The places in the HTML of the token, of the modules that the browser must load early, and of the alarms.
const TOKEN_PLACE: &str = "{{token}}";
const MODULES_PLACE: &str = "  {{modules}}\n";
const ALARMS_PLACE: &str = "{{alarms}}";

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

macro_rules! file {
    ($name:literal, $content_type:expr) => {
        File { name: $name, content_type: $content_type, text: include_str!(concat!("assets/", $name)) }
    };
}

pub(crate) const FILES: [File; 19] = [
    file!("icon.svg", "image/svg+xml"),
    file!("page.css", CSS),
    file!("page.js", JS),
    file!("alarms.js", JS),
    file!("asking.js", JS),
    file!("customers.js", JS),
    file!("elements.js", JS),
    file!("figures.js", JS),
    file!("filters.js", JS),
    file!("fragment.js", JS),
    file!("keys.js", JS),
    file!("list.js", JS),
    file!("opened.js", JS),
    file!("playground.js", JS),
    file!("jobs.js", JS),
    file!("rows.js", JS),
    file!("state.js", JS),
    file!("words.js", JS),
    file!("workflows.js", JS),
];

/// The HTML of a page that sends `token` with all requests.
pub(crate) fn html(token: &str) -> String {
    let mut modules = String::new();
    for file in FILES.iter().filter(|file| file.content_type == JS && file.name != "page.js") {
        let _ = writeln!(modules, r#"  <link rel="modulepreload" href="{}">"#, file.name);
    }
    HTML.replace(MODULES_PLACE, &modules).replace(TOKEN_PLACE, token).replace(ALARMS_PLACE, &alarms::html())
}

#[cfg(test)]
mod tests;
