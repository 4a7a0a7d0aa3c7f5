//! Where providers are: what their addresses say, what the operator says, and where the two disagree.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use sluice_catalogue::Catalogue;
use sluice_cli::load::{Fault, Runtime, load};

/// The place of a model's provider, or what is wrong with the file.
fn place(text: &str, model: &str) -> Result<String, String> {
    let loaded =
        load(text, &Catalogue::built_in().unwrap(), Runtime::Workers).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(|fault: &Fault| fault.line("f")).collect();
            lines.join("\n")
        })?;
    let route = loaded.config.resolve_model(model).expect(model);
    let place = route.targets[0].place;
    Ok(place.map_or_else(|| "unknown".to_owned(), |place| place.to_string()))
}

#[test]
fn a_regional_address_says_where_it_is_and_a_global_one_does_not() {
    const BEDROCK: &str =
        "models_allow = [\"*\"]\n[prices.\"amazon-bedrock/*\"]\ninput = \"1\"\noutput = \"1\"";
    const CLAUDE: &str = "amazon-bedrock/anthropic.claude-x";
    for (text, model, expected) in [
        ("[providers.openai]\n", "openai/gpt-4o", "unknown"),
        (
            "[providers.openai]\nregion = \"eu\"\n",
            "openai/gpt-4o",
            "EU, endpoint",
        ),
        (
            "[providers.openai]\nbase_url = \"https://us.api.openai.com/v1/\"\n",
            "openai/gpt-4o",
            "US, endpoint",
        ),
        (
            "[providers.openai]\ncountry = \"DE\"\ncountry_by = \"contract\"\n",
            "openai/gpt-4o",
            "DE, contract",
        ),
        (
            "[providers.openai]\nregion = \"eu\"\ncountry = \"DE\"\n",
            "openai/gpt-4o",
            "DE, declared",
        ),
        (
            "[providers.anthropic]\nregion = \"eu\"\n",
            "anthropic/claude-opus-4-8",
            "unknown",
        ),
        (
            &format!("[providers.amazon-bedrock]\nregion = \"eu-central-1\"\n{BEDROCK}"),
            CLAUDE,
            "DE, endpoint",
        ),
        (
            &format!("[providers.amazon-bedrock]\nregion = \"eu-west-2\"\n{BEDROCK}"),
            CLAUDE,
            "GB, endpoint",
        ),
        (
            &format!("[providers.amazon-bedrock]\nregion = \"eu-central-2\"\n{BEDROCK}"),
            CLAUDE,
            "CH, endpoint",
        ),
        (
            &format!("[providers.amazon-bedrock]\nregion = \"eu-west-1\"\n{BEDROCK}"),
            "amazon-bedrock/eu.anthropic.claude-x",
            "EU, endpoint",
        ),
        (
            &format!("[providers.amazon-bedrock]\nregion = \"eu-west-1\"\n{BEDROCK}"),
            "amazon-bedrock/global.anthropic.claude-x",
            "unknown",
        ),
        (
            "[providers.google-vertex]\ngoogle = { project = \"p\", location = \"europe-west4\" }\n",
            "google-vertex/gemini-2.5-flash",
            "NL, endpoint",
        ),
        (
            "[providers.google-vertex]\ngoogle = { project = \"p\", location = \"europe-west6\" }\n",
            "google-vertex/gemini-2.5-flash",
            "CH, endpoint",
        ),
        (
            "[providers.google-vertex]\ngoogle = { project = \"p\", location = \"global\" }\n",
            "google-vertex/gemini-2.5-flash",
            "unknown",
        ),
        (
            "[providers.azure]\nazure = { resource = \"r\" }\nregion = \"swedencentral\"\n",
            "azure/gpt-4o",
            "unknown",
        ),
    ] {
        assert_eq!(place(text, model).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn a_country_that_the_address_contradicts_is_refused() {
    for (text, says) in [
        (
            "[providers.openai]\nregion = \"us\"\ncountry = \"DE\"\n",
            "says DE, and the provider's address is in US",
        ),
        (
            "[providers.amazon-bedrock]\nregion = \"eu-west-2\"\ncountry = \"EU\"\n",
            "says EU, and the provider's address is in GB",
        ),
        (
            "[providers.google-vertex]\ngoogle = { project = \"p\", location = \"global\" }\ncountry = \"DE\"\n",
            "serves from anywhere",
        ),
    ] {
        let said = place(text, "none").unwrap_err();
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn an_agreement_is_on_record_only_where_the_operator_says_so() {
    let text =
        "[providers.amazon-bedrock]\nregion = \"eu-west-1\"\n[providers.openai]\nbaa = true\n";
    let loaded = load(text, &Catalogue::built_in().unwrap(), Runtime::Workers).unwrap();
    let with: Vec<&str> = loaded
        .config
        .providers()
        .filter(|provider| provider.has_baa)
        .map(|provider| provider.id.as_str())
        .collect();
    assert_eq!(with, ["openai"]);
}

#[test]
fn a_place_to_call_from_is_refused_where_the_platform_can_place_no_calls() {
    const TEXT: &str = "[providers.openai]\negress = \"wnam\"\negress_when = \"refused\"\n\n[models.fast]\ntargets = [{ provider = \"openai\", model = \"gpt-4o\", egress = \"eu\" }]\n";
    let on = |runtime| load(TEXT, &Catalogue::built_in().unwrap(), runtime);
    assert!(on(Runtime::Workers).is_ok());
    let faults = on(Runtime::Spin).unwrap_err();
    let lines: Vec<String> = faults.iter().map(|fault| fault.line("f")).collect();
    let said = |line: u32, path: &str, place: &str| {
        format!(
            "f:{line}: {path}.egress: asks for calls that leave from {place}, and this platform can place no calls; leave it out: here calls leave from the machines that the gateway runs on"
        )
    };
    let plain = |line: &String| {
        let mut parts = line.splitn(4, ':');
        let (file, row) = (parts.next().unwrap(), parts.next().unwrap());
        format!("{file}:{row}:{}", parts.nth(1).unwrap())
    };
    let lines: Vec<String> = lines.iter().map(plain).collect();
    assert_eq!(
        lines,
        [
            said(2, "providers.openai", "wnam"),
            said(6, "models.fast.targets[0]", "eu"),
        ]
    );
}
