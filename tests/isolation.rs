//! Two clients never see each other's bytes, whatever the interleaving.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::prelude::*;

/// Rounds per client.
const ROUNDS: usize = 60;

/// What a client does in a round: what it sends, and what must come back for it. `{}` is its mark.
fn round(dice: &mut StdRng, mark: &str) -> (Vec<Frame>, Vec<Frame>) {
    let sql = format!("update t set a = '{mark}'");
    let echo = |rest: &[Frame]| [&[row(mark), complete("UPDATE 1")], rest].concat();
    let extended = [parse("", &sql), bind("", ""), execute("")];
    let extended_answer = [&[parse_complete(), bind_complete()], &echo(&[])[..]].concat();
    match dice.random_range(0..5) {
        0 => (vec![query(&sql)], echo(&[idle()])),
        1 => {
            let batch = [&extended[..], &[sync()]].concat();
            (batch, [&extended_answer[..], &[idle()]].concat())
        }
        // A pipeline of both kinds.
        2 => {
            let batch = [&extended[..], &[sync(), query(&sql)], &extended, &[sync()]].concat();
            let ran = [&extended_answer[..], &[idle()]].concat();
            (batch, [&ran[..], &echo(&[idle()]), &ran].concat())
        }
        // A name of its own.
        3 => {
            let name = format!("s{}", dice.random_range(0..1_000_000));
            let batch = vec![
                parse(&name, &sql),
                bind("", &name),
                execute(""),
                close_statement(&name),
                sync(),
            ];
            let answer = [&extended_answer[..], &[close_complete(), idle()]].concat();
            (batch, answer)
        }
        // An error midway.
        _ => {
            let fails = format!("delete from fails where a = '{mark}'");
            let batch = vec![parse("", &fails), bind("", ""), execute(""), sync(), query(&sql)];
            (batch, [&[error("42P01"), idle()], &echo(&[idle()])[..]].concat())
        }
    }
}

/// A server that answers each statement with the mark in its text.
async fn play(mut server: Server) {
    let mut texts = std::collections::HashMap::new();
    let mut skipping = false;
    let mut bound = String::new();
    while let Some(frame) = server.wire.next().await {
        let strings: Vec<String> = frame
            .body
            .split(|byte| *byte == 0)
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect();
        let mark = |text: &str| row(text.split('\'').nth(1).unwrap_or_default());
        let answer = match frame.tag {
            b'S' => {
                skipping = false;
                vec![idle()]
            }
            _ if skipping => continue,
            b'Q' => vec![mark(&strings[0]), complete("UPDATE 1"), idle()],
            b'P' if strings[1].contains("fails") => {
                skipping = true;
                vec![error("42P01")]
            }
            b'P' => {
                texts.insert(strings[0].clone(), strings[1].clone());
                vec![parse_complete()]
            }
            b'B' => {
                bound.clone_from(&texts[&strings[1]]);
                vec![bind_complete()]
            }
            b'E' => vec![mark(&bound), complete("UPDATE 1")],
            b'C' => {
                texts.remove(&strings[0][1..]);
                vec![close_complete()]
            }
            other => panic!("a server got {:?}", char::from(other)),
        };
        if server.wire.try_send(&bytes(&answer)).await.is_err() {
            return;
        }
    }
}

async fn clients_see_only_their_own(delivery: Delivery, seed: u64) {
    let mut stage = Stage::with(delivery, |config| {
        config.pool.default_pool_size = 2;
        config.limits.max_prepared_statements = 4;
    })
    .await;
    let mut clients = Vec::new();
    for number in 0..6 {
        clients.push((number, stage.client().await));
    }
    let playing = async {
        loop {
            tokio::spawn(play(stage.primary.accept_whenever().await));
        }
    };
    let asking = futures_util::future::join_all(clients.into_iter().map(|(number, mut client)| {
        let mut dice = StdRng::seed_from_u64(seed + number);
        async move {
            for index in 0..ROUNDS {
                let (sent, answer) = round(&mut dice, &format!("client {number} round {index}"));
                client.ask(&sent, &answer).await;
            }
        }
    }));
    tokio::select! {
        () = playing => {}
        _ = asking => {}
    }
}

#[tokio::test]
async fn clients_see_only_their_own_bytes() {
    for seed in [1, 1000] {
        clients_see_only_their_own(Delivery::whole(), seed).await;
    }
}

#[tokio::test]
async fn clients_see_only_their_own_bytes_one_at_a_time() {
    clients_see_only_their_own(Delivery::byte_by_byte(), 7).await;
}
