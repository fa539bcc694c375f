//! `template.yaml` and the code say the same.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use local::aws::{AwsFault, Strike};
use local::dynamodb::{customers_table_definition, events_table_definition, time_to_live_definition};
use local::faults::When;
use local::stack::{FUNCTIONS, RECEIVERS, REDRIVE};
use route::destination::Destination;
use route::routes::Route;
use serde_json::{Value, json};
use shared::config::{Config, ReceiverConfig};
use shared::customer::api_client::ApiAccount;
use shared::deliver::webhooks::Webhooks;
use shared::function::TIMEOUT;
use shared::observe::metrics::{self, By, Means};
use shared::receive::provider::Provider;
use shared::receive::signing_keys::KeySet;
use shared::record::event::PENDING_PARTS;
use shared::record::key;
use shared::record::retry_plan::LEASE_S;
use shared::redrive::contract::Request;

use crate::bridge::customer_routes::deposit_to;
use crate::bridge::fixture::*;
use crate::bridge::invariants::{root, same};
use crate::bridge::template::cloudformation::{Template, holders};

pub(crate) mod cloudformation;

/// What a function may do: resources of the template, each with the pattern of the keys if not all, and actions on them.
fn allowed(function: &str) -> BTreeMap<String, BTreeSet<&'static str>> {
    let own = |part: &str| logical_id(function, part);
    let is_its = |provider: &&Provider| [provider.name, REDRIVE].contains(&function);
    let apis =
        providers::ALL.iter().copied().filter(is_its).filter_map(|provider| Some((provider, provider.api.as_ref()?)));
    let (api_secrets, lookups): (Vec<_>, Vec<_>) =
        apis.map(|(provider, api)| (logical_id(provider.name, "ApiSecret"), api.lookups)).unzip();
    let events = |key: String| format!("EventsTable.Arn {key}");
    let mut grants = vec![
        (events(key::claim("*", "*").replace("*#*", "*")), &["dynamodb:PutItem"][..]),
        (events(key::pauses(&Destination::Workflow("*".to_owned()))), &["dynamodb:BatchGetItem"]),
        (events(key::pauses(&Destination::IncomingWebhook("*".to_owned()))), &["dynamodb:BatchGetItem"]),
        ("CustomersTable.Arn".to_owned(), &["dynamodb:GetItem"]),
        ("KmsKeyArn".to_owned(), &KEY),
        ("*".to_owned(), &TRACES),
        (format!("{}.Arn", own("LogGroup")), &LOGS),
        ("ReturningAiSecret".to_owned(), &SECRET),
    ];
    grants.push(match function {
        REDRIVE => ("${EventsTable.Arn}/index/due-index".to_owned(), &["dynamodb:Query", "dynamodb:Scan"]),
        _ => (own("SigningSecret"), &SECRET),
    });
    let of_events: &[&str] = match function {
        REDRIVE => &["dynamodb:GetItem", "dynamodb:UpdateItem"],
        _ => &["dynamodb:PutItem", "dynamodb:UpdateItem"],
    };
    let its_providers = providers::ALL.iter().copied().filter(is_its);
    grants.extend(its_providers.map(|provider| (events(key::event(provider.name, "*")), of_events)));
    // Only what an API has answered is remembered.
    let remembered = lookups.into_iter().flatten().map(|lookup| format!("CustomersTable.Arn {}:*", lookup.kind));
    grants.extend(remembered.map(|customers| (customers, &["dynamodb:PutItem"][..])));
    grants.extend(api_secrets.into_iter().map(|secret| (secret, &SECRET[..])));
    grants.into_iter().map(|(resource, actions)| (resource, actions.iter().copied().collect())).collect()
}

const SECRET: [&str; 1] = ["secretsmanager:GetSecretValue"];
const LOGS: [&str; 2] = ["logs:CreateLogStream", "logs:PutLogEvents"];
const KEY: [&str; 6] =
    ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"];
/// X-Ray has no resources: IAM takes these two on `*` only.
const TRACES: [&str; 2] = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"];

#[test]
fn every_function_is_built_from_its_package_and_no_other_program_is() {
    let template = Template::read();
    let functions = template.of_type("AWS::Serverless::Function");
    let built: BTreeSet<_> = functions
        .values()
        .map(|function| {
            let binary = function["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap();
            let folder = function["Properties"]["CodeUri"].as_str().unwrap();
            assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda");
            let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
            let manifest: toml::Table = toml::from_str(&manifest).unwrap();
            assert_eq!(manifest["package"]["name"].as_str(), Some(binary));
            assert!(root().join(folder).join("src/main.rs").is_file(), "{folder} has no program");
            binary
        })
        .collect();
    same("template.yaml", &built, "functions/", &BTreeSet::from(FUNCTIONS));
    assert_eq!(template.globals()["Runtime"], "provided.al2023");
    assert_eq!(template.by_default(&template.globals()["Tracing"]), "Active");
    assert_eq!(template.parameter("Architecture")["AllowedValues"], json!(["arm64", "x86_64"]));
}

#[test]
fn a_function_ends_before_its_lease_does_and_answers_before_the_api_gives_up() {
    let template = Template::read();
    let timeout = template.globals()["Timeout"].as_u64().unwrap();
    assert_eq!(timeout, TIMEOUT.as_secs());
    assert!(timeout < LEASE_S, "{timeout} s; the lease is {LEASE_S} s");
    for (id, function) in template.of_type("AWS::Serverless::Function") {
        assert_eq!(function["Properties"].get("Timeout"), None, "{id}");
        for webhook in holders(function, "TimeoutInMillis") {
            assert!(u128::from(webhook["TimeoutInMillis"].as_u64().unwrap()) > ANSWER_BOUND.as_millis());
        }
    }
}

#[test]
fn every_variable_that_a_function_reads_is_set_and_no_other_is() {
    let template = Template::read();
    for function in FUNCTIONS {
        let set = variables(&template, function);
        let asked = RefCell::new(BTreeSet::new());
        let lookup = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            match set.get(name) {
                Some(value) => Some(template.by_default(value)),
                None => of_lambda(name),
            }
        };
        let unreadable = |error| format!("the variables of {function} in template.yaml: {error}");
        Config::from_lookup(lookup).map_err(unreadable).unwrap();
        if function != REDRIVE {
            ReceiverConfig::from_lookup(lookup).map_err(unreadable).unwrap();
        }
        let mut read = asked.into_inner();
        read.retain(|name| !name.starts_with("AWS_"));
        // A provider's function has no business with another one's API, and no right to read that secret.
        for provider in providers::ALL.iter().filter(|provider| [provider.name, REDRIVE].contains(&function)) {
            read.extend(provider.api.iter().map(|api| api.secret_variable.to_owned()));
        }
        let given: BTreeSet<_> = set.into_keys().collect();
        same(&format!("the variables of {function}"), &given, "what it reads", &read);
    }
}

#[test]
fn every_value_that_a_parameter_allows_is_one_that_the_code_reads() {
    let template = Template::read();
    let read = |name: &str, value: String| {
        let lookup = |asked: &str| match asked {
            _ if asked == name => Some(value.clone()),
            "TABLE_NAME" | "RETURNING_AI_SECRET_ID" | "SIGNING_SECRET_ID" => Some("sample".to_owned()),
            _ => of_lambda(asked),
        };
        Config::from_lookup(lookup).unwrap();
        ReceiverConfig::from_lookup(lookup).unwrap();
    };
    for level in template.parameter("LogLevel")["AllowedValues"].as_array().unwrap() {
        read("LOG_LEVEL", level.as_str().unwrap().to_owned());
    }
    for bound in ["MinValue", "MaxValue"] {
        read("MAX_BODY_BYTES", template.parameter("MaxBodyBytes")[bound].to_string());
        read("DUE_PARTS", template.parameter("DueParts")[bound].to_string());
    }
}

#[test]
fn each_receiver_has_its_path_and_redrive_its_schedule() {
    let template = Template::read();
    for function in RECEIVERS {
        let webhook = &template.properties(&logical_id(function, "Function"))["Events"]["Webhook"]["Properties"];
        assert_eq!(webhook["Path"], format!("/webhooks/{function}"), "the path of {function}");
        assert_eq!(webhook["Method"], "POST", "{function}");
        assert_eq!(webhook["PayloadFormatVersion"], "2.0", "{function}");
    }
    for (id, schedule) in template.of_type("AWS::Scheduler::Schedule") {
        let schedule = &schedule["Properties"];
        assert_eq!(schedule["ScheduleExpression"], "rate(1 minute)", "{id}");
        assert_eq!(schedule["State"], Value::Null, "{id}");
        let target = &schedule["Target"];
        assert_eq!(target["Arn"], json!({ "Fn::GetAtt": "RedriveFunction.Arn" }), "{id}");
        assert_eq!(target["DeadLetterConfig"]["Arn"], json!({ "Fn::GetAtt": "RedriveDeadLetters.Arn" }), "{id}");
    }
}

#[test]
fn for_every_number_of_shares_each_part_of_the_index_has_one_schedule_and_each_schedule_its_alarm() {
    let template = Template::read();
    let schedules = template.of_type("AWS::Scheduler::Schedule");
    let alarms = template.of_type("AWS::CloudWatch::Alarm");
    let shares = template.parameter("RedriveShares")["AllowedValues"].as_array().unwrap();
    assert_eq!(template.by_default(&json!({ "Ref": "RedriveShares" })), "1");
    for shares in shares.iter().map(|shares| shares.as_str().unwrap()) {
        let set = BTreeMap::from([("RedriveShares", shares)]);
        let mut parts = Vec::new();
        let mut told = BTreeSet::new();
        for id in schedules.keys().filter(|id| template.makes(id, &set)) {
            let input = template.properties(id)["Target"]["Input"]["Fn::Sub"].as_str().unwrap();
            let input = input.replace("${RedriveShares}", shares);
            let Ok(Request::Due(share)) = serde_json::from_str(&input) else { panic!("{id}: {input}") };
            parts.extend(share.parts());
            told.insert(share.number().to_string());
        }
        parts.sort_unstable();
        assert_eq!(parts, (0..PENDING_PARTS).collect::<Vec<_>>(), "with {shares} shares");

        // Share 0 must have counted what waits.
        let mut watched = BTreeSet::from(["0".to_owned()]);
        assert_eq!(alarms["RedriveNotRunningAlarm"]["Properties"]["MetricName"], "PendingEvents");
        for (id, alarm) in alarms.iter().filter(|(id, _)| template.makes(id, &set)) {
            let alarm = &alarm["Properties"];
            if alarm["MetricName"] == "RedriveRuns" {
                assert_eq!(
                    (&alarm["ComparisonOperator"], &alarm["Threshold"]),
                    (&json!("LessThanThreshold"), &json!(1))
                );
                assert_eq!(alarm["TreatMissingData"], "breaching", "{id}");
                let share = alarm["Dimensions"].as_array().unwrap().iter().find(|it| it["Name"] == "Share").unwrap();
                watched.insert(share["Value"].as_str().unwrap().to_owned());
            }
        }
        same("the alarms", &watched, "the schedules", &told);
    }
}

#[test]
fn redrive_has_concurrency_for_each_of_its_shares_or_is_not_deployed() {
    let template = Template::read();
    for shares in template.parameter("RedriveShares")["AllowedValues"].as_array().unwrap() {
        let shares = shares.as_str().unwrap();
        for concurrency in ["", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "100"] {
            let set = BTreeMap::from([("RedriveShares", shares), ("RedriveConcurrency", concurrency)]);
            let is_enough = concurrency.is_empty() || concurrency.parse::<u8>().unwrap() >= shares.parse().unwrap();
            let objections = template.objections(&set);
            assert_eq!(objections.is_empty(), is_enough, "{set:?}: {objections:?}");
        }
    }
}

#[test]
fn every_statement_names_its_actions_and_resources() {
    let template = Template::read();
    let statements = policies(&template);
    assert!(statements.len() >= 15, "{statements:?}");
    for Statement { actions, resources, .. } in &statements {
        for action in actions {
            let (service, verb) = action.split_once(':').unwrap();
            assert!(service.chars().all(char::is_alphanumeric), "{action}");
            assert!(verb.chars().all(char::is_alphanumeric), "{action}");
        }
        for resource in resources {
            assert!(
                !resource.contains('*') || *actions == BTreeSet::from(TRACES.map(str::to_owned)),
                "{actions:?} on {resource}"
            );
        }
    }
    // What is allowed otherwise than by these statements would not be seen here.
    for kind in ["AWS::IAM::Role", "AWS::Serverless::Function"] {
        for (id, resource) in template.of_type(kind) {
            assert_eq!(resource["Properties"].get("ManagedPolicyArns"), None, "{id}");
            assert!(kind == "AWS::IAM::Role" || resource["Properties"].get("Policies").is_none(), "{id}");
        }
    }
}

#[test]
fn each_function_may_do_what_it_needs_and_nothing_else() {
    let template = Template::read();
    let statements = policies(&template);
    for function in FUNCTIONS {
        let role = logical_id(function, "Role");
        assert_eq!(
            template.properties(&logical_id(function, "Function"))["Role"],
            json!({ "Fn::GetAtt": format!("{role}.Arn") }),
            "the role of {function}"
        );
        let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for statement in statements.iter().filter(|statement| statement.roles.contains(&role)) {
            for resource in statement.resources_and_keys() {
                let actions = statement.actions.iter().map(String::as_str);
                found.entry(resource).or_default().extend(actions);
            }
        }
        for (resource, needed) in allowed(function) {
            let may = found.remove(&resource).unwrap_or_default();
            same(&format!("{role} on {resource}"), &may, &format!("the need of {function}"), &needed);
        }
        assert!(found.is_empty(), "{role} allows what {function} does not need: {found:?}");
    }
}

/// The action of a call to DynamoDB, what it is about, and the hash keys of the items that it names. A key of an index is none.
fn keyed(call: &Strike) -> (String, String, Vec<String>) {
    let request: Value = serde_json::from_slice(&call.request).unwrap();
    let key_of = |item: &Value| {
        let key = item["pk"]["S"].as_str().or(item["ref"]["S"].as_str());
        key.unwrap_or_else(|| panic!("no key in {item}")).to_owned()
    };
    let (table, keys): (&str, Vec<String>) =
        match request["RequestItems"].as_object().and_then(|tables| tables.iter().next()) {
            Some((table, asked)) => (table.as_str(), asked["Keys"].as_array().unwrap().iter().map(key_of).collect()),
            None => {
                let items = ["Item", "Key"].map(|name| request.get(name)).into_iter().flatten();
                (request["TableName"].as_str().unwrap(), items.map(key_of).collect())
            }
        };
    let table = format!("{}.Arn", logical_id(table, "Table"));
    let resource = match request["IndexName"].as_str() {
        Some(index) => format!("${{{table}}}/index/{index}"),
        None => table,
    };
    assert!(request.get("IndexName").is_some() || !keys.is_empty(), "{request}");
    (format!("dynamodb:{}", call.operation), resource, keys)
}

/// A bridge where each function does all that it ever does with tables and secrets.
#[tokio::test]
async fn every_call_that_a_function_makes_is_one_that_it_may_make() {
    let statements = policies(&Template::read());
    let bridge = Bridge::start().await;
    // What is struck by no delay is remembered with its request.
    bridge.stack.dynamodb.inject(None, AwsFault::Slow(Duration::ZERO), When::UntilCleared);
    let failing = r#"{"event_id":"e3","event_type":"TRANSACTION_POSTED","event_data":{}}"#.to_owned();
    for function in FUNCTIONS {
        if function == REDRIVE {
            // What only redrive looks up and claims.
            bridge.function(RAIL).set_kill_after_ack(true);
            bridge.post(RAIL, deposit_to("CUSTOMER_EUR_002", "e5")).await;
            bridge.settled().await;
        }
        bridge.stack.dynamodb.reset_calls();
        bridge.stack.secrets_manager.reset_calls();
        match function {
            RAIL => {
                bridge.post(RAIL, deposit("e1")).await;
                bridge.post(RAIL, deposit("e1")).await;
                bridge.post(RAIL, withdrawal("e1")).await;
                bridge.post(RAIL, deposit_to("CUSTOMER_USD_001", "e4")).await;
                bridge.post(RAIL, failing.clone()).await;
            }
            REDRIVE => {
                bridge.make_due().await;
                bridge.redrive(json!({})).await;
                bridge.redrive(json!({ "keys": ["rail#e1", "rail#e3", "rillis#e2"] })).await;
            }
            provider => {
                bridge.post(provider, wanted(provider, "e2")).await;
                let nobody_s = wanted(provider, "e6").replace("C-1001", "");
                bridge.post(provider, nobody_s).await;
            }
        }
        bridge.settled().await;
        let role = logical_id(function, "Role");
        let mut made = BTreeSet::new();
        for (action, resource, keys) in bridge.stack.dynamodb.strikes().iter().map(keyed) {
            let statement = statements.iter().find(|statement| statement.allows(&role, &action, &resource, &keys));
            let statement =
                statement.unwrap_or_else(|| panic!("{role} does not allow {action} on {resource} {keys:?}"));
            made.insert((action, statement.resources_and_keys()));
        }
        for secret in bridge.stack.secrets_manager.calls() {
            assert!(allowed_actions(function).contains(&format!("secretsmanager:{secret}")), "{function}: {secret}");
        }
        // What is allowed and never needed would be found here.
        let of_tables = |statement: &&Statement| {
            statement.roles.contains(&role) && statement.actions.iter().any(|action| action.starts_with("dynamodb:"))
        };
        let granted = statements.iter().filter(of_tables).flat_map(|statement| {
            statement.actions.iter().map(|action| (action.clone(), statement.resources_and_keys()))
        });
        let unused: Vec<_> = granted.filter(|grant| !made.contains(grant)).collect();
        let routes = providers::routes();
        let is_its = |route: &&Route| function == REDRIVE || route.provider == function;
        let claims = routes.all().iter().filter(is_its).any(|route| route.once_per_customer);
        let claim = || ("dynamodb:PutItem".to_owned(), vec!["EventsTable.Arn once#*".to_owned()]);
        let expected: Vec<_> = (!claims).then(claim).into_iter().collect();
        assert_eq!(unused, expected, "{role} allows what {function} does not do");
    }
}

#[test]
fn the_tables_are_those_of_the_code_and_stay_when_the_stack_goes() {
    let template = Template::read();
    for (id, definition) in
        [("EventsTable", events_table_definition("")), ("CustomersTable", customers_table_definition(""))]
    {
        let table = template.properties(id);
        for (name, defined) in definition.as_object().unwrap() {
            assert!(name == "TableName" || &table[name] == defined, "{id}: {name}: {}", table[name]);
        }
        assert_eq!(table.get("GlobalSecondaryIndexes"), definition.get("GlobalSecondaryIndexes"), "{id}");
        assert_eq!(table["TimeToLiveSpecification"], time_to_live_definition("")["TimeToLiveSpecification"], "{id}");
        assert_eq!(table["PointInTimeRecoverySpecification"], json!({ "PointInTimeRecoveryEnabled": true }), "{id}");
        assert_eq!(table.get("TableName"), None, "{id}: a new stack could not have a name that stayed");
    }
    for kind in ["AWS::DynamoDB::Table", "AWS::SecretsManager::Secret"] {
        for (id, resource) in template.of_type(kind) {
            for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
                assert_eq!(resource[policy], "Retain", "{id}: {policy}");
            }
        }
    }
}

#[test]
fn the_functions_refuse_the_secrets_as_they_are_made_and_name_the_field() {
    let template = Template::read();
    let made = |id: &str| template.properties(id)["SecretString"].as_str().unwrap().to_owned();
    for provider in providers::ALL {
        let keys = KeySet::parse(&made(&logical_id(provider.name, "SigningSecret"))).map(|_| ()).unwrap_err();
        assert!(keys.field.starts_with("keys."), "{}: {}", provider.name, keys.field);
        if provider.api.is_some() {
            let (api, problems) = ApiAccount::parse(&made(&logical_id(provider.name, "ApiSecret")));
            assert!(api.is_none(), "{}", provider.name);
            assert_eq!(problems[0].field, "base_url", "{}", provider.name);
        }
    }
    let (webhooks, problems) = Webhooks::parse(&made("ReturningAiSecret"));
    assert!(webhooks.is_none());
    assert_eq!(problems[0].field, "workflows.workflow-name.api_key");
}

#[test]
fn logs_are_kept_for_a_time_and_name_nobody() {
    let template = Template::read();
    for (id, group) in template.of_type("AWS::Logs::LogGroup") {
        assert_eq!(group["Properties"]["RetentionInDays"], json!({ "Ref": "LogRetentionDays" }), "{id}");
    }
    for function in FUNCTIONS {
        let logging = &template.properties(&logical_id(function, "Function"))["LoggingConfig"];
        let group = logical_id(function, "LogGroup");
        let name = json!({ "Fn::Sub": format!("/aws/lambda/${{AWS::StackName}}-{function}") });
        assert_eq!(template.properties(&group)["LogGroupName"], name);
        assert_eq!(logging["LogGroup"], json!({ "Ref": group }), "where {function} logs");
        assert_eq!(logging["LogFormat"], "JSON");
        // Lambda takes a line without a level for `info`; metrics have none, and are never to be dropped.
        assert_eq!(logging["ApplicationLogLevel"], "TRACE");
        // A receiver's successes are in its own lines, and Lambda's two of each would be half of the log.
        let own = if function == REDRIVE { Value::Null } else { json!("WARN") };
        assert_eq!(logging["SystemLogLevel"], own, "{function}");
    }
    let access = template.properties("Api")["AccessLogSettings"]["Format"].as_str().unwrap();
    let line: BTreeMap<String, String> = serde_json::from_str(access).unwrap();
    let known = ["requestTime", "requestId", "routeKey", "status", "responseLatency", "integrationLatency"];
    let known = known.into_iter().chain(["integrationStatus", "integration.requestId", "responseLength"]);
    let known: BTreeSet<_> = known.chain(["error.responseType"]).map(|name| format!("$context.{name}")).collect();
    assert_eq!(line.into_values().collect::<BTreeSet<_>>(), known);
}

#[test]
fn every_metric_is_on_the_dashboard_and_every_metric_that_is_asked_for_is_one_of_the_code() {
    let template = Template::read();
    let counted = counted();
    assert_eq!(on_the_dashboard(&template), counted);
    for (id, alarm) in template.of_type("AWS::CloudWatch::Alarm") {
        for metric in alarm_metrics(alarm) {
            assert!(counted.contains(&metric), "{id} is about {metric}, which nobody counts");
        }
    }
}

#[test]
fn every_alarm_has_its_paragraph_in_the_runbook_its_place_on_the_dashboard_and_its_topic() {
    let template = Template::read();
    let alarms = template.of_type("AWS::CloudWatch::Alarm");
    let named: BTreeSet<_> = alarms
        .values()
        .map(|alarm| {
            let name = alarm["Properties"]["AlarmName"]["Fn::Sub"].as_str().unwrap();
            let name = name.strip_prefix("${AWS::StackName}-").unwrap();
            // All shares but the first have one paragraph.
            match name.strip_prefix("redrive-share-") {
                Some(of_share) => {
                    format!("redrive-share-{}", of_share.trim_start_matches(|c: char| "0123456789-".contains(c)))
                }
                None => name.to_owned(),
            }
        })
        .collect();
    let of_shares = alarms.keys().filter(|id| id.starts_with("RedriveShare")).count();
    assert_eq!(named.len() + of_shares.saturating_sub(1), alarms.len());

    let runbook = fs::read_to_string(root().join("docs/runbook.md")).unwrap();
    let alarm_section = runbook.split("\n## ").find(|section| section.starts_with("Alarms\n")).unwrap();
    let paragraphs: BTreeSet<_> = alarm_section
        .split("\n### ")
        .skip(1)
        .map(|paragraph| {
            let (title, text) = paragraph.split_once('\n').unwrap();
            assert!(text.trim().len() > 100, "{title} says nothing");
            title.to_owned()
        })
        .collect();
    same("docs/runbook.md", &paragraphs, "template.yaml", &named);

    let dashboard = template.properties("Dashboard")["DashboardBody"]["Fn::Sub"].as_str().unwrap();
    for (id, alarm) in &alarms {
        // What a parameter leaves out cannot be named there.
        let is_there = dashboard.contains(&format!("\"${{{id}.Arn}}\""));
        assert_eq!(is_there, alarm.get("Condition").is_none(), "{id} on the dashboard");
        let told = json!({ "Fn::If": ["HasAlarmTopic", [{ "Ref": "AlarmTopicArn" }], { "Ref": "AWS::NoValue" }] });
        assert_eq!(alarm["Properties"]["AlarmActions"], told, "{id}");
        let missing = if id.ends_with("NotRunningAlarm") { "breaching" } else { "notBreaching" };
        assert_eq!(alarm["Properties"]["TreatMissingData"], missing, "{id}");
    }
}

/// The metrics of the functions that an alarm looks at, as `Dead of RailFunction`.
fn watched(alarm: &Value) -> BTreeSet<String> {
    let ours = holders(alarm, "MetricName").into_iter().filter(|metric| metric["Namespace"] == "Bridge");
    let function = |metric: &Value| {
        let dimensions = metric["Dimensions"].as_array().unwrap();
        dimensions
            .iter()
            .find(|it| it["Name"] == "FunctionName")
            .map(|it| it["Value"]["Ref"].as_str().unwrap().to_owned())
    };
    ours.map(|metric| format!("{} of {}", metric["MetricName"].as_str().unwrap(), function(metric).unwrap())).collect()
}

#[test]
fn every_metric_that_means_harm_is_in_an_alarm_for_every_function_that_emits_it() {
    let template = Template::read();
    let alarms = template.of_type("AWS::CloudWatch::Alarm");
    let watched: BTreeSet<String> = alarms.values().flat_map(|alarm| watched(alarm)).collect();
    let mut looked_at = 0;
    for metric in metrics::ALL.iter().filter(|metric| metric.means == Means::Harm) {
        for function in FUNCTIONS {
            let emits = match metric.by {
                By::All => true,
                By::Redrive => function == REDRIVE,
                By::Receivers => function != REDRIVE,
            };
            let wanted = format!("{} of {}", metric.name, logical_id(function, "Function"));
            assert!(!emits || watched.contains(&wanted), "no alarm of template.yaml is over {wanted}");
            looked_at += usize::from(emits);
        }
    }
    assert!(looked_at >= 25, "{looked_at}");
}

#[test]
fn every_alarm_s_paragraph_in_the_runbook_ends_in_a_command() {
    let runbook = fs::read_to_string(root().join("docs/runbook.md")).unwrap();
    let (_, alarms) = runbook.split_once("\n## Alarms\n").unwrap();
    for paragraph in alarms.split("\n### ").skip(1) {
        let (title, text) = paragraph.split_once('\n').unwrap();
        let block = text.trim_end().strip_suffix("\n```").and_then(|text| text.rsplit_once("\n```sh\n"));
        let (_, commands) = block.unwrap_or_else(|| panic!("{title} does not end in a block of commands"));
        let last = commands.lines().next_back().unwrap_or_default();
        assert!(["aws ", "bridge ", "sam "].iter().any(|program| last.starts_with(program)), "{title} ends in {last}");
    }
}

#[test]
fn no_alarm_stays_on_because_of_what_lies_about() {
    let template = Template::read();
    let gauges = ["DeadEvents", "PendingEvents", "ApproximateNumberOfMessagesVisible"];
    for (id, alarm) in template.of_type("AWS::CloudWatch::Alarm") {
        for metric in holders(alarm, "MetricName") {
            // How often redrive has measured the backlog is not how large it is.
            let counts_runs = alarm["Properties"]["Statistic"] == "SampleCount";
            let name = metric["MetricName"].as_str().unwrap();
            assert!(counts_runs || !gauges.contains(&name), "{id}: the next harm would not be told while {name} is up");
        }
    }
}

/// How many of the newest periods an alarm looks at, and in how many of them it has to be beyond its threshold.
fn window(alarm: &Value) -> (u64, u64) {
    let periods = alarm["Properties"]["EvaluationPeriods"].as_u64().unwrap();
    (periods, alarm["Properties"]["DatapointsToAlarm"].as_u64().unwrap_or(periods))
}

#[test]
fn a_wrong_key_on_a_subscription_of_one_event_a_day_is_told_and_a_single_forgery_is_not() {
    let template = Template::read();
    let alarms = template.of_type("AWS::CloudWatch::Alarm");
    for provider in RECEIVERS {
        let id = logical_id(provider, "WrongKeyAlarm");
        let alarm = alarms.get(&*id).unwrap_or_else(|| panic!("template.yaml has no {id}"));
        let properties = &alarm["Properties"];
        let dimensions = json!([
            { "Name": "FunctionName", "Value": { "Ref": logical_id(provider, "Function") } },
            { "Name": "Code", "Value": "signature_mismatch" },
        ]);
        assert_eq!((&properties["MetricName"], &properties["Dimensions"]), (&json!("Refused"), &dimensions), "{id}");
        assert_eq!((&properties["Statistic"], &properties["Threshold"]), (&json!("Sum"), &json!(0)), "{id}");
        let (periods, needed) = window(alarm);
        let seconds = periods * properties["Period"].as_u64().unwrap();
        // Two events a day apart may lie in the first and in the last of these hours.
        assert!(needed == 2 && seconds > 25 * 3600, "{id}: {needed} of {seconds} s");
        // CloudWatch takes no longer window than a week.
        assert!(seconds <= 7 * 86_400, "{id}");
    }
}

#[test]
fn a_stream_of_bodies_that_are_too_large_is_told_and_a_single_one_is_not() {
    let template = Template::read();
    let alarm = &template.of_type("AWS::CloudWatch::Alarm")["TooLargeAlarm"];
    assert_eq!(alarm["Properties"]["Threshold"], 0);
    let (periods, needed) = window(alarm);
    assert!(needed >= 2 && needed < periods, "{needed} of {periods}");
}

#[test]
fn what_the_api_refuses_before_a_function_is_started_is_counted_and_told() {
    let template = Template::read();
    let filter = template.properties("ApiThrottledMetric");
    assert_eq!(filter["LogGroupName"], json!({ "Ref": "AccessLogGroup" }));
    // The access log's format has the status as text.
    assert_eq!(filter["FilterPattern"], r#"{ $.status = "429" }"#);
    let access = template.properties("Api")["AccessLogSettings"]["Format"].as_str().unwrap();
    assert!(access.contains(r#""status":"$context.status""#), "{access}");
    let counted = &filter["MetricTransformations"][0];

    let alarms = template.of_type("AWS::CloudWatch::Alarm");
    let throttles = &alarms["ApiThrottlesAlarm"]["Properties"];
    assert_eq!(throttles["Namespace"], counted["MetricNamespace"]);
    assert_eq!(throttles["MetricName"], counted["MetricName"]);
    assert_eq!(throttles["Threshold"], 0);
    let refusals = &alarms["ApiRefusalsAlarm"]["Properties"];
    assert_eq!((&refusals["Namespace"], &refusals["MetricName"]), (&json!("AWS/ApiGateway"), &json!("4xx")));
    let throttled_functions = holders(alarms["FunctionThrottlesAlarm"], "MetricStat");
    assert_eq!(throttled_functions.len(), FUNCTIONS.len(), "the throttles of every function are told");
}

/// What is written of one provider's function, as it is to be written of another's.
fn of_other(text: &str, provider: &str, other: &str) -> String {
    text.replace(&logical_id(provider, ""), &logical_id(other, "")).replace(provider, other)
}

#[test]
fn every_alarm_over_a_provider_s_function_is_over_every_provider_s() {
    let template = Template::read();
    let alarms = template.of_type("AWS::CloudWatch::Alarm");
    let metrics = |id: &str| -> BTreeSet<String> {
        let alarm = alarms.get(id).unwrap_or_else(|| panic!("template.yaml has no {id}"));
        holders(alarm, "Dimensions")
            .iter()
            .map(|metric| json!([metric["MetricName"], metric["Dimensions"]]).to_string())
            .collect()
    };
    let mut looked_at = 0;
    for id in alarms.keys() {
        for provider in RECEIVERS {
            let its_function = format!("\"{}\"", logical_id(provider, "Function"));
            for metric in metrics(id).iter().filter(|metric| metric.contains(&its_function)) {
                for other in RECEIVERS {
                    // An alarm is of one provider, or of all of them.
                    let there = of_other(id, provider, other);
                    let expected = of_other(metric, provider, other);
                    assert!(metrics(&there).contains(&expected), "alarm {there} is not over {expected}");
                    looked_at += 1;
                }
            }
        }
    }
    assert!(looked_at >= 8 * RECEIVERS.len() * RECEIVERS.len(), "{looked_at}");
}

#[test]
fn what_the_dashboard_shows_of_a_provider_s_function_it_shows_of_every_provider_s() {
    let template = Template::read();
    let body = template.properties("Dashboard")["DashboardBody"]["Fn::Sub"].as_str().unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let mut looked_at = 0;
    for widget in holders(&body, "metrics") {
        let shown: BTreeSet<String> = widget["metrics"].as_array().unwrap().iter().map(Value::to_string).collect();
        for provider in RECEIVERS {
            let its_function = format!("${{{}}}", logical_id(provider, "Function"));
            for metric in shown.iter().filter(|metric| metric.contains(&its_function)) {
                for other in RECEIVERS {
                    let expected = of_other(metric, provider, other);
                    assert!(shown.contains(&expected), "the dashboard's {} lacks {expected}", widget["title"]);
                    looked_at += 1;
                }
            }
        }
    }
    assert!(looked_at >= 20 * RECEIVERS.len() * RECEIVERS.len(), "{looked_at}");
}

#[test]
fn every_saved_query_over_a_provider_s_log_is_over_every_provider_s() {
    let template = Template::read();
    let queries = template.of_type("AWS::Logs::QueryDefinition");
    assert!(!queries.is_empty());
    for (id, query) in queries {
        let logs = query["Properties"]["LogGroupNames"].as_array().unwrap();
        for provider in RECEIVERS {
            let log = logical_id(provider, "LogGroup");
            assert!(logs.contains(&json!({ "Ref": log })), "query {id} does not read {log}");
        }
    }
}

#[test]
fn the_saved_queries_ask_for_fields_that_the_log_has() {
    const LANGUAGE: [&str; 13] =
        ["fields", "filter", "stats", "sort", "count", "min", "max", "bin", "1h", "by", "as", "asc", "desc"];
    let logging = fs::read_to_string(root().join("docs/logging.md")).unwrap();
    for (id, query) in Template::read().of_type("AWS::Logs::QueryDefinition") {
        let text = query["Properties"]["QueryString"].as_str().unwrap();
        // What is quoted is a value, not a field.
        let text: String = text.split('"').step_by(2).collect();
        let words: Vec<_> = text.split(|c: char| !(c.is_alphanumeric() || "._@".contains(c))).collect();
        let named_here: BTreeSet<_> = words.windows(2).filter(|pair| pair[0] == "as").map(|pair| pair[1]).collect();
        let mut asked = 0;
        for word in words {
            let plain = word.is_empty() || word == "@timestamp" || LANGUAGE.contains(&word);
            if !plain && !named_here.contains(word) {
                assert!(logging.contains(&format!("`{word}`")), "{id} asks for {word}");
                asked += 1;
            }
        }
        assert!(asked >= 3, "{id}");
    }
}

#[test]
fn the_outputs_say_what_to_register_and_what_the_command_line_takes() {
    let template = Template::read();
    let outputs = template.outputs();
    let names =
        ["EventsTableName", "CustomersTableName", "ReturningAiSecretId", "RedriveScheduleNames", "DashboardUrl"];
    let mut names: Vec<String> = names.map(str::to_owned).into();
    names.extend(FUNCTIONS.map(|function| logical_id(function, "FunctionName")));
    for provider in providers::ALL {
        let of_api = provider.api.iter().map(|_| "ApiSecretId");
        let parts = ["WebhookUrl", "SigningSecretId"].into_iter().chain(of_api);
        names.extend(parts.map(|part| logical_id(provider.name, part)));
    }
    for name in names {
        assert!(outputs.contains_key(&name), "template.yaml has no output {name}");
    }
    for provider in RECEIVERS {
        let url = outputs[&logical_id(provider, "WebhookUrl")]["Value"].to_string();
        assert_eq!(url.matches(&format!("/webhooks/{provider}")).count(), 2, "with and without a domain: {url}");
    }
}

/// All that a function may do, on whatever.
pub(crate) fn allowed_actions(function: &str) -> BTreeSet<String> {
    allowed(function).into_values().flatten().map(str::to_owned).collect()
}

/// The environment variables of a function, each with its value.
fn variables(template: &Template, function: &str) -> BTreeMap<String, Value> {
    let own = template.properties(&logical_id(function, "Function"));
    let of = |properties: &Value| properties["Environment"]["Variables"].as_object().cloned().unwrap_or_default();
    of(template.globals()).into_iter().chain(of(own)).collect()
}

/// What Lambda sets for every function.
fn of_lambda(name: &str) -> Option<String> {
    let set = ["AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    set.contains(&name).then(|| "sample".to_owned())
}

/// `rail` and `Function` are `RailFunction`.
pub(crate) fn logical_id(function: &str, part: &str) -> String {
    let (first, rest) = function.split_at(1);
    format!("{}{rest}{part}", first.to_uppercase())
}

/// One statement of a policy, and the roles that have it.
#[derive(Debug)]
struct Statement {
    roles: BTreeSet<String>,
    actions: BTreeSet<String>,
    /// Each as what is referred to: `EventsTable.Arn`.
    resources: BTreeSet<String>,
    /// The patterns of the hash keys that it is about; empty when it is about all.
    keys: BTreeSet<String>,
}

impl Statement {
    fn resources_and_keys(&self) -> Vec<String> {
        let with_keys = |resource: &String| match self.keys.is_empty() {
            true => vec![resource.clone()],
            false => self.keys.iter().map(|key| format!("{resource} {key}")).collect(),
        };
        self.resources.iter().flat_map(with_keys).collect()
    }

    /// Whether a role with this statement may call `action` on the items of a table that have these hash keys.
    fn allows(&self, role: &str, action: &str, resource: &str, keys: &[String]) -> bool {
        let is_one = |key: &String| self.keys.iter().any(|pattern| key.starts_with(pattern.strip_suffix('*').unwrap()));
        self.roles.contains(role)
            && self.actions.contains(action)
            && self.resources.contains(resource)
            && (self.keys.is_empty() || keys.iter().all(is_one))
    }
}

/// All statements of roles and policies.
fn policies(template: &Template) -> Vec<Statement> {
    let mut statements = Vec::new();
    for (id, role) in template.of_type("AWS::IAM::Role") {
        for policy in role["Properties"]["Policies"].as_array().unwrap() {
            statements.extend(statements_of(&policy["PolicyDocument"], &BTreeSet::from([id.to_owned()])));
        }
    }
    for (_, policy) in template.of_type("AWS::IAM::Policy") {
        let roles = policy["Properties"]["Roles"].as_array().unwrap();
        let roles = roles.iter().map(|role| role["Ref"].as_str().unwrap().to_owned()).collect();
        statements.extend(statements_of(&policy["Properties"]["PolicyDocument"], &roles));
    }
    statements
}

fn statements_of(document: &Value, roles: &BTreeSet<String>) -> Vec<Statement> {
    let many = |value: &Value| match value {
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    };
    let referred = |value: &Value| match value {
        Value::String(text) => text.clone(),
        reference => {
            let (_, to) = reference.as_object().unwrap().iter().next().unwrap();
            to.as_str().unwrap_or_else(|| panic!("{reference} is no plain reference")).to_owned()
        }
    };
    let statements = document["Statement"].as_array().unwrap();
    statements
        .iter()
        .map(|statement| {
            assert_eq!(statement["Effect"], "Allow");
            let keys = &statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"];
            for inverse in ["NotAction", "NotResource"] {
                assert_eq!(statement.get(inverse), None);
            }
            Statement {
                roles: roles.clone(),
                actions: many(&statement["Action"]).iter().map(|a| a.as_str().unwrap().to_owned()).collect(),
                resources: many(&statement["Resource"]).iter().map(referred).collect(),
                keys: keys.as_array().into_iter().flatten().map(|key| key.as_str().unwrap().to_owned()).collect(),
            }
        })
        .collect()
}

fn counted() -> BTreeSet<String> {
    metrics::ALL.iter().map(|metric| metric.name.to_owned()).collect()
}

/// The names of the bridge's own metrics that an alarm looks at.
fn alarm_metrics(alarm: &Value) -> Vec<String> {
    let ours = holders(alarm, "MetricName").into_iter().filter(|metric| metric["Namespace"] == "Bridge");
    ours.map(|metric| metric["MetricName"].as_str().unwrap().to_owned()).collect()
}

/// The names of the bridge's own metrics on the dashboard, also within searches.
fn on_the_dashboard(template: &Template) -> BTreeSet<String> {
    let body = template.properties("Dashboard")["DashboardBody"]["Fn::Sub"].as_str().unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let mut names = BTreeSet::new();
    for widget in holders(&body, "metrics") {
        for metric in widget["metrics"].as_array().unwrap() {
            if metric[0] == "Bridge" {
                names.insert(metric[1].as_str().unwrap().to_owned());
            } else if let Some(search) = metric[0]["expression"].as_str() {
                let (_, after) =
                    search.split_once("{Bridge,").and_then(|(_, s)| s.split_once("MetricName=\"")).unwrap();
                names.insert(after.split('"').next().unwrap().to_owned());
            }
        }
    }
    names
}
