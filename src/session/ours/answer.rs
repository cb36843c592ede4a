//! What a client is answered about our parameters, with PostgreSQL's messages.

use crate::protocol::backend::{Column, ColumnType};
use crate::protocol::error_response::{Report, Severity};
use crate::protocol::{BackendTag, SqlState, TransactionStatus, backend, frame};
use crate::session::ours::Parameter;

/// The oid of the type `text`.
const TEXT: u32 = 25;

/// What a client is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::session) enum Answer {
    /// That a command was carried out.
    Command(&'static [u8]),
    /// The same for SET LOCAL, which means nothing outside a transaction block.
    SetLocal,
    /// The values that `set_config` has set.
    Config(Vec<String>),
    /// A parameter's value, or this one where the session has not set it.
    Show(Parameter, String),
    /// What columns another answer has; of a statement also how many parameters it takes, which are texts.
    Description(Option<u16>, Box<Self>),
}

impl Answer {
    /// Appends rows and CommandComplete, as after Execute. `value` is what the session has set.
    pub(in crate::session) fn execute(&self, value: Option<&str>, out: &mut Vec<u8>) {
        match self {
            Self::Command(tag) => backend::command_complete(out, tag),
            Self::SetLocal => backend::command_complete(out, b"SET"),
            Self::Config(values) => {
                backend::data_row(out, values.iter().map(|value| Some(value.as_bytes())));
                backend::command_complete(out, b"SELECT 1");
            }
            Self::Show(_, default) => {
                let value = value.unwrap_or(default).as_bytes();
                backend::data_row(out, std::iter::once(Some(value)));
                backend::command_complete(out, b"SHOW");
            }
            Self::Description(parameters, of) => {
                if let Some(count) = parameters {
                    frame::write(out, BackendTag::PARAMETER_DESCRIPTION.0, |body| {
                        body.extend_from_slice(&count.to_be_bytes());
                        body.extend((0..*count).flat_map(|_| TEXT.to_be_bytes()));
                    });
                }
                of.describe(out);
            }
        }
    }

    /// Appends the whole answer to a Query.
    pub(in crate::session) fn query(
        &self,
        value: Option<&str>,
        status: TransactionStatus,
        out: &mut Vec<u8>,
    ) {
        if *self == Self::SetLocal && status == TransactionStatus::Idle {
            let report = Report {
                severity: Severity::Warning,
                code: SqlState::NO_ACTIVE_TRANSACTION,
                message: "SET LOCAL can only be used in transaction blocks",
                detail: None,
                hint: None,
            };
            report.encode(out);
        }
        let columns = self.columns();
        if !columns.is_empty() {
            backend::row_description(out, &columns);
        }
        self.execute(value, out);
        backend::ready_for_query(out, status);
    }

    fn describe(&self, out: &mut Vec<u8>) {
        let columns = self.columns();
        if columns.is_empty() {
            backend::bare(out, BackendTag::NO_DATA);
        } else {
            backend::row_description(out, &columns);
        }
    }

    fn columns(&self) -> Vec<Column> {
        let text = |name| Column { name, kind: ColumnType::Text };
        match self {
            Self::Command(_) | Self::SetLocal | Self::Description(..) => Vec::new(),
            Self::Config(values) => values.iter().map(|_| text("set_config")).collect(),
            Self::Show(parameter, _) => vec![text(parameter.name())],
        }
    }
}
