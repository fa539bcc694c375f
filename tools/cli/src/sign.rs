//! `bridge sign`: a body with the headers its provider would send now.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use local::gateway::events::{HttpRequest, http_api_event};
use operator::OperatorError;
use shared::receive::provider::Provider;

use crate::delivery::{
    KeySource, bridge_url, note_new_event, provider_parser, read_file, signed_headers, with_fresh_id,
};
use crate::terminal::{out, quoted};

/// Sign a body with the current time, as its provider does
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Sign {
    #[arg(value_parser = provider_parser())]
    provider: &'static Provider,
    /// The body: a file, or - for standard input
    body: PathBuf,
    /// What to print
    #[arg(long = "as", value_name = "FORM", default_value = "headers")]
    form: Output,
    /// The URL of the bridge, for `--as curl` and the default of `--key-file` [default: the `bridge dev` that runs here]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Replace the event id, so that it is a new event; prints the event's key to standard error
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    key: KeySource,
}

const EXAMPLES: &str = "Examples:
  bridge sign rail events/rail/account_open.json
  bridge sign rillis events/rillis/flow_completed.json --as curl | sh
  bridge sign rail body.json --as apigw > event.json && cargo lambda invoke rail --data-file event.json --invoke-port 9001";

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// The headers, one per line
    Headers,
    /// A curl command that sends the delivery
    Curl,
    /// The API Gateway event that `cargo lambda invoke --data-file` and `sam local invoke -e` take
    Apigw,
}

impl Sign {
    pub(crate) async fn run(self) -> Result<(), OperatorError> {
        let mut body = read_file(&self.body)?;
        if self.fresh {
            if matches!(self.form, Output::Headers) {
                return Err(OperatorError::usage(
                    "`--fresh` changes the body, and `--as headers` does not print it",
                    "pass `--as curl` or `--as apigw`",
                ));
            }
            body = with_fresh_id(self.provider, &body, &mut fastrand::Rng::new())?;
            note_new_event(self.provider, &body);
        }
        let url = bridge_url(self.url.as_deref());
        let headers = signed_headers(self.provider, &body, &self.key.read(self.provider, &url).await?)?;
        let path = self.provider.path();
        match self.form {
            Output::Headers => {
                for (name, value) in headers {
                    out!("{name}: {value}");
                }
            }
            Output::Curl => {
                out!("{}", curl(&format!("{url}{path}"), &headers, &body));
            }
            Output::Apigw => {
                let mut all = vec![("content-type".to_owned(), "application/json".to_owned())];
                all.extend(headers.into_iter().map(|(name, value)| (name.to_owned(), value)));
                for line in format!("{:#}", http_api_event(&HttpRequest::post(&path, all, body))).lines() {
                    out!("{line}");
                }
            }
        }
        Ok(())
    }
}

/// The body travels as base64, so that no shell and no editor changes a byte of what was signed.
fn curl(url: &str, headers: &[(&str, String)], body: &[u8]) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!(" -H '{name}: {value}'")).collect();
    format!(
        "printf %s {} | base64 -d | curl -sS --url {} -H 'content-type: application/json'{headers} --data-binary @-",
        STANDARD.encode(body),
        quoted(url)
    )
}
