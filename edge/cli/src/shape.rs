//! From a JSON value to a document, with every error of shape at once.
//!
//! A reader stops at the first unknown field or wrong type. So each such place is noted, cut out, and the rest read again.

use serde_json::Value as Json;
use serde_path_to_error::Segment;
use sluice_core::config::{Document, Issue, Path, Step, without_values};

use crate::similar::similar;

/// No file is so broken that more would help.
const ISSUES_MAX: usize = 50;
/// Names that people try, and what is meant.
const MEANT: [(&str, &str); 6] = [
    ("api_base", "base_url"),
    ("api_key", "key"),
    ("key_env", "key"),
    ("rpm", "limits = [{ requests = 600, per = \"1m\" }]"),
    ("tpm", "limits = [{ tokens = 200000, per = \"1m\" }]"),
    ("url", "base_url"),
];

/// Reads what can be read, and says what could not.
#[must_use]
pub(crate) fn read(mut value: Json) -> (Document, Vec<Issue>) {
    let mut issues = Vec::new();
    while issues.len() < ISSUES_MAX {
        let error = match serde_path_to_error::deserialize(&value) {
            Ok(document) => return (document, issues),
            Err(error) => error,
        };
        let path = path(&error);
        let cut = cut(&mut value, path.steps());
        issues.push(issue(path, &error.inner().to_string()));
        if !cut {
            break;
        }
    }
    (Document::default(), issues)
}

fn path(error: &serde_path_to_error::Error<serde_json::Error>) -> Path {
    let known = error.path().iter().map_while(|segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Name(key.clone())),
        Segment::Enum { variant } => Some(Step::Name(variant.clone())),
        Segment::Unknown => None,
    });
    known.collect()
}

/// Takes the innermost field on the path out of the value, and with it the array that may stand between.
fn cut(value: &mut Json, steps: &[Step]) -> bool {
    // A variant's name makes the path longer than the value is deep.
    let lengths = (1..=steps.len()).rev();
    let paths = lengths.filter_map(|length| steps.get(..length)?.split_last());
    for (last, above) in paths {
        let Step::Name(name) = last else {
            continue;
        };
        let node = above.iter().try_fold(&mut *value, |node, step| match step {
            Step::Name(name) => node.get_mut(name),
            Step::Index(index) => node.get_mut(index),
        });
        let fields = node.and_then(Json::as_object_mut);
        if fields.is_some_and(|fields| fields.shift_remove(name).is_some()) {
            return true;
        }
    }
    false
}

fn issue(path: Path, message: &str) -> Issue {
    let message = without_values(message);
    let (problem, hint) = if let Some(rest) = message.strip_prefix("unknown field `") {
        unknown_field(rest)
    } else if let Some(rest) = message.strip_prefix("unknown variant `") {
        let (name, allowed) = rest.split_once("`, expected ").unwrap_or((rest, ""));
        let names = names(allowed);
        let hint = if names.contains(&"bearer") {
            "write \"bearer\", \"sigv4\", \"service_account\", \"none\" or { header = \"x-api-key\" }".to_owned()
        } else {
            format!("allowed are {}", names.join(", "))
        };
        (format!("{name:?} is not allowed"), hint)
    } else if let Some((found, expected)) = wrong_type(&message) {
        (format!("is {found}"), format!("expected is {expected}"))
    } else {
        (message.clone(), String::new())
    };
    Issue {
        path,
        problem,
        hint,
    }
}

fn unknown_field(rest: &str) -> (String, String) {
    let (name, allowed) = rest.split_once("`, expected ").unwrap_or((rest, ""));
    let allowed = names(allowed);
    let similar = similar(name, allowed.iter().copied());
    let meant = MEANT.iter().find(|(tried, _)| *tried == name);
    let guess = match (meant, similar) {
        (Some((_, meant)), _) => format!("write {meant}; "),
        (None, Some(known)) => format!("did you mean {known}? "),
        (None, None) => String::new(),
    };
    let hint = format!("{guess}allowed are {}", allowed.join(", "));
    ("is no field".to_owned(), hint)
}

/// The names in "one of `a`, `b`" or "`a` or `b`".
fn names(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn wrong_type(message: &str) -> Option<(String, &'static str)> {
    let rest = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.split_once(", expected ")?;
    let found = match found.split_once(' ') {
        Some(("integer", number)) => format!("the number {}", number.replace('`', "")),
        Some(("floating", number)) => {
            let digits = number.strip_prefix("point ").unwrap_or(number);
            format!("the number {}", digits.replace('`', ""))
        }
        Some(("boolean", truth)) => truth.replace('`', ""),
        _ if found == "sequence" => "an array".to_owned(),
        _ if found == "map" => "a table".to_owned(),
        _ if found == "string" || found == "a string" => "text".to_owned(),
        _ => found.to_owned(),
    };
    let expected = match expected {
        "a string" | "string" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "u64" | "u32" => "a whole number, not below 0",
        "a table" => "a table",
        "a name in quotes, or an array of such names" => {
            "a name in quotes, or an array of such names"
        }
        "a table of prices, or an array of such tables" => {
            "a table of prices, or an array of such tables"
        }
        "true, a number, or dollars in quotes" => "true, a number, or dollars in quotes",
        _ => "one of the names that are allowed here, in quotes",
    };
    Some((found, expected))
}
