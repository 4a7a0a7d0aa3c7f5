//! How many tokens a text has at most, whichever tokenizer reads it.
//!
//! One pass over the bytes, and one rule for all models: what a model's tokenizer is, is known of few, and any of a
//! request's targets may serve it. By what a byte is:
//!
//! | what | tokens |
//! |---|---|
//! | a digit, a mark, a line's end, a tab, any other control character | 1: Llama 2, Mistral, Gemma read them one by one |
//! | a byte that is not ASCII | 1: Amharic, rare Han and emoji are read byte by byte |
//! | a Cyrillic letter in lower case, of two bytes | 1: every tokenizer knows them |
//! | a blank before a letter or a mark | 0: it is part of that token |
//! | a blank before anything else, and the second of a run | 1, further ones an eighth |
//! | the first letter of a word, one in upper case after one in lower case, one that does not usually follow the letter before it | 1 |
//! | the second letter of a word, where every tokenizer knows how the word begins | 0 |
//! | any other letter | a half; in upper case three quarters |
//!
//! Measured against the vocabularies of o200k, cl100k, Claude 2, Llama 2 and 3, Mistral v1, v3 and Tekken, and Gemma:
//! English prose is bounded by 1.7 to 2.2 times its tokens, other languages in Latin letters by 1.3 to 4.2, code by 1.6
//! to 2.4, JSON by 1.3 to 3, digits, hexadecimals and Base64 by 1 to 3, Cyrillic by 1.8 to 4, Chinese, Japanese and
//! Korean by 1.6 to 5.4, other scripts by 1 to 9.2, where the highest are those of the newest tokenizers, which know
//! whole words. Random letters, digits, marks, bytes and characters are within the bound.
//!
//! It is no hard bound for letters, which would be one token each: words that were searched for so that one tokenizer
//! does worst reach 1.4 times the bound. Nor does it hold where a tokenizer first rewrites the text (Claude 2 takes
//! compatibility characters apart, of which a few become many letters). What a request used above it is charged.
//!
//! A text that is cut has the same bound or a higher one: at most two tokens more for each cut.

use sluice_units::Tokens;

/// The unit of account: what is a part of a token is counted in eighths.
const TOKEN: u8 = 8;
const LETTER: u8 = 4;
const UPPER_LETTER: u8 = 6;
const FURTHER_BLANK: u8 = 1;

/// For each letter, those that often follow it in prose and in code: tokens of two letters and more are made of them.
const USUAL: [u32; 26] = pairs([
    "bcdfgiklmnprstuvwxyz",
    "aeijloruy",
    "acehikloprstuy",
    "abcdefgilmorsuy",
    "acdefgilmnopqrstuvwxy",
    "aefilnortu",
    "aehilnoprstu",
    "aeiortu",
    "abcdefgklmnoprstvz",
    "es",
    "einsu",
    "adefilmostuy",
    "abdeilmopsu",
    "acdefgiklnopstuvy",
    "abcdefghiklmnoprstuvwxy",
    "aeiloprstuy",
    "lu",
    "acdefgiklmnoprstuvy",
    "acdeghiklmopqstuw",
    "acefhiloprstuwy",
    "abcdefgilmnprst",
    "aei",
    "aehinors",
    "aceipt",
    "enoprst",
    "e",
]);

/// For each letter, those that make a token of every tokenizer with it and the blank before it, in both cases.
const OPENING: [u32; 26] = pairs([
    "bcdfghklmnprstuvwxyz",
    "aeiloruy",
    "aehiloruy",
    "aeioruy",
    "dgklmnpqrstuvx",
    "aeloru",
    "aeiloruy",
    "aeioy",
    "dflmnorstz",
    "aeou",
    "aeilno",
    "aeiouy",
    "aeiouy",
    "aegiouy",
    "bfghklmnprstx",
    "aehiloruy",
    "u",
    "aehouy",
    "acehiklmnoptuwyz",
    "aehiorsuwy",
    "lmnprs",
    "aeio",
    "aehoy",
    "",
    "ae",
    "eu",
]);

const fn pairs(followers: [&str; 26]) -> [u32; 26] {
    let mut sets = [0; 26];
    let mut rest = followers.as_slice();
    let mut left = sets.as_mut_slice();
    while let ([first, others @ ..], [set, sets @ ..]) = (rest, left) {
        let mut letters = first.as_bytes();
        while let [letter, further @ ..] = letters {
            *set |= 1_u32.wrapping_shl(letter.wrapping_sub(b'a') as u32);
            letters = further;
        }
        rest = others;
        left = sets;
    }
    sets
}

/// What a byte is: 0 to 25 a letter in lower case, 26 to 51 one in upper case, or one of these.
const MARK: u8 = 52;
const BLANK: u8 = 53;
/// The first bytes of the letters from а to я, and the second ones that go with them.
const CYRILLIC: [u8; 2] = [54, 55];
const SECOND: [u8; 2] = [56, 57];
const OTHER: u8 = 58;
/// Classes take so many bits.
const CLASS_BITS: u32 = 6;

const fn class(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => byte.wrapping_sub(b'a'),
        b'A'..=b'Z' => byte.wrapping_sub(b'A').wrapping_add(26),
        b' ' => BLANK,
        b'!'..=b'/' | b':'..=b'@' | b'['..=b'`' | b'{'..=b'~' => MARK,
        0xd0 => CYRILLIC[0],
        0xd1 => CYRILLIC[1],
        0xb0..=0xbf => SECOND[0],
        0x80..=0x8f => SECOND[1],
        _ => OTHER,
    }
}

const fn is_letter(class: u8) -> bool {
    class < MARK
}

const fn is_upper(class: u8) -> bool {
    class >= 26 && class < MARK
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler alone, and within the alphabet"
)]
const fn has(pairs: &[u32; 26], first: u8, second: u8) -> bool {
    let set = pairs[(first % 26) as usize];
    set & 1_u32.wrapping_shl((second % 26) as u32) != 0
}

/// What a byte adds, by its class, that of the byte before it, and whether the one before that was a blank.
const fn weight(after_blank: bool, last: u8, class: u8) -> u8 {
    if class == BLANK {
        // The first of a run counts with what comes after it.
        return match (last == BLANK, after_blank) {
            (false, _) => 0,
            (true, false) => TOKEN,
            (true, true) => FURTHER_BLANK,
        };
    }
    if is_letter(class) {
        return letter(after_blank, last, class);
    }
    if (last == CYRILLIC[0] && class == SECOND[0]) || (last == CYRILLIC[1] && class == SECOND[1]) {
        return 0;
    }
    if last == BLANK && class != MARK {
        return TOKEN + TOKEN;
    }
    TOKEN
}

const fn letter(opens: bool, last: u8, class: u8) -> u8 {
    if !is_letter(last) || (is_upper(class) && !is_upper(last)) {
        return TOKEN;
    }
    if opens && !is_upper(class) {
        return if has(&OPENING, last, class) { 0 } else { TOKEN };
    }
    match (has(&USUAL, last, class), is_upper(class)) {
        (false, _) => TOKEN,
        (true, true) => UPPER_LETTER,
        (true, false) => LETTER,
    }
}

/// What every byte is.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    let mut left = classes.as_mut_slice();
    while let [first, others @ ..] = left {
        *first = class(byte);
        byte = byte.wrapping_add(1);
        left = others;
    }
    classes
};

/// What a byte adds: by whether the last byte but one was a blank, the class of the last one, and its own.
static WEIGHTS: [u8; 2 << (2 * CLASS_BITS)] = {
    let mut weights = [0; 2 << (2 * CLASS_BITS)];
    let mut index = 0_usize;
    let mut left = weights.as_mut_slice();
    while let [first, others @ ..] = left {
        let class = index & MASK;
        let last = (index >> CLASS_BITS) & MASK;
        *first = weight(index >> (2 * CLASS_BITS) != 0, last as u8, class as u8);
        index = index.wrapping_add(1);
        left = others;
    }
    weights
};
const MASK: usize = (1 << CLASS_BITS) - 1;

/// An upper bound on the tokens of texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenBound {
    eighths: u64,
}

impl TokenBound {
    /// The bound of a text in UTF-8.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let mut eighths = 0_u64;
        let (mut before, mut last) = (OTHER, OTHER);
        for &byte in text {
            let class = at(&CLASSES, usize::from(byte));
            let after_blank = usize::from(before == BLANK) << (2 * CLASS_BITS);
            let pair = usize::from(last) << CLASS_BITS | usize::from(class);
            let weight = at(&WEIGHTS, after_blank | pair);
            eighths = eighths.saturating_add(u64::from(weight));
            (before, last) = (last, class);
        }
        if last == BLANK {
            eighths = eighths.saturating_add(u64::from(TOKEN));
        }
        Self { eighths }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            eighths: self.eighths.saturating_add(other.eighths),
        }
    }

    /// The bound, in whole tokens.
    #[must_use]
    pub const fn tokens(self) -> Tokens {
        Tokens::new(self.eighths.div_ceil(TOKEN as u64))
    }
}

fn at(table: &[u8], index: usize) -> u8 {
    table.get(index).copied().unwrap_or(TOKEN)
}

#[cfg(test)]
mod tests;
