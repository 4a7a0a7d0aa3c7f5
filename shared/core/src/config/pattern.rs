//! Patterns for model names: `*` stands for anything, everything else for itself.

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern(String);

impl Pattern {
    /// Every text is a pattern.
    #[must_use]
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As it was written.
    #[must_use]
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for anything.
    #[must_use]
    pub(super) fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// Whether it stands for this name.
    #[must_use]
    pub(super) fn matches(&self, name: &str) -> bool {
        matches(&self.0, name)
    }
}

/// Whether `pattern` stands for `name`. Linear in the name for each star: no pattern is slow.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, mut stars)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    while let Some((middle, next)) = stars.split_once('*') {
        let Some((_, after)) = rest.split_once(middle) else {
            return false;
        };
        rest = after;
        stars = next;
    }
    rest.ends_with(stars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "gpt-4o"),
            ("gpt-4o", "gpt-4o"),
            ("gpt-4*", "gpt-4"),
            ("*-mini", "gpt-4o-mini"),
            ("openai/*-4*", "openai/gpt-4o"),
            ("a**b", "ab"),
            ("*a*a*", "aa"),
            ("x*yz*yz", "xyzyz"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn everything_else_stands_for_itself() {
        for (pattern, name) in [
            ("", "a"),
            ("gpt-4o", "gpt-4o-mini"),
            ("gpt-4o", "GPT-4o"),
            ("gpt.4o", "gpt-4o"),
            ("aba*ba", "aba"),
            ("*aa*a", "aa"),
            ("a*b", "abc"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
