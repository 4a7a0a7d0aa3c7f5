//! Bodies that are not held whole: forms with recordings and pictures, on their way through.
//!
//! Just so much is held as is needed to know the model, and nothing where none is needed; then the provider is called,
//! and what follows goes on as it comes. It cannot be sent twice: such a request has one attempt.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sluice_wire::Malformed;
use sluice_wire::openai::form::Form;

use crate::platform::{Platform, ReceiveError, Rest};
use crate::problem::Problem;

/// The largest upload, in bytes: what Cloudflare takes on its smaller plans.
pub const UPLOAD_BYTES_MAX: u64 = 100_000_000;

/// A form whose model is known, or that has none.
#[derive(Debug)]
pub struct Upload {
    content_type: HeaderValue,
    model: Option<String>,
    bytes_max: u64,
    form: RefCell<Option<Form>>,
    wrong: Rc<RefCell<Option<Malformed>>>,
}

impl Upload {
    /// Reads the beginning of the request's body, up to the model's name.
    ///
    /// # Errors
    /// A 4xx when it is no form, names no model, or holds more before the model than is kept.
    pub async fn begin<P: Platform>(
        p: &P,
        headers: &HeaderMap,
        held_bytes_max: usize,
    ) -> Result<Self, Problem> {
        let mut upload = Self::open(headers)?;
        let form = upload.form.take();
        let mut form = form.ok_or_else(|| Problem::bug("a form that was just begun"))?;
        let model = loop {
            if let Some(model) = form.text("model") {
                break model.to_owned();
            }
            if form.held_bytes() > held_bytes_max {
                return Err(Problem::invalid(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "model_after_file",
                    format!("More than {held_bytes_max} bytes come before the field 'model'. Send 'model' before the file: then a file of any size goes through."),
                )
                .with_param("model"));
            }
            match p.piece().await {
                Ok(Some(bytes)) => form.push(&bytes)?,
                Ok(None) => {
                    form.finish()?;
                    return Err(Problem::from(missing()));
                }
                Err(_) => return Err(incomplete()),
            }
        };
        upload.model = Some(model);
        upload.form = RefCell::new(Some(form));
        Ok(upload)
    }

    /// A form that has no model, and of which nothing was read; the file in it is to be marked.
    ///
    /// # Errors
    /// A 4xx when it is no form, or too large.
    pub fn kept(headers: &HeaderMap, mark: String) -> Result<Self, Problem> {
        let upload = Self::open(headers)?;
        let form = upload.form.take().map(|form| form.marked(mark));
        upload.form.replace(form);
        Ok(upload)
    }

    fn open(headers: &HeaderMap) -> Result<Self, Problem> {
        let content_type = headers.get(header::CONTENT_TYPE).cloned();
        let content_type = content_type.unwrap_or_else(|| HeaderValue::from_static(""));
        let form = Form::new(content_type.to_str().unwrap_or_default())?;
        let bytes_max = declared(headers).unwrap_or(UPLOAD_BYTES_MAX);
        if bytes_max > UPLOAD_BYTES_MAX {
            return Err(too_large());
        }
        Ok(Self {
            content_type,
            model: None,
            bytes_max,
            form: RefCell::new(Some(form)),
            wrong: Rc::default(),
        })
    }

    /// The model's name as the caller wrote it.
    #[must_use]
    pub fn model(&self) -> &str {
        self.model.as_deref().unwrap_or_default()
    }

    /// The form's `content-type`, boundary included.
    #[must_use]
    pub const fn content_type(&self) -> &HeaderValue {
        &self.content_type
    }

    /// How long the body is at most.
    #[must_use]
    pub const fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Looks at the fields that were read before the model.
    pub fn with_form<T>(&self, look: impl FnOnce(&Form) -> T) -> Option<T> {
        self.form.borrow().as_ref().map(look)
    }

    /// Whether the body was sent, as far as it came.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.form.borrow().is_none()
    }

    /// What the caller did wrong in what came after the model, if that ended the call.
    #[must_use]
    pub fn wrong(&self) -> Option<Malformed> {
        self.wrong.borrow_mut().take()
    }

    /// The body's beginning with the model's name at the provider, and what follows. `None` when it was sent before.
    pub fn send<P: Platform>(&self, p: &P, model: &str) -> Option<(Bytes, Rest)> {
        let mut form = self.form.take()?;
        let model = self.model.as_ref().map(|_| model.to_owned());
        let head = Bytes::from(form.release(model.as_deref()));
        let passage = Passage {
            p: p.clone(),
            form,
            model,
            left: self.bytes_max,
            wrong: Rc::clone(&self.wrong),
        };
        let rest = stream::unfold(Some(passage), |passage| async {
            let mut passage = passage?;
            match passage.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(passage))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Some((head, Box::pin(rest)))
    }
}

/// The part of a body that has not gone on yet.
struct Passage<P> {
    p: P,
    form: Form,
    model: Option<String>,
    left: u64,
    wrong: Rc<RefCell<Option<Malformed>>>,
}

impl<P: Platform> Passage<P> {
    async fn next(&mut self) -> Result<Option<Bytes>, ReceiveError> {
        loop {
            let looked_at = match self.p.piece().await? {
                Some(bytes) => {
                    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    self.left = self
                        .left
                        .checked_sub(length)
                        .ok_or(ReceiveError::TooLarge)?;
                    self.form.push(&bytes).map(|()| false)
                }
                None => self.form.finish().map(|()| true),
            };
            let is_over = match looked_at {
                Ok(is_over) => is_over,
                Err(wrong) => {
                    self.wrong.replace(Some(wrong));
                    return Err(ReceiveError::Refused);
                }
            };
            let bytes = self.form.release(self.model.as_deref());
            if !bytes.is_empty() {
                return Ok(Some(Bytes::from(bytes)));
            }
            if is_over {
                return Ok(None);
            }
        }
    }
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.trim().parse().ok()
}

fn missing() -> Malformed {
    Malformed {
        code: "missing_required_parameter",
        message: "Missing required parameter: 'model'.".to_owned(),
        param: Some("model".to_owned()),
    }
}

fn too_large() -> Problem {
    Problem::invalid(
        StatusCode::PAYLOAD_TOO_LARGE,
        "request_too_large",
        format!(
            "The request's body is larger than {UPLOAD_BYTES_MAX} bytes, which is the most that this gateway takes."
        ),
    )
}

pub(crate) fn incomplete() -> Problem {
    Problem::invalid(
        StatusCode::BAD_REQUEST,
        "incomplete_body",
        "The request's body ended before it was complete.",
    )
}
