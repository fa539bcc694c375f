//! A call to a service of AWS of which the operator uses one operation.
//!
//! Credentials, signature, retries and time limits are the SDK's. Its crate for the whole service is not used: those for
//! CloudFormation, Lambda and EventBridge Scheduler together took a third of the time of a first build.

use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::AuthSchemeOptionResolverParams;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_smithy_xml::decode::{Document, XmlDecodeError, try_data};
use aws_types::SigningName;
use aws_types::region::SigningRegion;
use aws_types::sdk_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;
use http::Request;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

/// A successful answer.
#[derive(Clone, Debug)]
pub(crate) struct AwsAnswer {
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

/// Why there is none. The code is AWS's own.
pub(crate) type CallError = SdkError<ErrorMetadata, HttpResponse>;

/// Sends `request`, whose URI is a path, to `service`: AWS's id of it, `CloudFormation`.
///
/// # Errors
/// No answer, or one that is no success.
pub(crate) async fn call(
    config: &SdkConfig,
    service: &'static str,
    operation: &'static str,
    request: Request<String>,
) -> Result<AwsAnswer, CallError> {
    let endpoint = endpoint(config, service).await.map_err(SdkError::construction_failure)?;
    let retries = config.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    let operation = Operation::builder()
        .service_name(service)
        .operation_name(operation)
        .endpoint_url(&endpoint)
        .standard_retry(&retries)
        .retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
        .retry_classifier(AwsErrorCodeClassifier::<ErrorMetadata>::new())
        .retry_classifier(HttpStatusCodeClassifier::default())
        .timeout_config(config.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled))
        .with_connection_poisoning()
        .runtime_plugin(client(config, service))
        .serializer(|request: Request<String>| Ok(HttpRequest::try_from(request.map(SdkBody::from))?))
        .deserializer(read)
        .build();
    operation.invoke(request).await
}

/// The HTTP client, and what a request is signed with.
fn client(config: &SdkConfig, service: &'static str) -> StaticRuntimePlugin {
    let mut signing = Layer::new("signing");
    signing.store_put(AuthSchemeOptionResolverParams::new(()));
    signing.store_put(SigV4OperationSigningConfig {
        region: config.region().cloned().map(SigningRegion::from),
        name: Some(SigningName::from(host_name(service))),
        ..SigV4OperationSigningConfig::default()
    });
    let identity = config.credentials_provider().map(SharedIdentityResolver::new);
    let mut components = RuntimeComponentsBuilder::new("operator")
        .with_http_client(config.http_client())
        .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID])))
        .with_auth_scheme(SigV4AuthScheme::new());
    if let Some(identity) = identity {
        components.set_identity_resolver(SCHEME_ID, identity);
    }
    StaticRuntimePlugin::new().with_config(signing.freeze()).with_runtime_components(components)
}

/// As the host of a service begins, and as requests to it are signed.
fn host_name(service: &str) -> String {
    service.to_ascii_lowercase()
}

/// Where the service is: as the environment or the profile names it, or as AWS does.
async fn endpoint(config: &SdkConfig, service: &str) -> Result<String, BoxError> {
    let key =
        ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url").build()?;
    let set = config.service_config().and_then(|settings| settings.load_config(key));
    if let Some(url) = set.or_else(|| config.endpoint_url().map(str::to_owned)) {
        return Ok(url);
    }
    // The hosts of these services differ in the first word alone, so the SDK's list of AWS's partitions serves for all.
    let params = Params::builder()
        .set_region(config.region().map(ToString::to_string))
        .set_use_fips(config.use_fips())
        .set_use_dual_stack(config.use_dual_stack())
        .build()?;
    let endpoint = ResolveEndpoint::resolve_endpoint(&DefaultResolver::new(), &params).await?;
    Ok(endpoint.url().replacen("dynamodb", &host_name(service), 1))
}

fn read(answer: &HttpResponse) -> Result<AwsAnswer, OrchestratorError<ErrorMetadata>> {
    let body = answer.body().bytes().unwrap_or_default();
    if answer.status().is_success() {
        return Ok(AwsAnswer { headers: answer.headers().clone(), body: body.to_vec() });
    }
    let mut error = ErrorMetadata::builder();
    if let Some(code) = error_code(answer.headers(), body) {
        error = error.code(code);
    }
    Err(OrchestratorError::operation(error.build()))
}

/// A service that speaks JSON has the code in a header, perhaps between a namespace and a URL; CloudFormation has it in its XML.
fn error_code(headers: &Headers, body: &[u8]) -> Option<String> {
    if let Some(code) = headers.get("x-amzn-errortype") {
        let code = code.split(':').next().unwrap_or_default();
        return Some(code.rsplit('#').next().unwrap_or(code).to_owned());
    }
    let (_, code) = texts(body, &["Code"]).ok()?.into_iter().next()?;
    Some(code)
}

/// The elements of these names in an XML document, in its order, with their texts.
pub(crate) fn texts(xml: &[u8], names: &[&str]) -> Result<Vec<(String, String)>, XmlDecodeError> {
    let mut document = Document::try_from(xml)?;
    let mut found = Vec::new();
    while let Some(element) = document.next_start_element() {
        let name = element.local().to_owned();
        if names.contains(&name.as_str()) {
            let text = try_data(&mut document.scoped_to(element))?;
            found.push((name, text.into_owned()));
        }
    }
    Ok(found)
}

/// A name as a part of a path or as a value of a form.
pub(crate) fn encoded(name: &str) -> PercentEncode<'_> {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(name, RESERVED)
}

#[cfg(test)]
mod tests;
