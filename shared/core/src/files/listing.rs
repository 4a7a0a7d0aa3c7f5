//! Lists of what one organisation has, out of lists of what all have.
//!
//! A provider lists the whole account. Its pages are read, one after another, until enough of the caller's own are
//! found; what belongs to others is left out. A list never looks complete when it is not: where too much of others'
//! lies between, that is an error.

use std::borrow::Cow;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value, json};
use sluice_wire::UpstreamRequest;
use sluice_wire::sigv4::percent_encode;

use super::{Files, Kind, object};
use crate::address::query;
use crate::config::TargetRef;
use crate::plan::Failure;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::residency::Permitted;
use crate::serve::{Call, Run};
use crate::upstream;

/// The most pages of a provider's that are read for one list.
const PAGES_MAX: u32 = 20;

/// What of a list is asked for.
#[derive(Debug)]
pub(crate) struct Listing {
    kind: Kind,
    limit: usize,
    /// The provider's own identifier of the last one that the caller has.
    after: Option<String>,
    /// Filters that go along.
    filters: String,
}

impl Listing {
    /// Reads what is asked for from the address; `open` says what the caller's identifiers mean.
    pub(super) fn read(
        kind: Kind,
        head: &Parts,
        open: impl Fn(&str) -> Result<String, Problem>,
    ) -> Result<Self, Problem> {
        let (usual, most) = match kind {
            Kind::File => (10_000, 10_000),
            Kind::Batch => (20, 100),
        };
        let limit = match query(head, "limit") {
            None => usual,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=most).contains(limit))
                .ok_or_else(|| wrong("limit", &format!("a number from 1 to {most}")))?,
        };
        let after = query(head, "after").map(open).transpose()?;
        let mut filters = String::new();
        let names: &[&str] = match kind {
            Kind::File => &["order", "purpose"],
            Kind::Batch => &[],
        };
        for name in names {
            let Some(value) = query(head, name) else {
                continue;
            };
            if !value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            {
                return Err(wrong(name, "letters, digits, '-' and '_'"));
            }
            filters.push_str(&format!("&{name}={value}"));
        }
        Ok(Self {
            kind,
            limit,
            after,
            filters,
        })
    }

    /// The address of the first page.
    pub(super) fn first_page(&self) -> Cow<'static, str> {
        self.page(self.after.as_deref())
    }

    fn page(&self, after: Option<&str>) -> Cow<'static, str> {
        let (place, filters) = (self.kind.place(), &self.filters);
        let after = after.map_or_else(String::new, |id| {
            format!("&after={}", percent_encode(id.as_bytes(), b""))
        });
        Cow::Owned(format!("/{place}?limit=100{after}{filters}"))
    }
}

fn wrong(name: &str, expected: &str) -> Problem {
    Problem::invalid(
        StatusCode::BAD_REQUEST,
        "invalid_value",
        format!("Invalid value for '{name}': expected {expected}."),
    )
    .with_param(name)
}

/// What was found so far.
#[derive(Default)]
struct Found {
    own: Vec<Value>,
    has_more: bool,
}

impl Found {
    /// Takes what is the caller's of a page; returns after which one the next page begins, if one is needed.
    fn take(
        &mut self,
        files: &Files,
        limit: usize,
        page: &[u8],
    ) -> Result<Option<String>, Failure> {
        let mut page = object(page).map_err(Failure::Garbled)?;
        let has_more = page.get("has_more") == Some(&Value::Bool(true));
        let data = match page.shift_remove("data") {
            Some(Value::Array(data)) => data,
            _ => Vec::new(),
        };
        let mut last = None;
        for item in data {
            let Value::Object(mut item) = item else {
                continue;
            };
            last = item.get("id").and_then(Value::as_str).map(str::to_owned);
            if !files.owns(&item) {
                continue;
            }
            if self.own.len() == limit {
                self.has_more = true;
                return Ok(None);
            }
            files.tell(&mut item);
            self.own.push(Value::Object(item));
        }
        Ok(last.filter(|_| has_more))
    }

    fn whole(self) -> Bytes {
        // OpenAI's description wants a text, also where there is none.
        let id = |item: Option<&Value>| {
            item.and_then(|item| item.get("id")?.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let mut list = Map::new();
        list.insert("object".to_owned(), json!("list"));
        list.insert("first_id".to_owned(), id(self.own.first()).into());
        list.insert("last_id".to_owned(), id(self.own.last()).into());
        list.insert("has_more".to_owned(), self.has_more.into());
        list.insert("data".to_owned(), Value::Array(self.own));
        Bytes::from(Value::Object(list).to_string())
    }
}

impl<P: Platform> Run<P> {
    /// Reads on after the first page, until the list is whole.
    pub(crate) async fn pages(
        &self,
        call: &Call,
        target: Permitted<&TargetRef>,
        files: &Files,
        listing: &Listing,
        first: Bytes,
    ) -> Result<Bytes, Failure> {
        let mut found = Found::default();
        let mut page = first;
        for _ in 0..PAGES_MAX {
            let Some(last) = found.take(files, listing.limit, &page)? else {
                return Ok(found.whole());
            };
            let request = UpstreamRequest {
                method: Method::GET,
                path: listing.page(Some(&last)),
                headers: HeaderMap::new(),
                body: Bytes::new(),
            };
            let mut answer = self.ask(call, target, request).await?;
            let read = upstream::read_whole(&mut answer.body, upstream::ANSWER_BYTES_MAX, false);
            page = read.await?;
        }
        if found.own.is_empty() {
            return Err(Failure::Refused(too_long(listing.kind)));
        }
        // The next list begins behind the last one of these.
        found.has_more = true;
        Ok(found.whole())
    }
}

fn too_long(kind: Kind) -> sluice_wire::Malformed {
    sluice_wire::Malformed {
        code: "list_too_long",
        message: format!(
            "The provider's list is too long to find your {} in it. Ask for them by their identifiers.",
            kind.place()
        ),
        param: None,
    }
}
