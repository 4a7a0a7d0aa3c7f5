//! The component's one export: a request in, an answer out.
//!
//! What goes on after the answer's head (a stream, its settlement, upkeep) runs in the same task, which the platform
//! keeps to its end whether or not anybody listens.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use sluice_core::TOKEN_SECRET;
use sluice_core::gateway::{self, Answer, AnswerBody};
use sluice_core::hash::same_secret;
use sluice_core::platform::{Level, Platform as _};
use sluice_core::problem::Problem;
use sluice_units::Span;
use sluice_wire::Downstream;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

use crate::instance::Instance;
use crate::platform::Spin;
use crate::{answer, headers, maintain, variables};

/// Who calls this sees to every ledger: a scheduled job, where requests are rare.
const UPKEEP_PATH: &str = "/upkeep";

/// What must be answered whatever the store does.
const HEALTH_PATHS: &str = "/health";
/// When a caller may try again an instance that could not start.
const RETRY_AFTER: Span = Span::from_seconds(10);

struct Component;

spin_sdk::wasip3::http::service::export!(Component);

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let instance = match Instance::current() {
            Ok(instance) => instance,
            Err(error) => {
                eprintln!("error: {error}");
                let problem = Problem::unavailable("not_started", error.to_string(), RETRY_AFTER);
                return give_plain(Answer::<Spin>::problem(
                    &problem,
                    Downstream::ChatCompletions,
                    None,
                ));
            }
        };
        let Some(head) = headers::head(&request) else {
            return give_plain(Answer::<Spin>::unreadable());
        };
        let platform = Spin::new(Rc::clone(&instance), request);
        if head.uri.path() == UPKEEP_PATH {
            return upkeep(&platform, &instance, &head.method, &head.headers).await;
        }
        let is_about_health = head.uri.path().starts_with(HEALTH_PATHS);
        if !is_about_health {
            instance.warm(&platform).await;
        }
        let answer = gateway::handle(&platform, &instance.isolate, head).await;
        if answer.status.is_client_error() || answer.status.is_server_error() {
            // What was refused may not have been read; what was served has been.
            platform.spawn(platform.clone().drain());
        }
        give(&platform, answer)
    }
}

fn give(platform: &Spin, answer: Answer<Spin>) -> Result<Response, ErrorCode> {
    match answer.body {
        AnswerBody::Full(bytes) => answer::whole(answer.status, answer.headers, bytes),
        AnswerBody::Stream(pump) => {
            let made = answer::streamed(answer.status, &answer.headers, platform.presence());
            let (response, pipe) = made.inspect_err(|error| {
                platform.log(Level::Error, &format!("the answer was refused: {error}"));
            })?;
            platform.spawn(pump.run(pipe));
            Ok(response)
        }
    }
}

fn give_plain(answer: Answer<Spin>) -> Result<Response, ErrorCode> {
    match answer.body {
        AnswerBody::Full(bytes) => answer::whole(answer.status, answer.headers, bytes),
        AnswerBody::Stream(_) => Err(ErrorCode::InternalError(None)),
    }
}

async fn upkeep(
    platform: &Spin,
    instance: &Rc<Instance>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, ErrorCode> {
    if *method != Method::POST {
        return answer::whole(
            StatusCode::METHOD_NOT_ALLOWED,
            HeaderMap::new(),
            Bytes::new(),
        );
    }
    let presented = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let presented = presented.and_then(|value| value.strip_prefix("Bearer "));
    let expected = variables::secret(TOKEN_SECRET);
    let is_allowed = match (presented, &expected) {
        (Some(presented), Some(expected)) => same_secret(presented, expected.expose()),
        _ => false,
    };
    if !is_allowed {
        return answer::whole(StatusCode::UNAUTHORIZED, HeaderMap::new(), Bytes::new());
    }
    if let Err(failure) = maintain::look(platform, instance).await {
        eprintln!("warn: upkeep: {failure}");
    }
    match maintain::all(instance).await {
        Ok(ledgers) => {
            let body = format!("{{\"ledgers\":{ledgers}}}\n");
            answer::whole(StatusCode::OK, HeaderMap::new(), Bytes::from(body))
        }
        Err(failure) => {
            eprintln!("error: upkeep: {failure}");
            answer::whole(
                StatusCode::SERVICE_UNAVAILABLE,
                HeaderMap::new(),
                Bytes::new(),
            )
        }
    }
}
