use std::os::unix::fs::PermissionsExt;

use super::*;

fn bridge(pid: u32) -> DevFile {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    DevFile {
        gateway_url: url(9000),
        dynamodb_url: url(9001),
        secrets_manager_url: url(9002),
        returning_ai_url: url(9003),
        rail_api_url: url(9004),
        webhook_port_url: Some(url(9005)),
        real_secrets: ["bridge/rail/api".to_owned()].into(),
        parts: Parts {
            events_table: Some("events".to_owned()),
            customers_table: Some("customers".to_owned()),
            redrive_function: Some("redrive".to_owned()),
            signing_secrets: [("rail".to_owned(), "bridge/rail/signing".to_owned())].into(),
            ..Parts::default()
        },
        pid,
    }
}

#[test]
fn a_bridge_is_found_while_it_is_up_and_not_afterwards() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(DevFile::read(root.path()).unwrap(), None);
    let up = bridge(std::process::id());
    let written = up.write(root.path()).unwrap();
    assert_eq!(DevFile::read(root.path()).unwrap(), Some(up));
    drop(written);
    assert!(!path(root.path()).exists());
    assert_eq!(DevFile::read(root.path()).unwrap(), None);
}

#[test]
fn the_file_is_private_whatever_was_there_before() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    std::fs::write(&path, "before").unwrap();
    write_private(&path, "after").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "after");
    let _written = bridge(1).write(root.path()).unwrap();
    for path in [path, super::path(root.path())] {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
    }
}

#[test]
fn what_a_killed_bridge_left_behind_counts_as_none() {
    let root = tempfile::tempdir().unwrap();
    // Above the highest pid that Linux gives (2^22).
    let _written = bridge(1 << 30).write(root.path()).unwrap();
    assert!(path(root.path()).exists());
    assert_eq!(DevFile::read(root.path()).unwrap(), None);
}

#[test]
fn the_newest_bridge_wins_and_an_older_one_that_ends_leaves_its_file_alone() {
    let root = tempfile::tempdir().unwrap();
    let older = bridge(1).write(root.path()).unwrap();
    let newer = bridge(std::process::id());
    let _written = newer.write(root.path()).unwrap();
    drop(older);
    assert_eq!(DevFile::read(root.path()).unwrap(), Some(newer));
}

#[test]
fn a_file_that_is_not_ours_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join(".bridge")).unwrap();
    std::fs::write(path(root.path()), "{}").unwrap();
    assert_eq!(DevFile::read(root.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
}
