//! Small tables in, the catalogue's lines out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use sluice_catalogue::import::{Imported, import};

const REGIONS: &str = r#"{"providers": [
    {"id": "gemini", "endpoints": {"global": "https://g", "eu": "https://eu", "template": "https://{x}", "eu_regions": ["a"]},
     "eu": "yes", "baa": "no", "confidence": "doc"},
    {"id": "others", "list": ["openai", "nobody"], "eu": "to be confirmed"}
]}"#;

/// One table of models: providers as JSON, models as JSON.
fn table(provider: &str, package: &str, models: &str) -> String {
    format!(
        r#"{{"providers": {{"{provider}": {{"name": "P", "npm": "{package}", "api": "https://p.example/v1/", "env": ["P_HOST", "P_KEY"], "models": {{{models}}}}}}}}}"#
    )
}

fn model(name: &str, more: &str) -> String {
    format!(
        r#""{name}": {{"limit": {{"context": 100, "output": 10}}, "modalities": {{"input": ["text", "pdf"], "output": ["text"]}}, "tool_call": true{more}}}"#
    )
}

fn run(models: &str, prices: &str) -> Imported {
    import(models, prices, r#"{"providers": []}"#).unwrap()
}

/// The line of one model.
fn line<'a>(imported: &'a Imported, id: &str) -> &'a str {
    let start = format!("{{\"id\":\"{id}\"");
    let mut lines = imported.models.lines();
    lines.find(|line| line.starts_with(&start)).unwrap_or("")
}

#[test]
fn a_provider_and_its_models_become_lines() {
    let cost = r#", "cost": {"input": 0.15, "output": 6e-1, "cache_read": 0.075, "cache_write": 0,
        "tiers": [{"tier": {"size": 200000}, "input": 0.30000000000000004, "output": 1.2}]},
        "release_date": "2024-07-18", "status": "deprecated", "reasoning": true"#;
    let imported = run(
        &table("p", "@ai-sdk/openai-compatible", &model("m", cost)),
        "{}",
    );
    let provider = imported
        .providers
        .lines()
        .find(|line| line.contains("\"id\":\"p\""));
    assert_eq!(
        provider,
        Some(
            r#"{"id":"p","name":"P","dialect":"openai","base_url":"https://p.example/v1","key":"P_KEY"}"#
        )
    );
    assert_eq!(
        line(&imported, "p/m"),
        r#"{"id":"p/m","context":100,"output":10,"can":["chat","tools","documents","reasoning"],"released":"2024-07-18","deprecated":true,"price":{"input":"0.15","output":"0.6","input_cached":"0.075","above":[{"input_tokens":200000,"input":"0.3","output":"1.2"}]}}"#
    );
    assert!(imported.notes.is_empty());
}

#[test]
fn what_cannot_be_served_is_left_out_and_named() {
    let models = [
        model("~latest", ""),
        model("other", r#", "provider": {"npm": "@ai-sdk/anthropic"}"#),
        model("kept", ""),
    ];
    let imported = run(
        &table("p", "@ai-sdk/openai-compatible", &models.join(",")),
        "{}",
    );
    assert_eq!(imported.models.lines().count(), 1);
    assert_eq!(
        imported.notes,
        [
            "p/~latest: left out, the name is not allowed",
            "p: 1 models left out, served in another dialect"
        ]
    );
    let imported = run(&table("bedrock", "@ai-sdk/amazon-bedrock", ""), "{}");
    assert_eq!(
        imported.notes,
        ["bedrock: left out, no dialect for @ai-sdk/amazon-bedrock"]
    );
}

#[test]
fn embeddings_have_no_output_and_silent_models_do_not_chat() {
    let models = [model("text-embed", ""), model("rerank-1", "")];
    let imported = run(
        &table("p", "@ai-sdk/openai-compatible", &models.join(",")),
        "{}",
    );
    assert!(
        line(&imported, "p/text-embed")
            .contains(r#""context":100,"can":["embeddings","tools","documents"]"#)
    );
    assert!(line(&imported, "p/rerank-1").contains(r#""can":["tools","documents"]"#));
}

#[test]
fn what_draws_is_charged_for_tokens_of_images() {
    let prices = r#"{"draws": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_token": 5e-06,
        "output_cost_per_token": 1e-05, "output_cost_per_image_token": 3.2e-05}}"#;
    let imported = run(&table("p", "@ai-sdk/openai-compatible", ""), prices);
    let drawn = line(&imported, "openai/draws");
    assert!(
        drawn.contains(r#""price":{"input":"5","output":"32"}"#),
        "{drawn}"
    );
}

#[test]
fn the_price_file_fills_in_and_does_not_overrule() {
    let models = table(
        "anthropic",
        "@ai-sdk/anthropic",
        &model("claude", r#", "cost": {"input": 3, "output": 15}"#),
    );
    let prices = r#"{
        "claude": {"litellm_provider": "anthropic", "input_cost_per_token": 3e-06, "output_cost_per_token": 1.6e-05,
            "cache_creation_input_token_cost_above_1hr": 6e-06, "deprecation_date": "2027-01-01", "mode": "chat",
            "input_cost_per_token_above_200k_tokens": 6e-06},
        "claude-dated": {"litellm_provider": "anthropic", "input_cost_per_token": 2.5e-07,
            "cache_creation_input_token_cost_above_1hr": 6e-06, "mode": "chat", "supports_vision": true, "max_input_tokens": 5},
        "else": {"litellm_provider": "somebody", "input_cost_per_token": 1}
    }"#;
    let imported = run(&models, prices);
    assert_eq!(
        line(&imported, "anthropic/claude"),
        r#"{"id":"anthropic/claude","context":100,"output":10,"can":["chat","tools","documents"],"retires":"2027-01-01","price":{"input":"3","output":"15","cache_write_1h":"6","above":[{"input_tokens":200000,"input":"6"}]}}"#
    );
    // Added, with the hour's price put right.
    assert_eq!(
        line(&imported, "anthropic/claude-dated"),
        r#"{"id":"anthropic/claude-dated","context":5,"can":["chat","images"],"price":{"input":"0.25","cache_write_1h":"0.5"}}"#
    );
    assert_eq!(
        imported.notes,
        [
            "anthropic/claude: output is 15; the price file says 16",
            "anthropic/claude-dated: cache_write_1h is 0.5, twice the input; the price file says 6",
            "else: not taken from the price file, provider \"somebody\"",
        ]
    );
}

#[test]
fn models_say_how_they_think_and_whether_they_take_temperature() {
    let effort = r#"{"type": "effort", "values": ["low"]}"#;
    let budget = r#"{"type": "budget_tokens", "min": 1}"#;
    for (more, quirks) in [
        ("", ""),
        (r#", "temperature": true"#, ""),
        (
            r#", "temperature": false"#,
            r#","quirks":{"sampling":false}"#,
        ),
        (
            &format!(r#", "reasoning_options": [{{"type": "toggle"}}, {effort}]"#),
            r#","quirks":{"reasoning_adaptive":true}"#,
        ),
        (
            &format!(r#", "reasoning_options": [{effort}, {budget}]"#),
            "",
        ),
        (&format!(r#", "reasoning_options": [{budget}]"#), ""),
        (r#", "reasoning_options": []"#, ""),
    ] {
        let models = table("p", "@ai-sdk/openai-compatible", &model("m", more));
        let expected = format!(
            r#"{{"id":"p/m","context":100,"output":10,"can":["chat","tools","documents"]{quirks}}}"#
        );
        assert_eq!(line(&run(&models, "{}"), "p/m"), expected, "{more}");
    }
}

#[test]
fn a_version_by_its_day_departs_where_its_model_does() {
    let more = r#", "temperature": false, "reasoning_options": [{"type": "effort"}]"#;
    let models = table("anthropic", "@ai-sdk/anthropic", &model("claude", more));
    let entry = |name: &str, more: &str| {
        format!(
            r#""{name}": {{"litellm_provider": "anthropic", "input_cost_per_token": 1e-06, "mode": "chat"{more}}}"#
        )
    };
    let adaptive = r#", "supports_adaptive_thinking": true"#;
    let entries = [
        entry("claude-20260102", ""),
        entry("claude-2026-01-02", ""),
        entry("claude-2026", ""),
        entry("claude-next", adaptive),
        entry("claude-plain", r#", "supports_sampling_params": false"#),
    ];
    let imported = run(&models, &format!("{{{}}}", entries.join(",")));
    for (name, quirks) in [
        (
            "claude-20260102",
            r#","quirks":{"reasoning_adaptive":true,"sampling":false}"#,
        ),
        (
            "claude-2026-01-02",
            r#","quirks":{"reasoning_adaptive":true,"sampling":false}"#,
        ),
        ("claude-2026", ""),
        ("claude-next", r#","quirks":{"reasoning_adaptive":true}"#),
        ("claude-plain", r#","quirks":{"sampling":false}"#),
    ] {
        let id = format!("anthropic/{name}");
        let expected = format!(r#"{{"id":"{id}","can":["chat"]{quirks},"price":{{"input":"1"}}}}"#);
        assert_eq!(line(&imported, &id), expected);
    }
}

#[test]
fn schemas_of_anthropic_s_models_count_only_where_they_are_no_stand_in() {
    let models = table("anthropic", "@ai-sdk/anthropic", &model("claude", ""));
    let prices = |word: &str| {
        format!(
            r#"{{"claude": {{"litellm_provider": "anthropic", "input_cost_per_token": 1e-06, "{word}": true}},
                "claude-added": {{"litellm_provider": "anthropic", "input_cost_per_token": 1e-06, "{word}": true}}}}"#
        )
    };
    for (word, expected) in [
        ("supports_response_schema", false),
        ("supports_native_structured_output", true),
    ] {
        let imported = run(&models, &prices(word));
        for id in ["anthropic/claude", "anthropic/claude-added"] {
            let found = line(&imported, id).contains(r#""structured_output""#);
            assert_eq!(found, expected, "{id}, {word}");
        }
    }
}

#[test]
fn models_behind_responses_only_do_not_chat() {
    let models = table("openai", "@ai-sdk/openai", &model("o1-pro", ""));
    let prices = r#"{"o1-pro": {"litellm_provider": "openai", "mode": "responses", "input_cost_per_token": 1e-06}}"#;
    let imported = run(&models, prices);
    assert!(
        line(&imported, "openai/o1-pro").contains(r#""can":["responses","tools","documents"]"#)
    );
}

#[test]
fn regions_are_taken_by_alias_and_by_list() {
    let models = r#"{"providers": {
        "google": {"name": "G", "npm": "@ai-sdk/google", "env": ["A_KEY"], "models": {}},
        "openai": {"name": "O", "npm": "@ai-sdk/openai", "env": ["B_KEY"], "models": {}}
    }}"#;
    let imported = import(models, "{}", REGIONS).unwrap();
    let google = imported
        .providers
        .lines()
        .find(|line| line.contains("\"google\""))
        .unwrap();
    assert!(google.contains(r#""aliases":["gemini"]"#));
    assert!(
        google.ends_with(
            r#""endpoints":{"eu":"https://eu"},"countries":{"eu":"EU"},"eu":"yes","baa":"no","confidence":"doc"}"#
        )
    );
    assert!(imported.providers.contains(r#""eu":"to be confirmed""#));
    assert_eq!(
        imported.notes,
        ["nobody: regions not taken, the provider is not in the catalogue"]
    );
}

#[test]
fn a_table_of_another_shape_is_named() {
    let error = |models: &str, prices: &str, regions: &str| {
        import(models, prices, regions).unwrap_err().to_string()
    };
    let empty = r#"{"providers": {}}"#;
    assert!(error("[]", "{}", "{}").starts_with("the table of models cannot be read: "));
    assert!(error(empty, "[]", "{}").starts_with("the price file cannot be read: "));
    assert!(error(empty, "{}", "[]").starts_with("the table of regions cannot be read: "));
}
