//! The spine: one request from its arrival to its answer.
//!
//! The path and the method are looked at once, here; what was checked is what is served.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use sluice_machines::record::Operation;
use sluice_units::{ModelId, RequestId, Timestamp};
use sluice_wire::Drops;
use sluice_wire::openai;

use crate::admit::{self, Ask, Bound};
use crate::authenticate::{self, Caller};
use crate::config::{Config, ProviderDialect, Route};
use crate::isolate::Isolate;
use crate::platform::{Platform, ReceiveError};
use crate::problem::Problem;
use crate::pump::Pump;
use crate::serve::Run;
use crate::translate::Work;
use crate::{admin, estimate, headers, health, sandbox, secret_key};

/// The status in the record of a request whose caller went away; nobody ever sees it.
pub const LEFT_STATUS: u16 = 499;

/// An answer on its way out.
pub struct Answer<P: Platform> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: AnswerBody<P>,
}

/// The body of an answer.
pub enum AnswerBody<P: Platform> {
    /// Whole.
    Full(Bytes),
    /// To be pumped into the connection by the platform.
    Stream(Box<Pump<P>>),
}

impl<P: Platform> Answer<P> {
    /// A JSON document.
    #[must_use]
    pub fn json(status: StatusCode, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        Self {
            status,
            headers,
            body: AnswerBody::Full(Bytes::from(body)),
        }
    }

    /// A problem in OpenAI's envelope.
    #[must_use]
    pub fn problem(problem: &Problem) -> Self {
        let mut headers = HeaderMap::new();
        problem.write_headers(&mut headers);
        Self {
            status: problem.status(),
            headers,
            body: AnswerBody::Full(Bytes::from(problem.body())),
        }
    }
}

/// What all stages of one request know.
pub(crate) struct Context<'a, P: Platform> {
    pub(crate) p: &'a P,
    pub(crate) isolate: &'a Rc<Isolate>,
    pub(crate) config: Rc<Config>,
    pub(crate) request: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) head: &'a Parts,
}

/// Serves one request. Never fails: what goes wrong is an answer too.
pub async fn handle<P: Platform>(p: &P, isolate: &Rc<Isolate>, head: Parts) -> Answer<P> {
    let at = p.now();
    let request = request_id(p);
    let mut answer = match dispatch(p, isolate, &head, request.clone(), at).await {
        Ok(answer) => answer,
        Err(problem) => Answer::problem(&problem),
    };
    headers::request(&mut answer.headers, &request);
    answer
}

fn request_id<P: Platform>(p: &P) -> RequestId {
    let text = secret_key::identifier("req_", p.random());
    // The identifier's alphabet is within what a RequestId takes.
    RequestId::new(&text).unwrap_or_else(|_| unreachable_id())
}

fn unreachable_id() -> RequestId {
    debug_assert!(false, "an identifier in base 62 is legal");
    RequestId::new("req_0").unwrap_or_else(|_| unreachable_id())
}

async fn dispatch<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    head: &Parts,
    request: RequestId,
    at: Timestamp,
) -> Result<Answer<P>, Problem> {
    let path = head.uri.path();
    match path {
        "/health/live" => {
            return allow(head, &[Method::GET, Method::HEAD]).map(|()| health::live());
        }
        "/health/ready" => {
            allow(head, &[Method::GET, Method::HEAD])?;
            return Ok(health::ready(p, isolate).await);
        }
        "/health" => {
            allow(head, &[Method::GET, Method::HEAD])?;
            return Ok(health::all(p, isolate).await);
        }
        _ => {}
    }
    let config = isolate.config(p).await?;
    let context = Context {
        p,
        isolate,
        config,
        request,
        at,
        head,
    };
    match path {
        "/v1/chat/completions" => {
            allow(head, &[Method::POST])?;
            context.chat().await
        }
        "/v1/embeddings" => {
            allow(head, &[Method::POST])?;
            context.embeddings().await
        }
        "/v1/models" => {
            allow(head, &[Method::GET])?;
            context.models().await
        }
        _ => {
            if let Some(name) = path.strip_prefix("/v1/models/") {
                allow(head, &[Method::GET])?;
                return context.model(name).await;
            }
            if path.starts_with("/admin/") {
                return admin::handle(&context).await;
            }
            Err(Problem::invalid(
                StatusCode::NOT_FOUND,
                "unknown_url",
                format!(
                    "Unknown request URL: {} {}. Try POST /v1/chat/completions.",
                    head.method,
                    shown(path)
                ),
            ))
        }
    }
}

/// The path as it may be shown: short, and visible characters only.
fn shown(path: &str) -> String {
    path.chars()
        .filter(char::is_ascii_graphic)
        .take(80)
        .collect()
}

pub(crate) fn allow(head: &Parts, methods: &[Method]) -> Result<(), Problem> {
    if methods.contains(&head.method) {
        return Ok(());
    }
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    Err(Problem::invalid(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!(
            "Not allowed to {} on {}. Allowed: {}.",
            head.method,
            shown(head.uri.path()),
            names.join(", ")
        ),
    ))
}

impl<P: Platform> Context<'_, P> {
    async fn caller(&self) -> Result<Caller, Problem> {
        authenticate::caller(self.p, self.isolate, &self.config, &self.head.headers).await
    }

    pub(crate) async fn body(&self) -> Result<Bytes, Problem> {
        let bytes_max = self.config.gateway.request_bytes_max;
        self.p.receive(bytes_max).await.map_err(|error| match error {
            ReceiveError::TooLarge => Problem::invalid(
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                format!("The request's body is larger than {bytes_max} bytes, which is the most that this gateway takes."),
            ),
            ReceiveError::Incomplete => Problem::invalid(
                StatusCode::BAD_REQUEST,
                "incomplete_body",
                "The request's body ended before it was complete.",
            ),
        })
    }

    async fn chat(&self) -> Result<Answer<P>, Problem> {
        let caller = self.caller().await?;
        let body = self.body().await?;
        let (mut chat, drops) = openai::chat::decode_request(&body)?;
        let (route, model) = self.route(&caller, &chat.model)?;
        let input = estimate::chat_input(&chat);
        let choices = u64::from(chat.choices.unwrap_or(1));
        let bounds = self.bounds(&route, &body, input, |own| {
            let most = match (chat.output_tokens_max, own) {
                (Some(asked), Some(own)) => Some(asked.min(own)),
                (asked, own) => asked.or(own),
            };
            most.map(|most| most.saturating_mul(choices))
        });
        let ask = self.ask(Operation::Chat, model, chat.stream, &route, bounds);
        let admitted = admit::reserve(self.p, self.isolate, &self.config, &caller, ask).await?;
        // The name that the caller used is ours; what goes upstream is in the target.
        chat.model = route.name.as_str().to_owned();
        self.run(admitted, route, Work::Chat(Box::new(chat)), body, drops)
            .serve()
            .await
    }

    async fn embeddings(&self) -> Result<Answer<P>, Problem> {
        let caller = self.caller().await?;
        let body = self.body().await?;
        let (request, drops) = openai::embeddings::decode_request(&body)?;
        let (route, model) = self.route(&caller, &request.model)?;
        let input = estimate::embeddings_input(&request);
        let bounds = self.bounds(&route, &body, input, |_| Some(0));
        let ask = self.ask(Operation::Embeddings, model, false, &route, bounds);
        let admitted = admit::reserve(self.p, self.isolate, &self.config, &caller, ask).await?;
        self.run(
            admitted,
            route,
            Work::Embeddings(Box::new(request)),
            body,
            drops,
        )
        .serve()
        .await
    }

    fn bounds(
        &self,
        route: &Route,
        body: &Bytes,
        input: sluice_units::Tokens,
        output: impl Fn(Option<u64>) -> Option<u64>,
    ) -> Vec<Bound> {
        route
            .targets
            .iter()
            .map(|target| {
                if target.provider.dialect == ProviderDialect::Sandbox {
                    let (input, output) = sandbox::count(target.model.as_str(), body);
                    return Bound {
                        input,
                        output: Some(output),
                    };
                }
                let own = target.output_tokens_max.map(sluice_units::Tokens::count);
                Bound {
                    input,
                    output: output(own).map(sluice_units::Tokens::new),
                }
            })
            .collect()
    }

    fn ask<'r>(
        &self,
        operation: Operation,
        model: ModelId,
        stream: bool,
        route: &'r Route,
        bounds: Vec<Bound>,
    ) -> Ask<'r> {
        Ask {
            request: self.request.clone(),
            at: self.at,
            operation,
            model,
            stream,
            route,
            bounds,
        }
    }

    fn run(
        &self,
        admitted: admit::Admitted,
        route: std::sync::Arc<Route>,
        work: Work,
        body: Bytes,
        drops: Drops,
    ) -> Run<P> {
        Run {
            p: self.p.clone(),
            isolate: Rc::clone(self.isolate),
            config: Rc::clone(&self.config),
            admitted,
            route,
            work,
            body,
            drops,
            trace: trace(&self.head.headers),
            attempts: RefCell::new(Vec::new()),
        }
    }

    fn route(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<(std::sync::Arc<Route>, ModelId), Problem> {
        let unknown = || {
            Problem::invalid(
                StatusCode::NOT_FOUND,
                "model_not_found",
                "The model does not exist here or you do not have access to it. GET /v1/models lists those that you may use.",
            )
            .with_param("model")
        };
        let model = ModelId::new(name).map_err(|_| unknown())?;
        let route = self.config.resolve_model(name).ok_or_else(unknown)?;
        let allowed = self
            .config
            .allows_model(caller.key(), &route)
            .map_err(|gone| authenticate::removed(&gone))?;
        if allowed {
            Ok((route, model))
        } else {
            Err(unknown())
        }
    }

    async fn models(&self) -> Result<Answer<P>, Problem> {
        let caller = self.caller().await?;
        let names = self
            .config
            .models_for(caller.key())
            .map_err(|gone| authenticate::removed(&gone))?;
        let models: Vec<openai::models::Model<'_>> = names
            .iter()
            .map(|name| openai::models::Model {
                id: name,
                created: 0,
                owned_by: "sluice",
            })
            .collect();
        Ok(Answer::json(
            StatusCode::OK,
            openai::models::encode_list(&models),
        ))
    }

    async fn model(&self, name: &str) -> Result<Answer<P>, Problem> {
        let caller = self.caller().await?;
        let name = percent_decoded(name);
        let (route, _) = self.route(&caller, &name)?;
        let owned_by = route
            .targets
            .first()
            .map_or("sluice", |target| target.provider.id.as_str());
        let model = openai::models::Model {
            id: &name,
            created: 0,
            owned_by,
        };
        Ok(Answer::json(StatusCode::OK, openai::models::encode(&model)))
    }
}

/// `%2F` and its like in a path segment; what is not well-formed stays as it is and names no model.
fn percent_decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let decoded = (*first == b'%')
            .then(|| after.split_at_checked(2))
            .flatten()
            .and_then(|(digits, after)| {
                let digits = std::str::from_utf8(digits).ok()?;
                Some((u8::from_str_radix(digits, 16).ok()?, after))
            });
        let (byte, after) = decoded.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).unwrap_or_else(|_| segment.to_owned())
}

/// The caller's W3C trace context, passed on as it came when it is well-formed.
fn trace(headers: &HeaderMap) -> HeaderMap {
    const PARENT_BYTES: usize = 55;
    const STATE_BYTES_MAX: usize = 512;
    let mut trace = HeaderMap::new();
    let parent = headers.get("traceparent").filter(|value| {
        value.len() == PARENT_BYTES
            && value
                .as_bytes()
                .iter()
                .all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
    });
    if let Some(parent) = parent {
        trace.insert(HeaderName::from_static("traceparent"), parent.clone());
        if let Some(state) = headers
            .get("tracestate")
            .filter(|value| value.len() <= STATE_BYTES_MAX)
        {
            trace.insert(HeaderName::from_static("tracestate"), state.clone());
        }
    }
    trace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_context_is_passed_on_only_when_it_is_one() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "traceparent",
            HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        );
        headers.insert("tracestate", HeaderValue::from_static("a=b"));
        assert_eq!(trace(&headers).len(), 2);
        headers.insert("traceparent", HeaderValue::from_static("nonsense"));
        assert!(trace(&headers).is_empty());
    }

    #[test]
    fn names_in_paths_are_decoded_once() {
        assert_eq!(percent_decoded("openai%2Fgpt-4o"), "openai/gpt-4o");
        assert_eq!(percent_decoded("a%252Fb"), "a%2Fb");
        assert_eq!(percent_decoded("100%"), "100%");
    }
}
