//! Looking at providers: which of them, and whether one answers a question that costs nothing.
//!
//! All that are configured are looked at, for any of them may be the one that the next request falls back on; but for
//! those that cannot be asked: the sandbox, and those whose key is not here.
//!
//! It is asked for its list of models, with the gateway's key. Any answer shows that it can be reached and works, if it
//! is not that the key is wrong or that the provider has failed; not every provider has such a list.

use std::pin::pin;
use std::rc::Rc;

use futures_util::future::{Either, select};
use http::StatusCode;
use sluice_machines::health::{Finding, Listed};
use sluice_units::{ProviderId, Span};

use crate::config::{Config, Provider, ProviderDialect};
use crate::isolate::Isolate;
use crate::plan::Failure;
use crate::platform::{FetchError, Platform};
use crate::upstream;

/// How long an answer is waited for.
const PATIENCE: Span = Span::from_seconds(10);

/// The providers that are to be looked at; nothing where the configuration cannot be had.
pub async fn listed<P: Platform>(p: &P, isolate: &Rc<Isolate>) -> Option<Vec<Listed>> {
    let config = isolate.config(p).await.ok()?;
    let all = config.providers().filter(|one| can_be_asked(p, one));
    Some(all.filter_map(|one| entry(&config, one)).collect())
}

fn can_be_asked<P: Platform>(p: &P, provider: &Provider) -> bool {
    let is_set = |names: &Vec<&str>| names.iter().any(|name| p.secret(name).is_some());
    provider.dialect != ProviderDialect::Sandbox && provider.secrets_needed().iter().all(is_set)
}

fn entry(config: &Config, provider: &Provider) -> Option<Listed> {
    let look = provider.circuit.look;
    (look > Span::ZERO).then(|| Listed {
        provider: provider.id.clone(),
        look,
        policy: config
            .depends_on_circuit(provider)
            .then_some(provider.circuit.policy),
    })
}

/// What a look at the provider shows; nothing where that cannot be told.
pub async fn look<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    provider: &ProviderId,
) -> Option<Finding> {
    let config = isolate.config(p).await.ok()?;
    let mut all = config.providers();
    let provider = all.find(|one| one.id == *provider && can_be_asked(p, one))?;
    let asked = pin!(upstream::list_models(p, isolate, provider));
    let late = pin!(p.sleep(PATIENCE));
    match select(asked, late).await {
        Either::Left((Ok(status), _)) => {
            let fails = status.is_server_error() || status == StatusCode::UNAUTHORIZED;
            Some(if fails {
                Finding::Fails
            } else {
                Finding::Answers
            })
        }
        // Nobody was asked.
        Either::Left((Err(Failure::Unreachable(FetchError::NoEgress)), _)) => None,
        Either::Left((Err(Failure::BadKey { .. }), _)) => Some(Finding::Fails),
        Either::Left((Err(Failure::Unreachable(_)), _)) | Either::Right(_) => Some(Finding::Gone),
        Either::Left((Err(_), _)) => None,
    }
}
