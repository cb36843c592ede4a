//! The conversation with one operator, without its socket: frames in, bytes out.

use std::collections::HashMap;
use std::rc::Rc;

use super::command::{Call, Complaint, Does, Role, commands, find};
use super::show::{Scene, Show, help};
use super::table::{self, Format, Formats, Row};
use super::{Order, Pooler, Question};
use crate::protocol::backend;
use crate::protocol::error_response::{Report, Severity};
use crate::protocol::frontend::{self, Bind, BindRest, Named, Object, Parse};
use crate::protocol::{BackendTag, FrameError, FrontendTag, SqlState, TransactionStatus, frame};
use crate::telemetry::overview::Unforeseeable;

/// Statements, and portals, that one operator may have prepared.
const MAX_NAMES: usize = 1000;

/// A statement that was prepared: a command, or nothing at all.
type Statement = Option<Rc<Call>>;

/// What is said between one operator and the admin database.
pub(super) struct Dialogue<'a, P> {
    pooler: &'a P,
    user: &'a str,
    statements: HashMap<Vec<u8>, Statement>,
    portals: HashMap<Vec<u8>, Portal>,
    attention: Attention,
}

/// A statement with the formats of its result, and the rows that are still to be sent once it runs.
struct Portal {
    statement: Statement,
    formats: Formats,
    progress: Progress,
}

enum Progress {
    Bound,
    Running { rows: std::vec::IntoIter<Row>, tag: &'static str },
}

/// Whether messages are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attention {
    Full,
    /// Not before the next Sync: a message failed.
    Sync,
}

/// What follows from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The conversation goes on.
    Listen,
    /// It is over.
    Leave,
}

/// What a command has led to.
struct Outcome {
    rows: Vec<Row>,
    notice: Option<String>,
    tag: &'static str,
}

impl<'a, P: Pooler> Dialogue<'a, P> {
    pub(super) fn new(pooler: &'a P, user: &'a str) -> Self {
        let (statements, portals) = (HashMap::new(), HashMap::new());
        Self { pooler, user, statements, portals, attention: Attention::Full }
    }

    /// Answers one message.
    pub(super) async fn on_frame(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Next {
        let tag = FrontendTag(frame.first().copied().unwrap_or_default());
        let body = frontend::body(frame);
        match tag {
            FrontendTag::TERMINATE => return Next::Leave,
            FrontendTag::SYNC => {
                self.attention = Attention::Full;
                self.portals.clear();
                backend::ready_for_query(out, TransactionStatus::Idle);
            }
            _ if self.attention == Attention::Sync => {}
            FrontendTag::QUERY => {
                if let Err(complaint) = self.query(body, out).await {
                    complain(&complaint, out);
                }
                backend::ready_for_query(out, TransactionStatus::Idle);
            }
            _ => {
                if let Err(complaint) = self.extended(tag, body, out).await {
                    complain(&complaint, out);
                    self.attention = Attention::Sync;
                }
            }
        }
        Next::Listen
    }

    async fn query(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Complaint> {
        let text = String::from_utf8_lossy(frontend::query_text(body)?);
        let statements = commands(&text);
        if statements.is_empty() {
            backend::bare(out, BackendTag::EMPTY_QUERY_RESPONSE);
        }
        for words in statements {
            let call = find(&words, &text)?;
            let outcome = self.perform(&call).await?;
            notify(&outcome, out);
            if let Some(columns) = columns(&call) {
                table::description(columns, &Formats::default(), out);
            }
            table::rows(&outcome.rows, &Formats::default(), out);
            backend::command_complete(out, outcome.tag.as_bytes());
        }
        Ok(())
    }

    async fn extended(
        &mut self,
        tag: FrontendTag,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Complaint> {
        match tag {
            FrontendTag::PARSE => self.parse(&Parse::read(body)?, out),
            FrontendTag::BIND => self.bind(&Bind::read(body)?, out),
            FrontendTag::DESCRIBE => self.describe(&Named::read(body)?, out),
            FrontendTag::EXECUTE => self.execute(frontend::read_execute(body)?, out).await,
            FrontendTag::CLOSE => {
                let Named { object, name } = Named::read(body)?;
                match object {
                    Object::Portal => drop(self.portals.remove(name)),
                    Object::Statement => drop(self.statements.remove(name)),
                }
                backend::bare(out, BackendTag::CLOSE_COMPLETE);
                Ok(())
            }
            // Whatever is there is sent before we wait; what is left over from a COPY means nothing.
            FrontendTag::FLUSH
            | FrontendTag::COPY_DATA
            | FrontendTag::COPY_DONE
            | FrontendTag::COPY_FAIL => Ok(()),
            _ => Err(Complaint::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("the admin database does not answer messages of type {tag:?}"),
            )),
        }
    }

    fn parse(&mut self, parse: &Parse<'_>, out: &mut Vec<u8>) -> Result<(), Complaint> {
        let text = String::from_utf8_lossy(parse.query);
        let mut found = commands(&text).into_iter();
        let statement = match (found.next(), found.next()) {
            (None, _) => None,
            (Some(words), None) => Some(Rc::new(find(&words, &text)?)),
            (Some(_), Some(_)) => {
                return Err(Complaint::new(
                    SqlState::SYNTAX_ERROR,
                    "cannot insert multiple commands into a prepared statement",
                ));
            }
        };
        if !parse.name.is_empty() && self.statements.contains_key(parse.name) {
            let name = String::from_utf8_lossy(parse.name);
            return Err(Complaint::new(
                SqlState::DUPLICATE_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        check_room(self.statements.len())?;
        self.statements.insert(parse.name.to_vec(), statement);
        backend::bare(out, BackendTag::PARSE_COMPLETE);
        Ok(())
    }

    fn bind(&mut self, bind: &Bind<'_>, out: &mut Vec<u8>) -> Result<(), Complaint> {
        let statement = self.statement(bind.statement)?.clone();
        let rest = BindRest::read(bind.rest)?;
        if rest.parameters > 0 {
            return Err(Complaint::new(
                SqlState::PROTOCOL_VIOLATION,
                format!(
                    "bind message supplies {} parameters, but commands of the admin database take none",
                    rest.parameters
                ),
            ));
        }
        let format = |code| if code == 1 { Format::Binary } else { Format::Text };
        let formats = Formats(rest.formats.into_iter().map(format).collect());
        check_room(self.portals.len())?;
        let portal = Portal { statement, formats, progress: Progress::Bound };
        self.portals.insert(bind.portal.to_vec(), portal);
        backend::bare(out, BackendTag::BIND_COMPLETE);
        Ok(())
    }

    fn describe(&self, named: &Named<'_>, out: &mut Vec<u8>) -> Result<(), Complaint> {
        let text = Formats::default();
        let (statement, formats) = match named.object {
            Object::Statement => {
                let statement = self.statement(named.name)?;
                let no_parameters = 0_u16.to_be_bytes();
                frame::write(out, BackendTag::PARAMETER_DESCRIPTION.0, |body| {
                    body.extend_from_slice(&no_parameters);
                });
                (statement, &text)
            }
            Object::Portal => {
                let portal = self.portals.get(named.name).ok_or_else(|| no_portal(named.name))?;
                (&portal.statement, &portal.formats)
            }
        };
        match statement.as_deref().and_then(columns) {
            Some(columns) => table::description(columns, formats, out),
            None => backend::bare(out, BackendTag::NO_DATA),
        }
        Ok(())
    }

    async fn execute(
        &mut self,
        (name, max_rows): (&[u8], usize),
        out: &mut Vec<u8>,
    ) -> Result<(), Complaint> {
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        let Some(call) = portal.statement.clone() else {
            backend::bare(out, BackendTag::EMPTY_QUERY_RESPONSE);
            return Ok(());
        };
        if matches!(portal.progress, Progress::Bound) {
            let outcome = self.perform(&call).await?;
            notify(&outcome, out);
            portal.progress =
                Progress::Running { rows: outcome.rows.into_iter(), tag: outcome.tag };
        }
        if let Progress::Running { rows, tag } = &mut portal.progress {
            let wanted = if max_rows == 0 { usize::MAX } else { max_rows };
            let batch: Vec<Row> = rows.by_ref().take(wanted).collect();
            table::rows(&batch, &portal.formats, out);
            if rows.len() > 0 {
                backend::bare(out, BackendTag::PORTAL_SUSPENDED);
            } else {
                backend::command_complete(out, tag.as_bytes());
            }
        }
        self.portals.insert(name.to_vec(), portal);
        Ok(())
    }

    fn statement(&self, name: &[u8]) -> Result<&Statement, Complaint> {
        self.statements.get(name).ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            let message = format!("prepared statement \"{name}\" does not exist");
            Complaint::new(SqlState::UNDEFINED_STATEMENT, message)
        })
    }

    /// Runs a command, if the operator may.
    async fn perform(&self, call: &Call) -> Result<Outcome, Complaint> {
        let command = call.command;
        let config = self.pooler.config();
        // Looked up each time: a reload may have taken the right away.
        if Role::of(self.user, &config.admin).is_none_or(|role| role < command.needs) {
            let message = format!("permission denied: {} is for admin.admin_users", command.verb);
            return Err(Complaint::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
        }
        let (mut sockets, mut findings, mut notice) = (Vec::new(), Vec::new(), None);
        match command.does {
            Does::Nothing | Does::Show(_) => {}
            Does::Order(order) => self.order(order, call.database.as_deref()).await?,
            Does::Reload => self.reload().await?,
            Does::Help(_) => notice = Some(usage()),
            Does::Sockets(side, _) => sockets = self.pooler.sockets(side).await,
            Does::Route(_) => {
                if let Some(question) = &call.question {
                    let forecast = self.pooler.forecast(question);
                    findings = forecast.map_err(|why| unforeseeable(why, question))?;
                }
            }
        }
        let rows = shown(command.does).map_or_else(Vec::new, |show| {
            let (overview, period) = (self.pooler.overview(), self.pooler.period());
            (show.rows)(&Scene { overview, sockets, findings, config, period })
        });
        Ok(Outcome { rows, notice, tag: command.verb })
    }

    async fn order(&self, order: Order, database: Option<&str>) -> Result<(), Complaint> {
        tracing::info!(user = self.user, ?order, database, "ordered by an operator");
        self.pooler
            .carry_out(order, database)
            .await
            .map_err(|_| no_database(database.unwrap_or("*")))
    }

    async fn reload(&self) -> Result<(), Complaint> {
        tracing::info!(user = self.user, "RELOAD by an operator");
        self.pooler.reload().await.map_err(|problems| unusable(&problems))
    }
}

fn unusable(problems: &[String]) -> Complaint {
    let message = format!("the configuration stays as it was: {}", problems.join("; "));
    Complaint::new(SqlState::CONFIG_FILE_ERROR, message)
}

fn no_database(name: &str) -> Complaint {
    let message = format!("database \"{name}\" is not configured");
    Complaint::new(SqlState::UNDEFINED_DATABASE, message)
}

fn unforeseeable(why: Unforeseeable, question: &Question) -> Complaint {
    match why {
        Unforeseeable::Ambiguous => Complaint {
            hint: Some("SHOW ROUTE FOR database: statement"),
            ..Complaint::new(SqlState::UNDEFINED_DATABASE, "there is more than one database")
        },
        Unforeseeable::Database => no_database(question.database.as_deref().unwrap_or_default()),
        Unforeseeable::User => {
            let user = question.user.as_deref().unwrap_or_default();
            let message = format!("user \"{user}\" is not configured");
            Complaint::new(SqlState::UNDEFINED_OBJECT, message)
        }
    }
}

/// What a command shows; `None` if it shows nothing.
fn shown(does: Does) -> Option<&'static Show> {
    match does {
        Does::Help(show) | Does::Route(show) | Does::Show(show) | Does::Sockets(_, show) => {
            Some(show)
        }
        Does::Nothing | Does::Order(_) | Does::Reload => None,
    }
}

/// The columns of a command's result; `None` if it has none.
fn columns(call: &Call) -> Option<&'static [backend::Column]> {
    shown(call.command.does).map(|show| show.columns)
}

fn check_room(count: usize) -> Result<(), Complaint> {
    if count < MAX_NAMES {
        return Ok(());
    }
    let message = format!("more than {MAX_NAMES} prepared statements or portals");
    Err(Complaint::new(SqlState::TOO_MANY_CONNECTIONS, message))
}

fn no_portal(name: &[u8]) -> Complaint {
    let message = format!("portal \"{}\" does not exist", String::from_utf8_lossy(name));
    Complaint::new(SqlState(*b"34000"), message)
}

fn usage() -> String {
    help().fold(String::new(), |usage, [command, _, about]| {
        usage + &format!("\n\t{command:<24} {about}")
    })
}

fn notify(outcome: &Outcome, out: &mut Vec<u8>) {
    if let Some(detail) = &outcome.notice {
        let (severity, code) = (Severity::Notice, SqlState(*b"00000"));
        let detail = Some(detail.as_str());
        Report { severity, code, message: "console usage", detail, hint: None }.encode(out);
    }
}

fn complain(complaint: &Complaint, out: &mut Vec<u8>) {
    let Complaint { code, message, hint } = complaint;
    let (severity, hint) = (Severity::Error, *hint);
    Report { severity, code: *code, message, detail: None, hint }.encode(out);
}

impl From<FrameError> for Complaint {
    fn from(error: FrameError) -> Self {
        Self::new(SqlState::PROTOCOL_VIOLATION, error.to_string())
    }
}

#[cfg(test)]
mod tests;
