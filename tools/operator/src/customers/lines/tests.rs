use super::*;

const NOW: UnixMillis = UnixMillis(1_738_784_271_042);

fn lines(text: &str) -> Lines<&[u8]> {
    let routes = ["first-deposit", "welcome"].map(str::to_owned).into();
    Lines::open(text.as_bytes()).unwrap().with_once_routes(routes)
}

fn all(text: &str) -> Vec<Result<Row, BadLine>> {
    let mut lines = lines(text);
    std::iter::from_fn(|| lines.next(NOW).unwrap()).collect()
}

/// One line below this header is a row.
#[track_caller]
fn good(header: &str, line: &str) -> Row {
    let mut rows = all(&format!("{header}\n{line}\n"));
    assert_eq!(rows.len(), 1, "{line}");
    rows.remove(0).unwrap()
}

/// One line below the header is bad, and the one after it is not.
#[track_caller]
fn check_bad(line: &str, expected: Reason) {
    let text = format!("ref,customer_id,email,once\n{line}\nuser:2,C-2,,\n");
    let rows = all(&text);
    assert_eq!(rows[0], Err(BadLine { line: 2, reason: expected }), "{line}");
    assert_eq!(rows[1].as_ref().unwrap().customer.customer_id, "C-2");
}

#[track_caller]
fn check_header(text: &str, expected: &str) {
    assert_eq!(Lines::open(text.as_bytes()).err().unwrap().to_string(), expected);
}

#[test]
fn a_line_is_read_by_the_names_of_its_columns_in_any_order() {
    let header = "once,trading_accounts,last_name,customer_id,first_name,email,ref";
    let row =
        good(header, r#"welcome;first-deposit,5001; 5002;,"Person, the Sample",C-1001,Sample,s@example.com,user:a:b"#);
    let expected = Customer {
        email: Some("s@example.com".to_owned()),
        first_name: Some("Sample".to_owned()),
        last_name: Some("Person, the Sample".to_owned()),
        trading_accounts: vec!["5001".to_owned(), "5002".to_owned()],
        ..Customer::new("C-1001", NOW)
    };
    assert_eq!(row.reference.as_str(), "user:a:b");
    assert_eq!(row.customer, expected);
    assert_eq!(row.once, ["first-deposit", "welcome"].map(str::to_owned).into());
}

#[test]
fn what_is_empty_was_not_said_and_blanks_around_cells_count_for_nothing() {
    let row = good("ref , customer_id,email,trading_accounts,once", " user:1,\tC-1 , ,;, ");
    assert_eq!((row.customer, row.once.len()), (Customer::new("C-1", NOW), 0));
    assert_eq!(good("ref,customer_id", "user:1,C-1").customer, Customer::new("C-1", NOW));
    let row = good("\u{feff}ref,customer_id", "\u{a0}user:a b\u{2003},C 1\u{a0}");
    assert_eq!((row.reference.as_str(), row.customer.customer_id.as_str()), ("user:a b", "C 1"));
}

#[test]
fn what_nobody_sees_in_a_reference_or_an_id_is_a_bad_line() {
    for value in ["A\u{a0}1", "A\u{200b}1", "A1\u{ad}", " A1", "\u{a0}A1", "A\u{2028}1", "\u{202e}1A"] {
        check_bad(&format!("user:{value},C-1,,"), Reason::Unseen("ref"));
    }
    for value in ["C\u{a0}1", "C\u{200b}1", "\u{feff}C1"] {
        check_bad(&format!("user:1,{value},,"), Reason::Unseen("customer_id"));
    }
}

#[test]
fn a_byte_order_mark_and_carriage_returns_are_taken_as_spreadsheets_write_them() {
    let rows = all("\u{feff}ref,customer_id\r\nuser:1,C-1\r\n\r\nuser:2,C-2");
    let ids: Vec<_> = rows.iter().map(|row| row.as_ref().unwrap().customer.customer_id.as_str()).collect();
    assert_eq!(ids, ["C-1", "C-2"]);
}

#[test]
fn a_bad_line_is_told_by_its_reason_and_the_next_one_is_read() {
    check_bad("user:1,C-1", Reason::Cells { found: 2, expected: 4 });
    check_bad("user:1,C-1,,,,", Reason::Cells { found: 6, expected: 4 });
    check_bad("user,C-1,,", Reason::Ref(CustomerRefError::Kind));
    check_bad("User:1,C-1,,", Reason::Ref(CustomerRefError::Kind));
    check_bad("user:,C-1,,", Reason::Ref(CustomerRefError::Value));
    check_bad("user:1, ,,", Reason::CustomerIdEmpty);
    check_bad(&format!("user:1,{},,", "x".repeat(MAX_CUSTOMER_ID_BYTES + 1)), Reason::CustomerId);
    check_bad("user:1,C\u{7}1,,", Reason::CustomerId);
    check_bad("user:1,C-1,,deposit", Reason::Once);
    check_bad("user:1,C-1,,welcome;deposit", Reason::Once);
}

#[test]
fn bytes_that_are_no_text_are_told_by_their_column() {
    let mut lines = Lines::open(&b"ref,customer_id,email\nuser:1,C-1,\xff\n"[..]).unwrap();
    assert_eq!(lines.next(NOW).unwrap(), Some(Err(BadLine { line: 2, reason: Reason::NotUtf8("email") })));
}

#[test]
fn a_line_is_counted_where_it_begins_whatever_stands_before_it() {
    let text = "\nref,customer_id,first_name\n\n\nuser:1,C-1,\"two\n\nlines\"\n\nuser:2,,\nuser:3,,\n\n";
    for text in [text.to_owned(), text.replace('\n', "\r\n"), text.trim_end().to_owned()] {
        let rows = all(&text);
        let bad: Vec<_> = rows.iter().filter_map(|row| row.as_ref().err()).map(|bad| bad.line).collect();
        assert_eq!((rows.len(), bad), (3, vec![9, 10]), "{text:?}");
    }
}

#[test]
fn a_quote_left_open_ends_the_file_where_it_began_and_takes_no_memory() {
    let mut text = "ref,customer_id\nuser:1,C-1\nuser:2,\"C-2\n".to_owned();
    text.push_str(&"user:3,C-3\n".repeat(100_000));
    let mut lines = lines(&text);
    assert_eq!(lines.next(NOW).unwrap().unwrap().unwrap().customer.customer_id, "C-1");
    assert_eq!(lines.next(NOW).unwrap(), Some(Err(BadLine { line: 3, reason: Reason::TooLong })));
    assert_eq!(lines.next(NOW).unwrap(), None);
    assert!(lines.position() < 2 * MAX_LINE_BYTES as u64, "{}", lines.position());
}

#[test]
fn the_longest_line_is_read_wherever_it_falls_in_the_buffer() {
    let long = "x".repeat(MAX_LINE_BYTES - 40_000);
    for before in [0, 1, 300, 5_000] {
        let text = format!("ref,customer_id,email\n{}user:2,C-2,{long}\n", "user:1,C-1,\n".repeat(before));
        let last = all(&text).pop().unwrap().unwrap();
        assert_eq!(last.customer.email.map(|email| email.len()), Some(long.len()), "after {before}");
    }
}

#[test]
fn a_header_that_is_none_is_refused_with_the_name_of_its_column() {
    check_header("", "the file has no header row");
    check_header("ref,customer_id,password\n", "there is no column `password`");
    check_header("ref,customer_id,\n", "there is no column ``");
    check_header("Ref,customer_id\n", "there is no column `Ref`");
    check_header("ref;customer_id\n", "there is no column `ref;customer_id`");
    check_header("ref,customer_id,ref\n", "column `ref` occurs twice");
    check_header("ref,email\n", "column `customer_id` is missing");
    check_header("customer_id\n", "column `ref` is missing");
    check_header("\u{1b}[31mred,ref\n", "there is no column `\u{fffd}[31mred`");
}

#[test]
fn a_carriage_return_alone_ends_a_line_as_well() {
    let bad_lines = |text: &str| {
        let bad = |row: Result<Row, BadLine>| row.err().map(|bad| bad.line);
        all(text).into_iter().map(bad).collect::<Vec<_>>()
    };
    assert_eq!(bad_lines("ref,customer_id\ruser:1,C-1\rbad\r\ruser:2\r"), [None, Some(3), Some(5)]);
    assert_eq!(bad_lines("ref,customer_id\r\nbad\rbad\nbad\r\n"), [Some(2), Some(3), Some(4)]);
}

#[test]
fn a_reason_never_repeats_what_is_in_the_line() {
    let text = "ref,customer_id,email,once\nsecret,C-1,,\nuser:1,C-1,,secret\nuser:1,secret\u{1}secret,,\n";
    for bad in all(text) {
        let told = bad.unwrap_err().reason.to_string();
        assert!(!told.contains("secret"), "{told}");
    }
}
