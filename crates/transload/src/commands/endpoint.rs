//! Where AWS is, for every command that needs it.

use crate::Surroundings;

/// The environment names an endpoint that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("AWS_ENDPOINT_URL {0:?} cannot be used: expected an address such as http://127.0.0.1:4566")]
pub struct UnusableEndpoint(String);

/// An address with its scheme, as an argument.
pub(super) fn parse(text: &str) -> Result<String, String> {
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    match host {
        Some(host) if !host.is_empty() && !host.contains(char::is_whitespace) => {
            Ok(text.to_owned())
        }
        _ => Err("expected an address such as http://127.0.0.1:4566".to_owned()),
    }
}

/// The address that was given, or else that of the environment; none means AWS.
pub(super) fn choose(
    given: Option<&str>,
    surroundings: &Surroundings,
) -> Result<Option<String>, UnusableEndpoint> {
    if let Some(url) = given {
        return Ok(Some(url.to_owned()));
    }
    let named = surroundings.endpoint_url.as_deref();
    named
        .map(|url| parse(url).map_err(|_| UnusableEndpoint(url.to_owned())))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_with_its_scheme() {
        for good in [
            "http://127.0.0.1:4566",
            "https://dynamodb.eu-west-1.amazonaws.com",
        ] {
            assert_eq!(parse(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "127.0.0.1:4566",
            "localhost",
            "http://",
            "ftp://x",
            "http://a b",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
