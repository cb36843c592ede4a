//! What an idle client costs.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use pglagoon::protocol::frame;

use crate::PATIENCE;
use crate::pooler::{Kind, Pooler};
use crate::process::resident;
use crate::setup::Setup;

/// Clients that come before the first measurement, so that servers and buffers are there.
const FIRST: usize = 50;

/// Version 3.0 of the protocol.
const VERSION: i32 = 0x0003_0000;

/// Resident bytes of the pooler for each idle client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    /// It has logged in.
    pub(crate) plain: f64,
    /// It has asked one question.
    pub(crate) queried: f64,
}

/// Connects `count` clients to a pooler of its own.
pub(crate) fn measure(setup: &Setup, kind: Kind, count: usize) -> Result<Idle, Box<dyn Error>> {
    let pooler = Pooler::start(setup, kind)?;
    let mut first = connect(&pooler, FIRST)?;
    query_all(&mut first)?;
    let before = settled(&pooler)?;
    let mut clients = connect(&pooler, count)?;
    let plain = settled(&pooler)?;
    query_all(&mut clients)?;
    let queried = settled(&pooler)?;
    let each = |after: f64| (after - before) / count as f64;
    Ok(Idle { plain: each(plain), queried: each(queried) })
}

/// Resident memory once it has stopped to change.
fn settled(pooler: &Pooler) -> Result<f64, Box<dyn Error>> {
    std::thread::sleep(Duration::from_millis(500));
    Ok(resident(pooler.pid()).ok_or("the pooler has gone")?)
}

fn connect(pooler: &Pooler, count: usize) -> Result<Vec<TcpStream>, Box<dyn Error>> {
    let mut startup = Vec::new();
    frame::write_untagged(&mut startup, |body| {
        body.extend_from_slice(&VERSION.to_be_bytes());
        for text in ["user", "app", "database", "app", "application_name", "bench", ""] {
            frame::write_cstr(body, text.as_bytes());
        }
    });
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = TcpStream::connect(pooler.address())?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.write_all(&startup)?;
        await_ready(&mut client)?;
        clients.push(client);
    }
    Ok(clients)
}

fn query_all(clients: &mut [TcpStream]) -> Result<(), Box<dyn Error>> {
    let mut query = Vec::new();
    let text = b"SELECT abalance FROM pgbench_accounts WHERE aid = 1";
    frame::write(&mut query, b'Q', |body| frame::write_cstr(body, text));
    for client in clients {
        client.write_all(&query)?;
        await_ready(client)?;
    }
    Ok(())
}

/// Reads up to ReadyForQuery, which ends what the client is told.
fn await_ready(client: &mut TcpStream) -> Result<(), Box<dyn Error>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = client.read(&mut chunk)?;
        if count == 0 {
            return Err("the pooler has closed the connection".into());
        }
        bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
        while let Some(header) = frame::header(&bytes)? {
            if bytes.len() < header.size {
                break;
            }
            match header.tag {
                b'Z' => return Ok(()),
                b'E' => return Err(String::from_utf8_lossy(&bytes).into_owned().into()),
                _ => drop(bytes.drain(..header.size)),
            }
        }
    }
}
