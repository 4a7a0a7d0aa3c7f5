//! S
/// S
pub struct Model<'a> {
    /// S
    pub id: &'a str,
    /// S
    pub created: i64,
    /// S
    pub owned_by: &'a str,
}
/// S
pub fn encode_list(_: &[Model<'_>]) -> Vec<u8> {
    todo!()
}
/// S
pub fn encode(_: &Model<'_>) -> Vec<u8> {
    todo!()
}
