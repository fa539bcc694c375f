use tempfile::TempDir;

use super::*;

#[expect(dead_code, reason = "a build script has a `main`")]
#[path = "../../../../functions/routes/build.rs"]
mod build;

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

#[test]
fn the_build_fails_with_the_words_of_routes_check() {
    let route = "[rail.routes.r]\nevents = \"POSTED\"\nworkflow = \"w\"\nevent_type = \"e\"\n";
    for (text, problem) in [
        ("[rail.routes.r", "routes.toml:1:15: "),
        ("[rail.routes.r]\nevents = \"POSTED\"\n", "`customer` is missing"),
        (&format!("{route}customer = \"/c\"\nfeilds = [\"a\"]\n"), "feilds"),
        (&format!("{route}customer = \"/c\"\nfields = {{ a = \"/password\" }}\n"), "password"),
        (&format!("{route}customer = \"rail-acount:/id\"\n"), "rail-acount"),
        (&format!("{route}customer = \"/c\"\nfields = [\"nobody\"]\n"), "routes.toml:6:11: "),
        (&route.replace("rail", "rial"), "rial"),
    ] {
        let error = parse("routes.toml", text).unwrap_err();
        assert!(error.problem().contains(problem), "{problem}: {error:?}");
        assert_eq!(build::compile(text).unwrap_err(), format!("{}\nhint: {}", error.problem(), error.hint()));
    }
}

mod documented {
    use std::path::PathBuf;

    use super::super::preview::Preview;
    use super::*;

    /// A fenced block: its language, its text, and the paragraph before it.
    struct Block<'d> {
        language: &'d str,
        text: &'d str,
        before: &'d str,
    }

    fn blocks(document: &str) -> Vec<Block<'_>> {
        let mut parts = document.split("```");
        let mut blocks = Vec::new();
        while let (Some(prose), Some(block)) = (parts.next(), parts.next()) {
            let (language, text) = block.split_once('\n').unwrap();
            let before = prose.trim().rsplit("\n\n").next().unwrap_or_default();
            blocks.push(Block { language, text, before });
        }
        blocks
    }

    /// The members of an object, without the spaces around values.
    fn members(json: &str) -> Vec<(String, String)> {
        let document = Document::of(json).unwrap();
        let compact = |text: &str| text.split_whitespace().collect::<String>();
        let member =
            |member: json::Member<'_>| (member.key.text().unwrap().into_owned(), compact(member.value.source()));
        document.root().members().map(member).collect()
    }

    #[test]
    fn each_example_is_sound_makes_the_message_that_is_shown_or_is_refused_with_the_words_that_are_shown() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let document = fs::read_to_string(workspace.join("docs/routes.md")).unwrap();
        let blocks = blocks(&document);
        let (mut messages, mut mistakes) = (0, 0);
        for (at, block) in blocks.iter().enumerate().filter(|(_, block)| block.language == "toml") {
            let parsed = providers::parse_routes("routes.toml", block.text);
            match blocks.get(at + 1) {
                Some(Block { language: "text", text, .. }) => {
                    let error = parsed.unwrap_err();
                    assert_eq!(format!("{}\nhint: {}\n", error.with_its_line(block.text), error.hint()), *text);
                    mistakes += 1;
                }
                Some(Block { language: "json", text, before }) => {
                    let routes = parsed.unwrap_or_else(|error| panic!("{error}\n{}", block.text));
                    let sample = before.split('`').nth(1).unwrap();
                    let file: PathBuf = workspace.join(sample);
                    let body = fs::read(&file).unwrap_or_else(|error| panic!("{sample}: {error}"));
                    let preview = Preview::new(&body, &file, None, &routes).unwrap();
                    let made: Vec<_> = preview.routes.iter().filter_map(|route| route.message.as_ref()).collect();
                    let [message] = made[..] else { panic!("{sample}: {:?}", preview.routes) };
                    assert_eq!(members(message.get()), members(text), "{sample}");
                    messages += 1;
                }
                _ => drop(parsed.unwrap_or_else(|error| panic!("{error}\n{}", block.text))),
            }
        }
        assert!(messages >= 8 && mistakes >= 1, "{messages} messages, {mistakes} mistakes");
    }
}
