//! `template.yaml` as JSON: CloudFormation's short tags in their long form, a resource by its name, a value by its default.

use std::collections::BTreeMap;
use std::fs;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Number, Value, json};

use crate::bridge::invariants::root;

/// The template, read.
pub(crate) struct Template(Value);

impl Template {
    #[track_caller]
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(root().join("template.yaml")).unwrap();
        let documents = Yaml::load_from_str(&text).unwrap();
        let [document] = documents.as_slice() else { panic!("{} documents", documents.len()) };
        Self(json_of(document))
    }

    /// All resources of one type, by their logical ids.
    #[track_caller]
    pub(crate) fn of_type(&self, kind: &str) -> BTreeMap<&str, &Value> {
        let resources = self.0["Resources"].as_object().unwrap();
        let found: BTreeMap<_, _> =
            resources.iter().filter(|(_, resource)| resource["Type"] == kind).map(|(id, r)| (id.as_str(), r)).collect();
        assert!(!found.is_empty(), "no {kind}");
        found
    }

    /// The properties of a resource.
    #[track_caller]
    pub(crate) fn properties(&self, id: &str) -> &Value {
        let properties = &self.0["Resources"][id]["Properties"];
        assert!(properties.is_object(), "template.yaml has no resource {id}");
        properties
    }

    pub(crate) fn globals(&self) -> &Value {
        &self.0["Globals"]["Function"]
    }

    pub(crate) fn parameter(&self, name: &str) -> &Value {
        &self.0["Parameters"][name]
    }

    /// Whether a resource is made when these parameters are set, all others having their defaults.
    pub(crate) fn makes(&self, id: &str, set: &BTreeMap<&str, &str>) -> bool {
        let condition = self.0["Resources"][id]["Condition"].as_str();
        condition.is_none_or(|name| self.holds(&self.0["Conditions"][name], set))
    }

    /// What CloudFormation says against these parameters before it makes anything.
    pub(crate) fn objections(&self, set: &BTreeMap<&str, &str>) -> Vec<String> {
        let rules = self.0["Rules"].as_object().unwrap().values();
        let applying = rules.filter(|rule| self.holds(&rule["RuleCondition"], set));
        let assertions = applying.flat_map(|rule| rule["Assertions"].as_array().unwrap());
        let broken = assertions.filter(|assertion| !self.holds(&assertion["Assert"], set));
        broken.map(|assertion| assertion["AssertDescription"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    fn holds(&self, condition: &Value, set: &BTreeMap<&str, &str>) -> bool {
        let (function, operands) = condition.as_object().unwrap().iter().next().unwrap();
        let value = |operand: &Value| match operand["Ref"].as_str().and_then(|name| set.get(name)) {
            Some(value) => (*value).to_owned(),
            None => self.by_default(operand),
        };
        let operand = |at: usize| &operands[at];
        match function.as_str() {
            "Condition" => self.holds(&self.0["Conditions"][operands.as_str().unwrap()], set),
            "Fn::Equals" => value(operand(0)) == value(operand(1)),
            "Fn::Contains" => operand(0).as_array().unwrap().iter().any(|one| value(one) == value(operand(1))),
            "Fn::Not" => !self.holds(operand(0), set),
            "Fn::And" => operands.as_array().unwrap().iter().all(|one| self.holds(one, set)),
            "Fn::Or" => operands.as_array().unwrap().iter().any(|one| self.holds(one, set)),
            other => panic!("{other} is no condition"),
        }
    }

    pub(crate) fn outputs(&self) -> &Map<String, Value> {
        self.0["Outputs"].as_object().unwrap()
    }

    /// What a value is when nobody sets a parameter: a text, or a reference to some resource.
    pub(crate) fn by_default(&self, value: &Value) -> String {
        let default = value["Ref"].as_str().map(|name| &self.parameter(name)["Default"]);
        match default.unwrap_or(value) {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => value.to_string(),
        }
    }
}

/// Every object within `value`, itself included, that has this field.
pub(crate) fn holders<'a>(value: &'a Value, field: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if fields.contains_key(field) {
                    found.push(value);
                }
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    found
}

#[track_caller]
fn json_of(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(truth) => json!(truth),
            Scalar::Integer(number) => json!(number),
            Scalar::FloatingPoint(number) => json!(Number::from_f64(number.into_inner())),
            Scalar::String(text) => json!(text),
        },
        Yaml::Sequence(items) => items.iter().map(json_of).collect(),
        Yaml::Mapping(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.as_str().unwrap().to_owned(), json_of(value)));
            Value::Object(fields.collect())
        }
        Yaml::Tagged(tag, node) => {
            let name = match tag.suffix.as_str() {
                plain @ ("Ref" | "Condition") => plain.to_owned(),
                function => format!("Fn::{function}"),
            };
            json!({ name: json_of(node) })
        }
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => panic!("CloudFormation reads no {node:?}"),
    }
}
