//! The format's published vectors, every way to cut a stream, and what must be refused.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What a message says, without its bytes' lifetime.
type Owned = (Vec<(String, String)>, Vec<u8>);

fn decode(pieces: &[&[u8]]) -> Result<(Vec<Owned>, bool), DecodeError> {
    let mut decoder = EventStreamDecoder::new();
    let mut messages = Vec::new();
    for piece in pieces {
        decoder.push(piece, |message| {
            let headers = message
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), format!("{value:?}")))
                .collect();
            messages.push((headers, message.payload.to_vec()));
            Ok(())
        })?;
    }
    Ok((messages, decoder.is_empty()))
}

fn written(headers: Vec<(&str, HeaderValue<'_>)>, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(&mut out, &Message { headers, payload }).unwrap();
    out
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The vectors that AWS's client libraries are tested with (`empty_message`, `payload_no_headers`, `int32_header`).
#[test]
fn the_published_vectors_are_read_and_written() {
    let payload = b"{'foo':'bar'}";
    let int32 = vec![("event-type", HeaderValue::Integer(40972))];
    let cases = [
        (vec![], &b""[..], "00000010 00000000 05c248eb 7d98c8ff"),
        (
            vec![],
            payload,
            "0000001d 00000000 fd528c5a 7b27666f6f273a27626172277d c3653936",
        ),
        (
            int32,
            payload,
            "0000002d 00000010 41c424b8 0a6576656e742d74797065 04 0000a00c 7b27666f6f273a27626172277d 36f480a0",
        ),
    ];
    for (headers, payload, hex) in cases {
        let bytes = bytes_of(hex);
        let shown: Vec<_> = headers
            .iter()
            .map(|(name, value): &(&str, _)| ((*name).to_owned(), format!("{value:?}")))
            .collect();
        assert_eq!(written(headers, payload), bytes);
        let expected = (vec![(shown, payload.to_vec())], true);
        assert_eq!(decode(&[&bytes]), Ok(expected));
    }
}

#[test]
fn each_byte_is_guarded_by_a_checksum() {
    let good = written(vec![(":event-type", HeaderValue::Text("chunk"))], b"{}");
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(decode(&[&bad]).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_message_that_cannot_be_is_refused_before_it_is_kept() {
    let prelude = |size: u32, headers: u32| {
        let mut bytes = size.to_be_bytes().to_vec();
        bytes.extend(headers.to_be_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend(crc.to_be_bytes());
        bytes
    };
    let too_large = Err(DecodeError::EventTooLarge(MESSAGE_BYTES_MAX));
    assert_eq!(decode(&[&prelude(u32::MAX, 0)]), too_large);
    assert_eq!(decode(&[&prelude((8 << 20) + 1, 0)]), too_large);
    for (size, headers) in [(0, 0), (15, 0), (16, 1), (1 << 20, (128 << 10) + 1)] {
        let outcome = decode(&[&prelude(size, headers)]);
        assert!(
            matches!(outcome, Err(DecodeError::Shape { .. })),
            "{size} {headers}"
        );
    }
    assert_eq!(decode(&[&prelude(8 << 20, 0)]), Ok((vec![], false)));
}

#[test]
fn headers_that_cannot_be_read_are_refused() {
    // An unknown type, a name that is no text, a value and a name that are cut.
    for headers in [
        &b"\x01a\x0a"[..],
        b"\x01\xff\x00",
        b"\x01a\x04\x00",
        b"\x05a",
    ] {
        let mut bytes = u32::try_from(16 + headers.len())
            .unwrap()
            .to_be_bytes()
            .to_vec();
        bytes.extend(u32::try_from(headers.len()).unwrap().to_be_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend(headers);
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        let outcome = decode(&[&bytes]);
        assert!(
            matches!(outcome, Err(DecodeError::Shape { .. })),
            "{headers:?}"
        );
    }
}

#[test]
fn what_is_too_long_is_not_written() {
    let long = vec![0; MESSAGE_BYTES_MAX];
    let name = "n".repeat(256);
    let text = "t".repeat(1 << 15);
    for message in [
        Message {
            headers: vec![],
            payload: &long,
        },
        Message {
            headers: vec![(&name, HeaderValue::Bool(true))],
            payload: b"",
        },
        Message {
            headers: vec![("n", HeaderValue::Text(&text))],
            payload: b"",
        },
        Message {
            headers: vec![("n", HeaderValue::Bytes(&long[..40_000]))],
            payload: b"",
        },
    ] {
        let mut out = Vec::new();
        assert_eq!(write_message(&mut out, &message), None);
        assert!(out.is_empty());
    }
}

fn value() -> impl Strategy<Value = HeaderValue<'static>> {
    prop_oneof![
        any::<bool>().prop_map(HeaderValue::Bool),
        any::<i8>().prop_map(HeaderValue::Byte),
        any::<i16>().prop_map(HeaderValue::Short),
        any::<i32>().prop_map(HeaderValue::Integer),
        any::<i64>().prop_map(HeaderValue::Long),
        Just(HeaderValue::Bytes(b"\x00\xff")),
        Just(HeaderValue::Text("é☃")),
        any::<i64>().prop_map(HeaderValue::Timestamp),
        any::<[u8; 16]>().prop_map(HeaderValue::Uuid),
    ]
}

proptest! {
    #[test]
    fn any_split_decodes_alike_and_to_what_was_written(
        messages in vec((vec(("[a-z:-]{0,9}", value()), 0..4), vec(any::<u8>(), 0..60)), 0..5),
        cuts in vec(0_usize..600, 0..9),
        missing in 0_usize..40,
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        let mut ends = vec![0];
        for (headers, payload) in &messages {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            expected.push((
                headers.iter().map(|(name, value)| ((*name).to_owned(), format!("{value:?}"))).collect::<Vec<_>>(),
                payload.clone(),
            ));
            write_message(&mut bytes, &Message { headers, payload }).unwrap();
            ends.push(bytes.len());
        }
        bytes.truncate(bytes.len().saturating_sub(missing));
        expected.truncate(ends.iter().filter(|end| **end <= bytes.len()).count() - 1);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode(&pieces), Ok((expected, ends.contains(&bytes.len()))));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..100)) {
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(decode(&single).is_ok(), decode(&[&bytes]).is_ok());
    }
}
