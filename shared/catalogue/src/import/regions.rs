//! The table of regions: addresses by region, and what is said of the EU and of agreements.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Gathered;

#[derive(Deserialize)]
struct Table {
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
struct Provider {
    id: String,
    #[serde(default)]
    endpoints: BTreeMap<String, Value>,
    #[serde(default)]
    eu: Option<String>,
    #[serde(default)]
    baa: Option<String>,
    #[serde(default)]
    confidence: Option<String>,
    #[serde(default)]
    list: Vec<String>,
}

pub(super) fn read(text: &str, gathered: &mut Gathered) -> Result<(), serde_json::Error> {
    let table: Table = serde_json::from_str(text)?;
    for said in table.providers {
        let names = if said.list.is_empty() {
            vec![said.id.clone()]
        } else {
            said.list.clone()
        };
        for name in names {
            let mut providers = gathered.providers.values_mut();
            let found = providers.find(|facts| facts.id == name || facts.aliases.contains(&name));
            let Some(facts) = found else {
                let note =
                    format!("{name}: regions not taken, the provider is not in the catalogue");
                gathered.notes.push(note);
                continue;
            };
            let regional = said.endpoints.iter().filter_map(|(region, address)| {
                let address = address.as_str()?;
                let named = region != "global" && region != "template";
                named.then(|| (region.clone(), address.to_owned()))
            });
            facts.endpoints = regional.collect();
            facts.eu = said.eu.clone();
            facts.baa = said.baa.clone();
            facts.confidence = said.confidence.clone();
        }
    }
    Ok(())
}
