//! Calls out, and their bodies: what is dropped is aborted.

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderValue, StatusCode, Uri, header};
use sluice_core::platform::{FetchError, Rest, UpstreamAnswer, UpstreamBody, UpstreamCall};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response, Trailers};
use spin_sdk::wasip3::{wit_future, wit_stream};
use spin_sdk::wit_bindgen::{self, FutureReader, StreamReader, StreamResult, StreamWriter};

use crate::headers;

/// How much of a body is read at once, at most.
const PIECE_BYTES_MAX: usize = 32 << 10;

/// The body of an answer.
pub(crate) struct Body {
    stream: StreamReader<u8>,
    end: Option<FutureReader<Result<Option<Trailers>, ErrorCode>>>,
}

/// Calls out and waits for the answer's head.
pub(crate) async fn fetch(call: UpstreamCall) -> Result<UpstreamAnswer<Body>, FetchError> {
    // The address or a header is none that the platform takes: nothing was sent.
    let request = request(call).ok_or(FetchError::Connect)?;
    // Lets the body begin, so that it leaves with the head and not after the answer to the head's packet.
    wit_bindgen::yield_async().await;
    let response = client::send(request)
        .await
        .map_err(|error| failure(&error))?;
    answer(response)
}

fn request(mut call: UpstreamCall) -> Option<Request> {
    let address: Uri = call.url.parse().ok()?;
    let body = std::mem::take(&mut call.body);
    let rest = call.rest.take();
    let has_body = rest.is_some() || !body.is_empty();
    if has_body && rest.is_none() {
        call.headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let fields = headers::fields(&call.headers).ok()?;
    let (trailers, trailers_reader) =
        wit_future::new::<Result<Option<Trailers>, ErrorCode>>(|| Ok(None));
    let contents = has_body.then(|| {
        let (stream, contents) = wit_stream::new::<u8>();
        wit_bindgen::spawn(async move {
            let end = send(stream, body, rest).await;
            // Whoever does not wait for them needs none.
            let _ = trailers.write(end).await;
        });
        contents
    });
    let (request, _) = Request::new(fields, contents, trailers_reader, None);
    request
        .set_method(&headers::wasi_method(&call.method))
        .ok()?;
    let scheme = headers::wasi_scheme(address.scheme_str()?);
    request.set_scheme(Some(&scheme)).ok()?;
    request
        .set_authority(Some(address.authority()?.as_str()))
        .ok()?;
    let path = address
        .path_and_query()
        .map(http::uri::PathAndQuery::as_str);
    request.set_path_with_query(path).ok()?;
    Some(request)
}

/// Sends a body: its beginning, then what follows. What ends early ends the call.
async fn send(
    mut stream: StreamWriter<u8>,
    first: Bytes,
    rest: Option<Rest>,
) -> Result<Option<Trailers>, ErrorCode> {
    let rest = rest.unwrap_or_else(|| futures_util::stream::empty().boxed_local());
    let mut pieces = futures_util::stream::iter([Ok(first)]).chain(rest);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| ErrorCode::HttpRequestBodySize(None))?;
        if !stream.write_all(piece.into()).await.is_empty() {
            break;
        }
    }
    Ok(None)
}

/// What the platform says, for the core: whether the request can have reached anybody.
fn failure(error: &ErrorCode) -> FetchError {
    match error {
        ErrorCode::HttpRequestDenied => {
            eprintln!(
                "error: the manifest's allowed_outbound_hosts lacks an address of the configuration"
            );
            FetchError::Connect
        }
        ErrorCode::DnsTimeout
        | ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_) => FetchError::Connect,
        _ => FetchError::Broken,
    }
}

fn answer(response: Response) -> Result<UpstreamAnswer<Body>, FetchError> {
    let status =
        StatusCode::from_u16(response.get_status_code()).map_err(|_| FetchError::Broken)?;
    let headers = headers::map(&response.get_headers());
    let (_, consumed) = wit_future::new::<Result<(), ErrorCode>>(|| Ok(()));
    let (stream, end) = Response::consume_body(response, consumed);
    Ok(UpstreamAnswer {
        status,
        headers,
        body: Body {
            stream,
            end: Some(end),
        },
    })
}

impl UpstreamBody for Body {
    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let buffer = Vec::with_capacity(PIECE_BYTES_MAX);
            let (result, piece) = self.stream.read(buffer).await;
            if !piece.is_empty() {
                return Ok(Some(Bytes::from(piece)));
            }
            if result == StreamResult::Complete(0) {
                continue;
            }
            let Some(end) = self.end.take() else {
                return Ok(None);
            };
            return end.await.map(|_| None).map_err(|_| FetchError::Broken);
        }
    }
}
