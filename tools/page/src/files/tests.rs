use super::*;

#[test]
fn each_module_that_another_imports_is_served_and_loaded_early() {
    let html = html("the-token");
    let imports: Vec<(&str, &str)> =
        FILES.iter().flat_map(|file| imported(file.text).map(move |it| (file.name, it))).collect();
    assert!(imports.contains(&("page.js", "rows.js")), "{imports:?}");
    for (file, module) in imports {
        assert!(FILES.iter().any(|file| file.name == module), "{file} imports {module}, which is not served");
        let early = format!(r#"<link rel="modulepreload" href="{module}">"#);
        assert!(html.contains(&early), "{file} imports {module}, of which the HTML does not tell the browser");
    }
    assert!(html.contains(r#"content="the-token""#) && !html.contains("{{"), "{html}");
}

fn imported(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter_map(|line| line.split_once(" from \"./")?.1.strip_suffix("\";"))
}
