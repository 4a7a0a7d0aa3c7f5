//! The core over a platform in memory: every way through a request, and what the ledger says afterwards.

mod admission;
mod bodies;
mod callers;
mod capacity;
mod circuits;
mod egress;
mod estimate;
mod failures;
mod files;
mod hedge;
mod keys;
mod leaks;
mod leases;
mod looks;
mod receipts;
mod refusals;
mod reservations;
mod residency;
mod shards;
mod spent;
mod starts;
mod streams;
mod upstreams;
mod waiting;
mod world;

use serde_json::{Value, json};

use world::World;

/// Three providers, a route with a fallback chain, and an organisation with every level.
fn config() -> Value {
    json!({
        "providers": {
            "openai": {"dialect": "openai", "base_url": "https://api.openai.com/v1", "key": "OPENAI_API_KEY", "auth": "bearer",
                "models": {"gpt-4o-mini": {"output_tokens_max": 1000}}},
            "anthropic": {"dialect": "anthropic", "base_url": "https://api.anthropic.com/v1", "key": "ANTHROPIC_API_KEY",
                "auth": {"header": "x-api-key"}, "models": {"claude-haiku": {"output_tokens_max": 1000}}},
        },
        "models": {
            "fast": {"targets": [{"provider": "openai", "model": "gpt-4o-mini"}, {"provider": "anthropic", "model": "claude-haiku"}]},
        },
        "prices": {
            "openai/gpt-4o-mini": {"input": "0.15", "output": "0.60"},
            "anthropic/claude-haiku": {"input": "0.80", "output": "4"},
        },
        "orgs": {
            "acme": {"teams": {"search": {"apps": {"web": {}}}}, "users": {"ada": {}}},
        },
    })
}

fn with(change: impl FnOnce(&mut Value)) -> World {
    let mut config = config();
    change(&mut config);
    World::new(&config)
}

fn key(world: &mut World) -> String {
    world.key(&json!({"org": "acme", "team": "search", "app": "web", "user": "ada"}))
}

fn chat(model: &str) -> Vec<u8> {
    json!({"model": model, "messages": [{"role": "user", "content": "Say hello."}]})
        .to_string()
        .into_bytes()
}

fn streamed(model: &str) -> Vec<u8> {
    json!({"model": model, "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "Say hello."}]})
    .to_string()
    .into_bytes()
}

const OPENAI_ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Hello.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":4}},"system_fingerprint":"fp_1"}"#;
const ANTHROPIC_ANSWER: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku","content":[{"type":"text","text":"Hello."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":3}}"#;
const SERVER_ERROR: &str = r#"{"error":{"message":"The server had an error.","type":"server_error","param":null,"code":null}}"#;
