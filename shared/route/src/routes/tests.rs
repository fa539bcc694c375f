use super::*;
use json::Document;

/// What a file may name in these tests.
const KNOWN: Known<'_> =
    Known::Only { providers: &["sample", "other"], apis: &["sample"], kinds: &["sample-account", "sample-form"] };

fn parsed(text: &str) -> Routes {
    Routes::parse("routes.toml", text, KNOWN).unwrap()
}

/// A route that is sound, on four lines, with `more` behind it.
fn route(name: &str, more: &str) -> String {
    format!(
        "[[route]]\nname = \"{name}\"\nprovider = \"sample\"\nworkflow = \"w\"\nevent_type = \"e\"\n\
         events = [\"PAID\"]\ncustomer = \"/customer\"\n{more}\n"
    )
}

mod matching {
    use super::*;

    #[track_caller]
    fn check(routes: &Routes, event_type: &str, body: &str, expected: &[&str]) {
        let document = Document::parse(body.as_bytes()).unwrap();
        let matching: Vec<_> =
            routes.matching("sample", event_type, document.root()).map(|route| route.name.as_str()).collect();
        assert_eq!(matching, expected, "{event_type} {body}");
    }

    fn with_events(events: &str) -> Routes {
        parsed(&route("r", "").replace("[\"PAID\"]", events))
    }

    fn with_when(when: &str) -> Routes {
        parsed(&route("r", &format!("when = {when}")))
    }

    #[test]
    fn a_type_is_known_when_a_route_names_it_whatever_the_content() {
        let routes = parsed(&route("r", "when = { \"/kind\" = [\"DEPOSIT\"] }"));
        check(&routes, "PAID", "{}", &[]);
        for (provider, event_type, known) in
            [("sample", "PAID", true), ("sample", "BOOKED", false), ("another", "PAID", false)]
        {
            assert_eq!(routes.knows_type(provider, event_type), known, "{provider} {event_type}");
        }
    }

    #[test]
    fn a_type_matches_exactly_and_by_case() {
        let routes = with_events(r#"["PAID", "BOOKED"]"#);
        for (event_type, expected) in [
            ("PAID", &["r"][..]),
            ("BOOKED", &["r"]),
            ("PAI", &[]),
            ("PAIDX", &[]),
            ("paid", &[]),
            ("", &[]),
            ("*", &[]),
        ] {
            check(&routes, event_type, "{}", expected);
        }
    }

    #[test]
    fn a_trailing_star_matches_every_type_that_begins_so() {
        let routes = with_events(r#"["ACCOUNT_*"]"#);
        for (event_type, expected) in
            [("ACCOUNT_OPEN", &["r"][..]), ("ACCOUNT_", &["r"]), ("ACCOUNT", &[]), ("MY_ACCOUNT_OPEN", &[])]
        {
            check(&routes, event_type, "{}", expected);
        }
        check(&with_events(r#"["*"]"#), "ANYTHING", "{}", &["r"]);
    }

    #[test]
    fn all_of_a_condition_must_hold() {
        let routes = with_when(r#"{ "/category" = ["DEPOSIT", "REFUND"], "/s/0/state" = ["POSTED"] }"#);
        for (body, expected) in [
            (r#"{"category":"DEPOSIT","s":[{"state":"POSTED"}]}"#, &["r"][..]),
            (r#"{"category":"REFUND","s":[{"state":"POSTED"}]}"#, &["r"]),
            (r#"{"category":"\u0044EPOSIT","s":[{"state":"POSTED"}]}"#, &["r"]),
            (r#"{"category":"DEPOSIT","s":[{"state":"PENDING"}]}"#, &[]),
            (r#"{"category":"deposit","s":[{"state":"POSTED"}]}"#, &[]),
            (r#"{"category":"DEPOSIT"}"#, &[]),
            (r#"{"category":["DEPOSIT"],"s":[{"state":"POSTED"}]}"#, &[]),
            (r#"{"category":null,"s":[{"state":"POSTED"}]}"#, &[]),
            ("{}", &[]),
        ] {
            check(&routes, "PAID", body, expected);
        }
    }

    #[test]
    fn any_of_several_conditions_may_hold() {
        let routes = with_when(r#"[{ "/a" = ["1"], "/b" = ["2"] }, { "/c" = ["3"] }]"#);
        for (body, expected) in [
            (r#"{"a":"1","b":"2"}"#, &["r"][..]),
            (r#"{"c":"3"}"#, &["r"]),
            (r#"{"a":"1","b":"2","c":"3"}"#, &["r"]),
            (r#"{"a":"1"}"#, &[]),
            (r#"{"c":"2"}"#, &[]),
        ] {
            check(&routes, "PAID", body, expected);
        }
    }

    #[test]
    fn a_condition_compares_texts_so_a_number_or_a_flag_never_holds() {
        let routes = with_when(r#"{ "/a" = ["1", "true"] }"#);
        check(&routes, "PAID", r#"{"a":1}"#, &[]);
        check(&routes, "PAID", r#"{"a":true}"#, &[]);
    }

    #[test]
    fn a_route_tells_why_it_does_not_fit() {
        let routes = with_when(r#"[{ "/a" = ["1"], "/b" = ["2"] }, { "/c" = ["3"] }]"#);
        let route = &routes.all()[0];
        let fit = |provider: &str, event_type: &str, body: &str| {
            let document = Document::parse(body.as_bytes()).unwrap();
            match route.fit(provider, event_type, document.root()) {
                Fit::ConditionFails(parts) => parts
                    .iter()
                    .map(|part| format!("{} {:?}", part.pointers[0], part.accepted))
                    .collect::<Vec<_>>()
                    .join(" "),
                fit => format!("{fit:?}"),
            }
        };
        assert_eq!(fit("sample", "PAID", r#"{"c":"3"}"#), "Matches");
        assert_eq!(fit("other", "PAID", r#"{"c":"3"}"#), "OtherProvider");
        assert_eq!(fit("sample", "BOOKED", r#"{"c":"3"}"#), "OtherType");
        assert_eq!(fit("sample", "PAID", r#"{"a":"1","b":"x"}"#), r#"/b ["2"] /c ["3"]"#);
        assert_eq!(fit("sample", "PAID", "{}"), r#"/a ["1"] /c ["3"]"#);
    }

    #[test]
    fn every_route_that_fits_is_found_in_the_order_of_the_file() {
        let text = [
            route("z", ""),
            route("deposits", r#"when = { "/category" = ["DEPOSIT"] }"#),
            route("elsewhere", "").replace("sample", "other"),
            route("a", ""),
        ]
        .concat();
        let routes = parsed(&text);
        check(&routes, "PAID", r#"{"category":"DEPOSIT"}"#, &["z", "deposits", "a"]);
        check(&routes, "PAID", "{}", &["z", "a"]);
        assert_eq!(routes.by_name("elsewhere").map(|route| route.provider.as_str()), Some("other"));
        assert_eq!(routes.by_name("nowhere").map(|route| &route.name), None);
        assert_eq!(routes.all().len(), 4);
    }
}

mod reading {
    use super::*;

    #[test]
    fn a_field_is_a_pointer_a_list_of_them_or_a_table() {
        let routes = parsed(&route(
            "r",
            r#"fields = { one = "/a", two = ["/b", "/c/0"], three = { pointer = "/d" }, four = { pointer = ["/e", "/f"], optional = true } }"#,
        ));
        let told = |field: &Field| {
            let FieldValue::Places(places) = &field.value else { panic!("{field:?}") };
            let places: Vec<_> = places.iter().map(ToString::to_string).collect();
            format!("{} {} {}", field.name, places.join(" "), field.optional)
        };
        let mut fields: Vec<_> = routes.all()[0].fields.iter().map(told).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["four /e /f true", "one /a false", "three /d false", "two /b /c/0 false"]);
    }

    #[test]
    fn a_field_is_a_constant_as_it_is_written() {
        let fields = r#"fields = { text = { const = "é\n\"" }, whole = { const = -7 }, digits = { const = 1000.00 }, large = { const = 1e3 }, yes = { const = true } }"#;
        let routes = parsed(&route("r", fields));
        let told = |field: &Field| match &field.value {
            FieldValue::Constant(json) => format!("{} {json}", field.name),
            value => panic!("{value:?}"),
        };
        let mut fields: Vec<_> = routes.all()[0].fields.iter().map(told).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["digits 1000.00", "large 1e3", r#"text "é\n\"""#, "whole -7", "yes true"]);
    }

    #[test]
    fn a_field_may_come_from_the_customers_table() {
        for attribute in CustomerAttribute::ALL {
            for (more, optional) in [("", false), (", optional = true", true), (", optional = false", false)] {
                let field = format!("fields = {{ a = {{ customer = \"{}\"{more} }} }}", attribute.name());
                let routes = parsed(&route("r", &field));
                let field = &routes.all()[0].fields[0];
                assert!(matches!(field.value, FieldValue::Customer(found) if found == attribute), "{field:?}");
                assert_eq!(field.optional, optional);
            }
        }
    }

    #[test]
    fn a_customer_is_in_the_body_linked_or_known_to_an_api() {
        let sources = r#"["/a", "sample-account:/b/c", "link:other-crm:/d~1e", "link:sample-account:/b"]"#;
        let routes = parsed(&route("r", "").replace(r#""/customer""#, sources));
        let pointer = |text: &str| Pointer::parse(text).unwrap();
        let expected = [
            CustomerSource::Body(pointer("/a")),
            CustomerSource::Api { kind: "sample-account".to_owned(), pointer: pointer("/b/c") },
            CustomerSource::Link { kind: "other-crm".to_owned(), pointer: pointer("/d~1e") },
            CustomerSource::Link { kind: "sample-account".to_owned(), pointer: pointer("/b") },
        ];
        let customer = &routes.all()[0].customer;
        assert_eq!(*customer, expected);
        let told: Vec<_> = customer.iter().map(ToString::to_string).collect();
        assert_eq!(format!("{told:?}"), sources, "it prints as it is written");
    }

    #[test]
    fn a_route_delivers_to_a_workflow_or_to_an_incoming_webhook() {
        let text = [route("a", ""), route("b", "").replace("workflow =", "incoming_webhook =")].concat();
        let routes = parsed(&text);
        let (workflow, webhook) = (Destination::Workflow("w".to_owned()), Destination::IncomingWebhook("w".to_owned()));
        assert_eq!((&routes.all()[0].destination, &routes.all()[1].destination), (&workflow, &webhook));
        assert_eq!(routes.destinations(), BTreeSet::from([&workflow, &webhook]), "one name, and yet two");
        assert_ne!(workflow.to_string(), webhook.to_string());
    }

    #[test]
    fn once_per_customer_and_the_idempotency_field_are_off_and_as_usual_unless_said() {
        let usual = parsed(&route("r", ""));
        assert_eq!((usual.all()[0].once_per_customer, &*usual.all()[0].idempotency_field), (false, "idempotencyKey"));
        let said = parsed(&route("r", "once_per = \"customerId\"\nidempotency_field = \"requestId\""));
        assert_eq!((said.all()[0].once_per_customer, &*said.all()[0].idempotency_field), (true, "requestId"));
    }

    #[test]
    fn a_field_beside_what_is_cut_is_fine() {
        let redact = "[redact]\nsample = [\"/data/form\"]\nother = [\"/data\"]\n";
        parsed(&format!("{redact}{}", route("r", r#"fields = { a = "/data/form_id", b = "/data", c = "/form" }"#)));
    }

    #[test]
    fn names_that_only_sound_like_a_credential_are_fine() {
        parsed(&route("r", r#"fields = { passed = "/keys/0", key = "/word", accessLevel = "/api/version" }"#));
    }
}

mod errors {
    use super::*;

    /// `expected` is the whole text, `routes.toml:` left out.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = Routes::parse("routes.toml", text, KNOWN).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), format!("routes.toml:{expected}"), "\n{text}");
    }

    /// A sound route with `old` replaced by `new`.
    #[track_caller]
    fn check_route(old: &str, new: &str, expected: &str) {
        let sound = route("r", "fields = { amount = \"/amount\" }\nwhen = { \"/a\" = [\"1\"] }");
        assert!(sound.contains(old), "{old}");
        parsed(&sound);
        check(&sound.replace(old, new), expected);
    }

    #[test]
    fn what_is_not_toml_is_refused_where_it_goes_wrong() {
        check("[[route]]\nname = ", "2:8: string values must be quoted, expected literal string");
        check("[[route]\n", "1:9: unclosed array table, expected `]`");
        check("[[route]]\nname = \"a\"\nname = \"b\"\n", "3:1: duplicate key");
        check("[[route]]\nname = \"é\" x\n", "2:12: unexpected key or value, expected newline, `#`");
    }

    #[test]
    fn a_field_that_stands_twice_is_refused() {
        check_route("amount = ", "amount = \"/a\", amount = ", "8:27: duplicate key");
    }

    #[test]
    fn a_file_without_routes_is_refused() {
        check("", "1:1: expected at least one route");
        check("[redact]\nsample = [\"/a\"]\n", "1:1: expected at least one route");
        check("route = []\n", "1:1: expected at least one route");
    }

    #[test]
    fn an_unknown_key_is_named_with_those_that_are_known() {
        let known = "expected one of name, provider, events, when, workflow, incoming_webhook, event_type, customer, once_per, \
                     idempotency_field, fields";
        check("[routes]\n", "1:2: unknown key `routes`; expected one of redact, route, sample, other");
        check_route("workflow", "work_flow", &format!("4:1: unknown key `work_flow`; {known}"));
        check_route(
            "amount = \"/amount\"",
            "amount = { pointer = \"/amount\", required = false }",
            "8:44: unknown key `required`; expected one of pointer, const, customer, optional",
        );
    }

    #[test]
    fn a_key_that_is_missing_is_named_at_its_route() {
        for (line, key) in [
            ("name = \"r\"\n", "name"),
            ("provider = \"sample\"\n", "provider"),
            ("events = [\"PAID\"]\n", "events"),
            ("event_type = \"e\"\n", "event_type"),
            ("customer = \"/customer\"\n", "customer"),
        ] {
            check_route(line, "", &format!("1:1: `{key}` is missing from this route"));
        }
        check_route(
            "amount = \"/amount\"",
            "amount = { optional = true }",
            "8:21: field `amount`: `pointer`, `const` or `customer` is missing",
        );
    }

    #[test]
    fn a_route_has_one_destination() {
        check_route("workflow = \"w\"\n", "", "1:1: `workflow` or `incoming_webhook` is missing from this route");
        check_route(
            "workflow = \"w\"\n",
            "workflow = \"w\"\nincoming_webhook = \"chat\"\n",
            "5:20: this route has a `workflow` already; to deliver to both, write two routes",
        );
    }

    #[test]
    fn a_field_has_one_source() {
        for (table, expected) in [
            (
                "{ pointer = \"/a\", const = 1 }",
                "8:21: field `amount`: expected one of `pointer`, `const` and `customer`",
            ),
            (
                "{ const = 1, customer = \"email\" }",
                "8:21: field `amount`: expected one of `pointer`, `const` and `customer`",
            ),
            ("{ const = 1, optional = true }", "8:34: unknown key `optional`; expected one of const"),
            ("{ const = [1] }", "8:31: `const`: expected a string, a JSON number, true or false"),
            ("{ const = inf }", "8:31: `const`: expected a string, a JSON number, true or false"),
            ("{ const = 0x1f }", "8:31: `const`: expected a string, a JSON number, true or false"),
            ("{ const = +1.0 }", "8:31: `const`: expected a string, a JSON number, true or false"),
            (
                "{ customer = \"phone\" }",
                "8:34: `customer`: expected \"email\", \"first_name\", \"last_name\" or \"trading_accounts\"",
            ),
            (
                "{ customer = 7 }",
                "8:34: `customer`: expected \"email\", \"first_name\", \"last_name\" or \"trading_accounts\"",
            ),
        ] {
            check_route("\"/amount\"", table, expected);
        }
    }

    #[test]
    fn a_customer_s_source_is_one_of_three() {
        let expected = "7:12: `customer`: expected a name, \"/pointer\", \"link:KIND:/pointer\" or \"KIND:/pointer\"";
        for source in [
            "link:/a",
            "lookup:/a",
            "link:A:/a",
            "sample_account:/a",
            ":/a",
            "link::/a",
            "a b:/a",
            "link:a",
            "a/b",
            "a b",
        ] {
            check_route("\"/customer\"", &format!("\"{source}\""), expected);
        }
        check_route(
            "\"/customer\"",
            "\"sample-card:/a\"",
            "7:12: `customer`: no API answers `sample-card:`; expected one of sample-account, sample-form",
        );
        check_route(
            "\"/customer\"",
            "\"link:crm:/~\"",
            "7:12: `customer`: in a JSON pointer, ~ stands only in ~0 (for ~) and ~1 (for /); not at byte 1",
        );
        check_route(
            "\"/customer\"",
            "[\"/a\", \"link:crm:/account/mt_password\"]",
            "7:12: `customer`: `/account/mt_password` looks like a credential; it must not be sent",
        );
    }

    #[test]
    fn once_per_counts_customers_and_nothing_else() {
        for value in ["\"customer\"", "\"\"", "true", "[\"customerId\"]"] {
            check_route("when =", &format!("once_per = {value}\nwhen ="), "9:12: `once_per`: expected \"customerId\"");
        }
    }

    #[test]
    fn the_idempotency_field_is_a_name_of_its_own() {
        let with = |name: &str| format!("idempotency_field = \"{name}\"\nwhen =");
        for name in RESERVED_FIELDS.iter().filter(|name| **name != DEFAULT_IDEMPOTENCY_FIELD) {
            check_route("when =", &with(name), &format!("9:21: `{name}` is a reserved name; choose another one"));
        }
        check_route("when =", &with("amount"), "8:12: every message already has `amount`; choose another name");
        check_route("when =", &with(""), "9:21: `idempotency_field`: expected a non-empty string");
    }

    #[test]
    fn the_second_route_s_problem_is_found_in_the_second_route() {
        let second = route("b", "").replace("workflow = \"w\"\n", "");
        check(
            &format!("{}{second}", route("a", "")),
            "9:1: `workflow` or `incoming_webhook` is missing from this route",
        );
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_where_it_stands() {
        for (old, new, expected) in [
            ("\"r\"", "7", "2:8: `name`: expected a non-empty string"),
            ("\"sample\"", "[\"sample\"]", "3:12: `provider`: expected a non-empty string"),
            ("\"w\"", "true", "4:12: `workflow`: expected a non-empty string"),
            ("\"e\"", "{}", "5:14: `event_type`: expected a non-empty string"),
            ("[\"PAID\"]", "7", "6:10: `events`: expected a non-empty list"),
            ("[\"PAID\"]", "[\"PAID\", 7]", "6:19: `events`: expected a non-empty string"),
            ("\"/customer\"", "7", "7:12: `customer`: expected a non-empty list"),
            ("\"/customer\"", "[\"/a\", 7]", "7:19: `customer`: expected a non-empty string"),
            ("{ amount = \"/amount\" }", "\"/amount\"", "8:10: `fields`: expected a list of names, or a table"),
            ("\"/amount\"", "7", "8:21: `amount`: expected a non-empty list"),
            (
                "\"/amount\"",
                "{ pointer = \"/amount\", optional = \"yes\" }",
                "8:55: `optional`: expected true or false",
            ),
            ("{ \"/a\" = [\"1\"] }", "\"/a\"", "9:8: `when`: expected a table"),
            ("{ \"/a\" = [\"1\"] }", "[\"/a\"]", "9:9: `when`: expected a table"),
            ("[\"1\"]", "1", "9:17: `when`: expected a non-empty list"),
            ("[\"1\"]", "[1]", "9:18: `when`: expected a non-empty string"),
        ] {
            check_route(old, new, expected);
        }
        check("route = 7\n", "1:9: `route`: expected it to be written [[route]]");
        check("[route]\nname = \"r\"\n", "1:1: `route`: expected it to be written [[route]]");
        check("route = [7]\n", "1:10: `route`: expected a table");
        check("redact = 7\n", "1:10: `redact`: expected a table");
        check("[redact]\nsample = 7\n", "2:10: `redact`: expected a non-empty list");
    }

    #[test]
    fn what_is_empty_is_refused() {
        for (old, new, expected) in [
            ("\"r\"", "\"\"", "2:8: `name`: expected a non-empty string"),
            ("\"sample\"", "\"\"", "3:12: `provider`: expected a non-empty string"),
            ("[\"PAID\"]", "[]", "6:10: `events`: expected a non-empty list"),
            ("[\"PAID\"]", "[\"\"]", "6:11: `events`: expected a non-empty string"),
            ("\"/customer\"", "[]", "7:12: `customer`: expected a non-empty list"),
            ("\"/amount\"", "[]", "8:21: `amount`: expected a non-empty list"),
            ("[\"1\"]", "[]", "9:17: `when`: expected a non-empty list"),
            // No condition at all is no `when` at all; an empty one is one that somebody forgot to write.
            ("{ \"/a\" = [\"1\"] }", "[]", "9:8: `when`: expected a non-empty list"),
            ("{ \"/a\" = [\"1\"] }", "{}", "9:8: `when`: expected a non-empty table"),
            ("{ \"/a\" = [\"1\"] }", "[{ \"/a\" = [\"1\"] }, {}]", "9:27: `when`: expected a non-empty table"),
        ] {
            check_route(old, new, expected);
        }
    }

    #[test]
    fn what_is_no_json_pointer_is_refused() {
        for pointer in ["amount", "", "#/amount", "$.amount", "/a~", "/a~2b"] {
            let problem = match pointer {
                "" => "expected a non-empty string",
                _ => "expected a JSON Pointer such as \"/data/user_id\"",
            };
            check(&format!("[redact]\nsample = [\"{pointer}\"]\n"), &format!("2:11: `redact`: {problem}"));
        }
        for pointer in ["#/amount", "$.amount", "a b", "a_:b", "?"] {
            let expected = "a name, a JSON Pointer such as \"/data/user_id\", or \"lookup:NAME:/pointer\"";
            check_route("\"/amount\"", &format!("\"{pointer}\""), &format!("8:21: `amount`: expected {expected}"));
        }
        let tilde = "in a JSON pointer, ~ stands only in ~0 (for ~) and ~1 (for /); not at byte";
        check_route("\"/amount\"", "\"\"", "8:21: `amount`: expected a non-empty string");
        check_route("\"/amount\"", "\"/a~\"", &format!("8:21: `amount`: {tilde} 2"));
        check_route("\"/a\"", "\"/~\"", &format!("9:10: `when`: {tilde} 1"));
    }

    #[test]
    fn a_star_stands_only_at_the_end_of_an_event_type() {
        for pattern in ["A*B", "*A", "A**", "**"] {
            check_route("PAID", pattern, "6:11: `events`: expected an event type, or a prefix followed by `*`");
        }
    }

    #[test]
    fn two_routes_of_one_name_are_refused_at_the_second() {
        let twice = [route("a", ""), route("b", ""), route("a", "")].concat();
        check(&twice, "18:8: another route is already named `a`");
    }

    #[test]
    fn a_name_that_would_not_fit_a_key_is_refused() {
        for name in ["a b", "a/b", "é", "a.b", "a#b"] {
            check_route("\"r\"", &format!("\"{name}\""), "2:8: `name`: expected letters, digits, `-` and `_` only");
        }
    }

    #[test]
    fn a_reserved_field_is_refused() {
        for name in RESERVED_FIELDS {
            check_route(
                "amount =",
                &format!("{name} ="),
                &format!("8:12: every message already has `{name}`; choose another name"),
            );
        }
    }

    #[test]
    fn a_field_that_is_named_like_a_credential_is_refused() {
        for name in [
            "password",
            "mt_password",
            "MT-Password",
            "mtPassword",
            "pass_word",
            "passwd",
            "passphrase",
            "secret",
            "clientSecret",
            "apiKey",
            "API_KEY",
            "api-key",
            "accessKey",
            "private_key",
            "token",
            "sessionToken",
            "credentials",
            "MT__PASSWORD",
            "m.t.p.a.s.s",
            "pass\u{200b}word",
            "pwd",
        ] {
            check_route(
                "amount =",
                &format!("'{name}' ="),
                &format!("8:12: field `{name}` looks like a credential; it must not be sent"),
            );
        }
    }

    #[test]
    fn a_pointer_through_a_name_like_a_credential_is_refused() {
        for pointer in
            ["/account/mt_password", "/credentials/0/login", "/data/API-Key", "/a/sessionToken/b", "/pass~1word"]
        {
            let problem = format!("`{pointer}` looks like a credential; it must not be sent");
            check_route("\"/amount\"", &format!("\"{pointer}\""), &format!("8:12: field `amount`: {problem}"));
            check_route(
                "\"/amount\"",
                &format!("[\"/a\", \"{pointer}\"]"),
                &format!("8:12: field `amount`: {problem}"),
            );
            check_route("\"/customer\"", &format!("\"{pointer}\""), &format!("7:12: `customer`: {problem}"));
        }
    }

    #[test]
    fn what_redact_cuts_away_cannot_be_sent() {
        let redact = "[redact]\nsample = [\"/data/form\", \"/data/list/0\"]\n";
        for (pointer, cut) in
            [("/data/form", "/data/form"), ("/data/form/name", "/data/form"), ("/data/list/0/a", "/data/list/0")]
        {
            let expected = |line_and_what: &str| format!("{line_and_what} is inside `{cut}`, which [redact] removes");
            let field = route("r", &format!("fields = {{ a = [\"/b\", \"{pointer}\"] }}"));
            check(&format!("{redact}{field}"), &expected("10:12: field `a`"));
            let customer = route("r", "").replace("/customer", pointer);
            check(&format!("{redact}{customer}"), &expected("9:12: `customer`"));
        }
    }

    #[test]
    fn columns_count_characters() {
        check_route("\"1\"", "\"äöü\", \"é\", 7", "9:30: `when`: expected a non-empty string");
    }
}
