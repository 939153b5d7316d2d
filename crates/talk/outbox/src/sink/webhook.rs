//! HTTP POST of the message as JSON; any 2xx is delivery.

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::{BadSink, NotDelivered};
use crate::Message;

/// A web service that takes messages.
pub struct Webhook {
    client: reqwest::Client,
    url: reqwest::Url,
    secret: Option<Zeroizing<String>>,
}

impl Webhook {
    /// A webhook at `url`. With a secret, `X-Haris-Signature: sha256=…` carries the HMAC-SHA-256 of the body.
    ///
    /// Plain HTTP is for this machine only: what an alert says is nobody else's.
    ///
    /// # Errors
    /// When the URL is none, or not HTTPS and not loopback; when TLS cannot be set up.
    pub fn new(url: &str, secret: Option<String>, extra_ca_pem: &[Vec<u8>]) -> Result<Self, BadSink> {
        let url: reqwest::Url = url.parse().map_err(|_| BadSink(format!("`{url}` is no URL")))?;
        let here = url.host_str().is_some_and(|host| {
            host == "localhost"
                || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        });
        if url.scheme() != "https" && !(url.scheme() == "http" && here) {
            return Err(BadSink(format!(
                "a webhook elsewhere takes https, not {}: alerts tell of this installation's weak moments",
                url.scheme()
            )));
        }
        let mut extra = Vec::new();
        for pem in extra_ca_pem {
            let bad = |error: reqwest::Error| BadSink(format!("a CA bundle cannot be read: {error}"));
            extra.extend(reqwest::Certificate::from_pem_bundle(pem).map_err(bad)?);
        }
        let mut client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        if !extra.is_empty() {
            client = client.tls_certs_merge(extra);
        }
        if here {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| BadSink(format!("TLS could not be set up: {error}")))?;
        Ok(Self { client, url, secret: secret.map(Zeroizing::new) })
    }

    pub(super) fn name(&self) -> String {
        // A path or query may hold a token.
        format!("webhook at {}", self.url.host_str().unwrap_or_default())
    }

    pub(super) async fn send(&self, message: &Message) -> Result<(), NotDelivered> {
        let body = message.body.to_string();
        let mut request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            // The same for each try: a receiver that has it already may say so and do nothing.
            .header("idempotency-key", &message.key);
        if let Some(secret) = &self.secret {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            let signature = hex::encode(hmac::sign(&key, body.as_bytes()));
            request = request.header("x-haris-signature", format!("sha256={signature}"));
        }
        let response = request
            .body(body)
            .send()
            .await
            .map_err(|error| NotDelivered::Unreachable { sink: self.name(), why: error.without_url().to_string() })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(NotDelivered::Refused { sink: self.name(), why: format!("HTTP {status}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for good in ["https://hooks.bank/x", "http://127.0.0.1:9/x", "http://[::1]:9/", "http://localhost/"] {
            Webhook::new(good, None, &[]).map(drop).unwrap();
        }
        for bad in ["http://hooks.bank/x", "ftp://127.0.0.1/", "hooks.bank", "http://127.0.0.1.evil/"] {
            assert!(Webhook::new(bad, None, &[]).is_err(), "{bad}");
        }
    }
}
