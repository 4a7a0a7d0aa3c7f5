//! What encoders are told of models: the catalogue's facts, and the operator's word over them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use sluice_catalogue::Catalogue;
use sluice_cli::load::{Runtime, load};
use sluice_core::config::{Config, QuirksDocument};

/// The flags of [`sluice_wire::Target`] that the catalogue sets, those that are on.
fn flags(config: &Config, model: &str) -> Vec<&'static str> {
    let route = config.resolve_model(model).expect(model);
    let target = &route.targets[0].wire;
    let flags = [
        ("max_completion_tokens", target.max_completion_tokens),
        ("stream_usage", target.stream_usage),
        ("developer_role", target.developer_role),
        ("reasoning", target.reasoning),
        ("reasoning_content", target.reasoning_content),
        ("thought_signatures", target.thought_signatures),
        ("reasoning_adaptive", target.reasoning_adaptive),
        ("sampling", target.sampling),
        ("structured_outputs", target.structured_outputs),
        ("no_chat_completions", !target.chat_completions),
        ("responses", target.responses),
        ("completions", target.completions),
        ("reasoning_key", target.reasoning_key),
        ("thinking_chunks", target.thinking_chunks),
        ("short_call_ids", target.short_call_ids),
        ("random_seed", target.random_seed),
        ("output_dimension", target.output_dimension),
        ("assistant_prefix", target.assistant_prefix),
        ("strict_fields", target.strict_fields),
        ("no_json_schema", !target.json_schema),
        ("fields_refused", !target.fields_refused.is_empty()),
    ];
    let on = flags.into_iter().filter(|(_, on)| *on);
    on.map(|(name, _)| name).collect()
}

fn check(text: &str, cases: &[(&str, &str)]) {
    let loaded = load(text, &Catalogue::built_in().unwrap(), Runtime::Workers).unwrap();
    for (model, expected) in cases {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(flags(&loaded.config, model), expected, "{model}");
    }
}

#[test]
fn encoders_know_what_the_catalogue_knows() {
    check(
        "[providers.anthropic]\n[providers.openai]\n[providers.deepseek]\n[providers.moonshotai]\n[providers.gemini]\n[providers.mistral]\n",
        &[
            // The newest think as they like and take no temperature.
            (
                "claude-opus-4-8",
                "stream_usage reasoning reasoning_adaptive structured_outputs",
            ),
            (
                "claude-sonnet-5",
                "stream_usage reasoning reasoning_adaptive",
            ),
            // Known from the price file only, without and with a model that it is a version of.
            (
                "claude-opus-5",
                "stream_usage reasoning reasoning_adaptive structured_outputs",
            ),
            (
                "claude-opus-4-7-20260416",
                "stream_usage reasoning reasoning_adaptive structured_outputs",
            ),
            // Both an effort and a budget, a budget, nothing.
            (
                "claude-opus-4-5",
                "stream_usage reasoning sampling structured_outputs",
            ),
            (
                "claude-sonnet-4-20250514",
                "stream_usage reasoning sampling",
            ),
            ("claude-3-haiku-20240307", "stream_usage sampling"),
            (
                "gpt-4o-mini",
                "max_completion_tokens stream_usage developer_role sampling structured_outputs responses",
            ),
            (
                "gpt-5-mini",
                "max_completion_tokens stream_usage developer_role reasoning reasoning_adaptive structured_outputs responses",
            ),
            // Served over Responses alone.
            (
                "o3-pro",
                "max_completion_tokens stream_usage developer_role reasoning reasoning_adaptive structured_outputs no_chat_completions responses",
            ),
            (
                "gpt-5-mini-2025-08-07",
                "max_completion_tokens stream_usage developer_role reasoning reasoning_adaptive structured_outputs responses",
            ),
            (
                "deepseek-chat",
                "stream_usage reasoning_content sampling no_json_schema",
            ),
            (
                "deepseek-reasoner",
                "stream_usage reasoning reasoning_content sampling no_json_schema",
            ),
            (
                "kimi-k2.5",
                "stream_usage reasoning reasoning_content structured_outputs",
            ),
            (
                "gemini-2.5-flash",
                "stream_usage reasoning thought_signatures sampling structured_outputs",
            ),
            (
                "mistral-small-latest",
                "reasoning reasoning_adaptive sampling thinking_chunks short_call_ids random_seed output_dimension assistant_prefix strict_fields fields_refused",
            ),
        ],
    );
}

#[test]
fn the_operator_s_word_holds_over_the_catalogue_s_and_a_model_s_over_its_provider_s() {
    check(
        r#"
        [providers.anthropic.quirks]
        reasoning_adaptive = false
        structured_outputs = false
        developer_role = true
        [providers.anthropic.models.claude-opus-4-8.quirks]
        sampling = true
        structured_outputs = true
        [providers.anthropic.models.claude-haiku-4-5.quirks]
        reasoning_adaptive = true
        developer_role = false
        [providers.anthropic.models.claude-opus-4-5]
        capabilities = ["chat"]
        [providers.deepseek.quirks]
        reasoning_content = false
        "#,
        &[
            (
                "claude-opus-4-8",
                "stream_usage developer_role reasoning sampling structured_outputs",
            ),
            ("claude-sonnet-5", "stream_usage developer_role reasoning"),
            (
                "claude-haiku-4-5",
                "stream_usage reasoning reasoning_adaptive sampling",
            ),
            ("claude-opus-4-5", "stream_usage developer_role sampling"),
            ("deepseek-chat", "stream_usage sampling no_json_schema"),
        ],
    );
}

#[test]
fn a_model_that_nobody_knows_is_held_to_no_schema() {
    check(
        "[providers.anthropic]\nmodels_allow = [\"*\"]\n",
        &[(
            "anthropic/claude-to-come",
            "stream_usage reasoning sampling",
        )],
    );
}

#[test]
fn every_word_of_the_catalogue_s_is_one_of_the_configuration_s() {
    let catalogue = Catalogue::built_in().unwrap();
    for facts in catalogue.providers() {
        let known = serde_json::to_value(facts.quirks).unwrap();
        let read: Result<QuirksDocument, _> = serde_json::from_value(known);
        assert!(read.is_ok(), "{}: {read:?}", facts.id);
    }
}
