//! The attempts of one admitted request: translate, call, judge, try again or fall back, answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sluice_machines::record::{Attempt, Outcome, Record, UsageSource};
use sluice_units::{Span, Timestamp, Usage};
use sluice_wire::dialect::decode_error;
use sluice_wire::downstream::Answered;
use sluice_wire::openai::direct::Units;
use sluice_wire::{Drops, UpstreamRequest};

use crate::admit::Admitted;
use crate::allowance::Allowance;
use crate::authenticate::Caller;
use crate::bodies::{Keeper, Said};
use crate::capacity;
use crate::circuit::End;
use crate::config::{Config, TargetRef};
use crate::gateway::{Answer, AnswerBody, Context};
use crate::headers;
use crate::isolate::Isolate;
use crate::plan::Failure;
use crate::platform::{FetchError, Platform, StoreError};
use crate::problem::Problem;
use crate::pump::Pump;
use crate::receipt;
use crate::residency::{Course, Permitted};
use crate::session::Session;
use crate::settle::{self, Ending};
use crate::translate::{Task, Translated, Work};
use crate::upload::Upload;
use crate::upstream::{self, Body, Watch};

mod attempts;
mod call;
mod cited;
pub(crate) mod egress;
mod hedge;
mod kept;
mod spent;
mod unsaid;
mod unserved;

pub(crate) use call::Call;

/// One admitted request on its way.
pub struct Run<P: Platform> {
    /// The platform.
    pub p: P,
    /// The isolate's memory.
    pub isolate: Rc<Isolate>,
    /// The configuration that it was admitted under.
    pub config: Rc<Config>,
    /// Its reservation.
    pub admitted: Admitted,
    /// Where its model leads, as far as its data may go.
    pub course: Course,
    /// What is asked.
    pub work: Work,
    /// The body as it came, but for the names of files.
    pub body: Bytes,
    /// Who keeps what is asked and answered, where that is to be on record.
    pub keeper: Option<Keeper>,
    /// The caller's headers that a provider of the same dialect gets.
    pub forwarded: HeaderMap,
    /// The caller's trace context.
    pub trace: HeaderMap,
    /// The calls made so far.
    pub attempts: RefCell<Vec<Attempt>>,
    /// The call at hand, and one beside it where the request is hedged.
    pub(crate) calls: [Call; 2],
    /// The call at hand is the second of those.
    pub(crate) is_at_second: Cell<bool>,
    /// When the reservation was last extended.
    pub(crate) extended_at: Cell<Timestamp>,
}

/// A target's answer, judged good.
enum Accepted<P: Platform> {
    Whole(Box<Whole>),
    Stream(Box<Stream<P>>),
}

struct Whole {
    answer: Translated,
    drops: Drops,
    first_byte_at: Timestamp,
}

struct Stream<P: Platform> {
    first: Vec<u8>,
    body: Body<P>,
    session: Session,
    content_type: HeaderValue,
    drops: Drops,
    first_byte_at: Timestamp,
    started_at: Timestamp,
}

impl<P: Platform> Run<P> {
    /// Serves the caller's request, whatever happens to it: every exit settles.
    pub(crate) async fn serve(
        self,
        context: &Context<'_, P>,
        caller: &Caller,
    ) -> Result<Answer<P>, Problem> {
        let p = self.p.clone();
        let outcome = {
            let attempts = std::pin::pin!(self.attempts(context, caller));
            let left = std::pin::pin!(p.left());
            match select(attempts, left).await {
                Either::Left((outcome, _)) => Some(outcome),
                Either::Right(((), _)) => None,
            }
        };
        match outcome {
            // Nothing reaches the caller that is not on record.
            Some(Ok((index, accepted))) if self.admitted.committed(&p, &self.isolate).await => {
                Ok(self.answer(index, accepted).await)
            }
            Some(Ok((index, accepted))) => Err(self.withhold(index, accepted).await),
            Some(Err((index, failure))) => Err(self.fail(index, &failure).await),
            None => Err(self.leave().await),
        }
    }

    /// One call, until its answer can be judged: whole, or the first bytes of a stream that the caller may see.
    async fn attempt(
        &self,
        call: &Call,
        permitted: Permitted<&TargetRef>,
        started_at: Timestamp,
    ) -> Result<Accepted<P>, Failure> {
        let target = permitted.get();
        let (request, drops) = self.work.request(target, &self.body)?;
        let timeouts = target.provider.timeouts;
        let (every, tick) = (self.every(), || self.tick());
        let deadline = Cell::new(started_at.plus(timeouts.first_byte));
        let work = async {
            let answer = self.ask(call, permitted, request).await?;
            if self.work.answers_raw(headers::is_json(&answer.headers)) {
                let content_type = headers::media_type(&answer.headers);
                let session = self.raw_session(&content_type);
                let stream = self
                    .begin_stream(call, answer.body, session, drops, started_at)
                    .await?;
                return Ok(Accepted::Stream(Box::new(Stream {
                    content_type,
                    ..stream
                })));
            }
            if self.work.streams() {
                let session = self.work.session(target, &self.answered());
                let mut stream = self
                    .begin_stream(call, answer.body, session, drops, started_at)
                    .await?;
                if let Some(named) = self.naming_files(target, &stream.first) {
                    stream.first = named.into();
                }
                return Ok(Accepted::Stream(Box::new(stream)));
            }
            let first_byte_at = self.p.now();
            deadline.set(started_at.plus(timeouts.total));
            self.take_whole(call, permitted, answer.body, drops, first_byte_at)
                .await
        };
        if self.work.upload().is_some() {
            // The caller's own sending is within this time.
            deadline.set(started_at.plus(timeouts.total));
        }
        upstream::within(&self.p, &deadline, every, tick, work)
            .await
            .unwrap_or(Err(Failure::Timeout("answer")))
    }

    /// How often a request that only waits says that it is alive.
    pub(crate) fn every(&self) -> Span {
        let has_slot = self.calls.iter().any(|call| call.slot.borrow().is_some());
        capacity::every(has_slot, &self.admitted)
    }

    /// The request is alive: its reservation must not expire, nor a slot of it.
    pub(crate) fn tick(&self) {
        for call in &self.calls {
            if let Some(slot) = &*call.slot.borrow() {
                slot.goes_on(&self.p);
            }
        }
        let now = self.p.now();
        let next = now.since(self.extended_at.get()).plus(self.every());
        if next > settle::heartbeat(&self.admitted) {
            self.extended_at.set(now);
            settle::extend(&self.p, &self.isolate, &self.admitted);
        }
    }

    /// Calls a target, and returns its answer when it is none of an error.
    pub(crate) async fn ask(
        &self,
        call: &Call,
        permitted: Permitted<&TargetRef>,
        mut request: UpstreamRequest,
    ) -> Result<upstream::Answer<P>, Failure> {
        let target = permitted.get();
        if self.work.dialect(target) == self.work.downstream().dialect() {
            request.headers.extend(self.forwarded.clone());
        }
        let residency = self.course.residency();
        let egress = egress::way(&self.p, &self.isolate, residency, target)?;
        call.egress.set(egress.map(Permitted::into_inner));
        let mut rest = None;
        if let Some(upload) = self.work.upload() {
            let (head, more) = upload
                .send(&self.p, &target.wire.model)
                .ok_or(Failure::Unreachable(FetchError::Broken))?;
            request.body = head;
            rest = Some(more);
        }
        call.is_made.set(true);
        let called = upstream::call(
            &self.p,
            &self.isolate,
            permitted,
            request,
            egress,
            rest,
            &self.trace,
        )
        .await;
        if let Some(wrong) = self.work.upload().and_then(Upload::wrong) {
            return Err(Failure::Refused(wrong));
        }
        let mut answer = called?;
        call.has_spoken();
        if answer.status.is_success() {
            call.used.set(Some(self.input_alone()));
            return Ok(answer);
        }
        let body = upstream::read_whole(&mut answer.body, upstream::ERROR_BYTES_MAX, true)
            .await
            .unwrap_or_default();
        let status = answer.status.as_u16();
        let error = decode_error(self.work.dialect(target), status, &answer.headers, &body);
        Err(Failure::Answered(error))
    }

    async fn take_whole(
        &self,
        call: &Call,
        permitted: Permitted<&TargetRef>,
        mut body: Body<P>,
        drops: Drops,
        first_byte_at: Timestamp,
    ) -> Result<Accepted<P>, Failure> {
        let target = permitted.get();
        let mut body = upstream::read_whole(&mut body, upstream::ANSWER_BYTES_MAX, false).await?;
        if let Task::Files(files) = &self.work.task
            && let Some(listing) = files.listing()
        {
            body = self.pages(call, permitted, files, listing, body).await?;
        }
        let input = self.admitted.bound().likely;
        let mut answer = self.work.answer(target, &body, &self.answered(), input)?;
        if self.work.strict && answer.drops.lose_content() {
            call.used.set(Some(self.used_by(&answer)));
            return Err(Failure::LossyAnswer(answer.drops));
        }
        if let Some(named) = self.naming_files(target, &answer.body) {
            answer.body = named;
        }
        Ok(Accepted::Whole(Box::new(Whole {
            answer,
            drops,
            first_byte_at,
        })))
    }

    async fn begin_stream(
        &self,
        call: &Call,
        mut body: Body<P>,
        mut session: Session,
        drops: Drops,
        started_at: Timestamp,
    ) -> Result<Stream<P>, Failure> {
        let first = begin(&mut body, &mut session).await;
        let likely = self.admitted.bound().likely;
        let used = || {
            call.used
                .set(Some(session.seen().usage_or_estimate(likely)))
        };
        Ok(Stream {
            first: first.inspect_err(|_| used())?,
            body,
            content_type: session.downstream().content_type(true),
            session,
            drops,
            first_byte_at: self.p.now(),
            started_at,
        })
    }

    fn answered(&self) -> Answered {
        let draft = self.admitted.draft();
        let id = draft.request.as_str().trim_start_matches("req_");
        self.work.answered(id.to_owned(), draft.at_us.as_seconds())
    }

    async fn answer(self, index: usize, accepted: Accepted<P>) -> Answer<P> {
        let course = self.course.clone();
        let Some(target) = course.target(index).map(Permitted::get) else {
            let problem = Problem::bug("the target that served");
            let request = &self.admitted.draft().request;
            return Answer::problem(&problem, self.work.downstream(), Some(request));
        };
        let mut head = HeaderMap::new();
        let binding = self.admitted.binding();
        headers::limits(&mut head, self.admitted.headroom(), binding.as_ref());
        headers::cut(&mut head, self.admitted.cut());
        let egress = self.at_hand().egress.get();
        headers::served_by(&mut head, target, egress, self.admitted.draft());
        match accepted {
            Accepted::Whole(whole) => self.answer_whole(target, *whole, head).await,
            Accepted::Stream(stream) => self.answer_stream(target, index, *stream, head),
        }
    }

    async fn answer_whole(
        self,
        target: &TargetRef,
        whole: Whole,
        mut head: HeaderMap,
    ) -> Answer<P> {
        let (usage, usage_source) = self.used_by(&whole.answer);
        let mut drops = whole.drops;
        drops.append(whole.answer.drops);
        headers::dropped(&mut head, &drops);
        head.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        let ending = Ending {
            outcome: Outcome::Completed,
            status: 200,
            target: Some(target),
            egress: self.at_hand().egress.get(),
            usage,
            units: whole.answer.units,
            usage_source,
            first_byte_at: Some(whole.first_byte_at),
            finish: whole.answer.finish,
            error: None,
            attempts: self.attempts.take(),
            dropped: settle::names(&drops),
        };
        let record = settle::record(&self.admitted, self.p.now(), ending);
        if !record.operation.is_free() {
            headers::cost(&mut head, record.cost_nano_usd);
        }
        self.settle(record.clone(), Said::Whole(whole.answer.body.clone()));
        if let Some(receipt) = self.receipt(|| record).await {
            headers::receipt(&mut head, &receipt);
        }
        Answer {
            status: StatusCode::OK,
            headers: head,
            body: AnswerBody::Full(whole.answer.body),
        }
    }

    fn answer_stream(
        self,
        target: &TargetRef,
        index: usize,
        stream: Stream<P>,
        mut head: HeaderMap,
    ) -> Answer<P> {
        headers::dropped(&mut head, &stream.drops);
        head.insert(header::CONTENT_TYPE, stream.content_type);
        head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        head.insert("x-accel-buffering", HeaderValue::from_static("no"));
        let watch = Watch::new(target.provider.timeouts.idle, self.p.now());
        Answer {
            status: StatusCode::OK,
            headers: head,
            body: AnswerBody::Stream(Box::new(Pump {
                transcript: self.transcript(),
                allowance: Allowance::of(&self, target),
                run: self,
                index,
                first: stream.first,
                body: stream.body,
                session: stream.session,
                watch,
                drops: stream.drops,
                first_byte_at: stream.first_byte_at,
                started_at: stream.started_at,
            })),
        }
    }
}

/// Reads a stream until there is something for the caller.
async fn begin<P: Platform>(body: &mut Body<P>, session: &mut Session) -> Result<Vec<u8>, Failure> {
    let mut first = Vec::new();
    while first.is_empty() {
        match body.chunk().await.map_err(Failure::Unreachable)? {
            Some(bytes) => session.push(&bytes, &mut first)?,
            None => {
                session.finish(&mut first)?;
                break;
            }
        }
    }
    Ok(first)
}
