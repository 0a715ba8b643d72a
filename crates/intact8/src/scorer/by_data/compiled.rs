//! A model that is ready to run on batches.

use intact8_interp::Session;
use intact8_ir::Executor;
use std::sync::Arc;

/// A model that is ready to run on batches.
pub(super) enum Compiled<'a> {
    /// A session that others use too.
    Known(Arc<Session>),
    /// An executor of its own.
    Own(Box<dyn Executor + 'a>),
}

impl Compiled<'_> {
    /// What runs it.
    pub(super) fn executor(&self) -> &dyn Executor {
        match self {
            Compiled::Known(session) => &**session,
            Compiled::Own(executor) => &**executor,
        }
    }
}
