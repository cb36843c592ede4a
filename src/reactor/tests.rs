use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::task::Poll;

use proptest::prelude::*;

use super::*;

const PERIOD: Duration = Duration::from_millis(1);

/// Runs `main` on a reactor of its own.
fn run<F: Future<Output = ()> + 'static>(main: impl FnOnce(Rc<Reactor>) -> F) {
    let reactor = Reactor::new().unwrap();
    reactor.run(main(Rc::clone(&reactor)), PERIOD, || {});
}

fn pair(home: &Arc<Home>) -> (Source<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    (Source::register(ours, home).unwrap(), theirs)
}

/// Reads as a session does: a read that does not fill `buf` has read the socket dry.
async fn read(source: &Source<UnixStream>, buf: &mut [u8]) -> usize {
    let count = poll_fn(|_| source.try_read(|mut stream| stream.read(buf))).await.unwrap();
    if count < buf.len() {
        source.note_dry();
    }
    count
}

async fn write(source: &Source<UnixStream>, bytes: &[u8]) -> usize {
    poll_fn(|_| source.try_write(|mut stream| stream.write(bytes))).await.unwrap()
}

/// Lets other tasks run, and the reactor look at its sockets.
async fn turns(count: usize) {
    for _ in 0..count {
        let mut has_waited = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut has_waited, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// Reads until the end, into buffers of these lengths in turn.
async fn read_all(source: &Source<UnixStream>, lengths: &[usize], received: &Cell<usize>) {
    for &length in lengths.iter().cycle() {
        let count = read(source, &mut vec![0; length]).await;
        if count == 0 {
            return;
        }
        received.set(received.get() + count);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever arrives between which looks: who waits is scheduled when there is something to read, and at the end.
    #[test]
    fn no_event_is_lost(
        sends in prop::collection::vec((1_usize..600, 0_usize..3), 0..40),
        lengths in prop::collection::vec(1_usize..400, 1..5),
    ) {
        run(|reactor| async move {
            let (ours, mut theirs) = pair(reactor.home());
            let (received, has_ended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
            let (count, end) = (Rc::clone(&received), Rc::clone(&has_ended));
            reactor.spawn(async move {
                read_all(&ours, &lengths, &count).await;
                end.set(true);
            });
            let mut sent = 0;
            for (length, pause) in sends {
                theirs.write_all(&vec![7; length]).unwrap();
                sent += length;
                turns(pause).await;
            }
            drop(theirs);
            turns(BATCH * 8).await;
            assert_eq!((received.get(), has_ended.get()), (sent, true), "nobody wakes the reader");
        });
    }
}

#[test]
fn a_writer_goes_on_when_there_is_room() {
    run(|reactor| async move {
        let (ours, theirs) = pair(reactor.home());
        let theirs = Source::register(theirs, reactor.home()).unwrap();
        let total = 4 << 20;
        reactor.spawn(async move {
            let mut left = total;
            while left > 0 {
                left -= write(&ours, &vec![1; left.min(70_000)]).await;
            }
        });
        let received = Cell::new(0);
        read_all(&theirs, &[5000], &received).await;
        assert_eq!(received.get(), total);
    });
}

#[test]
fn a_waker_may_be_called_from_any_thread() {
    run(|_| async {
        for number in 0..1000 {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let thread = std::thread::spawn(move || sender.send(number));
            assert_eq!(receiver.await, Ok(number));
            thread.join().unwrap().unwrap();
        }
    });
}

#[test]
fn a_socket_may_move_to_another_reactor() {
    let moved = Rc::new(RefCell::new(None));
    let place = Rc::clone(&moved);
    run(|reactor| async move {
        let (ours, mut theirs) = pair(reactor.home());
        theirs.write_all(b"one").unwrap();
        assert_eq!(read(&ours, &mut [0; 8]).await, 3);
        theirs.write_all(b"four").unwrap();
        *place.borrow_mut() = Some((ours, theirs));
    });
    let (ours, mut theirs) = moved.take().unwrap();
    run(|reactor| async move {
        let ours = ours.move_to(reactor.home()).unwrap();
        assert_eq!(read(&ours, &mut [0; 8]).await, 4, "what came while nobody watched");
        reactor.spawn(async move { theirs.write_all(b"three").unwrap() });
        assert_eq!(read(&ours, &mut [0; 8]).await, 5, "what comes later");
    });
}

#[test]
fn a_panic_ends_one_task_only() {
    run(|reactor| async move {
        let held = Rc::new(());
        let inside = Rc::clone(&held);
        reactor.spawn(async move {
            turns(1).await;
            assert!(Rc::strong_count(&inside) == 0, "this panic is meant");
        });
        turns(5).await;
        assert_eq!(Rc::strong_count(&held), 1, "what it had is dropped");
    });
}

#[test]
fn a_panic_of_the_main_task_ends_the_run() {
    run(|_| async {
        turns(1).await;
        assert_eq!(1, 2, "this panic is meant");
    });
}

#[test]
fn tasks_that_are_left_are_dropped_with_what_they_start_then() {
    struct Last(Rc<Reactor>, Rc<()>);
    impl Drop for Last {
        fn drop(&mut self) {
            let held = Rc::clone(&self.1);
            self.0.spawn(async move { drop(held) });
        }
    }
    let held = Rc::new(());
    let inside = Rc::clone(&held);
    run(|reactor| async move {
        let last = Last(Rc::clone(&reactor), inside);
        reactor.spawn(async move {
            std::future::pending::<()>().await;
            drop(last);
        });
        turns(2).await;
    });
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn the_tick_comes_while_tasks_run_and_while_none_does() {
    for is_busy in [true, false] {
        let reactor = Reactor::new().unwrap();
        let ticks = Rc::new(tokio::sync::Notify::new());
        let (told, inner) = (Rc::clone(&ticks), Rc::clone(&reactor));
        let main = async move {
            inner.spawn(async move {
                if is_busy {
                    turns(usize::MAX).await;
                }
            });
            ticks.notified().await;
        };
        reactor.run(main, Duration::from_millis(1), move || told.notify_one());
    }
}
