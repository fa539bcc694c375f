use shared::record::event::EventState;
use shared::record::failure::FailureCode;

use super::*;

#[test]
fn a_link_leads_to_an_alarm_or_to_events_that_there_can_be() {
    let html = html();
    let names: Vec<_> = html.split("data-alarm=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut of_events = 0;
    for link in html.split("<a href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        for part in link.strip_prefix('#').unwrap().split("&amp;") {
            let (name, value) = part.split_once('=').unwrap();
            let is_known = match name {
                "alarm" => names.contains(&value),
                "state" => EventState::from_name(value).is_some(),
                "error" => FailureCode::of_summary(value).is_some(),
                _ => false,
            };
            assert!(is_known, "{link}");
            of_events += usize::from(name == "state");
        }
    }
    assert!(of_events >= 8, "{of_events}");
    for name in ["dead-events", "oldest-pending", "id-conflict"] {
        let (_, paragraph) = html.split_once(&format!("data-alarm=\"{name}\"")).unwrap();
        let paragraph = paragraph.split("</details>").next().unwrap();
        assert!(paragraph.contains("href=\"#state="), "{name} does not lead to its events");
    }
}

#[test]
fn a_paragraph_is_prose_lists_tables_and_commands() {
    let html = element(
        "a",
        "A",
        "See [b](#b) and [c](../c.md) & `#state=dead&error=refused`.\n\n* one\n\n| x |\n|---|\n| `y` |\n\n```sh\nrun <it>\n```\n",
    );
    let expected = concat!(
        "<details name=\"alarm\" data-alarm=\"a\"><summary>A</summary>\n",
        "<p>See <a href=\"#alarm=b\">b</a> and c &amp; ",
        "<a href=\"#state=dead&amp;error=refused\"><code>#state=dead&amp;error=refused</code></a>.</p>\n",
        "<ul>\n<li>one</li>\n</ul>\n",
        "<table><thead><tr><th>x</th></tr></thead><tbody>\n<tr><td><code>y</code></td></tr>\n</tbody></table>\n",
        "<pre>run &lt;it&gt;\n</pre>\n</details>\n",
    );
    assert_eq!(html, expected);
}
