//! Checks who is told of what happens to budgets. The shells read the table themselves.

use std::net::IpAddr;

use http::Uri;

use super::super::document::NotifyDocument;
use super::super::entries::Entries;
use super::super::issue::Trail;
use super::super::secrets;
use super::Check;
use super::access::{check_address, is_loopback};

/// How many receivers there are, at most.
const RECEIVERS_MAX: usize = 8;

/// Checks them; returns the names of their secrets.
pub(super) fn check(check: &mut Check, receivers: &Entries<NotifyDocument>) -> Vec<String> {
    let path = Trail::Root.name("notify");
    if receivers.len() > RECEIVERS_MAX {
        check
            .0
            .add(&path, "has too many receivers", "allowed are 8");
    }
    for (name, receiver) in receivers.iter() {
        let path = path.name(name);
        if let Some(text) = &receiver.country {
            check.country(&path.name("country"), text);
        }
        let url = path.name("url");
        match &receiver.url {
            None => check
                .0
                .add(&url, "is missing", "write the receiver's address"),
            Some(text) => {
                if let Err((problem, hint)) = check_address(text).and_then(|()| is_public(text)) {
                    check.0.add(&url, problem, hint);
                }
            }
        }
        if let Some(secret) = &receiver.secret
            && !secrets::is_name(secret)
        {
            check.0.add(
                &path.name("secret"),
                format!("{} is not the name of a secret", secrets::shown(secret)),
                "write the name of the variable that holds it, such as \"NOTIFY_SECRET\"",
            );
        }
    }
    let secrets = receivers.iter().filter_map(|(_, one)| one.secret.clone());
    secrets.collect()
}

/// Whether an address leads out of the network that the gateway runs in, or stays on this machine.
fn is_public(text: &str) -> Result<(), (&'static str, &'static str)> {
    let uri: Option<Uri> = text.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let is_private = match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => {
            let [first, second, ..] = address.octets();
            address.is_private()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
                || (first == 100 && second & 0b1100_0000 == 64)
        }
        Ok(IpAddr::V6(address)) => {
            address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_unspecified()
                || address.to_ipv4_mapped().is_some()
        }
        Err(_) => {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            let inner = [".local", ".internal", ".localhost", ".lan"];
            !host.contains('.') || inner.iter().any(|ending| host.ends_with(ending))
        }
    };
    if is_private && !is_loopback(host) {
        return Err((
            "leads into a private network",
            "write an address that everybody can reach, or one on this machine",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_out_or_stay_here() {
        for (text, is_fine) in [
            ("https://hooks.slack.com/services/T0/B0/x", true),
            ("https://203.0.113.7/hook", true),
            ("http://127.0.0.1:9000/hook", true),
            ("https://[::1]/hook", true),
            ("https://10.1.2.3/hook", false),
            ("https://192.168.0.1/hook", false),
            ("https://169.254.169.254/latest", false),
            ("https://100.64.0.1/hook", false),
            ("https://[fd00::1]/hook", false),
            ("https://[::ffff:10.0.0.1]/hook", false),
            ("https://metadata.google.internal/", false),
            ("https://intranet/hook", false),
        ] {
            assert_eq!(is_public(text).is_ok(), is_fine, "{text}");
        }
    }
}
