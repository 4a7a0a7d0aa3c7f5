//! From what a caller asks for to what a provider is asked: who keeps it, whose it is, and whether it may be.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value};
use sluice_machines::limit::{Meter, Rule};
use sluice_units::{ModelId, ProviderId};
use sluice_wire::sigv4::percent_encode;
use sluice_wire::{Drops, Target, UpstreamRequest, json};

use super::{Asked, Files, Ids, Kind, Listing, OWNER, Shape, disabled};
use crate::authenticate::{self, Caller};
use crate::config::{Capabilities, Config, FallbackOn, Provider, Retry, Route, TargetRef};
use crate::gateway::{Answer, Context};
use crate::platform::Platform;
use crate::prepare::{self, Prepared};
use crate::problem::Problem;
use crate::translate::{Task, Work};
use crate::upload::Upload;

/// Names the provider that is to keep a file or a batch.
const PROVIDER: &str = "x-sluice-provider";
/// The most entries of a batch's metadata, as at OpenAI; one is the gateway's.
const METADATA_MAX: usize = 16;

impl<P: Platform> Context<'_, P> {
    /// Serves a request for what a provider keeps.
    pub(crate) async fn files(&self, asked: Asked<'_>) -> Result<Answer<P>, Problem> {
        let caller = self.caller().await?;
        let desk = Desk::open(self, &caller)?;
        let begins = asked == Asked::Begin;
        let files = match asked {
            Asked::Upload => desk.upload()?,
            Asked::List(kind) => desk.list(kind)?,
            Asked::Show(kind, id) => desk.one(kind, &id, Method::GET, "")?,
            Asked::Delete(id) => desk.one(Kind::File, &id, Method::DELETE, "")?,
            Asked::Cancel(id) => desk.one(Kind::Batch, &id, Method::POST, "/cancel")?,
            Asked::Content(id) => desk.content(&id)?,
            Asked::Begin => desk.begin(&self.body().await?)?,
        };
        let (provider, body) = (desk.keeper(&files.provider), files.request.body.clone());
        let provider = provider.ok_or_else(|| Problem::bug("a provider that was just found"))?;
        let model = ModelId::new(files.kind.place());
        let model = model.map_err(|_| Problem::bug("the name of an endpoint"))?;
        let route = Arc::new(route(Arc::clone(provider), &model, begins));
        let course = prepare::permitted(&caller, route, &model)?;
        let work = Work {
            task: Task::Files(Box::new(files)),
            unread: Drops::new(),
            strict: false,
        };
        let prepared = Prepared {
            course,
            model,
            work,
            body,
        };
        self.serve(&caller, prepared).await
    }
}

/// Where a caller asks.
struct Desk<'a> {
    head: &'a Parts,
    config: &'a Config,
    caller: &'a Caller,
    ids: Ids,
    /// The providers that may keep something for the caller.
    keepers: Vec<&'a Arc<Provider>>,
    /// The one that is named, or the first.
    first: ProviderId,
    is_named: bool,
}

impl<'a> Desk<'a> {
    fn open<P: Platform>(context: &'a Context<'_, P>, caller: &'a Caller) -> Result<Self, Problem> {
        let keepers = context.config.keepers(caller.key());
        let mut keepers = keepers.map_err(|gone| authenticate::removed(&gone))?;
        keepers.retain(|keeper| may_keep(caller, keeper));
        let named = context.head.headers.get(PROVIDER);
        let first = match named {
            None => keepers.first(),
            Some(name) => {
                let is_it = |it: &&&Arc<Provider>| name.as_bytes() == it.id.as_str().as_bytes();
                keepers.iter().find(is_it)
            }
        };
        let first = first.map(|first| first.id.clone()).ok_or_else(|| {
            Problem::invalid(
                StatusCode::BAD_REQUEST,
                "provider_not_found",
                format!("There is no such provider that keeps files and batches and that you may use. Name one of those that speak OpenAI's API in {PROVIDER}, or leave it out."),
            )
            .with_param(PROVIDER)
        })?;
        Ok(Self {
            head: context.head,
            config: &context.config,
            caller,
            ids: Ids::of(context.p, &caller.key().org).ok_or_else(disabled)?,
            keepers,
            first,
            is_named: named.is_some(),
        })
    }

    fn keeper(&self, id: &ProviderId) -> Option<&'a Arc<Provider>> {
        self.keepers.iter().find(|it| it.id == *id).copied()
    }

    /// Where the caller's file or batch is, and what it is called there.
    fn find(&self, kind: Kind, id: &str) -> Result<(&'a Arc<Provider>, String), Problem> {
        let missing = || kind.missing(id);
        let (provider, own) = self.ids.open(kind.prefix(), id).ok_or_else(missing)?;
        if self.is_named && self.first != provider {
            return Err(missing());
        }
        Ok((self.keeper(&provider).ok_or_else(missing)?, own))
    }

    fn new_request(&self, kind: Kind, method: Method, path: Cow<'static, str>) -> Files {
        Files {
            request: UpstreamRequest {
                method,
                path,
                headers: HeaderMap::new(),
                body: Bytes::new(),
            },
            upload: None,
            ids: self.ids.clone(),
            kind,
            provider: self.first.clone(),
            one: None,
            shape: Shape::Object,
        }
    }

    fn one(&self, kind: Kind, id: &str, method: Method, rest: &str) -> Result<Files, Problem> {
        let (provider, own) = self.find(kind, id)?;
        // Dots alone would be taken for a way up.
        if own.bytes().all(|byte| byte == b'.') {
            return Err(kind.missing(id));
        }
        let segment = percent_encode(own.as_bytes(), b"");
        let path = Cow::Owned(format!("/{}/{segment}{rest}", kind.place()));
        Ok(Files {
            provider: provider.id.clone(),
            one: Some((kind, own, id.to_owned())),
            ..self.new_request(kind, method, path)
        })
    }

    fn content(&self, id: &str) -> Result<Files, Problem> {
        let mut files = self.one(Kind::File, id, Method::GET, "/content")?;
        files.shape = Shape::Bytes;
        let anything = HeaderValue::from_static("*/*");
        files.request.headers.insert(header::ACCEPT, anything);
        Ok(files)
    }

    fn upload(&self) -> Result<Files, Problem> {
        let mut files = self.new_request(Kind::File, Method::POST, Cow::Borrowed("/files"));
        let mark = self.ids.marks().next().unwrap_or_default();
        let upload = Upload::kept(&self.head.headers, format!("{mark}-"))?;
        let content_type = upload.content_type().clone();
        let headers = &mut files.request.headers;
        headers.insert(header::CONTENT_TYPE, content_type);
        files.upload = Some(upload);
        Ok(files)
    }

    fn list(&self, kind: Kind) -> Result<Files, Problem> {
        let listing = Listing::read(kind, self.head, |id| {
            let (provider, own) = self.find(kind, id)?;
            if provider.id == self.first {
                Ok(own)
            } else {
                Err(kind.missing(id))
            }
        })?;
        let mut files = self.new_request(kind, Method::GET, listing.first_page());
        files.shape = Shape::List(listing);
        Ok(files)
    }

    fn begin(&self, body: &[u8]) -> Result<Files, Problem> {
        let mut fields = json::parse_object(body)?;
        let input = fields.need_string("input_file_id")?;
        let (provider, own) = self.find(Kind::File, &input)?;
        may_begin(self.config, self.caller, provider)?;
        let mut fields = fields.rest();
        claim(&mut fields, &self.ids)?;
        fields.insert("input_file_id".to_owned(), own.clone().into());
        let mut files = self.new_request(Kind::Batch, Method::POST, Cow::Borrowed("/batches"));
        files.provider = provider.id.clone();
        files.one = Some((Kind::File, own, input));
        files.request.body = Bytes::from(Value::Object(fields).to_string());
        Ok(files)
    }
}

/// Whether the caller's data may be kept there.
fn may_keep(caller: &Caller, provider: &Arc<Provider>) -> bool {
    let route =
        ModelId::new(Kind::File.place()).map(|model| route(Arc::clone(provider), &model, true));
    route.is_ok_and(|route| caller.residency().course(Arc::new(route)).is_ok())
}

/// Where nothing is chosen: one provider, which is asked again only where that begins nothing anew.
fn route(provider: Arc<Provider>, model: &ModelId, begins: bool) -> Route {
    let retry = if begins {
        Retry {
            attempts_max: 1,
            ..provider.retry
        }
    } else {
        provider.retry
    };
    Route {
        name: model.clone(),
        targets: vec![TargetRef {
            circuit: provider.circuit,
            place: provider.place,
            egress: provider.egress,
            provider,
            model: model.clone(),
            wire: Target::default(),
            price: None,
            context_tokens: None,
            output_tokens_max: None,
            capabilities: Capabilities::NONE,
            retry,
        }],
        fallback_on: FallbackOn::default(),
        hedge: None,
    }
}

/// Whether the caller may begin a batch: nobody counts what its lines use, and nobody reads which models they name.
fn may_begin(config: &Config, caller: &Caller, provider: &Provider) -> Result<(), Problem> {
    let mut rules = caller.scopes().iter().flat_map(|scope| &scope.rules);
    let counted = rules.find_map(|rule| match rule {
        Rule::Budget { .. } => Some("a budget"),
        Rule::Window { meter, .. } | Rule::Gcra { meter, .. } => match meter {
            Meter::Tokens => Some("a limit on tokens"),
            Meter::Money => Some("a limit on money"),
            Meter::Requests => None,
        },
        Rule::Concurrency { .. } => None,
    });
    let refused = |code, message| Err(Problem::invalid(StatusCode::FORBIDDEN, code, message));
    if let Some(counted) = counted {
        let message = format!(
            "The gateway does not count what the lines of a batch use, and {counted} stands over this API key. Send the requests one by one, or use a key without budgets and limits on tokens or money."
        );
        return refused("batch_not_bounded", message);
    }
    let chosen = config.chooses_models(caller.key(), &provider.id);
    if chosen.map_err(|gone| authenticate::removed(&gone))? {
        let message = "The gateway does not read the lines of a batch, and this API key may use certain models only. Send the requests one by one, or use a key that may use all models.".to_owned();
        return refused("batch_models_unknown", message);
    }
    Ok(())
}

/// Writes into a batch's metadata whose it is.
fn claim(fields: &mut Map<String, Value>, ids: &Ids) -> Result<(), Problem> {
    let metadata = fields.entry("metadata").or_insert(Value::Null);
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    let entries = metadata
        .as_object_mut()
        .filter(|entries| entries.len() < METADATA_MAX && !entries.contains_key(OWNER));
    let entries = entries.ok_or_else(|| {
        Problem::invalid(
            StatusCode::BAD_REQUEST,
            "invalid_value",
            format!("Invalid value for 'metadata': expected an object of fewer than {METADATA_MAX} entries, none of them called '{OWNER}'."),
        )
        .with_param("metadata")
    })?;
    let mark = ids.marks().next().unwrap_or_default();
    entries.insert(OWNER.to_owned(), mark.into());
    Ok(())
}
