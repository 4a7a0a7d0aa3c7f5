//! Format, lints, licences.
use crate::step::Failure;
pub(crate) fn run() -> Result<(), Failure> {
    Ok(())
}
