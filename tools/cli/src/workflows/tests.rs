use route::destination::Destination;

use super::*;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);

#[test]
fn a_paused_workflow_says_since_when_an_unreadable_one_that_it_is_and_messages_are_told_where_they_were_counted() {
    let [deposits, kyc, vip] = ["deposits", "kyc", "vip"].map(|name| Destination::Workflow(name.to_owned()));
    let since = UnixMillis(NOW.0 - 7_500_000);
    let written = |pending: Option<usize>| {
        let statuses = [
            (&deposits, PauseStatus::Delivering),
            (&kyc, PauseStatus::Paused { since }),
            (&vip, PauseStatus::Unreadable),
        ]
        .map(|(destination, status)| WorkflowStatus { destination, status, routes: vec!["opened"], pending });
        let (mut table, mut json) = (Lines::default(), Lines::default());
        write(&mut table, &statuses, NOW).unwrap();
        terminal::write_json(&mut json, statuses.iter().map(line)).unwrap();
        [table.0, json.0]
    };
    let [table, json] = written(None);
    let expected = "WORKFLOW  STATE
deposits  delivering
kyc       paused since 2025-02-05T17:32:51.042Z, for 2 h 5 min
vip       unreadable: nothing is sent. hint: `bridge workflows resume vip` or `pause vip`
";
    assert_eq!(table, expected);
    let expected = concat!(
        r#"{"workflow":"deposits","paused":false,"routes":["opened"]}"#,
        "\n",
        r#"{"workflow":"kyc","paused":true,"paused_since":"2025-02-05T17:32:51.042Z","routes":["opened"]}"#,
        "\n",
        r#"{"workflow":"vip","paused":null,"routes":["opened"]}"#,
        "\n"
    );
    assert_eq!(json, expected);
    let [table, json] = written(Some(4));
    assert!(table.starts_with("WORKFLOW  PENDING  STATE\ndeposits  4        delivering\n"), "{table}");
    assert!(json.starts_with(r#"{"workflow":"deposits","paused":false,"routes":["opened"],"pending":4}"#), "{json}");
}
