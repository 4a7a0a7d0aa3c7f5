//! The vectors that AWS publishes, and those that its client library makes where AWS publishes none.

use http::header::{CONTENT_TYPE, RANGE};

use super::*;

const EMPTY: Payload<'_> = Payload::Bytes(b"");

/// AWS's `aws-sig-v4-test-suite`: a key, 2015-08-30 12:36:00 UTC, `us-east-1`, a service called `service`.
const SUITE_KEY: (&str, &str) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
const SUITE_NOW: Timestamp = Timestamp::from_millis(1_440_938_160_000);
/// The examples of S3's guide: another key, 2013-05-24 00:00:00 UTC.
const S3_KEY: (&str, &str) = (
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
);
const S3_NOW: Timestamp = Timestamp::from_millis(1_369_353_600_000);

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect()
}

fn suite(
    service: &str,
    (method, host, target): (&Method, &str, &str),
    pairs: &[(&str, &str)],
    payload: &[u8],
) -> (String, String) {
    let secret = Secret::new(SUITE_KEY.1.to_owned());
    let signer = Signer {
        service,
        ..Signer::bedrock(SUITE_KEY.0, &secret, "us-east-1")
    };
    signed(
        &signer,
        (method, host, target),
        pairs,
        Payload::Bytes(payload),
        SUITE_NOW,
    )
}

/// The signed headers and the signature.
fn signed(
    signer: &Signer<'_>,
    (method, host, target): (&Method, &str, &str),
    pairs: &[(&str, &str)],
    payload: Payload<'_>,
    now: Timestamp,
) -> (String, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = headers(pairs);
    let request = Request {
        method,
        host,
        path,
        query,
        headers: &headers,
        payload,
    };
    let added = sign(&request, signer, now).unwrap();
    let authorization = added[header::AUTHORIZATION].to_str().unwrap();
    let field = |name: &str| {
        let (_, rest) = authorization.split_once(name).unwrap();
        rest.split(',').next().unwrap().to_owned()
    };
    (field("SignedHeaders="), field("Signature="))
}

fn check_suite(target: &str, pairs: &[(&str, &str)], signature: &str) {
    let host = "example.amazonaws.com";
    let (_, found) = suite("service", (&Method::GET, host, target), pairs, b"");
    assert_eq!(found, signature, "{target} {pairs:?}");
}

#[test]
fn the_test_suite_is_signed_as_published() {
    const VANILLA: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    const UNRESERVED: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for target in ["/", "//", "/./", "/example/..", "/example1/example2/../.."] {
        check_suite(target, &[], VANILLA);
    }
    for (target, signature) in [
        (
            "//example//".to_owned(),
            "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
        ),
        (
            "/./example".to_owned(),
            "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
        ),
        (
            format!("/{UNRESERVED}"),
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        (
            "/\u{1234}".to_owned(),
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
        ),
        (
            "/?Param1=value1".to_owned(),
            "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
        ),
        (
            "/?Param2=value2&Param1=value1".to_owned(),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            format!("/?{UNRESERVED}={UNRESERVED}"),
            "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
        ),
        (
            "/?\u{1234}=bar".to_owned(),
            "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
        ),
    ] {
        check_suite(&target, &[], signature);
    }
    for (pairs, signature) in [
        (
            &[
                ("my-header1", "value2"),
                ("my-header1", "value2"),
                ("my-header1", "value1"),
            ][..],
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        ),
        (
            &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
    ] {
        check_suite("/", pairs, signature);
    }
}

#[test]
fn posts_are_signed_as_published() {
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (pairs, payload, signature) in [
        (
            &[][..],
            &b""[..],
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            &[("my-header1", "VALUE1")],
            b"",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
        (
            &[form],
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ] {
        let to = (&Method::POST, "example.amazonaws.com", "/");
        assert_eq!(suite("service", to, pairs, payload).1, signature);
    }
    let pairs = [(
        "content-type",
        "application/x-www-form-urlencoded; charset=utf-8",
    )];
    let to = (
        &Method::GET,
        "iam.amazonaws.com",
        "/?Action=ListUsers&Version=2010-05-08",
    );
    assert_eq!(
        suite("iam", to, &pairs, b"").1,
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    );
}

#[test]
fn the_signing_key_is_the_published_one() {
    let secret = Secret::new(SUITE_KEY.1.to_owned());
    let signer = Signer {
        service: "iam",
        ..Signer::bedrock(SUITE_KEY.0, &secret, "us-east-1")
    };
    assert_eq!(
        hex(&signing_key(&signer, "20150830")),
        "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    );
}

/// AWS publishes no vectors for Bedrock: these are what botocore 1.44 signs at the suite's time with its key.
#[test]
fn an_encoded_colon_is_encoded_again_and_a_port_is_signed() {
    let json = [("content-type", "application/json")];
    let claude = "/model/anthropic.claude-3-sonnet-20240229-v1%3A0/converse";
    let profile = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A012345678901%3Ainference-profile%2Fus.x%3A0/converse-stream";
    for (host, path, signature) in [
        (
            "bedrock-runtime.us-east-1.amazonaws.com",
            claude,
            "e2bbf23857274093f122729e9b338898cf543d5b51d4f1b5802ed8946111bc41",
        ),
        (
            "localhost:4566",
            profile,
            "b44ad278d0a695b298eacb925a00bee3cdaf3f71efe0eea48fde5d1a2e0663a9",
        ),
    ] {
        let (names, found) = suite("bedrock", (&Method::POST, host, path), &json, b"{}");
        assert_eq!(names, "content-type;host;x-amz-date");
        assert_eq!(found, signature, "{host}");
    }
}

/// As above, with temporary credentials.
#[test]
fn a_session_token_is_signed_and_no_secret_prints() {
    let secret = Secret::new(SUITE_KEY.1.to_owned());
    let token = Secret::new("TOKEN".to_owned());
    let signer = Signer {
        session_token: Some(&token),
        ..Signer::bedrock(SUITE_KEY.0, &secret, "us-east-1")
    };
    let headers = headers(&[("content-type", "application/json"), ("user-agent", "x")]);
    let request = Request {
        method: &Method::POST,
        host: "bedrock-runtime.us-east-1.amazonaws.com",
        path: "/model/anthropic.claude-3-sonnet-20240229-v1%3A0/converse",
        query: "",
        headers: &headers,
        payload: Payload::Bytes(b"{}"),
    };
    let added = sign(&request, &signer, SUITE_NOW).unwrap();
    assert_eq!(
        added[header::AUTHORIZATION],
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
         Signature=300250f2bf2f51009e0781dc6214ed8cddf9b3ecd825ef1b85e04676772fa08c"
    );
    assert_eq!(added["x-amz-security-token"], "TOKEN");
    assert_eq!(added["x-amz-date"], "20150830T123600Z");
    assert!(!format!("{added:?} {signer:?}").contains("TOKEN"));
    assert!(!format!("{signer:?}").contains("wJalr"));
}

#[test]
fn the_examples_of_s3_are_signed_as_published() {
    let secret = Secret::new(S3_KEY.1.to_owned());
    let signer = Signer::s3(S3_KEY.0, &secret, "us-east-1");
    let host = "examplebucket.s3.amazonaws.com";
    let range = [(RANGE.as_str(), "bytes=0-9")];
    let put = [
        ("date", "Fri, 24 May 2013 00:00:00 GMT"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ];
    for (method, target, pairs, payload, signature) in [
        (
            Method::GET,
            "/test.txt",
            &range[..],
            EMPTY,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            Method::PUT,
            "/test%24file.text",
            &put,
            Payload::Bytes(b"Welcome to Amazon S3."),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            Method::GET,
            "/?lifecycle",
            &[],
            EMPTY,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            Method::GET,
            "/?max-keys=2&prefix=J",
            &[],
            EMPTY,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        let found = signed(&signer, (&method, host, target), pairs, payload, S3_NOW);
        assert_eq!(found.1, signature, "{target}");
    }
}

#[test]
fn an_unsigned_payload_says_so() {
    let secret = Secret::new(S3_KEY.1.to_owned());
    let signer = Signer::s3(S3_KEY.0, &secret, "us-east-1");
    let headers = headers(&[(CONTENT_TYPE.as_str(), "text/plain")]);
    let request = Request {
        method: &Method::PUT,
        host: "b.s3.amazonaws.com",
        path: "/a//b",
        query: "",
        headers: &headers,
        payload: Payload::Unsigned,
    };
    let added = sign(&request, &signer, S3_NOW).unwrap();
    assert_eq!(added["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
}

#[test]
fn only_a_port_of_its_own_belongs_to_the_host() {
    for (address, expected) in [
        ("https://a.example/x", "a.example"),
        ("https://a.example:443/x", "a.example"),
        ("http://a.example:80", "a.example"),
        ("http://a.example:443", "a.example:443"),
        ("https://a.example:8443/x", "a.example:8443"),
        ("http://[::1]:4566/", "[::1]:4566"),
        ("/only/a/path", ""),
    ] {
        assert_eq!(host(&address.parse().unwrap()), expected, "{address}");
    }
}

#[test]
fn credentials_that_no_header_can_hold_are_refused() {
    let secret = Secret::new("s".to_owned());
    let signer = Signer::bedrock("id\r\nx-evil: 1", &secret, "us-east-1");
    let headers = HeaderMap::new();
    let request = Request {
        method: &Method::GET,
        host: "h",
        path: "/",
        query: "",
        headers: &headers,
        payload: EMPTY,
    };
    assert_eq!(sign(&request, &signer, SUITE_NOW), Err(SigningError));
}
