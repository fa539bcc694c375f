//! The files that the browser loads fit each other.

use crate::page::{FILES, HTML, is_ours};

#[test]
fn each_module_that_another_imports_is_served_and_loaded_early() {
    let imports: Vec<(&str, &str)> =
        FILES.into_iter().flat_map(|(path, _, text)| imported(text).map(move |it| (path, it))).collect();
    assert!(imports.contains(&("/page.js", "rows.js")), "{imports:?}");
    for (path, module) in imports {
        assert!(is_ours(&format!("/{module}")), "{path} imports {module}, which is not served");
        let early = format!(r#"<link rel="modulepreload" href="{module}">"#);
        assert!(HTML.contains(&early), "{path} imports {module}, of which the HTML does not tell the browser");
    }
}

#[test]
fn what_is_not_a_file_of_the_page_is_the_gateways() {
    for (path, ours) in
        [("/", true), ("/page.css", true), ("/api/nothing", true), ("/nothing.js", false), ("//page.js", false)]
    {
        assert_eq!(is_ours(path), ours, "{path}");
    }
}

fn imported(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter_map(|line| line.split_once(" from \"./")?.1.strip_suffix("\";"))
}
