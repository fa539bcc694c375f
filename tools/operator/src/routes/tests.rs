use tempfile::TempDir;

use super::*;

const ROUTES: &str = r#"
[redact]
rail = ["/person"]

[rail.names]
customer = "/customer"
amount   = ["/amount", "/other"]
absent   = "/absent"
hidden   = "/person/name"
fetched  = "lookup:account:/data/x"

[rail.lookups]
account = "/v1/accounts/{amount}"

[rillis.names]
unknown = "/unknown"

[rail.routes.r]
events     = "POSTED"
workflow   = "w"
event_type = "e"
"#;

fn unfilled(samples: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let folder = TempDir::new().unwrap();
    for (file, body) in samples {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, body).unwrap();
    }
    let file = parse("routes.toml", ROUTES).unwrap();
    let names = unfilled_names(&file, folder.path()).map_err(|error| error.to_string())?;
    Ok(names.iter().map(|name| format!("{} {}", name.line, name.name)).collect())
}

#[test]
fn a_name_that_no_sample_fills_is_found_with_its_line() {
    let samples = [
        ("rail/a.json", r#"{"customer":"C-1","amount":null}"#),
        ("rail/b.json", r#"{"other":1,"person":{"name":"x"}}"#),
        ("rail/c.txt", r#"{"absent":1}"#),
        ("other/d.json", r#"{"absent":1}"#),
    ];
    assert_eq!(unfilled(&samples).unwrap(), ["8 absent", "9 hidden"]);
}

#[test]
fn without_samples_of_a_provider_nothing_is_known_of_its_names() {
    assert!(unfilled(&[]).unwrap().is_empty());
    assert_eq!(unfilled(&[("rillis/a.json", "{}")]).unwrap(), ["16 unknown"]);
}

#[test]
fn a_sample_that_is_not_json_is_an_error() {
    let error = unfilled(&[("rail/a.json", "{")]).unwrap_err();
    assert!(error.contains("a sample of rail is not JSON"), "{error}");
}

#[test]
fn the_samples_of_this_repository_fill_every_name_of_its_routes() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = read(&workspace.join("routes.toml")).unwrap();
    let unfilled = unfilled_names(&file, &workspace.join("events")).unwrap();
    assert_eq!(unfilled.iter().map(|name| &*name.name).collect::<Vec<_>>(), [""; 0]);
    assert!(file.names.len() > 10, "{:?}", file.names);
}
