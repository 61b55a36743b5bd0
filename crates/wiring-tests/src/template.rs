//! A CloudFormation template with its intrinsic functions worked out, for a stack called `stack`.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

use crate::read;

const STACK: &str = "stack";
/// The region that the stack is in.
pub const REGION: &str = "us-east-1";
/// The account that the stack is in.
pub const ACCOUNT: &str = "111122223333";

/// A template and the parameters of one stack.
#[derive(Debug, Clone)]
pub struct Template {
    document: Value,
    parameters: BTreeMap<String, String>,
}

impl Template {
    /// The template of this repository with every parameter at its default.
    pub fn of_repository() -> Self {
        Self::parse(&read("infra/template.yaml"))
    }

    /// Reads a template; every parameter needs a default.
    ///
    /// # Panics
    /// If the text is no YAML, or a parameter has no default.
    pub fn parse(text: &str) -> Self {
        let documents = Yaml::load_from_str(text).expect("the template is YAML");
        let [document] = &documents[..] else {
            panic!("the template is {} documents", documents.len());
        };
        let document = json(document);
        let parameters = document["Parameters"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, parameter)| (name.clone(), text_of(&parameter["Default"])))
            .collect();
        Self {
            document,
            parameters,
        }
    }

    /// The same template with another value for a parameter.
    ///
    /// # Panics
    /// If there is no such parameter.
    pub fn with(mut self, parameter: &str, value: &str) -> Self {
        let old = self
            .parameters
            .insert(parameter.to_owned(), value.to_owned());
        assert!(old.is_some(), "there is no parameter {parameter}");
        self
    }

    /// A part of the document as it is written, such as `Parameters`.
    pub fn section(&self, name: &str) -> &Map<String, Value> {
        self.document[name]
            .as_object()
            .unwrap_or_else(|| panic!("the template has no {name}"))
    }

    /// Logical ids of all resources of a type.
    pub fn resources(&self, kind: &str) -> Vec<String> {
        self.section("Resources")
            .iter()
            .filter(|(_, resource)| resource["Type"] == kind)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The properties of a resource, worked out.
    ///
    /// # Panics
    /// If there is no such resource or it uses a function that this does not know.
    pub fn properties(&self, id: &str) -> Value {
        self.resolve(&self.resource(id)["Properties"])
            .unwrap_or_default()
    }

    /// The environment that Lambda gives to a function; every value is a text.
    ///
    /// # Panics
    /// If the function has none, or a value of it is no text.
    pub fn variables(&self, function: &str) -> BTreeMap<String, String> {
        let function = self.properties(function);
        let variables = function["Environment"]["Variables"].as_object();
        let variables = variables.expect("the function has variables").iter();
        let text = |value: &Value| value.as_str().expect("a variable is a text").to_owned();
        variables
            .map(|(name, value)| (name.clone(), text(value)))
            .collect()
    }

    /// What `!GetAtt ID.Arn` gives.
    pub fn arn(&self, id: &str) -> String {
        self.attribute(id, "Arn")
    }

    /// What `!Ref NAME` gives for a parameter or a resource.
    pub fn reference(&self, name: &str) -> String {
        if let Some(value) = self.parameters.get(name) {
            return value.clone();
        }
        match self.kind(name) {
            "AWS::SQS::Queue" => format!(
                "https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{}",
                self.name(name)
            ),
            "AWS::StepFunctions::StateMachine" => self.arn(name),
            _ => self.name(name),
        }
    }

    /// Why CloudFormation refuses these parameters: the descriptions of assertions that do not hold.
    ///
    /// # Panics
    /// If a rule uses a function that this does not know.
    pub fn broken_rules(&self) -> Vec<String> {
        let rules = self.document["Rules"].as_object().into_iter().flatten();
        rules
            .filter(|(_, rule)| self.holds(&rule["RuleCondition"]))
            .flat_map(|(_, rule)| rule["Assertions"].as_array().into_iter().flatten())
            .filter(|assertion| !self.holds(&assertion["Assert"]))
            .map(|assertion| text_of(&assertion["AssertDescription"]))
            .collect()
    }

    fn resource(&self, id: &str) -> &Value {
        self.section("Resources")
            .get(id)
            .unwrap_or_else(|| panic!("there is no resource or parameter {id}"))
    }

    fn kind(&self, id: &str) -> &str {
        self.resource(id)["Type"]
            .as_str()
            .unwrap_or_else(|| panic!("{id} has no type"))
    }

    /// The name that the template gives to a resource, or one like those that CloudFormation makes.
    fn name(&self, id: &str) -> String {
        let property = match self.kind(id) {
            "AWS::S3::Bucket" => "BucketName",
            "AWS::DynamoDB::Table" => "TableName",
            "AWS::SQS::Queue" => "QueueName",
            "AWS::Logs::LogGroup" => "LogGroupName",
            "AWS::Lambda::Function" => "FunctionName",
            "AWS::IAM::Role" => "RoleName",
            "AWS::StepFunctions::StateMachine" => "StateMachineName",
            "AWS::Glue::Database" => return self.name_in(id, "DatabaseInput"),
            other => panic!("{id}: names of {other} are not known here yet"),
        };
        match self.resource(id)["Properties"].get(property) {
            Some(name) => text_of(&self.resolve(name).unwrap_or_default()),
            None => format!("{STACK}-{id}"),
        }
    }

    /// The name that is one level deeper, as in the resources of Glue.
    fn name_in(&self, id: &str, property: &str) -> String {
        text_of(&self.properties(id)[property]["Name"])
    }

    /// What `!GetAtt ID.ATTRIBUTE` gives.
    ///
    /// # Panics
    /// If there is no such resource or this does not know the attribute.
    pub fn attribute(&self, id: &str, attribute: &str) -> String {
        let name = self.name(id);
        match (self.kind(id), attribute) {
            ("AWS::S3::Bucket", "Arn") => format!("arn:aws:s3:::{name}"),
            ("AWS::DynamoDB::Table", "Arn") => {
                format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}")
            }
            ("AWS::DynamoDB::Table", "StreamArn") => format!(
                "arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}/stream/2026-01-09T11:00:00.000"
            ),
            ("AWS::SQS::Queue", "Arn") => format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"),
            ("AWS::SQS::Queue", "QueueName") => name,
            ("AWS::Logs::LogGroup", "Arn") => {
                format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*")
            }
            ("AWS::Lambda::Function", "Arn") => {
                format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
            }
            ("AWS::StepFunctions::StateMachine", "Arn") => {
                format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}")
            }
            ("AWS::IAM::Role", "Arn") => format!("arn:aws:iam::{ACCOUNT}:role/{name}"),
            (kind, _) => panic!("{id}: {attribute} of {kind} is not known here yet"),
        }
    }

    /// Nothing for `AWS::NoValue`.
    fn resolve(&self, value: &Value) -> Option<Value> {
        let fields = match value {
            Value::Array(entries) => {
                return Some(
                    entries
                        .iter()
                        .filter_map(|entry| self.resolve(entry))
                        .collect(),
                );
            }
            Value::Object(fields) => fields,
            scalar => return Some(scalar.clone()),
        };
        if let Some((function, argument)) = function_of(fields) {
            return self.call(function, argument);
        }
        let resolved: Map<String, Value> = fields
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), self.resolve(value)?)))
            .collect();
        Some(Value::Object(resolved))
    }

    fn call(&self, function: &str, argument: &Value) -> Option<Value> {
        match function {
            "Ref" => self.lookup(&text_of(argument)).map(Value::String),
            "Fn::GetAtt" => self.lookup(&text_of(argument)).map(Value::String),
            "Fn::Sub" => Some(Value::String(self.substitute(&text_of(argument)))),
            "Fn::Join" => {
                let parts = self.resolve(&argument[1]).unwrap_or_default();
                let parts: Vec<String> = parts.as_array()?.iter().map(text_of).collect();
                Some(Value::String(parts.join(&text_of(&argument[0]))))
            }
            "Fn::Split" => {
                let text = text_of(&self.resolve(&argument[1]).unwrap_or_default());
                Some(text.split(&text_of(&argument[0])).collect())
            }
            "Fn::If" => {
                let holds = self.holds(&self.section("Conditions")[&text_of(&argument[0])]);
                self.resolve(&argument[if holds { 1 } else { 2 }])
            }
            other => panic!("the function {other} is not known here yet"),
        }
    }

    /// `Name`, `Resource.Attribute` or a pseudo parameter.
    fn lookup(&self, name: &str) -> Option<String> {
        match name {
            "AWS::NoValue" => None,
            "AWS::StackName" => Some(STACK.to_owned()),
            "AWS::Region" => Some(REGION.to_owned()),
            "AWS::AccountId" => Some(ACCOUNT.to_owned()),
            "AWS::Partition" => Some("aws".to_owned()),
            _ => Some(match name.split_once('.') {
                Some((id, attribute)) => self.attribute(id, attribute),
                None => self.reference(name),
            }),
        }
    }

    fn substitute(&self, text: &str) -> String {
        let mut parts = text.split("${");
        let mut result = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part
                .split_once('}')
                .unwrap_or_else(|| panic!("{text:?} has no closing brace"));
            match name.strip_prefix('!') {
                Some(literal) => result.push_str(&format!("${{{literal}}}")),
                None => result.push_str(&self.lookup(name).unwrap_or_default()),
            }
            result.push_str(rest);
        }
        result
    }

    fn holds(&self, condition: &Value) -> bool {
        let call = condition.as_object().and_then(function_of);
        match call {
            Some(("Fn::Not", argument)) => !self.holds(&argument[0]),
            Some(("Fn::Equals", argument)) => {
                let side = |index: usize| self.resolve(&argument[index]).map(|side| text_of(&side));
                side(0) == side(1)
            }
            _ => panic!("the condition {condition} is not known here yet"),
        }
    }
}

fn function_of(fields: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = fields.iter().next()?;
    let is_function = fields.len() == 1 && (name == "Ref" || name.starts_with("Fn::"));
    is_function.then_some((name.as_str(), argument))
}

/// A scalar as CloudFormation passes it on, which is as text.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        other => panic!("expected a scalar: {other}"),
    }
}

/// Short tags become long functions: `!Ref X` is `{"Ref": "X"}` and `!Sub X` is `{"Fn::Sub": "X"}`.
fn json(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(flag)) => Value::from(*flag),
        Yaml::Value(Scalar::Integer(number)) => Value::from(*number),
        Yaml::Value(Scalar::FloatingPoint(number)) => Value::from(number.to_string()),
        Yaml::Value(Scalar::String(text)) => Value::from(text.as_ref()),
        Yaml::Sequence(entries) => entries.iter().map(json).collect(),
        Yaml::Mapping(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (text_of(&json(name)), json(value)));
            Value::Object(fields.collect())
        }
        Yaml::Tagged(tag, value) => {
            let function = match tag.suffix.as_str() {
                "Ref" => "Ref".to_owned(),
                name => format!("Fn::{name}"),
            };
            Value::Object(Map::from_iter([(function, json(value))]))
        }
        other => panic!("the template has YAML that is not known here yet: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SAMPLE: &str = r#"
Parameters:
  Size: {Type: Number, Default: 300}
  Key: {Type: String, Default: ""}
Conditions:
  HasKey: !Not [!Equals [!Ref Key, ""]]
Resources:
  Files:
    Type: AWS::S3::Bucket
    Properties: {BucketName: !Sub "${AWS::StackName}-files"}
  Letters:
    Type: AWS::SQS::Queue
    Properties:
      Size: !Ref Size
      Key: !If [HasKey, !Ref Key, !Ref AWS::NoValue]
      Places: [!GetAtt Files.Arn, !Sub "${Files.Arn}/*", !Sub "arn:${AWS::Partition}:s3:::${AWS::StackName}-files"]
      Literal: !Sub "${!Size} of ${Size}"
      Own: !Ref Letters
      Joined: !Join [_, !Split ["-", !Sub "${AWS::StackName}-a-b"]]
"#;

    #[test]
    fn functions_are_worked_out_as_cloudformation_does() {
        let template = Template::parse(SAMPLE);
        assert_eq!(
            template.properties("Letters"),
            json!({
                "Size": "300",
                "Places": ["arn:aws:s3:::stack-files", "arn:aws:s3:::stack-files/*", "arn:aws:s3:::stack-files"],
                "Literal": "${Size} of 300",
                "Joined": "stack_a_b",
                "Own": "https://sqs.us-east-1.amazonaws.com/111122223333/stack-Letters",
            })
        );
        let template = template.with("Key", "k");
        assert_eq!(template.properties("Letters")["Key"], "k");
        assert_eq!(template.resources("AWS::SQS::Queue"), ["Letters"]);
    }
}
