use super::*;

#[test]
fn the_binary_is_the_one_that_cargo_names() {
    let cargo_says = br#"{"reason":"compiler-artifact","target":{"name":"rail","kind":["lib"]},"executable":null}
{"reason":"build-script-executed","package_id":"ring"}
{"reason":"compiler-artifact","target":{"name":"rail","kind":["bin"]},"executable":"/target/debug/rail"}
{"reason":"build-finished","success":true}
"#;
    assert_eq!(executable(cargo_says, "rail"), Some(PathBuf::from("/target/debug/rail")));
    assert_eq!(executable(cargo_says, "rillis"), None);
}

#[test]
fn the_workspace_is_the_one_this_crate_belongs_to() {
    assert!(workspace_root().join("tools/local/Cargo.toml").is_file());
}
