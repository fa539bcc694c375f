use super::*;

fn sample(name: &str, expected: Expected) -> Sample {
    Sample { name: name.to_owned(), provider: providers::by_name("rail").unwrap(), body: b"{}".to_vec(), expected }
}

fn folder(entries: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for provider in providers::ALL {
        fs::create_dir(folder.path().join(provider.name)).unwrap();
    }
    fs::write(folder.path().join(INDEX), entries).unwrap();
    folder
}

#[test]
fn a_saved_sample_is_read_as_it_was_saved() {
    let members = [("workflow", "a"), ("a \"name\"", "line\nand\u{7f}\\ 'mark'"), ("amount", "1000.00")];
    let members: BTreeMap<_, _> = members.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let expected = Expected {
        answer: "accepted".to_owned(),
        state: "delivered".to_owned(),
        skips: vec!["once".to_owned(), "twice \"so\"".to_owned()],
        delivers: [("account-open".to_owned(), members.clone()), ("odd name".to_owned(), members)].into(),
    };
    let folder = folder("# what stands there\n[\"rail/first.json\"]\nanswer = \"ignored\"\nstate = \"ignored\"\n");
    fs::write(folder.path().join("rail/first.json"), "{}").unwrap();
    save(folder.path(), &sample("rail/second.json", expected.clone())).unwrap();
    save(folder.path(), &sample("rail/third.json", Expected::default())).unwrap();

    let read = load(folder.path()).unwrap();
    let names: Vec<_> = read.iter().map(|sample| sample.name.as_str()).collect();
    assert_eq!(names, ["rail/first.json", "rail/second.json", "rail/third.json"]);
    assert_eq!((read[1].body.as_slice(), format!("{:?}", read[1].expected)), (&b"{}"[..], format!("{expected:?}")));
    let index = fs::read_to_string(folder.path().join(INDEX)).unwrap();
    assert!(index.starts_with("# what stands there\n"), "{index}");
}

#[test]
fn a_sample_is_saved_whole_or_not_at_all() {
    let of = |name| sample(name, Expected::default());
    let folder = folder("");
    fs::write(folder.path().join("rail/there.json"), "as it was").unwrap();
    let error = save(folder.path(), &of("rail/there.json")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(folder.path().join("rail/there.json")).unwrap(), "as it was");
    assert_eq!(fs::read_to_string(folder.path().join(INDEX)).unwrap(), "");

    // The entry cannot be written: a folder is where it would be.
    fs::create_dir(folder.path().join(format!("{INDEX}.new"))).unwrap();
    assert!(save(folder.path(), &of("rail/new.json")).is_err());
    assert!(!folder.path().join("rail/new.json").exists());
}
