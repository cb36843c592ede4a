//! One operator's socket.

use std::io;

use super::Pooler;
use super::dialogue::{Dialogue, Next};
use crate::net::Stream;
use crate::protocol::error_response::{Report, Severity};
use crate::protocol::{FrontendTag, SqlState, frame};

/// The longest message that an operator has reason to send, in bytes; also what is kept of what is sent ahead.
const MAX_MESSAGE: usize = 64 * 1024;

/// Serves one operator, who has logged in as `user`, until it leaves. `input` is what it has sent already.
///
/// # Cancel safety
///
/// Dropping the future closes the connection.
pub async fn serve(mut stream: Stream, user: String, input: Vec<u8>, pooler: &impl Pooler) {
    tracing::debug!(%user, "an operator has logged in");
    let mut dialogue = Dialogue::new(pooler, &user);
    if let Err(error) = converse(&mut stream, input, &mut dialogue).await {
        tracing::debug!(%user, %error, "lost the connection to an operator");
    }
    stream.close();
}

async fn converse<P: Pooler>(
    stream: &mut Stream,
    mut input: Vec<u8>,
    dialogue: &mut Dialogue<'_, P>,
) -> io::Result<()> {
    let mut out = Vec::new();
    loop {
        match next_frame(&mut input) {
            Ok(Some(frame)) => {
                let next = tokio::select! {
                    biased;
                    next = dialogue.on_frame(&frame, &mut out) => next,
                    // PAUSE may take long: whoever has left does not wait for it.
                    gone = has_left(stream, &mut input) => return gone,
                };
                if next == Next::Leave {
                    return stream.write_all(&out).await;
                }
            }
            Ok(None) => {
                stream.write_all(&out).await?;
                out.clear();
                if stream.read_some(&mut input).await? == 0 {
                    return Ok(());
                }
            }
            Err(refusal) => {
                let (severity, code) = (Severity::Fatal, SqlState::PROTOCOL_VIOLATION);
                Report { severity, code, message: &refusal, detail: None, hint: None }
                    .encode(&mut out);
                return stream.write_all(&out).await;
            }
        }
    }
}

/// Takes the first frame out of `input`, if it is there as a whole.
fn next_frame(input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, String> {
    let Some(header) = frame::header(input).map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    if header.size > MAX_MESSAGE {
        let tag = FrontendTag(header.tag);
        return Err(format!("a message of type {tag:?} is too long for the admin database"));
    }
    let is_whole = input.len() >= header.size;
    Ok(is_whole.then(|| input.drain(..header.size).collect()))
}

/// Ends when the operator has left; keeps what it sends ahead, up to a bound.
async fn has_left(stream: &mut Stream, input: &mut Vec<u8>) -> io::Result<()> {
    while input.len() < MAX_MESSAGE {
        if stream.read_some(input).await? == 0 {
            return Ok(());
        }
    }
    std::future::pending().await
}
