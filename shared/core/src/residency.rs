//! Where a caller's data may go: one check that every hop passes.
//!
//! A hop is anything that a request's bytes, its counters or its records travel to: a target, a ledger. What it takes
//! to make one is a [`Permitted`], which nothing outside this module can build: a hop that skips the check does not
//! compile. Decides who is pinned to what, too; what the configuration's regions are is decided by `config`.
//! **Invariant:** whatever a pinned request's bytes or records reach, [`Residency::check`] has allowed.

mod ask;
mod course;
mod place;

use std::ops::Deref;
use std::sync::Arc;

use sluice_machines::registry::KeyRecord;
use sluice_units::{Jurisdiction, LedgerId, ProviderId, Region, Timestamp};
use thiserror::Error;

pub use ask::{DATA, GATEWAY_REGION, REGION, asked};
pub use course::Course;
pub use place::{Countries, Country, KnownBy, Place, of_bedrock};

use crate::config::{Config, EgressName, Provider, ProviderDialect, TargetRef};
use crate::platform::UpstreamCall;

/// A region that callers can be pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionRules {
    /// Its name.
    pub region: Region,
    /// The countries that it consists of.
    pub countries: Countries,
    /// Where the platform keeps its objects.
    pub jurisdiction: Option<Jurisdiction>,
    /// The store of its records, by the name that the platform knows it by.
    pub bucket: Option<String>,
    /// The operator declares that callers enter the gateway within it.
    pub is_entered_within: bool,
}

impl RegionRules {
    /// Whether all is configured that it takes to hold requests here.
    #[must_use]
    pub const fn can_hold(&self) -> bool {
        self.jurisdiction.is_some() && self.bucket.is_some()
    }

    /// Whether this region's ledger may lease from another, which then hears of its keys and of what they use: it is
    /// under the same jurisdiction, and that is a platform's. The gateway's own machines may be anywhere, but those of
    /// one region are where that is.
    #[must_use]
    pub fn may_lease_from(&self, parent: &LedgerId) -> bool {
        match self.jurisdiction {
            None => true,
            Some(Jurisdiction::Own) => *parent.region() == self.region,
            own => parent.jurisdiction() == own,
        }
    }

    /// Whether whoever is held to this region is held to the other, too.
    #[must_use]
    pub fn is_within(&self, outer: &Self) -> bool {
        self.region == outer.region
            || (self.countries.are_within(&outer.countries)
                && self.jurisdiction == outer.jurisdiction)
    }
}

/// What holds for the data of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Residency {
    pin: Option<Arc<RegionRules>>,
    is_phi: bool,
}

/// What a request's bytes, counters or records travel to.
#[derive(Debug, Clone, Copy)]
pub enum Hop<'a> {
    /// A provider's model, which gets the request.
    Target(&'a TargetRef),
    /// What calls a provider from another place, and so gets all that is sent to it.
    Egress(&'a Provider, EgressName),
    /// A provider, or who sells its access tokens, asked for the gateway's own sake. It gets nothing of a request, and
    /// no region is asked of it.
    Own(&'a Provider),
    /// What counts requests and keeps their records until they are shipped.
    Ledger(&'a LedgerId),
}

/// Why a hop is closed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It is elsewhere, or nobody says where.
    #[error("provider {provider} (place: {})", place::shown(.place.as_ref()))]
    Place {
        /// Whose.
        provider: ProviderId,
        /// Where, if it is known.
        place: Option<Place>,
    },
    /// Nobody says that there is an agreement on health data.
    #[error("provider {0} (no BAA on record)")]
    NoAgreement(ProviderId),
    /// The platform keeps what calls from there under no jurisdiction, or not under the region's.
    #[error("provider {provider} (called from: {}, which is no jurisdiction of the region's)", .place.name())]
    Egress {
        /// Who is called.
        provider: ProviderId,
        /// From where.
        place: EgressName,
    },
    /// It is another region's, or the platform may put it anywhere.
    #[error("the ledger {0}")]
    Ledger(LedgerId),
}

/// A hop that passed the check. Only this module makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permitted<T>(T);

impl<T> Permitted<T> {
    /// The hop itself.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Permitted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'a> Permitted<&'a TargetRef> {
    /// The target, for as long as it lives.
    #[must_use]
    pub const fn get(self) -> &'a TargetRef {
        self.0
    }

    /// A call to this target.
    #[must_use]
    pub const fn call(self, call: UpstreamCall) -> Permitted<UpstreamCall> {
        Permitted(call)
    }
}

impl Permitted<&Provider> {
    /// A call to this provider, or to where its access tokens are bought.
    #[must_use]
    pub const fn call(self, call: UpstreamCall) -> Permitted<UpstreamCall> {
        Permitted(call)
    }
}

impl Residency {
    pub(crate) const fn new(pin: Option<Arc<RegionRules>>, is_phi: bool) -> Self {
        Self { pin, is_phi }
    }

    /// The region that the request is held to.
    #[must_use]
    pub fn pin(&self) -> Option<&RegionRules> {
        self.pin.as_deref()
    }

    /// Whether it holds health data of persons.
    #[must_use]
    pub const fn is_phi(&self) -> bool {
        self.is_phi
    }

    /// The one check.
    ///
    /// # Errors
    /// [`Refusal`] where the data may not go.
    pub fn check(&self, hop: Hop<'_>) -> Result<(), Refusal> {
        match hop {
            Hop::Target(target) => {
                self.check_place(target)?;
                self.check_agreement(target)?;
                match target.egress.filter(|egress| egress.is_always) {
                    Some(egress) => self.check_egress(&target.provider, egress.place),
                    None => Ok(()),
                }
            }
            Hop::Egress(provider, place) => self.check_egress(provider, place),
            Hop::Own(_) => Ok(()),
            Hop::Ledger(ledger) => self.check_ledger(ledger),
        }
    }

    /// A ledger, if it may count the request.
    ///
    /// # Errors
    /// [`Refusal::Ledger`].
    pub fn ledger(&self, ledger: &LedgerId) -> Result<Permitted<LedgerId>, Refusal> {
        self.check(Hop::Ledger(ledger))?;
        Ok(Permitted(ledger.clone()))
    }

    /// The place that a provider is called from, if what calls it there may have the request.
    ///
    /// # Errors
    /// [`Refusal::Egress`].
    pub fn egress(
        &self,
        provider: &Provider,
        place: EgressName,
    ) -> Result<Permitted<EgressName>, Refusal> {
        self.check(Hop::Egress(provider, place))?;
        Ok(Permitted(place))
    }

    fn target<'a>(&self, target: &'a TargetRef) -> Result<Permitted<&'a TargetRef>, Refusal> {
        self.check(Hop::Target(target))?;
        Ok(Permitted(target))
    }

    fn check_place(&self, target: &TargetRef) -> Result<(), Refusal> {
        let Some(pin) = self.pin() else {
            return Ok(());
        };
        // The gateway itself: nothing leaves it.
        let is_here = target.provider.dialect == ProviderDialect::Sandbox;
        let is_within = target
            .place
            .is_some_and(|place| pin.countries.hold(place.country));
        if is_here || is_within {
            return Ok(());
        }
        Err(Refusal::Place {
            provider: target.provider.id.clone(),
            place: target.place,
        })
    }

    fn check_agreement(&self, target: &TargetRef) -> Result<(), Refusal> {
        let is_here = target.provider.dialect == ProviderDialect::Sandbox;
        if !self.is_phi || is_here || target.provider.has_baa {
            return Ok(());
        }
        Err(Refusal::NoAgreement(target.provider.id.clone()))
    }

    fn check_egress(&self, provider: &Provider, place: EgressName) -> Result<(), Refusal> {
        let Some(pin) = self.pin() else {
            return Ok(());
        };
        let is_under_it = pin.jurisdiction.is_some() && place.jurisdiction() == pin.jurisdiction;
        if is_under_it {
            return Ok(());
        }
        Err(Refusal::Egress {
            provider: provider.id.clone(),
            place,
        })
    }

    fn check_ledger(&self, ledger: &LedgerId) -> Result<(), Refusal> {
        let Some(pin) = self.pin() else {
            return Ok(());
        };
        let is_its_own = *ledger.region() == pin.region
            && ledger.jurisdiction().is_some()
            && ledger.jurisdiction() == pin.jurisdiction;
        if !is_its_own {
            return Err(Refusal::Ledger(ledger.clone()));
        }
        // What it uses is told to the ledger that it leases from.
        match ledger.parent() {
            Some(parent) if !pin.may_lease_from(parent) => Err(Refusal::Ledger(parent.clone())),
            _ => Ok(()),
        }
    }
}

/// A provider, or who sells its access tokens, asked for the gateway's own sake.
///
/// # Errors
/// [`Refusal`], never at present: no byte of a request goes there.
pub(crate) fn own(provider: &Provider) -> Result<Permitted<&Provider>, Refusal> {
    Residency::default().check(Hop::Own(provider))?;
    Ok(Permitted(provider))
}

/// Where a provider is called from for the gateway's own sake.
pub(crate) fn own_egress(provider: &Provider) -> Option<Permitted<EgressName>> {
    let egress = provider.egress.filter(|egress| egress.is_always)?;
    Residency::default().egress(provider, egress.place).ok()
}

/// The ledger that counts a key's requests as long as they ask for nothing else; none where its place is not known.
pub(crate) fn of_key(
    config: &Config,
    key: &KeyRecord,
    now: Timestamp,
) -> Option<Permitted<LedgerId>> {
    let residency = Residency::new(config.place_of(key, now).ok()?.pin, false);
    let region = residency.pin().map(|pin| &pin.region);
    let ledger = config.ledger_of((&key.org, &key.id), region);
    residency.ledger(&ledger).ok()
}

/// A ledger that the operator asks, wherever it is: no request's data goes there.
pub(crate) const fn of_operator(ledger: LedgerId) -> Permitted<LedgerId> {
    Permitted(ledger)
}

/// The innermost of the regions that levels are pinned to, outermost first, if each lies within the one before.
///
/// # Errors
/// The two that disagree.
pub(crate) fn innermost(
    pins: impl Iterator<Item = Arc<RegionRules>>,
) -> Result<Option<Arc<RegionRules>>, (Region, Region)> {
    let mut innermost: Option<Arc<RegionRules>> = None;
    for pin in pins {
        if let Some(outer) = &innermost
            && !pin.is_within(outer)
        {
            return Err((outer.region.clone(), pin.region.clone()));
        }
        innermost = Some(pin);
    }
    Ok(innermost)
}

#[cfg(test)]
mod tests;
