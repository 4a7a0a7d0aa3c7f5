//! What a request asks, read and led to its targets, before anything is reserved for it.
//!
//! Nothing is sent and nothing counted here, so what would happen can be told by the same code.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use sluice_machines::record::Operation;
use sluice_units::{ModelId, Tokens};
use sluice_wire::model::ChatRequest;
use sluice_wire::openai::direct::{self, Units};
use sluice_wire::responses::Echo;
use sluice_wire::{Downstream, Drops, Malformed, gemini, openai};

use crate::address::Named;
use crate::admit::{Ask, Bound};
use crate::authenticate::{self, Caller};
use crate::config::{Config, ProviderDialect, Route, TargetRef};
use crate::files::{self, Held, Ids};
use crate::gateway::Context;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::residency::Course;
use crate::translate::{Chat, Direct, Embeddings, Task, Work};
use crate::{estimate, headers, sandbox};

/// A request as far as it is known before it is let in: what it asks, and where it may go.
pub(crate) struct Prepared {
    pub(crate) course: Course,
    /// The model's name as the caller wrote it.
    pub(crate) model: ModelId,
    pub(crate) work: Work,
    pub(crate) body: Bytes,
}

impl<P: Platform> Context<'_, P> {
    pub(crate) fn prepare_chat(
        &self,
        caller: &Caller,
        named: &Named<'_>,
        body: Bytes,
    ) -> Result<Prepared, Problem> {
        let (body, held) = self.held(caller, body)?;
        let (mut chat, unread) = self.decode_chat(named, &body)?;
        let (course, model) = self.route(caller, &chat.model)?;
        // The name that the caller used is ours; what goes upstream is in the target.
        chat.model = course.name().as_str().to_owned();
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
            strict: self.is_strict(caller)?,
        };
        Ok(Prepared {
            course,
            model,
            work,
            body,
        })
    }

    /// The body with the provider's names of the files that it refers to. Gemini's callers name theirs by address.
    fn held(&self, caller: &Caller, body: Bytes) -> Result<(Bytes, Option<Held>), Problem> {
        if matches!(self.downstream, Downstream::GenerateContent(_)) {
            return Ok((body, None));
        }
        let ids = || Ids::of(self.p, &caller.key().org);
        files::held(body, self.downstream, ids)
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

    pub(crate) fn prepare_embeddings(
        &self,
        caller: &Caller,
        named: &Named<'_>,
        is_many: bool,
        body: Bytes,
    ) -> Result<Prepared, Problem> {
        let (request, unread) = match &named.model {
            Some(model) => gemini::downstream::decode_embeddings(model, is_many, &body)?,
            None => openai::embeddings::decode_request(&body)?,
        };
        let (course, model) = self.route(caller, &request.model)?;
        let work = Work {
            task: Task::Embeddings(Box::new(Embeddings {
                downstream: self.downstream,
                is_many,
                request,
            })),
            unread,
            strict: self.is_strict(caller)?,
        };
        Ok(Prepared {
            course,
            model,
            work,
            body,
        })
    }

    pub(crate) fn prepare_direct(
        &self,
        caller: &Caller,
        asked: Direct,
        body: Bytes,
    ) -> Result<Prepared, Problem> {
        let (course, model) = self.route(caller, &asked.facts.model)?;
        let work = Work {
            task: Task::Direct(Box::new(asked)),
            unread: Drops::new(),
            strict: self.is_strict(caller)?,
        };
        Ok(Prepared {
            course,
            model,
            work,
            body,
        })
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

    /// What the limits are asked for.
    pub(crate) fn ask<'a>(&self, prepared: &'a Prepared) -> Ask<'a> {
        let Prepared {
            course,
            model,
            work,
            body,
        } = prepared;
        Ask {
            request: self.request.clone(),
            at: self.at,
            operation: operation(&work.task),
            model: model.clone(),
            stream: work.streams(),
            course,
            bounds: bounds(course, work, body),
            choices: match &work.task {
                Task::Chat(chat) => u64::from(chat.request.choices.unwrap_or(1)),
                Task::Embeddings(_) | Task::Direct(_) | Task::Files(_) => 1,
            },
            least: least_output(&self.config, course, work),
            bodies: None,
        }
    }

    pub(crate) fn route(&self, caller: &Caller, name: &str) -> Result<(Course, ModelId), Problem> {
        let model = ModelId::new(name).map_err(|_| unknown_model())?;
        self.asked.model.replace(Some(model.clone()));
        let course = course(&self.config, caller, &model)?;
        Ok((course, model))
    }
}

/// Where a model's name leads the caller.
pub(crate) fn course(config: &Config, caller: &Caller, model: &ModelId) -> Result<Course, Problem> {
    let route = config.resolve_model(model.as_str());
    let route = route.ok_or_else(unknown_model)?;
    let allowed = config
        .allows_model(caller.key(), &route)
        .map_err(|gone| authenticate::removed(&gone))?;
    if !allowed {
        return Err(unknown_model());
    }
    permitted(caller, route, model)
}

/// The part of a route that the caller's data may take.
pub(crate) fn permitted(
    caller: &Caller,
    route: Arc<Route>,
    model: &ModelId,
) -> Result<Course, Problem> {
    let residency = caller.residency();
    let course = residency.course(route);
    course.map_err(|refusals| residency.nowhere(model, &refusals))
}

fn unknown_model() -> Problem {
    Problem::invalid(
        StatusCode::NOT_FOUND,
        "model_not_found",
        "The model does not exist here or you do not have access to it. GET /v1/models lists those that you may use.",
    )
    .with_param("model")
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
fn least_output(config: &Config, course: &Course, work: &Work) -> Option<Tokens> {
    let Task::Chat(chat) = &work.task else {
        return None;
    };
    let is_sandbox = |target: &TargetRef| target.provider.dialect == ProviderDialect::Sandbox;
    if course.targets().any(|target| is_sandbox(target.get())) {
        return None;
    }
    let thinking = chat.request.reasoning.as_ref();
    let thoughts = thinking.and_then(|reasoning| reasoning.budget_tokens);
    let least = config.accounting.output_tokens_min;
    Some(least.plus(Tokens::new(thoughts.unwrap_or(0))))
}

/// What the request will use at most, by target.
fn bounds(course: &Course, work: &Work, body: &Bytes) -> Vec<Bound> {
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
    let likely = estimate::likely(own);
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
                likely: estimate::likely(input),
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
    course.targets().map(|target| bound(target.get())).collect()
}
