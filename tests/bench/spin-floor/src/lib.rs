//! The floor of the measurements on Spin: hands each request to one upstream and the answer back, bodies untouched.
//!
//! The upstream's authority stands in the header `x-upstream`, so that it needs no configuration.

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use spin_sdk::wasip3::wit_future;

struct Floor;

spin_sdk::wasip3::http::service::export!(Floor);

impl Guest for Floor {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let headers = request.get_headers();
        let upstream = headers.get("x-upstream").pop();
        let upstream = upstream.and_then(|value| String::from_utf8(value).ok());
        let kept: Vec<(String, Vec<u8>)> = ["content-type", "content-length", "authorization"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), headers.get(name).pop()?)))
            .collect();
        let fields = Fields::from_list(&kept).map_err(|_| ErrorCode::HttpProtocolError)?;
        let (method, path) = (request.get_method(), request.get_path_with_query());
        let (_, consumed) = wit_future::new::<Result<(), ErrorCode>>(|| Ok(()));
        let (body, trailers) = Request::consume_body(request, consumed);
        let (call, _) = Request::new(fields, Some(body), trailers, None);
        let wrong = |()| ErrorCode::HttpRequestUriInvalid;
        call.set_method(&method).map_err(wrong)?;
        call.set_scheme(Some(&Scheme::Http)).map_err(wrong)?;
        call.set_authority(upstream.as_deref()).map_err(wrong)?;
        call.set_path_with_query(path.as_deref()).map_err(wrong)?;
        client::send(call).await
    }
}
