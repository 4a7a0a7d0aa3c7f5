//! The interface of variables, which the component calls without waiting.

use wasmtime::component::{ComponentType, Lift, Linker, Lower};
use wasmtime::{Result, StoreContextMut};

use crate::host::Host;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum VariableError {
    #[component(name = "invalid-name")]
    InvalidName(String),
    #[component(name = "undefined")]
    Undefined(String),
    #[component(name = "provider")]
    Provider(String),
    #[component(name = "other")]
    Other(String),
}

/// Offers the interface.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> Result<()> {
    linker.instance("fermyon:spin/variables@2.0.0")?.func_wrap(
        "get",
        |store: StoreContextMut<'_, Host>, (name,): (String,)| {
            let is_legal = name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            let known = &store.data().application.manifest.variables;
            let value = if is_legal {
                known
                    .get(&name)
                    .cloned()
                    .ok_or(VariableError::Undefined(name))
            } else {
                Err(VariableError::InvalidName(name))
            };
            Ok((value,))
        },
    )
}
