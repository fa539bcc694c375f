use super::*;

#[track_caller]
fn added(text: &str, expected: &str) {
    let customers = [("rail-account:A", "C-1"), ("rillis-user:b,\"c", "C-2")];
    let customers = customers.map(|(reference, id)| (reference.to_owned(), id.to_owned())).into();
    assert_eq!(new_lines(text, &customers).unwrap(), expected, "{text:?}");
}

#[test]
fn a_customer_is_added_in_the_columns_of_the_file_unless_it_is_there() {
    let second = "\"rillis-user:b,\"\"c\",C-2";
    added("ref,customer_id\n", &format!("rail-account:A,C-1\n{second}\n"));
    added("customer_id,email,ref", "C-1,,rail-account:A\nC-2,,\"rillis-user:b,\"\"c\"\n");
    for line_end in ["\n", "\r\n"] {
        added(&["ref,customer_id,email", "rail-account:A,C-9,a@b.example"].join(line_end), &format!("{second},\n"));
        added(&["ref,customer_id", "\"rail-account:A\",\"C-9\"", ""].join(line_end), &format!("{second}\n"));
        added(&["\u{feff}customer_id,ref", "C-9, rail-account:A ", "C-8,\"rillis-user:b,\"\"c\""].join(line_end), "");
    }
}
