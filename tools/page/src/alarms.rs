//! What each alarm is about: the runbook's paragraphs as HTML.

use operator::runbook::{alarms, codes, tasks};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};

/// An element to open for each alarm, for each instruction that several of them need, and for the codes of failed attempts.
pub(crate) fn html() -> String {
    let alarms = alarms().map(|(name, paragraph)| element(name, name, paragraph));
    let tasks = tasks().map(|(title, text)| element(&title.to_lowercase().replace(' ', "-"), title, text));
    let codes = element("codes", "Codes of failed attempts", codes());
    alarms.chain(tasks).chain([codes]).collect()
}

fn element(name: &str, title: &str, markdown: &str) -> String {
    let mut text = format!("<details name=\"alarm\" data-alarm=\"{name}\"><summary>{title}</summary>\n");
    let mut in_link = false;
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. }) => {
            let to = place(&dest_url);
            in_link = to.is_some();
            to.map(|to| Event::InlineHtml(format!("<a href=\"{to}\">").into()))
        }
        Event::End(TagEnd::Link) => in_link.then(|| Event::InlineHtml("</a>".into())),
        // The events of an alarm, as the page's address names them.
        Event::Code(code) if code.starts_with("#state=") => {
            let code = code.replace('&', "&amp;");
            Some(Event::InlineHtml(format!("<a href=\"{code}\"><code>{code}</code></a>").into()))
        }
        Event::Start(Tag::CodeBlock(_)) => Some(Event::Html("<pre>".into())),
        Event::End(TagEnd::CodeBlock) => Some(Event::Html("</pre>\n".into())),
        event => Some(event),
    });
    html::push_html(&mut text, events);
    text + "</details>\n"
}

/// Where a link of the documents leads on the page; `None` if the page does not have it.
fn place(link: &str) -> Option<String> {
    let alarm = if link == "logging.md#codes-of-failed-attempts" { "codes" } else { link.strip_prefix('#')? };
    Some(format!("#alarm={alarm}"))
}

#[cfg(test)]
mod tests;
