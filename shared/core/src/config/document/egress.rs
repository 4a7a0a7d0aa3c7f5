//! Where targets are called from, as it is written.

use serde::{Deserialize, Serialize};
use sluice_units::Jurisdiction;

names! {
    /// A place that targets can be called from.
    ///
    /// Jurisdictions are promises of the platform's, the others wishes. Both as Durable Objects have them:
    /// <https://developers.cloudflare.com/durable-objects/reference/data-location/>, 2026-11.
    EgressName {
        /// In the European Union.
        Eu = "eu",
        /// In the United States.
        Us = "us",
        /// In data centres with a FedRAMP Moderate authorisation.
        Fedramp = "fedramp",
        /// Near western North America.
        Wnam = "wnam",
        /// Near eastern North America.
        Enam = "enam",
        /// Near South America.
        Sam = "sam",
        /// Near western Europe, Britain and Switzerland included.
        Weur = "weur",
        /// Near eastern Europe.
        Eeur = "eeur",
        /// Near Asia and the Pacific.
        Apac = "apac",
        /// Near Oceania.
        Oc = "oc",
        /// Near Africa.
        Afr = "afr",
        /// Near the Middle East.
        Me = "me",
    }
}

names! {
    /// When a target is called from its place.
    EgressWhen {
        /// For every call.
        Always = "always",
        /// Where the provider refuses the country that a call comes from.
        Refused = "refused",
    }
}

impl EgressName {
    /// The jurisdiction that it promises; none where it is a wish.
    #[must_use]
    pub const fn jurisdiction(self) -> Option<Jurisdiction> {
        match self {
            Self::Eu => Some(Jurisdiction::Eu),
            Self::Us => Some(Jurisdiction::Us),
            Self::Fedramp => Some(Jurisdiction::Fedramp),
            _ => None,
        }
    }
}
