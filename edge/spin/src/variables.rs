//! The application's variables: settings and secrets.
//!
//! The core asks for secrets by the names that the configuration gives them (`OPENAI_API_KEY`); a variable's name is
//! the same in lower case, because Spin takes no other. Asked for without waiting, since a port of the core is so.

use sluice_units::Secret;

use self::binding::fermyon::spin::variables;

mod binding {
    spin_sdk::wit_bindgen::generate!({
        runtime_path: "spin_sdk::wit_bindgen::rt",
        world: "reader",
        inline: "
            package fermyon:spin@2.0.0;
            interface variables {
                get: func(name: string) -> result<string, error>;
                variant error {
                    invalid-name(string),
                    undefined(string),
                    provider(string),
                    other(string),
                }
            }
            world reader {
                import variables;
            }
        ",
    });
}

/// A variable that is set to something.
pub(crate) fn get(name: &str) -> Option<String> {
    match variables::get(name) {
        Ok(value) => Some(value).filter(|value| !value.is_empty()),
        Err(variables::Error::Undefined(_) | variables::Error::InvalidName(_)) => None,
        Err(variables::Error::Provider(detail) | variables::Error::Other(detail)) => {
            eprintln!("error: the variable {name} cannot be read: {detail}");
            None
        }
    }
}

/// A secret by the name that the configuration gives it.
pub(crate) fn secret(name: &str) -> Option<Secret> {
    get(&name.to_ascii_lowercase()).map(Secret::new)
}
