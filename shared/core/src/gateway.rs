//! The spine: one request from its arrival to its answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sluice_units::{RequestId, Timestamp};
use sluice_wire::Downstream;
use sluice_wire::openai::direct;

use crate::address::{self, Endpoint, Named};
use crate::admit::{self, Ask};
use crate::authenticate::{self, Caller};
use crate::bodies::Keeper;
use crate::config::Config;
use crate::isolate::Isolate;
use crate::platform::{Platform, ReceiveError};
use crate::prepare::Prepared;
use crate::problem::Problem;
use crate::pump::Pump;
use crate::refused::{self, Asked};
use crate::serve::Run;
use crate::translate::Direct;
use crate::upload::{self, Upload};
use crate::{admin, count, headers, health, secret_key};

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
        // It may have waited: its refusal goes where its key's data may go now.
        let config = isolate.known();
        let config = config.as_ref().unwrap_or(&context.config);
        refused::note(p, isolate, config, named, &context.asked, problem);
    }
    outcome
}

impl<P: Platform> Context<'_, P> {
    pub(crate) async fn caller(&self) -> Result<Caller, Problem> {
        let key = authenticate::key(self.p, self.isolate, self.head).await?;
        self.asked.key.replace(Some(Rc::clone(&key)));
        authenticate::caller(&self.config, key, self.p.now(), &self.head.headers)
    }

    pub(crate) async fn body(&self) -> Result<Bytes, Problem> {
        let bytes_max = self.config.gateway.request_bytes_max;
        let body = self.p.receive(bytes_max).await.map_err(|error| match error {
            ReceiveError::TooLarge => Problem::invalid(
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                format!("The request's body is larger than {bytes_max} bytes, which is the most that this gateway takes."),
            ),
            ReceiveError::Incomplete | ReceiveError::Refused => upload::incomplete(),
        })?;
        self.asked.body.replace(Some(body.clone()));
        Ok(body)
    }

    async fn chat(&self, named: &Named<'_>) -> Result<Answer<P>, Problem> {
        let caller = self.caller().await?;
        let body = self.body().await?;
        let prepared = self.prepare_chat(&caller, named, body)?;
        self.serve(&caller, prepared).await
    }

    async fn embeddings(&self, named: &Named<'_>, is_many: bool) -> Result<Answer<P>, Problem> {
        let caller = self.caller().await?;
        let body = self.body().await?;
        let prepared = self.prepare_embeddings(&caller, named, is_many, body)?;
        self.serve(&caller, prepared).await
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
        let asked = Direct {
            endpoint,
            facts,
            upload,
        };
        let prepared = self.prepare_direct(&caller, asked, body)?;
        self.serve(&caller, prepared).await
    }

    pub(crate) async fn serve(
        &self,
        caller: &Caller,
        prepared: Prepared,
    ) -> Result<Answer<P>, Problem> {
        let keeper = Keeper::of(self.p, caller, self.asked.body.take())?;
        let ask = Ask {
            bodies: keeper.as_ref().map(Keeper::promise),
            ..self.ask(&prepared)
        };
        let admitted = admit::reserve(self, caller, ask).await?;
        self.asked.is_admitted.set(true);
        let Prepared {
            course,
            mut work,
            body,
            ..
        } = prepared;
        if let Some(tokens) = admitted.cut() {
            work.cut(tokens);
        }
        let extended_at = Cell::new(admitted.draft().at_us);
        let run = Run {
            p: self.p.clone(),
            isolate: Rc::clone(self.isolate),
            config: Rc::clone(&self.config),
            admitted,
            course,
            work,
            body,
            keeper,
            forwarded: headers::forwarded(&self.head.headers, self.downstream),
            trace: trace(&self.head.headers),
            attempts: RefCell::new(Vec::new()),
            calls: Default::default(),
            is_at_second: Cell::default(),
            extended_at,
        };
        run.serve(self, caller).await
    }
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
