use super::*;
use crate::lookup::{Lookup, PathPart, Place};
use crate::routes::FieldValue;
use json::{Document, Pointer};

const KNOWN: Known<'_> = Known::Only { providers: &["sample", "other"], apis: &["sample"], kinds: &["sample-account"] };

/// Names, a look-up, and a route that is sound.
const SAMPLE: &str = r#"[sample.names]
customer = ["/customer", "link:crm:/user", "sample-account:account"]
amount   = ["/amount", "/transaction/amount"]
category = ["/category", "/transaction/category"]
account  = ["/account_id", "/account/id"]
memo     = ["/memo", "lookup:transaction:/data/memo"]

[sample.lookups]
transaction = "/v1/accounts/{account}/transactions/{amount}"

[sample.routes.deposits]
events     = "PAID"
when       = { category = "DEPOSIT" }
workflow   = "w"
event_type = "e"
fields     = ["amount", "account?"]
"#;

#[track_caller]
fn parsed(text: &str) -> RoutesFile {
    RoutesFile::parse("routes.toml", text, KNOWN).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// `SAMPLE` with `old` replaced by `new`.
#[track_caller]
fn with(old: &str, new: &str) -> String {
    assert!(SAMPLE.contains(old), "{old}");
    SAMPLE.replace(old, new)
}

/// The problem and its hint, `routes.toml:` left out.
#[track_caller]
fn check(text: &str, problem: &str, hint: &str) {
    let error = RoutesFile::parse("routes.toml", text, KNOWN).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), format!("routes.toml:{problem}"), "\n{text}");
    assert_eq!(error.hint(), hint, "{problem}");
}

const NO_HINT: &str = "docs/routes.md describes the keys and what each may hold";

fn fields(route: &Route) -> Vec<String> {
    let told = |field: &crate::routes::Field| {
        let mark = if field.optional { "?" } else { "" };
        let value = match &field.value {
            FieldValue::Places(places) => places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            value => format!("{value:?}"),
        };
        format!("{}{mark} = {value}", field.name)
    };
    route.fields.iter().map(told).collect()
}

mod names {
    use super::*;

    #[test]
    fn a_route_of_a_section_is_the_same_as_one_that_says_everything() {
        let long = r#"
[[route]]
name = "deposits"
provider = "sample"
events = ["PAID"]
when = { "/category" = ["DEPOSIT"] }
workflow = "w"
event_type = "e"
customer = ["/customer", "link:crm:/user", "sample-account:/account_id"]

[route.fields]
amount = "/amount"
account = { pointer = "/account_id", optional = true }
"#;
        let short = r#"
[sample.names]
customer = ["/customer", "link:crm:/user", "sample-account:account"]
amount   = "/amount"
category = "/category"
account  = "/account_id"

[sample.routes]
deposits = { events = "PAID", when = { category = "DEPOSIT" }, workflow = "w", event_type = "e", fields = ["amount", "account?"] }
"#;
        assert_eq!(format!("{:#?}", parsed(short).routes), format!("{:#?}", parsed(long).routes));
    }

    #[test]
    fn a_name_stands_for_all_its_places_in_their_order() {
        let RoutesFile { routes, .. } = parsed(SAMPLE);
        let route = &routes.all()[0];
        let customer: Vec<_> = route.customer.iter().map(ToString::to_string).collect();
        let expected = ["/customer", "link:crm:/user", "sample-account:/account_id", "sample-account:/account/id"];
        assert_eq!(customer, expected);
        assert_eq!(fields(route), ["account? = /account_id /account/id", "amount = /amount /transaction/amount"]);
        for (body, matches) in [
            (r#"{"category":"DEPOSIT"}"#, true),
            (r#"{"category":null,"transaction":{"category":"DEPOSIT"}}"#, true),
            (r#"{"category":"REFUND","transaction":{"category":"DEPOSIT"}}"#, false),
            ("{}", false),
        ] {
            let document = Document::parse(body.as_bytes()).unwrap();
            assert_eq!(routes.matching("sample", "PAID", document.root()).count(), usize::from(matches), "{body}");
        }
    }

    #[test]
    fn a_list_of_fields_may_hold_tables_and_its_fields_stand_in_the_order_of_their_names() {
        let list = r#"["memo?", { tradingAccount = "account", "plan" = { const = 1 }, "email?" = { customer = "email" } }, "amount"]"#;
        let RoutesFile { routes, .. } = parsed(&with(r#"["amount", "account?"]"#, list));
        assert_eq!(
            fields(&routes.all()[0]),
            [
                "amount = /amount /transaction/amount",
                "email? = Customer(Email)",
                "memo? = /memo lookup:transaction:/data/memo",
                "plan = Constant(\"1\")",
                "tradingAccount = /account_id /account/id",
            ]
        );
    }

    #[test]
    fn routes_stand_in_the_order_of_the_file_whatever_their_form() {
        let more = r#"
[other.routes.a]
events = ["*"]
incoming_webhook = "chat"
event_type = "e"
customer = "/c"

[[route]]
name = "z"
provider = "sample"
events = ["*"]
workflow = "w"
event_type = "e"

[other.routes.b]
events = ["*"]
workflow = "w"
event_type = "e"
customer = "/c"
"#;
        let RoutesFile { routes, .. } = parsed(&format!("{SAMPLE}{more}"));
        let names: Vec<_> = routes.all().iter().map(|route| (&*route.name, &*route.provider)).collect();
        assert_eq!(names, [("deposits", "sample"), ("a", "other"), ("z", "sample"), ("b", "other")]);
        assert_eq!(routes.all()[2].customer, routes.all()[0].customer, "the section's names are every route's");
    }

    #[test]
    fn the_names_are_known_with_their_lines_and_pointers() {
        let told: Vec<_> = parsed(SAMPLE)
            .names
            .iter()
            .map(|name| {
                let pointers: Vec<_> = name.pointers.iter().map(Pointer::as_str).collect();
                format!("{} {} {} {}", name.line, name.provider, name.name, pointers.join(" "))
            })
            .collect();
        assert_eq!(
            told,
            [
                "5 sample account /account_id /account/id",
                "3 sample amount /amount /transaction/amount",
                "4 sample category /category /transaction/category",
                "2 sample customer /customer /user /account_id /account/id",
                "6 sample memo /memo",
            ]
        );
    }

    #[test]
    fn a_name_that_does_not_exist_is_refused_with_the_nearest() {
        for (old, new, place, hint) in [
            ("[\"amount\",", "[\"ammount\",", "16:15: `fields`: no name `ammount`", "did you mean `amount`?"),
            ("\"account?\"]", "\"acount?\"]", "16:25: `fields`: no name `acount`", "did you mean `account`?"),
            ("{ category =", "{ catgory =", "13:16: `when`: no name `catgory`", "did you mean `category`?"),
            ("{ category =", "{ catgoyr =", "13:16: `when`: no name `catgoyr`", "did you mean `category`?"),
            ("sample-account:account\"", "sample-account:acct\"", "2:44: `customer`: no name `acct`", NO_HINT),
            ("{account}", "{acount}", "9:15: `transaction`: no name `acount`", "did you mean `account`?"),
            (
                "[\"amount\", \"account?\"]",
                "{ a = \"amont\" }",
                "16:20: `a`: no name `amont`",
                "did you mean `amount`?",
            ),
        ] {
            check(&with(old, new), &format!("{place} in [sample.names]"), hint);
        }
        let elsewhere = SAMPLE.replace("sample.routes", "other.routes");
        check(&elsewhere, "13:16: `when`: no name `category` in [other.names]", NO_HINT);
    }

    #[test]
    fn a_name_is_made_of_names_of_pointers_only() {
        let memo = r#"["/memo", "lookup:transaction:/data/memo"]"#;
        check(
            &with(memo, "[\"/memo\", \"memo\"]"),
            "6:22: `memo`: `memo` is not made of pointers alone, so nothing can be made of it",
            NO_HINT,
        );
        let names = parsed(&with(memo, "[\"account\", \"/memo\"]")).names;
        let pointers: Vec<_> = names[4].pointers.iter().map(Pointer::as_str).collect();
        assert_eq!(pointers, ["/account_id", "/account/id", "/memo"]);
    }

    #[test]
    fn a_name_is_used_only_where_its_places_can_be() {
        check(
            &with("{ category =", "{ memo ="),
            "13:16: `when`: `memo` must be made of pointers only: a look-up or a customer cannot be used here",
            NO_HINT,
        );
        check(
            &with("\"amount\",", "\"customer\","),
            "16:15: field `customer`: this tells who the customer is, which every message says as `customerId`",
            NO_HINT,
        );
        check(
            &with("workflow ", "customer = \"memo\"\nworkflow "),
            "14:12: `customer`: a look-up cannot tell who the customer is; expected a name, \"/pointer\", \
             \"link:KIND:/pointer\" or \"KIND:/pointer\"",
            NO_HINT,
        );
    }

    #[test]
    fn a_name_leads_to_no_credential_and_to_nothing_that_is_cut() {
        check(
            &with("\"/amount\"", "\"/a/token\""),
            "9:15: `transaction`: `/a/token` looks like a credential; it must not be sent",
            NO_HINT,
        );
        check(
            &with("[\"/memo\"", "[\"/pwd\"").replace("\"account?\"", "\"memo\""),
            "16:25: field `memo`: `/pwd` looks like a credential; it must not be sent",
            NO_HINT,
        );
        let redact = "[redact]\nsample = [\"/account\"]\n";
        let field = with("{account}", "x");
        check(
            &format!("{redact}{}", field.replace("sample-account:account", "/x")),
            "18:25: field `account` is inside `/account`, which [redact] removes",
            NO_HINT,
        );
    }

    #[test]
    fn a_section_has_three_keys() {
        check(
            &with("[sample.names]", "[sample.name]"),
            "1:9: unknown key `name`; expected one of names, lookups, routes",
            "did you mean `names`?",
        );
        check(
            &with("[sample.routes.", "[sampel.routes."),
            "11:2: unknown key `sampel`; expected one of redact, route, sample, other",
            "did you mean `sample`?",
        );
        check(
            &with("workflow ", "work_flow "),
            "14:1: unknown key `work_flow`; expected one of events, when, workflow, incoming_webhook, event_type, customer, once_per, idempotency_field, fields",
            "did you mean `workflow`?",
        );
        check(
            &with("workflow ", "name = \"x\"\nworkflow "),
            "14:1: unknown key `name`; expected one of events, when, workflow, incoming_webhook, event_type, customer, once_per, idempotency_field, fields",
            NO_HINT,
        );
        check(&with("amount   =", "'a b' ="), "3:1: `a b`: expected letters, digits, `-` and `_` only", NO_HINT);
        check(
            &with("routes.deposits", "routes.'a b'"),
            "11:16: `name`: expected letters, digits, `-` and `_` only",
            NO_HINT,
        );
    }

    #[test]
    fn a_provider_that_does_not_exist_is_refused_where_it_stands() {
        let route = "[[route]]\nname = \"r\"\nprovider = \"smaple\"\n";
        check(route, "3:12: unknown provider `smaple`; expected one of sample, other", "did you mean `sample`?");
        check(
            "[redact]\nsampl = [\"/a\"]\n",
            "2:1: unknown key `sampl`; expected one of sample, other",
            "did you mean `sample`?",
        );
    }

    #[test]
    fn a_route_without_a_customer_is_refused_when_the_provider_has_none_either() {
        let text = with("customer = [\"/customer\", \"link:crm:/user\", \"sample-account:account\"]\n", "");
        check(&text, "10:16: `customer` is missing from this route", NO_HINT);
    }

    #[test]
    fn an_optional_field_is_marked_once() {
        let field = |field: &str| with("[\"amount\", \"account?\"]", &format!("{{ {field} }}"));
        for (written, optional) in [
            ("a = \"amount\"", false),
            ("'a?' = \"amount\"", true),
            ("'a?' = [\"amount\", \"/x\"]", true),
            ("a = { pointer = \"amount\", optional = true }", true),
            ("'a?' = { pointer = \"/x\" }", true),
        ] {
            let RoutesFile { routes, .. } = parsed(&field(written));
            assert_eq!(
                (&*routes.all()[0].fields[0].name, routes.all()[0].fields[0].optional),
                ("a", optional),
                "{written}"
            );
        }
        check(
            &field("'a?' = { pointer = \"/x\", optional = false }"),
            "16:41: unknown key `optional`; expected one of pointer, const, customer",
            NO_HINT,
        );
        check(
            &field("'a?' = { const = 1 }"),
            "16:16: field `a` is a constant and never absent; remove the `?`",
            NO_HINT,
        );
        check(&field("'?' = \"amount\""), "16:16: `fields`: expected a name before the `?`", NO_HINT);
        check(&field("a = \"amount\", 'a?' = \"/x\""), "16:30: field `a` stands twice in this route", NO_HINT);
        check(&with("\"account?\"", "\"amount?\""), "16:25: field `amount` stands twice in this route", NO_HINT);
        check(
            &with("\"account?\"", "\"source?\""),
            "16:25: every message already has `source`; choose another name",
            NO_HINT,
        );
        check(
            &with("\"account?\"", "\"/account_id\""),
            "16:25: `fields`: no name `/account_id` in [sample.names]",
            NO_HINT,
        );
    }
}

mod lookups {
    use super::*;

    #[test]
    fn a_look_up_is_declared_once_and_used_by_pointer_into_its_answer() {
        let text = with("[\"amount\", \"account?\"]", "{ 'note?' = \"lookup:transaction:/data/note\" }");
        let RoutesFile { routes, .. } = parsed(&text);
        let pointer = |text: &str| Pointer::parse(text).unwrap();
        let expected = Lookup {
            provider: "sample".to_owned(),
            name: "transaction".to_owned(),
            path: vec![
                PathPart::Literal("/v1/accounts/".to_owned()),
                PathPart::Value(vec![pointer("/account_id"), pointer("/account/id")]),
                PathPart::Literal("/transactions/".to_owned()),
                PathPart::Value(vec![pointer("/amount"), pointer("/transaction/amount")]),
            ],
        };
        assert_eq!(routes.lookup("sample", "transaction"), Some(&expected));
        assert_eq!(routes.lookup("other", "transaction"), None);
        assert_eq!(parsed(SAMPLE).routes.lookup("sample", "transaction"), None, "no field uses it");
        let FieldValue::Places(places) = &routes.all()[0].fields[0].value else { panic!() };
        assert_eq!(places[..], [Place::Lookup { lookup: "transaction".to_owned(), pointer: pointer("/data/note") }]);
    }

    #[test]
    fn only_a_look_up_of_the_same_provider_can_be_used() {
        let text = with("\"lookup:transaction:", "\"lookup:transactions:");
        check(&text, "6:22: `memo`: no look-up `transactions` in [sample.lookups]", "did you mean `transaction`?");
        let other = "[other.routes.a]\nevents = [\"*\"]\nworkflow = \"w\"\nevent_type = \"e\"\ncustomer = \"/c\"\n";
        check(
            &format!("{other}fields = {{ a = \"lookup:transaction:/a\" }}\n{SAMPLE}"),
            "6:16: `a`: no look-up `transaction` in [other.lookups]",
            NO_HINT,
        );
        check(
            &format!("{SAMPLE}[other.lookups]\na = \"/v1/a\"\n"),
            "17:1: `lookups`: other has no API that can be asked",
            NO_HINT,
        );
    }

    #[test]
    fn a_path_has_a_slash_in_front_no_query_and_leads_nowhere_else() {
        let path = "/v1/accounts/{account}/transactions/{amount}";
        for (written, problem) in [
            ("v1/{account}", "the path of a look-up begins with a slash"),
            ("https://example.com/{account}", "the path of a look-up begins with a slash"),
            ("//example.com/{account}", "the path of a look-up has no empty segment"),
            ("/v1//{account}", "the path of a look-up has no empty segment"),
            ("/v1/../{account}", "the path of a look-up cannot hold `.` or `..`"),
            ("/v1/..", "the path of a look-up cannot hold `.` or `..`"),
            ("/./v1", "the path of a look-up cannot hold `.` or `..`"),
            ("/v1?id={account}", "`?` cannot stand in the path of a look-up"),
            ("/v1#{account}", "`#` cannot stand in the path of a look-up"),
            ("/v1/%2e%2e/x", "`%` cannot stand in the path of a look-up"),
            ("/v1/a b", "` ` cannot stand in the path of a look-up"),
            ("/v1/é", "`é` cannot stand in the path of a look-up"),
            ("/v1/a}", "`}` cannot stand in the path of a look-up"),
            ("/v1/{account", "a `{` is not closed"),
            ("/v1/{memo}", "`memo` is not made of pointers alone, so nothing can be made of it"),
            ("/v1/{customer}", "`customer` is not made of pointers alone, so nothing can be made of it"),
            ("/v1/{}", "no name `` in [sample.names]"),
        ] {
            let error = RoutesFile::parse("routes.toml", &with(path, written), KNOWN).map(|_| ()).unwrap_err();
            assert_eq!(error.to_string(), format!("routes.toml:9:15: `transaction`: {problem}"), "{written}");
        }
        for written in ["/v1/{account}", "/v1/{/account/id}", "/v1/a-{account}.{amount}", "/v1/status"] {
            parsed(&with(path, written));
        }
    }

    #[test]
    fn the_rules_for_what_may_be_sent_hold_for_answers_too() {
        let field = |field: &str| with("[\"amount\", \"account?\"]", &format!("{{ {field} }}"));
        check(
            &field("a = \"lookup:transaction:/data/api_key\""),
            "16:16: field `a`: `/data/api_key` looks like a credential; it must not be sent",
            NO_HINT,
        );
        check(
            &field("token = \"lookup:transaction:/data/x\""),
            "16:16: field `token` looks like a credential; it must not be sent",
            NO_HINT,
        );
        let redacted = format!(
            "{}\n[redact]\nsample = [\"/data/person\"]\n",
            field("a = \"lookup:transaction:/data/person/name\"")
        );
        check(&redacted, "16:16: field `a` is inside `/data/person`, which [redact] removes", NO_HINT);
    }
}
