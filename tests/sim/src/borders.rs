//! Borders: who is held to which region, where the providers are and are called from, and what may cross.
//!
//! Drawn from the seed and decided anew here, by the most naive means: each hop that a request's bytes, counters or
//! records take is held against it. Half of the worlds have none.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_machines::outbox::Batch;
use sluice_units::LedgerId;

use crate::economy::{ORGS, TEAMS};
use crate::judge::Verdict;
use crate::rng::Rng;
use crate::world::World;

const PROVIDERS: [&str; 3] = ["openai", "anthropic", "gemini"];
const COUNTRIES: [Option<&str>; 5] = [None, Some("DE"), Some("FR"), Some("US"), Some("GB")];
const PLACES: [&str; 4] = ["eu", "us", "weur", "wnam"];
/// Where the gateway is.
const HOME: &str = "sim";

/// A region that organisations are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Zone {
    name: &'static str,
    countries: &'static [&'static str],
    jurisdiction: &'static str,
}

const ZONES: [Zone; 2] = [
    Zone {
        name: "east",
        countries: &["DE", "FR"],
        jurisdiction: "eu",
    },
    Zone {
        name: "west",
        countries: &["US"],
        jurisdiction: "us",
    },
];

/// A provider.
#[derive(Debug, Clone, Copy)]
struct Site {
    country: Option<&'static str>,
    has_agreement: bool,
    /// Where it is called from, and whether always.
    egress: Option<(&'static str, bool)>,
    /// It refuses the country that calls from here come from.
    is_picky: bool,
}

/// What one request says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Papers {
    /// The region that it asks for.
    pub(crate) asked: Option<&'static str>,
    /// It says that it holds health data.
    pub(crate) is_phi: bool,
}

/// The borders of one world.
#[derive(Debug, Default)]
pub(crate) struct Borders {
    /// The providers; none where there are no borders.
    sites: Vec<Site>,
    pins: [Option<Zone>; ORGS],
    /// The teams whose requests hold health data.
    clinics: [[bool; TEAMS]; ORGS],
    papers: RefCell<BTreeMap<usize, Papers>>,
}

/// Whose request it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) org: usize,
    pub(crate) team: Option<usize>,
}

impl Borders {
    /// The borders of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let rng = Rng::new(seed, 6);
        if rng.chance(500_000) {
            return Self::default();
        }
        let site = |rng: &Rng| Site {
            country: *rng.pick(&COUNTRIES),
            has_agreement: rng.chance(500_000),
            egress: rng
                .chance(500_000)
                .then(|| (*rng.pick(&PLACES), rng.chance(500_000))),
            is_picky: rng.chance(300_000),
        };
        let mut borders = Self {
            sites: PROVIDERS.iter().map(|_| site(&rng)).collect(),
            ..Self::default()
        };
        // What leads nobody anywhere is refused before it starts.
        for org in 0..ORGS {
            let pin = Some(*rng.pick(&ZONES)).filter(|_| rng.chance(800_000));
            let is_served = borders.sites.iter().any(|site| site.is_open(pin, false));
            borders.pins[org] = pin.filter(|_| is_served);
            for team in 0..TEAMS {
                let pin = borders.pins[org];
                let is_served = borders.sites.iter().any(|site| site.is_open(pin, true));
                borders.clinics[org][team] = is_served && rng.chance(200_000);
            }
        }
        borders
    }

    /// Whether there are none.
    pub(crate) const fn are_open(&self) -> bool {
        self.sites.is_empty()
    }

    /// A configuration with the borders in it.
    pub(crate) fn document(&self, document: &str) -> String {
        if self.sites.is_empty() {
            return document.to_owned();
        }
        let mut document: Value = serde_json::from_str(document).expect("a document");
        for Zone {
            name,
            countries,
            jurisdiction,
        } in ZONES
        {
            document["regions"][name] =
                json!({"countries": countries, "jurisdiction": jurisdiction, "bucket": "RECORDS"});
        }
        for (name, site) in PROVIDERS.iter().zip(&self.sites) {
            let provider = &mut document["providers"][name];
            provider["country"] = json!(site.country);
            provider["baa"] = json!(site.has_agreement);
            if let Some((place, is_always)) = site.egress {
                provider["egress"] = json!(place);
                provider["egress_when"] = json!(if is_always { "always" } else { "refused" });
            }
        }
        for org in 0..ORGS {
            let entry = &mut document["orgs"][format!("org-{org}")];
            entry["region"] = json!(self.pins[org].map(|pin| pin.name));
            for team in 0..TEAMS {
                let phi = self.clinics[org][team].then_some("phi");
                entry["teams"][format!("team-{team}")]["data"] = json!(phi);
            }
        }
        document.to_string()
    }

    /// What a request says of itself.
    pub(crate) fn papers(&self, rng: &Rng, number: usize) -> Papers {
        if self.sites.is_empty() {
            return Papers::default();
        }
        let papers = Papers {
            asked: rng.chance(150_000).then(|| rng.pick(&ZONES).name),
            is_phi: rng.chance(100_000),
        };
        self.papers.borrow_mut().insert(number, papers);
        papers
    }

    fn papers_of(&self, number: usize) -> Papers {
        let papers = self.papers.borrow();
        papers.get(&number).copied().unwrap_or_default()
    }

    /// Whether a request holds health data, by its own word or by its team's.
    fn is_phi(&self, number: usize, owner: Owner) -> bool {
        let of_team = owner.team.is_some_and(|team| self.clinics[owner.org][team]);
        of_team || self.papers_of(number).is_phi
    }

    /// Whether a provider refuses the country that a call comes from.
    pub(crate) fn refuses(&self, provider: &str, egress: Option<&str>) -> bool {
        egress.is_none() && self.site(provider).is_some_and(|site| site.is_picky)
    }

    /// A provider gets a request, from here or from a place.
    pub(crate) fn passes(
        &self,
        number: usize,
        owner: Owner,
        provider: &str,
        egress: Option<&str>,
    ) -> Verdict {
        let Some(site) = self.site(provider) else {
            return Ok(());
        };
        let pin = self.pins[owner.org];
        let is_phi = self.is_phi(number, owner);
        if !site.is_open(pin, is_phi) {
            return Err(format!(
                "request {number}, held to {pin:?}, health data: {is_phi}, is sent to {provider}: {site:?}"
            ));
        }
        let is_meant = match (site.egress, egress) {
            (Some((place, true)), Some(found)) => place == found,
            (Some((place, false)), Some(found)) => {
                place == found && pin.is_none_or(|pin| pin.jurisdiction == found)
            }
            (Some((_, true)), None) | (None, Some(_)) => false,
            (_, None) => true,
        };
        if is_meant {
            return Ok(());
        }
        Err(format!(
            "request {number}, held to {pin:?}, is sent to {provider} by {egress:?}: {site:?}"
        ))
    }

    /// An organisation's ledger is told of its requests.
    pub(crate) fn counts(&self, org: usize, ledger: &LedgerId) -> Verdict {
        let found = (
            ledger.region().as_str(),
            ledger.jurisdiction().map(|found| found.as_str()),
        );
        let meant = match self.pins[org] {
            Some(pin) => (pin.name, Some(pin.jurisdiction)),
            None => (HOME, None),
        };
        if self.sites.is_empty() || found == meant {
            return Ok(());
        }
        Err(format!(
            "organisation {org} is counted by {found:?}, not by {meant:?}"
        ))
    }

    /// A batch of an organisation's records goes to the store.
    pub(crate) fn ships(&self, org: usize, batch: &Batch) -> Verdict {
        let region = self.pins[org].map_or(HOME, |pin| pin.name);
        let folder = format!("/region={region}/");
        if self.sites.is_empty() || batch.name.contains(&folder) {
            return Ok(());
        }
        Err(format!("{} is not in {region}", batch.name))
    }

    /// Something that is told where nobody keeps it in a region: the words of requests must not be in it.
    pub(crate) fn tells(&self, what: &str, text: &str) -> Verdict {
        if text.contains('~') || text.contains("req_") {
            return Err(format!("the {what} hears of a request: {text}"));
        }
        Ok(())
    }

    /// A request was refused, or served, as it had to be.
    pub(crate) fn answers(
        &self,
        number: usize,
        owner: Owner,
        is_served: bool,
        error: Option<&str>,
    ) -> Verdict {
        if self.sites.is_empty() {
            return Ok(());
        }
        let pin = self.pins[owner.org];
        let Papers { asked, .. } = self.papers_of(number);
        let may_ask = asked.is_none_or(|asked| pin.is_some_and(|pin| pin.name == asked));
        let is_closed = |is_phi: bool| self.sites.iter().any(|site| !site.is_open(pin, is_phi));
        let is_right = match error {
            Some("region_not_allowed") => !may_ask,
            Some("no_target_in_region") => pin.is_some() && is_closed(self.is_phi(number, owner)),
            Some("no_target_for_phi") => {
                pin.is_none() && self.is_phi(number, owner) && is_closed(true)
            }
            Some("region_unavailable") => pin.is_some(),
            _ => !is_served || may_ask,
        };
        if is_right {
            return Ok(());
        }
        Err(format!(
            "request {number}, held to {pin:?} and asking for {asked:?}, got {error:?}"
        ))
    }

    fn site(&self, provider: &str) -> Option<&Site> {
        let index = PROVIDERS.iter().position(|name| *name == provider)?;
        self.sites.get(index)
    }
}

impl World {
    /// Whose request it is.
    pub(crate) fn owner(&self, number: usize) -> Option<Owner> {
        let facts = self.facts.borrow();
        let holders = self.holders.borrow();
        let key = &holders.get(facts.get(number)?.key)?.key;
        let (org, team) = (key.org, key.team);
        Some(Owner { org, team })
    }
}

impl Site {
    /// Whether requests that are held so may be sent there at all.
    fn is_open(&self, pin: Option<Zone>, is_phi: bool) -> bool {
        let is_within = pin.is_none_or(|pin| {
            let is_there = self
                .country
                .is_some_and(|country| pin.countries.contains(&country));
            let may_leave = match self.egress {
                Some((place, true)) => place == pin.jurisdiction,
                _ => true,
            };
            is_there && may_leave
        });
        is_within && (!is_phi || self.has_agreement)
    }
}
