//! Which name was meant.

/// Names that differ by more are not meant.
const TYPOS_MAX: usize = 2;
/// Nor are those with more than one typo in so many letters.
const LETTERS_PER_TYPO: usize = 3;

/// The known name that is nearest, if any is near.
pub(crate) fn similar<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (distance(name, known), known))
        .min()
        .filter(|(typos, known)| *typos <= TYPOS_MAX && typos * LETTERS_PER_TYPO <= known.len())
        .map(|(_, known)| known)
}

/// How many letters must be added, removed or changed.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, a) in one.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        let mut next = vec![left];
        for (b, above) in other.chars().zip(row.iter().skip(1)) {
            let changed = diagonal + usize::from(a != b);
            left = changed.min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_recognised_and_another_word_is_not() {
        let known = ["openai", "anthropic", "groq", "v0"];
        for (name, meant) in [
            ("opnai", Some("openai")),
            ("opanei", Some("openai")),
            ("antropic", Some("anthropic")),
            ("grok", Some("groq")),
            ("mistral", None),
            ("x1", None),
            ("gzip", None),
        ] {
            assert_eq!(similar(name, known.into_iter()), meant, "{name}");
        }
    }
}
