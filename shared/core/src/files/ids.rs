//! Whose a file or batch is: identifiers that only their organisation can use, and marks that only the gateway makes.
//!
//! An identifier is the provider's, sealed for one organisation: authenticated encryption whose nonce is its own tag
//! (the SIV construction of RFC 5297, with HMAC-SHA256 for both of its parts). No store is asked. The provider's own
//! identifier never reaches a caller, so that nobody can name another's file where the gateway does not look, as in the
//! lines of a batch. See `docs/decisions/0010-files-without-a-store.md`.

use sluice_units::{OrgId, ProviderId, Secret, hex};

use crate::hash::{hmac_sha256, same};
use crate::platform::Platform;

/// The secret that seals.
pub const SECRET: &str = "SLUICE_ID_KEY";
/// The secret that sealed before: what it has sealed stays usable.
pub const SECRET_BEFORE: &str = "SLUICE_ID_KEY_BEFORE";
/// What the identifier of a file begins with that an answer named and that may be somebody else's: it can be said again
/// where it was cited, and is good for nothing else.
pub(super) const CITED: &str = "file-cited-";
/// The shortest secret that is taken, in bytes.
const SECRET_BYTES_MIN: usize = 32;
/// The longest identifier of a provider's, in bytes.
const ID_BYTES_MAX: usize = 256;
/// The longest sealed identifier that is looked at, in bytes.
const SEALED_BYTES_MAX: usize = 1_024;
const TAG_BYTES: usize = 16;

/// The identifiers of one organisation.
#[derive(Debug, Clone)]
pub struct Ids {
    org: OrgId,
    /// The first one seals; all open.
    keys: Vec<Secret>,
}

impl Ids {
    /// Those of an organisation; `None` where the gateway has no key for them.
    pub fn of<P: Platform>(p: &P, org: &OrgId) -> Option<Self> {
        let is_long = |key: &Secret| key.expose().len() >= SECRET_BYTES_MIN;
        let first = p.secret(SECRET).filter(is_long)?;
        let before = p.secret(SECRET_BEFORE).filter(is_long);
        Some(Self {
            org: org.clone(),
            keys: [Some(first), before].into_iter().flatten().collect(),
        })
    }

    /// What the organisation calls a provider's file or batch, with the prefix of its kind; `None` for what cannot be an
    /// identifier.
    #[must_use]
    pub fn seal(&self, kind: &'static str, provider: &ProviderId, id: &str) -> Option<String> {
        let key = self.keys.first()?;
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return None;
        }
        // No provider's name has a slash.
        let mut text = format!("{provider}/{id}").into_bytes();
        let tag = self.tag(key, kind, &text);
        cipher(key, &tag, &mut text);
        Some(format!("{kind}{}{}", hex(&tag), hex(&text)))
    }

    /// Where an organisation's file or batch is, and what it is called there; `None` for what is not this
    /// organisation's.
    #[must_use]
    pub fn open(&self, kind: &'static str, sealed: &str) -> Option<(ProviderId, String)> {
        let bytes = unhex(sealed.strip_prefix(kind)?)?;
        let (tag, hidden) = bytes.split_first_chunk::<TAG_BYTES>()?;
        self.keys.iter().find_map(|key| {
            let mut text = hidden.to_vec();
            cipher(key, tag, &mut text);
            if !same(&self.tag(key, kind, &text), tag) {
                return None;
            }
            let text = String::from_utf8(text).ok()?;
            let (provider, id) = text.split_once('/')?;
            Some((ProviderId::new(provider).ok()?, id.to_owned()))
        })
    }

    /// What the provider keeps beside a file or batch of the organisation's, to know it again by; the newest first.
    pub fn marks(&self) -> impl Iterator<Item = String> {
        self.keys.iter().map(|key| {
            let mark = hmac_sha256(
                key.expose().as_bytes(),
                &[b"mark\0", self.org.as_str().as_bytes()],
            );
            format!(
                "sluice-{}",
                hex(mark.first_chunk::<TAG_BYTES>().unwrap_or(&[0; TAG_BYTES]))
            )
        })
    }

    /// A file's name without the mark; `None` where it has none of the organisation's.
    pub(super) fn unmarked<'a>(&self, name: &'a str) -> Option<&'a str> {
        self.marks()
            .find_map(|mark| name.strip_prefix(&*mark)?.strip_prefix('-'))
    }

    fn tag(&self, key: &Secret, kind: &str, text: &[u8]) -> [u8; TAG_BYTES] {
        let org = self.org.as_str().as_bytes();
        let parts: [&[u8]; 6] = [b"tag\0", kind.as_bytes(), b"\0", org, b"\0", text];
        let whole = hmac_sha256(key.expose().as_bytes(), &parts);
        *whole.first_chunk().unwrap_or(&[0; TAG_BYTES])
    }
}

/// Hides a text, or shows it again.
fn cipher(key: &Secret, tag: &[u8; TAG_BYTES], text: &mut [u8]) {
    for (block, number) in text.chunks_mut(32).zip(0_u8..) {
        let stream = hmac_sha256(key.expose().as_bytes(), &[b"hide\0", tag, &[number]]);
        block
            .iter_mut()
            .zip(stream)
            .for_each(|(byte, hiding)| *byte ^= hiding);
    }
}

/// Lower-case hex to bytes.
fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() > SEALED_BYTES_MAX || text.len() % 2 == 1 {
        return None;
    }
    let nibble = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    };
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some((nibble(high)? << 4) | nibble(low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "file-";
    const BATCH: &str = "batch_";

    fn ids(org: &str, keys: &[&str]) -> Ids {
        Ids {
            org: OrgId::new(org).unwrap(),
            keys: keys
                .iter()
                .map(|key| Secret::new((*key).to_owned()))
                .collect(),
        }
    }

    fn provider() -> ProviderId {
        ProviderId::new("openai").unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_organisation_alone() {
        let acme = ids("acme", &["one"]);
        let id = "file-0123456789/abcdefghij_-~ with\u{e9}";
        let sealed = acme.seal(FILE, &provider(), id).unwrap();
        assert!(!sealed.contains("0123456789"));
        assert_eq!(acme.open(FILE, &sealed), Some((provider(), id.to_owned())));
        assert_eq!(ids("other", &["one"]).open(FILE, &sealed), None);
        assert_eq!(acme.open(BATCH, &sealed), None);
        assert_eq!(acme.open(CITED, &sealed), None);
        let cited = acme.seal(CITED, &provider(), id).unwrap();
        assert_eq!(acme.open(FILE, &cited), None);
        assert!(acme.open(CITED, &cited).is_some());
        let as_batch = sealed.replace("file-", "batch_");
        assert_eq!(acme.open(BATCH, &as_batch), None);
        assert_eq!(acme.open(FILE, id), None);
    }

    #[test]
    fn no_changed_identifier_opens() {
        let acme = ids("acme", &["one"]);
        let sealed = acme.seal(FILE, &provider(), "file-1").unwrap();
        for at in 5..sealed.len() {
            let digit = if sealed.as_bytes()[at] == b'0' {
                "1"
            } else {
                "0"
            };
            let mut changed = sealed.clone();
            changed.replace_range(at..=at, digit);
            assert_eq!(acme.open(FILE, &changed), None, "{at}");
        }
        for cut in 0..sealed.len() {
            assert_eq!(acme.open(FILE, &sealed[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn another_key_opens_nothing_unless_it_is_the_one_before() {
        let old = ids("acme", &["one"]).seal(BATCH, &provider(), "b").unwrap();
        assert_eq!(ids("acme", &["two"]).open(BATCH, &old), None);
        let both = ids("acme", &["two", "one"]);
        assert!(both.open(BATCH, &old).is_some());
        assert_ne!(both.seal(BATCH, &provider(), "b").unwrap(), old);
        assert_eq!(both.marks().count(), 2);
    }

    #[test]
    fn a_mark_tells_organisations_and_keys_apart() {
        let mark = |org, key| ids(org, &[key]).marks().next().unwrap();
        assert_eq!(mark("a", "k"), mark("a", "k"));
        assert_ne!(mark("a", "k"), mark("b", "k"));
        assert_ne!(mark("a", "k"), mark("a", "l"));
    }
}
