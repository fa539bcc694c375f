//! How a person's machine reaches the internet, as its environment says; what is on the machine itself is reached directly.

use std::time::Duration;
use std::{env, fs};

use aws_types::os_shim_internal::{Env, Fs};
use reqwest::{NoProxy, Proxy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use shared::outside::http::Http;

use crate::error::{OperatorError, with_causes};

/// A person's network may be a telephone's, or a tunnel to another continent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Never behind a proxy.
const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1";

/// Files of roots that are trusted besides Mozilla's.
const CA_BUNDLES: [&str; 2] = ["AWS_CA_BUNDLE", "SSL_CERT_FILE"];

/// A client for a bridge, on this machine or deployed, and for the systems that its secrets name.
///
/// # Errors
/// A variable of the environment names no proxy or no file of certificates.
pub fn http() -> Result<Http, OperatorError> {
    over(Vec::new())
}

/// A client for AWS: the roots of the profile's `ca_bundle` are trusted too, unless `AWS_CA_BUNDLE` is set, as with the AWS CLI.
/// Without a name the profile is that of the environment.
///
/// # Errors
/// As [`http()`]; the profiles cannot be read, or the `ca_bundle` of this profile is no file of certificates.
pub async fn http_for_aws(profile: Option<&str>) -> Result<Http, OperatorError> {
    if variable(&CA_BUNDLES[..1]).is_some() {
        return http();
    }
    let name = profile.map(|name| name.to_owned().into());
    let profiles = aws_config::profile::load(&Fs::real(), &Env::real(), &Default::default(), name).await;
    let profiles = profiles.map_err(|error| {
        let hint = "correct the files that `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE` name (~/.aws/config, ~/.aws/credentials)";
        OperatorError::usage(format!("The AWS profiles cannot be read: {}", with_causes(&error)), hint)
    })?;
    match profiles.get("ca_bundle").filter(|path| !path.is_empty()) {
        Some(path) => over(certificates(&format!("`ca_bundle` of profile `{}`", profiles.selected_profile()), path)?),
        None => http(),
    }
}

fn over(mut roots: Vec<CertificateDer<'static>>) -> Result<Http, OperatorError> {
    for name in CA_BUNDLES {
        if let Some((_, path)) = variable(&[name]) {
            roots.extend(certificates(&format!("`{name}`"), &path)?);
        }
    }
    let mut proxies = Vec::new();
    if let Some((name, url)) = variable(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]) {
        proxies.push(Proxy::https(url).map_err(|_| no_proxy_url(name))?);
    }
    if let Some((name, url)) = variable(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]) {
        proxies.push(Proxy::http(url).map_err(|_| no_proxy_url(name))?);
    }
    let direct = variable(&["NO_PROXY", "no_proxy"]).map_or(String::new(), |(_, hosts)| format!(",{hosts}"));
    let direct = NoProxy::from_string(&format!("{THIS_MACHINE}{direct}"));
    let proxies = proxies.into_iter().map(|proxy| proxy.no_proxy(direct.clone())).collect();
    Http::over(CONNECT_TIMEOUT, proxies, roots).map_err(|error| {
        let hint =
            format!("check the certificates that {} name", CA_BUNDLES.map(|name| format!("`{name}`")).join(" and "));
        OperatorError::usage(with_causes(&error), hint)
    })
}

/// The first of these variables that is set, with its value.
fn variable<'n>(names: &[&'n str]) -> Option<(&'n str, String)> {
    let value = |name| env::var(name).ok().filter(|value: &String| !value.is_empty());
    names.iter().find_map(|name| Some((*name, value(name)?)))
}

/// The value may hold a password.
fn no_proxy_url(name: &str) -> OperatorError {
    OperatorError::usage(
        format!("`{name}` is not the URL of a proxy"),
        format!("set `{name}=http://HOST:PORT`, or unset it"),
    )
}

/// `setting` is what names the file.
fn certificates(setting: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, OperatorError> {
    let unusable = |why: String| {
        let hint = format!("let {setting} name a file of certificates in PEM, or unset it");
        OperatorError::usage(format!("{setting}: {path} {why}"), hint)
    };
    let pem = fs::read(path).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(unusable("holds no certificate".to_owned())),
        Err(error) => Err(unusable(format!("cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests;
