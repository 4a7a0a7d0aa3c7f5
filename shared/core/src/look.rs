//! Looking at a provider: whether it answers a question that costs nothing.
//!
//! It is asked for its list of models, with the gateway's key. Any answer shows that it can be reached and works, if it
//! is not that the key is wrong or that the provider has failed; not every provider has such a list.

use std::pin::pin;
use std::rc::Rc;

use futures_util::future::{Either, select};
use http::StatusCode;
use sluice_units::{ProviderId, Span};

use crate::config::ProviderDialect;
use crate::isolate::Isolate;
use crate::plan::Failure;
use crate::platform::Platform;
use crate::upstream;

/// How long an answer is waited for.
const PATIENCE: Span = Span::from_seconds(10);

/// Whether the provider answers; nothing where it is not configured, or has no key here.
pub async fn look<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    provider: &ProviderId,
) -> Option<bool> {
    let config = isolate.config(p).await.ok()?;
    let provider = config.providers().find(|one| one.id == *provider)?;
    if provider.dialect == ProviderDialect::Sandbox {
        return None;
    }
    let asked = pin!(upstream::list_models(p, isolate, provider));
    let late = pin!(p.sleep(PATIENCE));
    match select(asked, late).await {
        Either::Left((Ok(status), _)) => {
            Some(!status.is_server_error() && status != StatusCode::UNAUTHORIZED)
        }
        Either::Left((Err(Failure::Unreachable(_) | Failure::BadKey { .. }), _))
        | Either::Right(_) => Some(false),
        Either::Left((Err(_), _)) => None,
    }
}
