//! What is answered without a server.

use std::task::Context;

use crate::clock::Mono;
use crate::cluster::Term;
use crate::protocol::error_response::Severity;
use crate::protocol::frontend::{self, Named, Object};
use crate::protocol::{BackendTag, FrontendTag, TransactionStatus, backend, frame};
use crate::session::intake::Used;
use crate::session::ours::{Ask, Circumstances, ask};
use crate::session::respond::Trouble;
use crate::session::sequences::Use;
use crate::session::succession::Side;
use crate::session::survey::{Batch, Command, Local};
use crate::session::{Ended, Session};

impl Session {
    /// Answers what needs no server.
    pub(super) fn answer(
        &mut self,
        local: Local,
        bytes: &[u8],
        cx: &mut Context<'_>,
        now: Mono,
    ) -> Result<Used, Ended> {
        let used = match local {
            Local::Begin(lone, begin) => {
                self.begin_held(&lone, begin, bytes, now);
                lone.size
            }
            Local::End(lone, end) => {
                self.end_held(&lone, end, bytes, now);
                lone.size
            }
            Local::EmptyQuery(size) => {
                self.names.forget_unnamed();
                self.say(|out| {
                    backend::bare(out, BackendTag::EMPTY_QUERY_RESPONSE);
                    backend::ready_for_query(out, TransactionStatus::Idle);
                });
                size
            }
            Local::Closes(size) => {
                self.close_names(bytes.get(..size).unwrap_or_default());
                let status = self.held.status();
                self.say(|out| backend::ready_for_query(out, status));
                size
            }
            Local::Ours(size) => match self.answer_ours(bytes.get(..size).unwrap_or_default()) {
                Some(()) => size,
                None => return self.take_batch(&Batch::ON_PRIMARY, cx, now),
            },
            // What is reported of that only a server knows.
            Local::Command(_, Command::DiscardAll) if self.parameters.would_report() => {
                return self.take_batch(&Batch::ON_PRIMARY, cx, now);
            }
            Local::Command(size, command) => {
                self.carry_out(&command);
                size
            }
        };
        self.client.prepared.set(self.names.tally());
        self.push_to_client(cx)?;
        Ok(Used::Bytes(used))
    }

    /// A Query about our parameters; `None` if a server is to have a part in the answer.
    fn answer_ours(&mut self, frame: &[u8]) -> Option<()> {
        let text = frontend::query_text(frontend::body(frame)).ok()?;
        let given = Circumstances {
            cluster: &self.client.backend.cluster,
            routing: &self.policy.routing,
            commits: self.parameters.commits(self.client.backend.cluster.flushing()),
            side: Side::Primary(Term::default()),
        };
        let mut answer = Vec::new();
        match ask(text, &given).of_query(text) {
            Ask::Server(_) => return None,
            Ask::Fault(fault) => {
                Trouble::Ours(fault).encode(Severity::Error, &mut answer);
                backend::ready_for_query(&mut answer, TransactionStatus::Idle);
            }
            Ask::Ours(changes, reply) => {
                self.parameters.owe(changes, reply);
                self.parameters.answer_query(TransactionStatus::Idle, &mut answer);
            }
        }
        self.names.forget_unnamed();
        self.say(|out| out.extend_from_slice(&answer));
        Some(())
    }

    /// Close messages of a client without a server.
    pub(super) fn close_names(&mut self, mut frames: &[u8]) {
        while let Ok(Some(header)) = frame::header(frames) {
            let Some((frame, rest)) = frames.split_at_checked(header.size) else { return };
            frames = rest;
            if let (FrontendTag::CLOSE, Ok(named)) =
                (FrontendTag(header.tag), Named::read(frontend::body(frame)))
            {
                if named.object == Object::Statement {
                    self.names.expect(named.name, None);
                    self.names.commit();
                }
                self.say(|out| backend::bare(out, BackendTag::CLOSE_COMPLETE));
            }
        }
    }

    /// Carries out a command that only touches what the session keeps, with PostgreSQL's answers.
    pub(super) fn carry_out(&mut self, command: &Command) {
        let tag: &[u8] = match command {
            Command::DeallocateAll => {
                self.names.clear();
                b"DEALLOCATE ALL"
            }
            Command::DiscardAll => {
                self.names.clear();
                self.parameters.discard();
                self.sequences = Use::NONE;
                if let Some(listening) = &mut self.listening {
                    listening.channels.clear();
                }
                b"DISCARD ALL"
            }
            Command::Deallocate(name) => {
                self.names.remove(name.as_bytes());
                b"DEALLOCATE"
            }
        };
        self.say(|out| {
            backend::command_complete(out, tag);
            backend::ready_for_query(out, TransactionStatus::Idle);
        });
    }

    /// Queues something of our own for the client.
    pub(super) fn say(&mut self, what: impl FnOnce(&mut Vec<u8>)) {
        what(self.to_client.queue(&mut self.worker.recycler.borrow_mut()));
    }
}
