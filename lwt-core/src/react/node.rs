//! [`Node`]: a place in the graph, whatever the type of its values; the edges between nodes, and their ranks.
//!
//! 1. An edge is strong upwards (a [`Link`] keeps the source) and weak downwards: nobody is kept by what it
//!    is made from.
//! 2. A node's rank is above that of each source that it is linked to. Ranks only rise.
//! 3. There are no cycles: a link that would close one is not made ([`Node::link`]).
//! 4. A link is taken out in O(1), when its lower end stops, is freed, or goes to another source.
//! 5. No user code runs here, and nothing is dropped that could run some, but for the links that
//!    [`Node::cut`] and [`Node::unlink`] give back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use super::update::Entry;

/// What the graph knows of a node's owner.
pub(super) trait Part: 'static {
    fn node(&self) -> &Node;

    /// Its turn in a step: a source has changed, or asked for another turn.
    fn update(self: Rc<Self>);

    /// Whether it is an event that occurs now.
    fn occurs(&self) -> bool;

    /// The end of a step in which it occurred.
    fn forget(&self);
}

pub(super) struct Node {
    /// In the order of creation: among equal ranks the older node comes first.
    id: u64,
    rank: Cell<u64>,
    /// It is to be updated in this step.
    pub(super) queued: Cell<bool>,
    /// It will not change any more.
    pub(super) stopped: Cell<bool>,
    sources: RefCell<Vec<Link>>,
    dependents: RefCell<Dependents>,
}

/// The upper end of an edge: it keeps the source.
pub(super) struct Link {
    source: Rc<dyn Part>,
    /// Where the lower end stands among the source's dependents.
    place: usize,
}

impl Node {
    pub(super) fn new(id: u64) -> Node {
        Node {
            id,
            rank: Cell::new(0),
            queued: Cell::new(false),
            stopped: Cell::new(false),
            sources: RefCell::new(Vec::new()),
            dependents: RefCell::new(Dependents::default()),
        }
    }

    pub(super) fn rank(&self) -> u64 {
        self.rank.get()
    }

    pub(super) fn many_dependents(&self) -> usize {
        let dependents = self.dependents.borrow();
        dependents.places.len() - dependents.free.len()
    }

    /// Calls `f`, which runs no user code, for each node that is linked to this one.
    pub(super) fn for_each_dependent(&self, mut f: impl FnMut(Rc<dyn Part>)) {
        let dependents = self.dependents.borrow();
        dependents.places.iter().flatten().filter_map(Weak::upgrade).for_each(&mut f);
    }

    /// Makes `part` depend on `source`. Whether it could: not if `source` depends on `part`. To depend on a
    /// source that has stopped needs no link.
    pub(super) fn link(part: &Rc<dyn Part>, source: &Rc<dyn Part>) -> bool {
        if source.node().stopped.get() {
            return true;
        }
        let place = source.node().dependents.borrow_mut().insert(Rc::downgrade(part));
        part.node().sources.borrow_mut().push(Link { source: source.clone(), place });
        if source.node().rank() < part.node().rank() {
            return true;
        }
        if part.node().many_dependents() == 0 {
            part.node().rank.set(source.node().rank() + 1);
            return true;
        }
        raise(part, source)
    }

    /// Takes the link to `source` out, if there is one.
    pub(super) fn unlink(&self, source: &Node) -> Option<Link> {
        let link = {
            let mut sources = self.sources.borrow_mut();
            let at = sources.iter().rposition(|link| link.source.node().id == source.id)?;
            sources.remove(at)
        };
        link.detach();
        Some(link)
    }

    /// Takes all links out.
    pub(super) fn cut(&self) -> Vec<Link> {
        let links = self.sources.take();
        links.iter().for_each(Link::detach);
        links
    }
}

impl Link {
    fn detach(&self) {
        self.source.node().dependents.borrow_mut().remove(self.place);
    }
}

/// Lifts `part` above its new source, and what depends on it with it. They come in the order of their old
/// ranks, in which nobody comes before what it is made from; so each is lifted once, as high as it must be.
///
/// Whether there was no cycle. If there was, the link is out again.
fn raise(part: &Rc<dyn Part>, source: &Rc<dyn Part>) -> bool {
    let mut acyclic = true;
    let mut lifts: BTreeMap<(u64, u64), (Rc<dyn Part>, u64)> = BTreeMap::new();
    let demand = |lifts: &mut BTreeMap<_, _>, part: Rc<dyn Part>, above: u64| {
        let node = part.node();
        if node.rank() <= above {
            let (_, to) = lifts.entry((node.rank(), node.id)).or_insert((part, 0));
            *to = (above + 1).max(*to);
        }
    };
    demand(&mut lifts, part.clone(), source.node().rank());
    while let Some((_, (lifted, to))) = lifts.pop_first() {
        let node = lifted.node();
        if node.id == source.node().id {
            // Its owner still keeps the source, so this frees nothing.
            drop(part.node().unlink(source.node()));
            acyclic = false;
        }
        node.rank.set(to);
        node.for_each_dependent(|dependent| demand(&mut lifts, dependent, to));
    }
    acyclic
}

/// The lower ends of a node's edges, each in a place that stays its own.
#[derive(Default)]
struct Dependents {
    places: Vec<Option<Weak<dyn Part>>>,
    free: Vec<usize>,
}

impl Dependents {
    fn insert(&mut self, part: Weak<dyn Part>) -> usize {
        match self.free.pop() {
            Some(place) => {
                self.places[place] = Some(part);
                place
            }
            None => {
                self.places.push(Some(part));
                self.places.len() - 1
            }
        }
    }

    fn remove(&mut self, place: usize) {
        self.places[place] = None;
        self.free.push(place);
        if self.free.len() == self.places.len() {
            *self = Dependents::default();
        }
    }
}

/// The place of a node in the order of a step.
pub(super) fn entry(part: &Rc<dyn Part>) -> Entry {
    Entry::new(part.node().rank(), part.node().id, Rc::downgrade(part))
}
