//! `sluice catalogue list`, `show` and `import`.

use std::path::PathBuf;

use clap::Subcommand;
use sluice_catalogue::import::import;
use sluice_catalogue::{Catalogue, ModelFacts, Prices};

use crate::{Failure, read_file, table, write_file};

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogueCommand {
    /// List the providers, or one provider's models
    List {
        /// The provider
        #[arg(long)]
        provider: Option<String>,
    },
    /// Show everything that is known of a model, at every provider that has it
    Show {
        /// The model, bare or as provider/model
        model: String,
    },
    /// Build the catalogue's files anew from public tables
    Import {
        /// The table of providers and models (models.dev)
        #[arg(long, value_name = "FILE")]
        models_dev: PathBuf,
        /// The community's price file
        #[arg(long, value_name = "FILE")]
        prices: PathBuf,
        /// The table of regions
        #[arg(long, value_name = "FILE")]
        regions: PathBuf,
        /// Where the files are written
        #[arg(long, value_name = "DIR", default_value = "shared/catalogue/data")]
        out: PathBuf,
    },
}

pub(crate) fn run(command: CatalogueCommand) -> Result<String, Failure> {
    match command {
        CatalogueCommand::List { provider: None } => Ok(providers(&built_in()?)),
        CatalogueCommand::List {
            provider: Some(name),
        } => models(&built_in()?, &name),
        CatalogueCommand::Show { model } => show(&built_in()?, &model),
        CatalogueCommand::Import {
            models_dev,
            prices,
            regions,
            out,
        } => {
            let imported = import(
                &read_file(&models_dev)?,
                &read_file(&prices)?,
                &read_file(&regions)?,
            )
            .map_err(Failure::Import)?;
            write_file(&out.join("providers.jsonl"), &imported.providers)?;
            write_file(&out.join("models.jsonl"), &imported.models)?;
            let mut text: String = imported
                .notes
                .iter()
                .map(|note| format!("{note}\n"))
                .collect();
            text.push_str(&format!(
                "{} providers and {} models written to {}\n",
                imported.providers.lines().count(),
                imported.models.lines().count(),
                out.display()
            ));
            Ok(text)
        }
    }
}

fn built_in() -> Result<Catalogue, Failure> {
    Catalogue::built_in().map_err(Failure::Catalogue)
}

fn providers(catalogue: &Catalogue) -> String {
    let mut rows = vec![
        [
            "provider", "dialect", "models", "key", "eu?", "baa?", "address",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for facts in catalogue.providers() {
        let said = |text: &Option<String>| text.clone().unwrap_or_default();
        rows.push(vec![
            facts.id.clone(),
            facts.dialect.clone(),
            catalogue.models(facts).count().to_string(),
            said(&facts.key),
            said(&facts.eu),
            said(&facts.baa),
            said(&facts.base_url),
        ]);
    }
    format!(
        "{}\neu? and baa? are defaults that an administrator must confirm, not proof.\n",
        table(&rows)
    )
}

fn models(catalogue: &Catalogue, name: &str) -> Result<String, Failure> {
    let provider = catalogue
        .provider(name)
        .ok_or_else(|| Failure::NotInCatalogue(name.to_owned()))?;
    let mut rows = vec![
        ["model", "context", "output", "$ in", "$ out", "can"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for facts in catalogue.models(provider) {
        let price = |pick: fn(&Prices) -> &Option<String>| {
            let price = facts.price.as_ref();
            price
                .and_then(|price| pick(price).clone())
                .unwrap_or_default()
        };
        rows.push(vec![
            facts.names().1.to_owned(),
            number(facts.context),
            number(facts.output),
            price(|price| &price.input),
            price(|price| &price.output),
            abilities(facts),
        ]);
    }
    Ok(table(&rows))
}

fn show(catalogue: &Catalogue, model: &str) -> Result<String, Failure> {
    let mut text = String::new();
    for facts in catalogue.find(model) {
        let shown = serde_json::to_string_pretty(facts).map_err(Failure::Json)?;
        text.push_str(&shown);
        text.push('\n');
    }
    if text.is_empty() {
        return Err(Failure::NotInCatalogue(model.to_owned()));
    }
    Ok(text)
}

fn number(count: Option<u64>) -> String {
    count.map_or_else(String::new, |count| count.to_string())
}

fn abilities(facts: &ModelFacts) -> String {
    let names = facts
        .can
        .iter()
        .filter_map(|ability| serde_json::to_value(ability).ok());
    let names: Vec<String> = names
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    names.join(" ")
}
