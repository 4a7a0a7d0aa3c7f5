//! What the registry has committed, as the world knows it.

use super::*;

impl World {
    /// The registry has committed a change.
    pub(crate) fn registered(&self, command: &Command, reply: &Reply) {
        let now = self.now();
        match (command, reply) {
            (Command::RevokeKey { id, .. }, _) => {
                let mut holders = self.holders.borrow_mut();
                let found = holders
                    .iter_mut()
                    .find(|holder| holder.key.record.id == *id);
                if let Some(holder) = found {
                    self.log(|| format!("{id} is revoked"));
                    holder.revoked_at.get_or_insert(now);
                }
            }
            (
                Command::PutConfig { document, .. } | Command::SeedConfig { document, .. },
                Reply::ConfigVersion {
                    version,
                    changed: true,
                },
            ) => {
                let drafts = self.drafts.borrow();
                let Some(draft) = drafts.iter().find(|draft| draft.document == *document) else {
                    return;
                };
                self.log(|| format!("configuration {version} holds"));
                let mut reigns = self.reigns.borrow_mut();
                if let Some(last) = reigns.last_mut() {
                    last.until = Some(now);
                }
                reigns.push(Reign {
                    version: Rc::clone(draft),
                    until: None,
                });
            }
            _ => {}
        }
    }
}
