//! Places: countries, and how it is known that something is there.

use std::fmt;

use crate::config::PlaceBy;

/// The member states of the European Union. Neither London nor Zurich is in one.
const EU_MEMBERS: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT",
    "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// A country by its two capitals (ISO 3166-1), or `EU` for some member state of the Union.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// Some member state of the European Union, whichever.
    pub const EU: Self = Self(*b"EU");
    /// The United States.
    pub const US: Self = Self(*b"US");

    /// Reads two capitals.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let letters: [u8; 2] = text.as_bytes().try_into().ok()?;
        let is_country = letters.iter().all(u8::is_ascii_uppercase);
        is_country.then_some(Self(letters))
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

/// How a place is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownBy {
    /// The operator says so.
    Declared,
    /// The provider's address is one that it serves from there.
    Endpoint,
    /// A contract says so.
    Contract,
}

impl KnownBy {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Endpoint => "endpoint",
            Self::Contract => "contract",
        }
    }
}

/// Where a request is processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The country.
    pub country: Country,
    /// How it is known.
    pub by: KnownBy,
}

/// `DE, declared`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.country, self.by.name())
    }
}

impl From<PlaceBy> for KnownBy {
    fn from(name: PlaceBy) -> Self {
        match name {
            PlaceBy::Declared => Self::Declared,
            PlaceBy::Endpoint => Self::Endpoint,
            PlaceBy::Contract => Self::Contract,
        }
    }
}

/// Where Amazon Bedrock serves a model that it calls so, at a provider in this place.
///
/// A plain model is served where it is called. An inference profile is served anywhere in the geography that its name
/// begins with; what an application's profile leads to, its name does not say.
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html>, 2026-11.
#[must_use]
pub fn of_bedrock(model: &str, own: Option<Place>) -> Option<Place> {
    const GEOGRAPHIES: [(&str, Option<Country>); 11] = [
        ("apac", None),
        ("au", Some(Country(*b"AU"))),
        ("ca", Some(Country(*b"CA"))),
        ("eu", Some(Country::EU)),
        ("global", None),
        ("in", Some(Country(*b"IN"))),
        ("jp", Some(Country(*b"JP"))),
        ("sa", None),
        ("us", Some(Country::US)),
        ("us-gov", Some(Country::US)),
        ("uk", Some(Country(*b"GB"))),
    ];
    if model.starts_with("arn:") {
        let (kind, name) = model.rsplit_once('/')?;
        if kind.ends_with(":inference-profile") {
            return of_bedrock(name, own);
        }
        return own.filter(|_| kind.ends_with(":foundation-model"));
    }
    let (first, _) = model.split_once('.')?;
    let Some((_, geography)) = GEOGRAPHIES.iter().find(|(name, _)| *name == first) else {
        return own;
    };
    // What is called from elsewhere has been elsewhere.
    let country = geography.filter(|country| {
        let geography = Countries::new([*country]);
        own.is_some_and(|own| geography.hold(own.country))
    })?;
    Some(Place {
        country,
        by: KnownBy::Endpoint,
    })
}

/// A place, or that it is not known.
pub(super) fn shown(place: Option<&Place>) -> String {
    place.map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

/// The countries that a region consists of, `EU` written out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Countries(Vec<Country>);

impl Countries {
    /// These countries.
    pub fn new(countries: impl IntoIterator<Item = Country>) -> Self {
        let mut all = Vec::new();
        for country in countries {
            if country == Country::EU {
                all.extend(EU_MEMBERS.iter().filter_map(|text| Country::new(text)));
            } else {
                all.push(country);
            }
        }
        all.sort_unstable();
        all.dedup();
        Self(all)
    }

    /// Whether a place in this country, wherever in it, is one of these.
    #[must_use]
    pub fn hold(&self, country: Country) -> bool {
        if country == Country::EU {
            return Self::new([country]).are_within(self);
        }
        self.0.binary_search(&country).is_ok()
    }

    /// Whether all of these are among the others.
    #[must_use]
    pub fn are_within(&self, outer: &Self) -> bool {
        self.0.iter().all(|country| outer.hold(*country))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
