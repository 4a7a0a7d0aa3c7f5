//! An isolate's first request: what it asks the registry for, and which configuration it is served with.

use std::rc::Rc;

use serde_json::json;
use sluice_core::isolate::Isolate;

use crate::world::World;
use crate::{config, key, with};

/// Asks a new isolate that was deployed with this document for its models: how often the registry was asked, and whether
/// the model of the second document is among them.
fn start(world: &mut World, key: &str, document: &serde_json::Value) -> (u32, bool) {
    world.isolate = Rc::new(Isolate::new(document.to_string()));
    let before = world.registry_calls();
    let got = world.send("GET", "/v1/models", key, b"");
    assert_eq!(got.status, 200, "{}", got.text());
    let asked = world.registry_calls() - before;
    (asked, got.text().contains("\"second\""))
}

#[test]
fn whoever_was_deployed_with_what_is_in_force_asks_the_registry_for_nothing_more() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let first = config();
    let mut second = config();
    second["models"]["second"] = json!({"targets": [{"provider": "sandbox", "model": "echo"}]});
    // What has changed, and the key.
    assert_eq!(start(&mut world, &key, &first), (2, false));
    // It is handed in and read back besides.
    assert_eq!(start(&mut world, &key, &second), (4, true));
    assert_eq!(start(&mut world, &key, &second), (2, true));
    // It was handed in before, and another one is in force.
    assert_eq!(start(&mut world, &key, &first), (3, true));
}
