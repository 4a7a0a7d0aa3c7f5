//! The statements of a table of rows, within the platform's bounds: 100 parameters, text only.

use sluice_machines::rows::WriteSet;

/// How many parameters one statement binds, at most.
pub(crate) const PARAMETERS_MAX: usize = 100;

/// Makes the table, once.
pub(crate) const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID";

/// Reads the whole table.
pub(crate) const SELECT_ALL: &str = "SELECT key, value FROM rows ORDER BY key";

/// A statement and what is bound to it, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    pub(crate) text: String,
    pub(crate) parameters: Vec<&'a str>,
}

/// Reads how many rows there are and how long their texts are, as text.
pub(crate) const SELECT_SIZE: &str = "SELECT CAST(COUNT(*) AS TEXT), \
    CAST(COALESCE(SUM(LENGTH(CAST(key AS BLOB)) + LENGTH(CAST(value AS BLOB))), 0) AS TEXT) FROM rows";

/// Reads the rows with these keys.
pub(crate) fn select<'a>(keys: &[&'a str]) -> Vec<Statement<'a>> {
    keys.chunks(PARAMETERS_MAX)
        .map(|keys| Statement {
            text: format!(
                "SELECT key, value FROM rows WHERE key IN ({})",
                marks(keys.len(), "?")
            ),
            parameters: keys.to_vec(),
        })
        .collect()
}

/// Reads the first `limit` rows with `after` < key < `before`.
pub(crate) fn range<'a>(after: &'a str, before: &'a str, limit: u32) -> Statement<'a> {
    Statement {
        text: format!(
            "SELECT key, value FROM rows WHERE key > ? AND key < ? ORDER BY key LIMIT {limit}"
        ),
        parameters: vec![after, before],
    }
}

/// Carries out a set of writes: as few statements as can be, one where nothing is deleted and few rows are written.
pub(crate) fn write(writes: &WriteSet) -> Vec<Statement<'_>> {
    let mut upserts = Vec::new();
    let mut deletes = Vec::new();
    for (key, value) in writes.iter() {
        match value {
            Some(value) => upserts.extend([key, value]),
            None => deletes.push(key),
        }
    }
    let upserts = upserts.chunks(PARAMETERS_MAX).map(|pairs| Statement {
        text: format!(
            "INSERT INTO rows (key, value) VALUES {} ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            marks(pairs.len() / 2, "(?, ?)"),
        ),
        parameters: pairs.to_vec(),
    });
    let deletes = deletes.chunks(PARAMETERS_MAX).map(|keys| Statement {
        text: format!("DELETE FROM rows WHERE key IN ({})", marks(keys.len(), "?")),
        parameters: keys.to_vec(),
    });
    upserts.chain(deletes).collect()
}

fn marks(count: usize, mark: &str) -> String {
    vec![mark; count].join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_rows_are_one_statement() {
        let mut writes = WriteSet::new();
        writes.put("b".to_owned(), "2".to_owned());
        writes.put("a".to_owned(), "1".to_owned());
        let expected = Statement {
            text: "INSERT INTO rows (key, value) VALUES (?, ?), (?, ?) \
                ON CONFLICT (key) DO UPDATE SET value = excluded.value"
                .to_owned(),
            parameters: vec!["a", "1", "b", "2"],
        };
        assert_eq!(super::write(&writes), [expected]);
    }

    #[test]
    fn no_statement_binds_more_than_the_platform_takes() {
        let mut writes = WriteSet::new();
        for row in 0..101 {
            writes.put(format!("put/{row}"), String::new());
            writes.delete(format!("delete/{row}"));
        }
        let statements = super::write(&writes);
        assert_eq!(statements.len(), 3 + 2);
        let keys: Vec<String> = (0..250).map(|key| key.to_string()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let all = statements
            .iter()
            .map(|s| (s.text.as_str(), s.parameters.len()));
        let selects = select(&keys);
        for (text, parameters) in all.chain(
            selects
                .iter()
                .map(|s| (s.text.as_str(), s.parameters.len())),
        ) {
            assert!(parameters <= PARAMETERS_MAX);
            assert_eq!(text.matches('?').count(), parameters, "{text}");
        }
    }
}
