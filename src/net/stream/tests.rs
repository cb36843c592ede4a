use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::*;

/// What a peer and a task that reads do, in any order.
#[derive(Clone, Debug)]
enum Step {
    /// The peer sends so many bytes.
    Send(usize),
    /// The reader is woken for another reason, and does not read.
    Ignore,
    /// It reads, into a buffer of so many bytes.
    Read(usize),
    /// It reads when it has no budget left.
    ReadExhausted,
    /// It goes on to another task: whoever takes over starts with `Watch::Off`.
    TakeOver,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1_usize..600).prop_map(Step::Send),
        2 => Just(Step::Ignore),
        4 => (1_usize..400).prop_map(Step::Read),
        1 => Just(Step::ReadExhausted),
        1 => Just(Step::TakeOver),
    ];
    prop::collection::vec(step, 1..60)
}

/// A waker that remembers whether it was used.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A reader that does what a session does: it reads until it is told to wait, and then only when it is woken.
struct Reader {
    stream: Stream,
    watch: Watch,
    flag: Arc<Flag>,
    received: usize,
}

impl Reader {
    fn read(&mut self, len: usize) -> Poll<usize> {
        let waker = Waker::from(Arc::clone(&self.flag));
        let mut buf = vec![0; len];
        let cx = &mut Context::from_waker(&waker);
        let read = self.stream.poll_read_watched(cx, &mut buf, &mut self.watch);
        read.map(|count| {
            let count = count.unwrap();
            self.received += count;
            count
        })
    }

    fn is_woken(&self) -> bool {
        self.flag.0.swap(false, Ordering::SeqCst)
    }
}

/// Lets the runtime look at its sockets.
async fn turn() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

async fn play(steps: Vec<Step>) {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let stream = Stream::Plain(Socket::Unix(ours));
    let mut reader = Reader { stream, watch: Watch::Off, flag: Arc::default(), received: 0 };
    let mut sent = 0;
    // Whether the reader has been told to wait, and not been woken since.
    let mut waits = false;
    for step in steps {
        match step {
            Step::Send(count) => {
                peer.write_all(&vec![7; count]).await.unwrap();
                sent += count;
            }
            Step::Ignore => {}
            Step::Read(len) => waits = reader.read(len).is_pending(),
            Step::ReadExhausted => {
                while coop::has_budget_remaining() {
                    coop::consume_budget().await;
                }
                waits = reader.read(100).is_pending();
            }
            Step::TakeOver => {
                reader.flag = Arc::default();
                reader.watch = Watch::Off;
                waits = false;
            }
        }
        turn().await;
        if reader.is_woken() {
            waits = false;
        }
        assert!(!waits || reader.received == sent, "nobody wakes the reader");
    }
    while reader.received < sent {
        if reader.read(300).is_pending() {
            turn().await;
            assert!(reader.is_woken(), "nobody wakes the reader");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the order of arrivals, looks and wake-ups: who waits is woken when there is something to read.
    #[test]
    fn no_wake_up_is_lost(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps));
    }
}
