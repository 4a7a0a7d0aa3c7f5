//! The spine: one request from its arrival to its answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sluice_machines::record::Operation;
use sluice_units::{ModelId, RequestId, Timestamp, Tokens};
use sluice_wire::model::ChatRequest;
use sluice_wire::openai::direct::{self, Units};
use sluice_wire::responses::Echo;
use sluice_wire::{Downstream, Drops, Malformed, gemini, openai};

use crate::address::{self, Endpoint, Named};
use crate::admit::{self, Ask, Bound};
use crate::authenticate::{self, Caller};
use crate::config::{Config, ProviderDialect, Route, TargetRef};
use crate::files::{self, Held, Ids};
use crate::isolate::Isolate;
use crate::platform::{Platform, ReceiveError};
use crate::problem::Problem;
use crate::pump::Pump;
use crate::refused::{self, Asked};
use crate::serve::Run;
use crate::translate::{Chat, Direct, Embeddings, Task, Work};
use crate::upload::{self, Upload};
use crate::{admin, count, estimate, headers, health, sandbox, secret_key};

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

    /// To a request whose method or address is none.
    #[must_use]
    pub fn unreadable() -> Self {
        let problem = Problem::invalid(
            StatusCode::BAD_REQUEST,
            "invalid_url",
            "The request's method or URL cannot be read.",
        );
        Self::problem(&problem, Downstream::ChatCompletions, None)
    }

    /// A problem in the caller's language.
    #[must_use]
    pub fn problem(problem: &Problem, downstream: Downstream, request: Option<&RequestId>) -> Self {
        let mut headers = HeaderMap::new();
        problem.write_headers(&mut headers);
        Self {
            status: problem.status(),
            headers,
            body: AnswerBody::Full(Bytes::from(
                downstream.encode_error(&problem.fault(request)),
            )),
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
    pub(crate) downstream: Downstream,
    pub(crate) asked: Asked,
}

/// Serves one request. Never fails: what goes wrong is an answer too.
pub async fn handle<P: Platform>(p: &P, isolate: &Rc<Isolate>, head: Parts) -> Answer<P> {
    let at = p.now();
    let request = request_id(p);
    let downstream = address::language(&head);
    let mut answer = match dispatch(p, isolate, &head, downstream, request.clone(), at).await {
        Ok(answer) => answer,
        Err(problem) => Answer::problem(&problem, downstream, Some(&request)),
    };
    headers::request(&mut answer.headers, &request, downstream);
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
    downstream: Downstream,
    request: RequestId,
    at: Timestamp,
) -> Result<Answer<P>, Problem> {
    let endpoint = address::endpoint(head)?;
    match endpoint {
        Endpoint::Live => return Ok(health::live()),
        Endpoint::Ready => return Ok(health::ready(p, isolate).await),
        Endpoint::Health => return Ok(health::all(p, isolate).await),
        Endpoint::ReceiptKeys => return Ok(health::receipt_keys(p)),
        _ => {}
    }
    let context = Context {
        p,
        isolate,
        config: isolate.config(p).await?,
        request,
        at,
        head,
        downstream,
        asked: Asked::default(),
    };
    let outcome = match endpoint {
        Endpoint::Chat(named) => context.chat(&named).await,
        Endpoint::CountTokens(named) => count::count(&context, &named).await,
        Endpoint::Embeddings(named, is_many) => context.embeddings(&named, is_many).await,
        Endpoint::Direct(endpoint) => context.direct(endpoint).await,
        Endpoint::Files(asked) => context.files(asked).await,
        Endpoint::Models => context.models().await,
        Endpoint::Model(name) => context.model(&name).await,
        Endpoint::Admin => admin::handle(&context).await,
        Endpoint::Live | Endpoint::Ready | Endpoint::Health | Endpoint::ReceiptKeys => {
            Err(Problem::bug("an endpoint that was served before"))
        }
    };
    if let Err(problem) = &outcome {
        let named = (&context.request, at);
        refused::note(p, isolate, &context.config, named, &context.asked, problem);
    }
    outcome
}

impl<P: Platform> Context<'_, P> {
    pub(crate) async fn caller(&self) -> Result<Caller, Problem> {
        let key = authenticate::key(self.p, self.isolate, self.head).await?;
        self.asked.key.replace(Some(Rc::clone(&key)));
        authenticate::caller(&self.config, key, self.p.now())
    }

    pub(crate) async fn body(&self) -> Result<Bytes, Problem> {
        let bytes_max = self.config.gateway.request_bytes_max;
        self.p.receive(bytes_max).await.map_err(|error| match error {
            ReceiveError::TooLarge => Problem::invalid(
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                format!("The request's body is larger than {bytes_max} bytes, which is the most that this gateway takes."),
            ),
            ReceiveError::Incomplete | ReceiveError::Refused => upload::incomplete(),
        })
    }

    async fn chat(&self, named: &Named<'_>) -> Result<Answer<P>, Problem> {
        let caller = self.caller().await?;
        let body = self.body().await?;
        let (body, held) = self.held(&caller, body)?;
        let (mut chat, unread) = self.decode_chat(named, &body)?;
        let (route, model) = self.route(&caller, &chat.model)?;
        // The name that the caller used is ours; what goes upstream is in the target.
        chat.model = route.name.as_str().to_owned();
        let echo = (self.downstream == Downstream::Responses).then(|| Echo::of(&chat));
        let work = Work {
            task: Task::Chat(Box::new(Chat {
                downstream: self.downstream,
                request: chat,
                echo,
                cut: None,
                held,
            })),
            unread,
            strict: self.is_strict(&caller)?,
        };
        self.serve(&caller, route, model, work, body).await
    }

    /// The body with the provider's names of the files that it refers to. Other dialects' files are not kept here.
    fn held(&self, caller: &Caller, body: Bytes) -> Result<(Bytes, Option<Held>), Problem> {
        match self.downstream {
            Downstream::ChatCompletions | Downstream::Responses | Downstream::Completions => {
                files::held(body, || Ids::of(self.p, &caller.key().org))
            }
            Downstream::Messages | Downstream::GenerateContent(_) => Ok((body, None)),
        }
    }

    fn decode_chat(
        &self,
        named: &Named<'_>,
        body: &[u8],
    ) -> Result<(ChatRequest, Drops), Malformed> {
        match &named.model {
            Some(model) => gemini::downstream::decode_request(model, named.stream, body),
            None => self.downstream.decode_request(body),
        }
    }

    async fn embeddings(&self, named: &Named<'_>, is_many: bool) -> Result<Answer<P>, Problem> {
        let caller = self.caller().await?;
        let body = self.body().await?;
        let (request, unread) = match &named.model {
            Some(model) => gemini::downstream::decode_embeddings(model, is_many, &body)?,
            None => openai::embeddings::decode_request(&body)?,
        };
        let (route, model) = self.route(&caller, &request.model)?;
        let work = Work {
            task: Task::Embeddings(Box::new(Embeddings {
                downstream: self.downstream,
                is_many,
                request,
            })),
            unread,
            strict: self.is_strict(&caller)?,
        };
        self.serve(&caller, route, model, work, body).await
    }

    async fn direct(&self, endpoint: direct::Endpoint) -> Result<Answer<P>, Problem> {
        let caller = self.caller().await?;
        let content_type = self.head.headers.get(header::CONTENT_TYPE);
        let is_form = content_type.is_some_and(|value| value.as_bytes().starts_with(b"multipart/"));
        let (facts, upload, body) = if is_form || endpoint.wants_form() {
            let held_bytes_max = self.config.gateway.request_bytes_max;
            let upload = Upload::begin(self.p, &self.head.headers, held_bytes_max).await?;
            let (model, bytes_max) = (upload.model(), upload.bytes_max());
            let facts = upload.with_form(|form| endpoint.read_form(form, model, bytes_max));
            let facts = facts.ok_or_else(|| Problem::bug("a form that was just read"))?;
            (facts, Some(upload), Bytes::new())
        } else {
            let body = self.body().await?;
            (endpoint.read(&body)?, None, body)
        };
        let (route, model) = self.route(&caller, &facts.model)?;
        let work = Work {
            task: Task::Direct(Box::new(Direct {
                endpoint,
                facts,
                upload,
            })),
            unread: Drops::new(),
            strict: self.is_strict(&caller)?,
        };
        self.serve(&caller, route, model, work, body).await
    }

    /// Whether the caller would rather have an error than a loss: the key's word, or the request's.
    fn is_strict(&self, caller: &Caller) -> Result<bool, Problem> {
        let name = headers::STRICT;
        match self.head.headers.get(name).map(HeaderValue::as_bytes) {
            None => Ok(caller.key().strict),
            Some(b"true") => Ok(true),
            Some(b"false") if !caller.key().strict => Ok(false),
            Some(b"false") => Err(Problem::invalid(
                StatusCode::FORBIDDEN,
                "strict_translation_required",
                format!("This API key allows strict translation only. Leave out {name}: false."),
            )
            .with_param(name)),
            Some(_) => Err(Problem::invalid(
                StatusCode::BAD_REQUEST,
                "invalid_header",
                format!("{name} is neither true nor false."),
            )
            .with_param(name)),
        }
    }

    pub(crate) async fn serve(
        &self,
        caller: &Caller,
        route: Arc<Route>,
        model: ModelId,
        mut work: Work,
        body: Bytes,
    ) -> Result<Answer<P>, Problem> {
        let bounds = bounds(&route, &work, &body);
        let choices = match &work.task {
            Task::Chat(chat) => u64::from(chat.request.choices.unwrap_or(1)),
            Task::Embeddings(_) | Task::Direct(_) | Task::Files(_) => 1,
        };
        let least = least_output(&self.config, &route, &work);
        let ask = Ask {
            request: self.request.clone(),
            at: self.at,
            operation: operation(&work.task),
            model,
            stream: work.streams(),
            route: &route,
            bounds,
            choices,
            least,
        };
        let admitted = admit::reserve(self.p, self.isolate, &self.config, caller, ask).await?;
        self.asked.is_admitted.set(true);
        if let Some(tokens) = admitted.cut() {
            work.cut(tokens);
        }
        let run = Run {
            p: self.p.clone(),
            isolate: Rc::clone(self.isolate),
            config: Rc::clone(&self.config),
            admitted,
            route,
            work,
            body,
            forwarded: headers::forwarded(&self.head.headers, self.downstream),
            trace: trace(&self.head.headers),
            attempts: RefCell::new(Vec::new()),
            permit: Cell::default(),
        };
        run.serve().await
    }

    pub(crate) fn route(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<(Arc<Route>, ModelId), Problem> {
        let unknown = || {
            Problem::invalid(
                StatusCode::NOT_FOUND,
                "model_not_found",
                "The model does not exist here or you do not have access to it. GET /v1/models lists those that you may use.",
            )
            .with_param("model")
        };
        let model = ModelId::new(name).map_err(|_| unknown())?;
        self.asked.model.replace(Some(model.clone()));
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
}

const fn operation(task: &Task) -> Operation {
    match task {
        Task::Chat(_) => Operation::Chat,
        Task::Embeddings(_) => Operation::Embeddings,
        Task::Direct(direct) => match direct.endpoint {
            direct::Endpoint::Images
            | direct::Endpoint::ImageEdits
            | direct::Endpoint::ImageVariations => Operation::Images,
            direct::Endpoint::Speech => Operation::Speech,
            direct::Endpoint::Transcriptions | direct::Endpoint::Translations => {
                Operation::Transcription
            }
            direct::Endpoint::Moderations => Operation::Moderation,
            direct::Endpoint::Rerank => Operation::Rerank,
        },
        Task::Files(files) => files.operation(),
    }
}

/// The least output of a choice that makes sense, where the request can do with less than it asks for. A model that
/// thinks must have room for more than its thoughts.
fn least_output(config: &Config, route: &Route, work: &Work) -> Option<Tokens> {
    let Task::Chat(chat) = &work.task else {
        return None;
    };
    let is_sandbox = |target: &TargetRef| target.provider.dialect == ProviderDialect::Sandbox;
    if route.targets.iter().any(is_sandbox) {
        return None;
    }
    let thinking = chat.request.reasoning.as_ref();
    let thoughts = thinking.and_then(|reasoning| reasoning.budget_tokens);
    let least = config.accounting.output_tokens_min;
    Some(least.plus(Tokens::new(thoughts.unwrap_or(0))))
}

/// What the request will use at most, by target.
fn bounds(route: &Route, work: &Work, body: &Bytes) -> Vec<Bound> {
    let own = match &work.task {
        Task::Chat(chat) => estimate::chat_input(&chat.request),
        Task::Embeddings(embeddings) => estimate::embeddings_input(&embeddings.request),
        Task::Direct(direct) => direct.facts.input,
        // Nothing of it is paid for, or nobody counts it.
        Task::Files(_) => return Vec::new(),
    };
    let units = match &work.task {
        Task::Direct(direct) => direct.facts.units,
        _ => Units::default(),
    };
    let likely = estimate::likely_input(own);
    let bound = |target: &TargetRef| {
        let input = match &work.task {
            Task::Chat(chat) => own.plus(estimate::around(&chat.request, work.dialect(target))),
            Task::Embeddings(_) | Task::Direct(_) | Task::Files(_) => own,
        };
        if target.provider.dialect == ProviderDialect::Sandbox
            && let Ok((request, _)) = work.request(target, body)
        {
            let (input, output) = sandbox::count(target.model.as_str(), &request.body);
            return Bound {
                input,
                likely: estimate::likely_input(input),
                output: Some(output),
                units: Units::default(),
            };
        }
        let output = match &work.task {
            Task::Chat(chat) => {
                let asked = chat.request.output_tokens_max;
                let own = target.output_tokens_max.map(Tokens::count);
                let most = match (asked, own) {
                    (Some(asked), Some(own)) => Some(asked.min(own)),
                    (asked, own) => asked.or(own),
                };
                let choices = u64::from(chat.request.choices.unwrap_or(1));
                most.map(|most| Tokens::new(most.saturating_mul(choices)))
            }
            Task::Embeddings(_) | Task::Files(_) => Some(Tokens::ZERO),
            Task::Direct(direct) => direct.facts.output.or(target.output_tokens_max),
        };
        Bound {
            input,
            likely,
            output,
            units,
        }
    };
    route.targets.iter().map(bound).collect()
}

/// The caller's W3C trace context, passed on as it came when it is well-formed.
pub(crate) fn trace(headers: &HeaderMap) -> HeaderMap {
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
}
