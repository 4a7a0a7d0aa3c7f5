//! What a request asks of residency, and whether its key may have it.

use http::{HeaderMap, StatusCode};
use sluice_units::Region;

use super::{RegionRules, Residency};
use crate::config::{Config, Place};
use crate::problem::Problem;

/// Asks for a region.
pub const GATEWAY_REGION: &str = "x-gateway-region";
/// The same under the gateway's own prefix.
pub const REGION: &str = "x-sluice-region";
/// Says what the request holds.
pub const DATA: &str = "x-sluice-data";
/// Health data of persons.
const PHI: &[u8] = b"phi";

/// What holds for a request with these headers by a key with this place.
///
/// # Errors
/// A 400 for headers that contradict each other or say nothing that is known, a 403 when the key's policy does not
/// allow what is asked for.
pub fn asked(config: &Config, place: &Place, headers: &HeaderMap) -> Result<Residency, Problem> {
    let is_phi = match headers.get(DATA).map(|value| value.as_bytes()) {
        None => place.is_phi,
        Some(PHI) => true,
        Some(_) => {
            let message = format!("{DATA} is not phi, which is all that it can be.");
            return Err(invalid(DATA, message));
        }
    };
    let Some(region) = region(headers)? else {
        return Ok(Residency::new(place.pin.clone(), is_phi));
    };
    let known = config.region(region);
    match known.filter(|rules| may_ask(config, place, rules)) {
        Some(rules) => Ok(Residency::new(Some(rules.clone()), is_phi)),
        None => Err(not_allowed(config, place, region)),
    }
}

/// The region that is asked for.
fn region(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut found = None;
    for name in [GATEWAY_REGION, REGION] {
        for value in headers.get_all(name) {
            let text = value
                .to_str()
                .map_err(|_| invalid(name, format!("{name} is not the name of a region.")))?;
            if found.is_some_and(|other| other != text) {
                let message = format!("{GATEWAY_REGION} and {REGION} ask for different regions.");
                return Err(invalid(name, message));
            }
            found = Some(text);
        }
    }
    Ok(found)
}

/// Whether the key's policy lets it ask for this region: its own, one that is listed, or where the gateway is anyway.
fn may_ask(config: &Config, place: &Place, asked: &RegionRules) -> bool {
    let is_listed = place.regions.contains(&asked.region);
    match &place.pin {
        Some(pin) => pin.region == asked.region || (is_listed && asked.is_within(pin)),
        None => is_listed || config.gateway.region == asked.region,
    }
}

fn not_allowed(config: &Config, place: &Place, asked: &str) -> Problem {
    let pin = place.pin.as_ref().map(|pin| &pin.region);
    let home = config.region(config.gateway.region.as_str());
    let own = pin.or_else(|| home.map(|home| &home.region));
    let mut allowed: Vec<&str> = own.into_iter().map(Region::as_str).collect();
    for region in &place.regions {
        let name = region.as_str();
        let is_open = config
            .region(name)
            .is_some_and(|rules| may_ask(config, place, rules));
        if is_open && !allowed.contains(&name) {
            allowed.push(name);
        }
    }
    let allowed = if allowed.is_empty() {
        "no region".to_owned()
    } else {
        allowed.join(", ")
    };
    let held = pin.map_or_else(String::new, |pin| {
        format!(" It is pinned to the region {pin}.")
    });
    Problem::invalid(
        StatusCode::FORBIDDEN,
        "region_not_allowed",
        format!(
            "The request asks for the region {:?}, and this API key may ask for {allowed}.{held}",
            shown(asked)
        ),
    )
    .with_param(GATEWAY_REGION)
}

/// As much of a caller's text as a message repeats.
fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 64;
    text.chars().take(CHARACTERS_MAX).collect()
}

fn invalid(name: &'static str, message: String) -> Problem {
    Problem::invalid(StatusCode::BAD_REQUEST, "invalid_header", message).with_param(name)
}
