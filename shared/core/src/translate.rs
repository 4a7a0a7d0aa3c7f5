//! Between the caller's dialect and the target's: requests there, answers back.
//!
//! The same dialect on both sides keeps the caller's bytes, but for the model's name and the like.
//! Knows nothing of retries, money or time.

mod vectors;

use std::borrow::Cow;

use bytes::Bytes;
use http::header;
use sluice_units::{ProviderId, Tokens, Usage};
use sluice_wire::dialect::{decode_chat, encode_chat, error_in_answer};
use sluice_wire::downstream::Answered;
use sluice_wire::model::{ChatRequest, ChatResponse, Part, Source};
use sluice_wire::openai::direct::{self, Units};
use sluice_wire::openai::passthrough::{self, Look};
use sluice_wire::responses::Echo;
use sluice_wire::{
    DecodeError, Dialect, Downstream, Drops, EncodeError, Malformed, UpstreamError,
    UpstreamRequest, responses,
};

use crate::config::{ProviderDialect, TargetRef};
use crate::files::{self, Cited, Files, Held, Ids};
use crate::plan::Failure;
use crate::problem::Problem;
use crate::session::{Session, finish_word};
use crate::upload::Upload;
pub use vectors::Embeddings;

/// What is asked of the provider.
#[derive(Debug)]
pub struct Work {
    /// What is wanted.
    pub task: Task,
    /// What was lost when the caller's request was read; a body that passes through loses nothing.
    pub unread: Drops,
    /// The caller would rather have an error than a loss.
    pub strict: bool,
}

/// What a caller wants.
#[derive(Debug)]
pub enum Task {
    /// The next turn of a conversation.
    Chat(Box<Chat>),
    /// Vectors.
    Embeddings(Box<Embeddings>),
    /// What only providers of the caller's own dialect have.
    Direct(Box<Direct>),
    /// What a provider keeps.
    Files(Box<Files>),
}

/// A request that passes through.
#[derive(Debug)]
pub struct Direct {
    /// Where to.
    pub endpoint: direct::Endpoint,
    /// What governs it.
    pub facts: direct::Facts,
    /// The body, where it is a form that is not held.
    pub upload: Option<Upload>,
}

/// The next turn of a conversation.
#[derive(Debug)]
pub struct Chat {
    /// The caller's language.
    pub downstream: Downstream,
    /// The conversation.
    pub request: ChatRequest,
    /// What an answer in Responses repeats of it.
    pub echo: Option<Echo>,
    /// The files that it refers to.
    pub held: Option<Held>,
    /// Each choice is held to so many output tokens, because a budget leaves no more.
    pub cut: Option<u64>,
}

/// A whole answer in the caller's dialect.
#[derive(Debug)]
pub struct Translated {
    /// The body.
    pub body: Bytes,
    /// What was used, where the provider says it.
    pub usage: Option<Usage>,
    /// What was used beside tokens.
    pub units: Units,
    /// Why the model stopped, in OpenAI's word.
    pub finish: Option<String>,
    /// What the caller's dialect cannot express.
    pub drops: Drops,
}

impl Work {
    /// Holds each choice to so many output tokens.
    pub fn cut(&mut self, tokens: u64) {
        if let Task::Chat(chat) = &mut self.task {
            chat.cut = Some(tokens);
        }
    }

    /// Whether nothing but the model itself says when a stream of this target ends.
    #[must_use]
    pub fn is_open_ended(&self, target: &TargetRef) -> bool {
        matches!(&self.task, Task::Chat(chat) if chat.is_open_ended(target))
    }

    /// Whether the caller wants a stream.
    #[must_use]
    pub fn streams(&self) -> bool {
        matches!(&self.task, Task::Chat(chat) if chat.request.stream)
    }

    /// The caller's language.
    #[must_use]
    pub fn downstream(&self) -> Downstream {
        match &self.task {
            Task::Chat(chat) => chat.downstream,
            Task::Embeddings(embeddings) => embeddings.downstream,
            Task::Direct(_) | Task::Files(_) => Downstream::ChatCompletions,
        }
    }

    /// The form that is sent on as it comes, where the body is one.
    #[must_use]
    pub fn upload(&self) -> Option<&Upload> {
        match &self.task {
            Task::Direct(direct) => direct.upload.as_ref(),
            Task::Files(files) => files.upload.as_ref(),
            Task::Chat(_) | Task::Embeddings(_) => None,
        }
    }

    /// Whether the answer goes through whatever it is; `is_json`: it says that it is JSON.
    #[must_use]
    pub fn answers_raw(&self, is_json: bool) -> bool {
        match &self.task {
            Task::Direct(_) => !is_json,
            Task::Files(files) => files.is_bytes(),
            Task::Chat(_) | Task::Embeddings(_) => false,
        }
    }

    /// Takes the provider's own names of files and batches out of its words.
    pub fn reword(&self, failure: &mut Failure) {
        let Failure::Answered(UpstreamError { message, .. }) = failure else {
            return;
        };
        match &self.task {
            Task::Files(files) => files.reword(message),
            Task::Chat(chat) => chat.held.iter().for_each(|held| held.reword(message)),
            Task::Embeddings(_) | Task::Direct(_) => {}
        }
    }

    /// Whether an answer may name files as its provider does.
    #[must_use]
    pub fn may_cite(&self, answer: &[u8]) -> bool {
        matches!(self.task, Task::Chat(_)) && files::may_name(answer)
    }

    /// An answer with the organisation's names of the files in it.
    #[must_use]
    pub fn told(&self, answer: &[u8], ids: Ids, provider: &ProviderId) -> Bytes {
        let held = match &self.task {
            Task::Chat(chat) => chat.held.as_ref(),
            _ => None,
        };
        let cited = Cited {
            ids,
            provider,
            held,
        };
        cited.told(answer, self.streams())
    }

    /// What the caller is told of a failure at a provider.
    #[must_use]
    pub fn problem(&self, failure: &Failure, provider: &ProviderId) -> Problem {
        let own = match &self.task {
            Task::Files(files) => files.problem(failure),
            Task::Chat(_) | Task::Embeddings(_) | Task::Direct(_) => None,
        };
        own.unwrap_or_else(|| failure.problem(provider))
    }

    /// What the caller's answer is to be called, from what the gateway knows.
    #[must_use]
    pub fn answered(&self, id: String, created: i64) -> Answered {
        Answered {
            id,
            created,
            echo: match &self.task {
                Task::Chat(chat) => chat.echo.clone(),
                Task::Embeddings(_) | Task::Direct(_) | Task::Files(_) => None,
            },
        }
    }

    /// The request in the target's dialect, and all that was lost on the way; `body` is what the caller sent.
    ///
    /// # Errors
    /// [`Failure::Inexpressible`] and [`Failure::Refused`] when it cannot be said, [`Failure::Lossy`] when something
    /// is lost and the caller is strict.
    pub fn request(
        &self,
        target: &TargetRef,
        body: &Bytes,
    ) -> Result<(UpstreamRequest, Drops), Failure> {
        let (request, drops) = self.write(target, body)?;
        if self.strict && !drops.is_empty() {
            return Err(Failure::Lossy(drops));
        }
        Ok((request, drops))
    }

    fn write(&self, target: &TargetRef, body: &Bytes) -> Result<(UpstreamRequest, Drops), Failure> {
        let (request, more) = match &self.task {
            Task::Chat(chat) => match chat.write(target, body)? {
                (request, None) => return Ok((request, Drops::new())),
                (request, Some(drops)) => (request, drops),
            },
            Task::Embeddings(embeddings) => embeddings.write(target)?,
            Task::Direct(direct) => return Ok((direct.write(target, body)?, Drops::new())),
            Task::Files(files) => return Ok((files.request.clone(), Drops::new())),
        };
        let mut drops = self.unread.clone();
        drops.append(more);
        Ok((request, drops))
    }

    /// A whole answer of the target in the caller's dialect.
    ///
    /// # Errors
    /// [`Failure::Answered`] when it is an error all the same, [`Failure::Garbled`] when it is not what the target's
    /// dialect says.
    pub fn answer(
        &self,
        target: &TargetRef,
        body: &Bytes,
        answered: &Answered,
        input_likely: Tokens,
    ) -> Result<Translated, Failure> {
        let outcome = match &self.task {
            Task::Chat(chat) => chat.answer(target, body, answered),
            Task::Embeddings(embeddings) => embeddings.answer(target, body, input_likely),
            Task::Direct(direct) => Ok(Translated {
                body: body.clone(),
                usage: direct::used(body),
                units: direct.endpoint.counted(direct.facts.units, body),
                finish: None,
                drops: Drops::new(),
            }),
            Task::Files(files) => files.answer(body),
        };
        outcome.map_err(|error| {
            error_in_answer(self.dialect(target), body)
                .map_or(Failure::Garbled(error), Failure::Answered)
        })
    }

    /// The session of a streamed answer of the target.
    #[must_use]
    pub fn session(&self, target: &TargetRef, answered: &Answered) -> Session {
        let Task::Chat(chat) = &self.task else {
            debug_assert!(false, "only conversations are streamed");
            return Session::through(Downstream::ChatCompletions, false);
        };
        let include_usage = chat.request.stream_usage;
        if chat.passes(target) {
            return Session::through(chat.downstream, include_usage);
        }
        let (from, to) = (chat.dialect(target), chat.downstream);
        Session::transcode(from, to, answered, include_usage, self.strict)
    }

    /// The language in which the target is called for this.
    #[must_use]
    pub fn dialect(&self, target: &TargetRef) -> Dialect {
        match &self.task {
            Task::Chat(chat) => chat.dialect(target),
            Task::Embeddings(_) | Task::Direct(_) | Task::Files(_) => dialect(target),
        }
    }
}

impl Direct {
    fn write(&self, target: &TargetRef, body: &Bytes) -> Result<UpstreamRequest, Failure> {
        let dialect = dialect(target);
        let is_sandbox = target.provider.dialect == ProviderDialect::Sandbox;
        if is_sandbox || !self.endpoint.is_at(dialect) {
            return Err(Failure::Inexpressible(EncodeError {
                dialect: dialect.name(),
                field: "model".to_owned(),
                reason: format!("{} has no {}", target.provider.id, self.endpoint.path()),
            }));
        }
        Ok(match &self.upload {
            None => self.endpoint.request(body, &target.wire.model),
            // The beginning and the rest are put in when the call is made.
            Some(upload) => {
                let mut request = self.endpoint.post(Bytes::new());
                let content_type = upload.content_type().clone();
                request.headers.insert(header::CONTENT_TYPE, content_type);
                request
            }
        })
    }
}

impl Chat {
    fn dialect(&self, target: &TargetRef) -> Dialect {
        match (dialect(target), self.downstream) {
            (Dialect::OpenAi, Downstream::Responses) if target.wire.responses => Dialect::Responses,
            (Dialect::OpenAi, _) if !target.wire.chat_completions => Dialect::Responses,
            (dialect, _) => dialect,
        }
    }

    fn passes(&self, target: &TargetRef) -> bool {
        let is_cut =
            self.cut.is_some() && matches!(self.downstream, Downstream::GenerateContent(_));
        let may_be_cut = self.is_open_ended(target) && !self.downstream.can_cut_short();
        !is_cut
            && !may_be_cut
            && self
                .downstream
                .passes(self.dialect(target), &self.request, &target.wire)
    }

    fn is_open_ended(&self, target: &TargetRef) -> bool {
        self.request.stream
            && self.cut.is_none()
            && self.request.output_tokens_max.is_none()
            && target.output_tokens_max.is_none()
            && target.provider.dialect != ProviderDialect::Sandbox
    }

    /// What each choice is cut to at this target.
    fn limit(&self, target: &TargetRef) -> Option<u64> {
        let own = target.output_tokens_max.map_or(u64::MAX, Tokens::count);
        Some(self.cut?.min(own))
    }

    /// The request for the target; no loss report when the caller's own body goes there.
    fn write(
        &self,
        target: &TargetRef,
        body: &Bytes,
    ) -> Result<(UpstreamRequest, Option<Drops>), Failure> {
        if let Some(held) = &self.held {
            held.at(&target.provider.id).map_err(Failure::Refused)?;
        }
        if self.passes(target) {
            let passed = self
                .downstream
                .pass_through(&self.request, &target.wire, body);
            let mut passed = passed.map_err(Failure::Inexpressible)?;
            let limited = self.limit(target).and_then(|tokens| {
                self.downstream
                    .limit_output(&passed.body, &target.wire, tokens)
            });
            if let Some(limited) = limited {
                passed.body = Bytes::from(limited);
            }
            return Ok((passed, None));
        }
        let dialect = self.dialect(target);
        let is_kept = self.held.as_ref().is_some_and(Held::is_kept);
        if !is_kept && dialect != self.downstream.dialect() {
            no_files(&self.request).map_err(Failure::Refused)?;
        }
        let mut request = Cow::Borrowed(&self.request);
        if let Some(tokens) = self.limit(target) {
            request.to_mut().output_tokens_max = Some(tokens);
        }
        let mut drops = Drops::new();
        let leaves =
            dialect != self.downstream.dialect() || self.downstream == Downstream::Completions;
        if leaves && (!request.extra.is_empty() || request.reasoning.is_some()) {
            let left = self.downstream.leave(request.to_mut());
            drops.append(left.map_err(Failure::Refused)?);
        }
        let (request, more) =
            encode_chat(dialect, &request, &target.wire).map_err(Failure::Inexpressible)?;
        drops.append(more);
        Ok((request, Some(drops)))
    }

    fn answer(
        &self,
        target: &TargetRef,
        body: &Bytes,
        answered: &Answered,
    ) -> Result<Translated, DecodeError> {
        if self.passes(target) {
            let seen = self.look(target, body)?;
            let body = match self.downstream {
                Downstream::ChatCompletions => passthrough::mended(body),
                _ => body.clone(),
            };
            return Ok(Translated {
                body,
                usage: seen.usage,
                units: Units::default(),
                finish: seen.finish,
                drops: Drops::new(),
            });
        }
        let (response, mut drops) = decode_chat(self.dialect(target), body)?;
        let (encoded, more) = self.downstream.encode_response(&response, answered);
        drops.append(more);
        Ok(Translated {
            body: Bytes::from(encoded),
            usage: response.usage,
            units: Units::default(),
            finish: first_finish(&response),
            drops,
        })
    }

    /// Looks at an answer that passes through.
    fn look(&self, target: &TargetRef, body: &Bytes) -> Result<Look, DecodeError> {
        match self.downstream {
            Downstream::ChatCompletions | Downstream::Completions => passthrough::look(body),
            Downstream::Responses => {
                let seen = responses::passthrough::look(body)?;
                Ok(Look {
                    usage: seen.usage,
                    finish: seen.finish.as_deref().map(responses_finish_word),
                })
            }
            Downstream::Messages | Downstream::GenerateContent(_) => {
                let (response, _) = decode_chat(self.dialect(target), body)?;
                Ok(Look {
                    usage: response.usage,
                    finish: first_finish(&response),
                })
            }
        }
    }
}

/// What a provider of the caller's dialect keeps, no other one has.
fn no_files(request: &ChatRequest) -> Result<(), Malformed> {
    let mut parts = request.messages.iter().flat_map(|message| &message.parts);
    let refers = parts.any(|part| match part {
        Part::Image { source, .. } | Part::Audio { source, .. } | Part::Document { source, .. } => {
            matches!(source, Source::FileId(_))
        }
        _ => false,
    });
    if !refers {
        return Ok(());
    }
    Err(Malformed {
        code: "provider_state_not_portable",
        message: "The model's provider keeps no such file. Send its content instead of 'file_id'."
            .to_owned(),
        param: Some("file_id".to_owned()),
    })
}

fn first_finish(response: &ChatResponse) -> Option<String> {
    let first = response.choices.first()?;
    Some(finish_word(&first.finish))
}

/// Why an answer in Responses ended, in the word of Chat Completions.
pub(crate) fn responses_finish_word(word: &str) -> String {
    match word {
        "completed" => "stop",
        "max_output_tokens" => "length",
        other => other,
    }
    .to_owned()
}

/// The language that a target is called in; the sandbox speaks OpenAI's.
#[must_use]
pub fn dialect(target: &TargetRef) -> Dialect {
    match target.provider.dialect {
        ProviderDialect::Wire(dialect) => dialect,
        ProviderDialect::Sandbox => Dialect::OpenAi,
    }
}
