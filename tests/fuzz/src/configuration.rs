//! Configuration documents: refused with reasons, or compiled into something that answers every question.

use sluice_core::config::{Config, Document};

pub(crate) fn check(bytes: &[u8]) {
    let document = match Document::from_json(bytes) {
        Ok(document) => document,
        Err(issue) => {
            assert!(!issue.problem.is_empty());
            return;
        }
    };
    let config = match Config::compile(&document) {
        Ok(config) => config,
        Err(issues) => {
            assert!(!issues.is_empty(), "refused without a reason");
            assert!(
                issues.iter().all(|issue| !issue.problem.is_empty()),
                "{issues:?}"
            );
            return;
        }
    };
    assert_eq!(
        Config::compile(&document).as_ref(),
        Ok(&config),
        "compiled twice"
    );
    for name in config.secrets_needed() {
        assert!(!name.is_empty());
    }
    for org in config.orgs() {
        assert!(config.key_defaults(org).is_some());
    }
    for name in ["fast", "gpt-4o", "openai/gpt-4o", "local/llama3", "/", ""] {
        if let Some(route) = config.resolve_model(name) {
            assert!(!route.targets.is_empty(), "{name} leads nowhere");
        }
    }
}
