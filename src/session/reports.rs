//! What a server reports of its parameters (ParameterStatus).

use crate::protocol::backend;
use crate::session::dialect::is_reported_unusual;
use crate::session::machine::OnBackend;
use crate::session::parameters::is_settable;
use crate::session::replies::Replies;

impl Replies<'_> {
    /// Takes note of it. What a node is, or is configured to be, the client is not shown.
    pub(super) fn on_parameter_status(&mut self, body: &[u8], shown: OnBackend) -> OnBackend {
        let Ok((name, value)) = backend::read_parameter_status(body) else {
            return shown;
        };
        // What a node is, or is configured to be, the pooler answers for itself.
        if name == b"in_hot_standby"
            || (name == b"default_transaction_read_only"
                && self.from.is_replica()
                && !self.parameters.is_explained())
        {
            return OnBackend::Swallow;
        }
        if shown == OnBackend::Forward
            && let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value))
        {
            if is_reported_unusual(name, value) {
                self.names.distrust();
            }
            if is_settable(name) {
                self.parameters.observe(name, value);
            }
        }
        shown
    }
}
