use super::*;

#[test]
fn a_table_that_is_busy_slow_or_in_trouble_is_asked_again_and_no_other() {
    let is_busy =
        |reason: &str| StoreError::Unavailable { table: "customers".to_owned(), reason: reason.to_owned() }.is_busy();
    for reason in ["ThrottlingException", "RequestLimitExceeded", "InternalServerError", "no answer in time"] {
        assert!(is_busy(reason), "{reason}");
    }
    for reason in ["AccessDeniedException", "ValidationException", "ResourceNotFoundException", "no connection"] {
        assert!(!is_busy(reason), "{reason}");
    }
    assert!(!StoreError::TooLarge { stored_bytes: 1 }.is_busy());
}
