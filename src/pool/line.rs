//! A queue whose members also stand in the queue of their worker.
//!
//! Waiters and idle connections are both "in order of arrival, and in order of arrival per worker". One
//! structure serves both: a slab of nodes threaded by two doubly linked lists. Every operation is O(1), and none
//! allocates once the slab has grown to the largest length seen.

use slab::Slab;

use super::WorkerId;

/// The absence of a neighbour.
const NONE: usize = usize::MAX;

/// Values in order of arrival, overall and per worker.
pub(super) struct Line<T> {
    nodes: Slab<Node<T>>,
    all: Ends,
    /// Indexed by worker; grows when a worker is first seen.
    homes: Vec<Ends>,
    len: usize,
    next_seq: u64,
}

struct Node<T> {
    value: T,
    worker: WorkerId,
    /// `None` once the node has left the line but keeps its place in the slab.
    seq: Option<u64>,
    all: Link,
    home: Link,
}

#[derive(Clone, Copy)]
struct Link {
    prev: usize,
    next: usize,
}

#[derive(Clone, Copy)]
struct Ends {
    head: usize,
    tail: usize,
}

/// Which of the two lists.
#[derive(Clone, Copy)]
enum Chain {
    All,
    Home,
}

impl Link {
    const LOOSE: Self = Self { prev: NONE, next: NONE };
}

impl Ends {
    const EMPTY: Self = Self { head: NONE, tail: NONE };
}

impl<T> Line<T> {
    pub(super) const fn new() -> Self {
        Self { nodes: Slab::new(), all: Ends::EMPTY, homes: Vec::new(), len: 0, next_seq: 0 }
    }

    /// How many values stand in the line (those that [`Line::step_out`] took out are not counted).
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends `value`; the key stays valid until [`Line::remove`].
    pub(super) fn push(&mut self, worker: WorkerId, value: T) -> usize {
        let seq = Some(self.next_seq);
        self.next_seq += 1;
        let key =
            self.nodes.insert(Node { value, worker, seq, all: Link::LOOSE, home: Link::LOOSE });
        if self.homes.len() <= usize::from(worker.0) {
            self.homes.resize(usize::from(worker.0) + 1, Ends::EMPTY);
        }
        self.attach(key, worker, Chain::All);
        self.attach(key, worker, Chain::Home);
        self.len += 1;
        key
    }

    /// Takes a value out of the line but keeps it under its key. Does nothing the second time.
    pub(super) fn step_out(&mut self, key: usize) {
        let Some(node) = self.nodes.get_mut(key) else { return };
        if node.seq.take().is_none() {
            return;
        }
        let worker = node.worker;
        self.detach(key, worker, Chain::All);
        self.detach(key, worker, Chain::Home);
        self.len -= 1;
    }

    /// Takes a value out altogether.
    pub(super) fn remove(&mut self, key: usize) -> Option<T> {
        self.step_out(key);
        self.nodes.try_remove(key).map(|node| node.value)
    }

    pub(super) fn get(&self, key: usize) -> Option<&T> {
        self.nodes.get(key).map(|node| &node.value)
    }

    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut T> {
        self.nodes.get_mut(key).map(|node| &mut node.value)
    }

    /// The worker that the value was pushed for.
    pub(super) fn worker(&self, key: usize) -> Option<WorkerId> {
        self.nodes.get(key).map(|node| node.worker)
    }

    /// The oldest.
    pub(super) fn first(&self) -> Option<usize> {
        some(self.all.head)
    }

    /// The newest.
    pub(super) fn last(&self) -> Option<usize> {
        some(self.all.tail)
    }

    /// The oldest of one worker.
    pub(super) fn first_of(&self, worker: WorkerId) -> Option<usize> {
        self.homes.get(usize::from(worker.0)).and_then(|ends| some(ends.head))
    }

    /// The newest of one worker.
    pub(super) fn last_of(&self, worker: WorkerId) -> Option<usize> {
        self.homes.get(usize::from(worker.0)).and_then(|ends| some(ends.tail))
    }

    /// The next newer than `key`.
    pub(super) fn after(&self, key: usize) -> Option<usize> {
        self.nodes.get(key).and_then(|node| some(node.all.next))
    }

    /// How many values were pushed between `older` and `newer`, at most.
    pub(super) fn distance(&self, older: usize, newer: usize) -> u64 {
        let seq = |key| self.nodes.get(key).and_then(|node| node.seq).unwrap_or(0);
        seq(newer).saturating_sub(seq(older))
    }

    fn attach(&mut self, key: usize, worker: WorkerId, chain: Chain) {
        let Some(ends) = self.ends_mut(worker, chain) else { return };
        let tail = std::mem::replace(&mut ends.tail, key);
        if tail == NONE {
            ends.head = key;
        }
        self.on_link(key, chain, |link| *link = Link { prev: tail, next: NONE });
        self.on_link(tail, chain, |link| link.next = key);
    }

    fn detach(&mut self, key: usize, worker: WorkerId, chain: Chain) {
        let mut gone = Link::LOOSE;
        self.on_link(key, chain, |link| gone = std::mem::replace(link, Link::LOOSE));
        self.on_link(gone.prev, chain, |link| link.next = gone.next);
        self.on_link(gone.next, chain, |link| link.prev = gone.prev);
        let Some(ends) = self.ends_mut(worker, chain) else { return };
        if ends.head == key {
            ends.head = gone.next;
        }
        if ends.tail == key {
            ends.tail = gone.prev;
        }
    }

    fn ends_mut(&mut self, worker: WorkerId, chain: Chain) -> Option<&mut Ends> {
        match chain {
            Chain::All => Some(&mut self.all),
            Chain::Home => self.homes.get_mut(usize::from(worker.0)),
        }
    }

    fn on_link(&mut self, key: usize, chain: Chain, change: impl FnOnce(&mut Link)) {
        if let Some(node) = self.nodes.get_mut(key) {
            change(match chain {
                Chain::All => &mut node.all,
                Chain::Home => &mut node.home,
            });
        }
    }
}

const fn some(key: usize) -> Option<usize> {
    if key == NONE { None } else { Some(key) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Push(u16),
        StepOut(usize),
        Remove(usize),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            3 => (0_u16..4).prop_map(Op::Push),
            1 => any::<usize>().prop_map(Op::StepOut),
            2 => any::<usize>().prop_map(Op::Remove),
        ];
        prop::collection::vec(op, 0..120)
    }

    proptest! {
        /// The line behaves as a plain vector of (key, worker, value) does.
        #[test]
        fn line_agrees_with_a_vector(ops in ops()) {
            let mut line = Line::new();
            let mut standing: Vec<(usize, u16, usize)> = Vec::new();
            let mut aside: Vec<(usize, usize)> = Vec::new();
            for (value, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Push(worker) => {
                        standing.push((line.push(WorkerId(worker), value), worker, value));
                    }
                    Op::StepOut(i) if !standing.is_empty() => {
                        let (key, _, value) = standing.remove(i % standing.len());
                        line.step_out(key);
                        line.step_out(key);
                        aside.push((key, value));
                    }
                    Op::Remove(i) if i % 3 == 0 && !aside.is_empty() => {
                        let (key, value) = aside.remove(i % aside.len());
                        prop_assert_eq!(line.remove(key), Some(value));
                    }
                    Op::Remove(i) if !standing.is_empty() => {
                        let (key, _, value) = standing.remove(i % standing.len());
                        prop_assert_eq!(line.remove(key), Some(value));
                    }
                    Op::StepOut(_) | Op::Remove(_) => {}
                }
                prop_assert_eq!(line.len(), standing.len());
                prop_assert_eq!(line.first(), standing.first().map(|entry| entry.0));
                prop_assert_eq!(line.last(), standing.last().map(|entry| entry.0));
                let keys: Vec<usize> =
                    std::iter::successors(line.first(), |key| line.after(*key)).collect();
                prop_assert_eq!(keys, standing.iter().map(|entry| entry.0).collect::<Vec<_>>());
                for worker in 0..5 {
                    let mut own = standing.iter().filter(|entry| entry.1 == worker);
                    prop_assert_eq!(
                        line.first_of(WorkerId(worker)),
                        own.clone().next().map(|entry| entry.0)
                    );
                    prop_assert_eq!(
                        line.last_of(WorkerId(worker)),
                        own.next_back().map(|entry| entry.0)
                    );
                }
            }
        }
    }
}
