//! A node inside this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use usher::bundle::Bundle;
use usher::customer::id::CustomerId;
use usher::customer::row::Row;
use usher::customer::update::{Change, Update};
use usher::node::Node;
use usher::node::snapshotter::SnapshotSchedule;
use usher::schema::FeatureId;
use usher::schema::value::{Time, Value};
use usher::schema::vector::FeatureVector;
use usher::state;
use usher::state::ledger::Content;
use usher::storage::data_dir;
use usher::storage::journal::settings::JournalSettings;

use super::{CUSTOMERS, FEATURE, Writer, id, runtime};

/// Opens a directory; only closing takes a snapshot.
pub(crate) fn open(folder: &Path) -> Arc<Node> {
    let claimed = data_dir::claim(folder).unwrap_or_else(|e| panic!("{e}"));
    let opened = claimed.open(JournalSettings::default(), &|_| {}).unwrap_or_else(|e| panic!("{e}"));
    let day = Duration::from_secs(86_400);
    let schedule = SnapshotSchedule { every: day, journal_bytes: u64::MAX, ..SnapshotSchedule::default() };
    Node::open(opened, schedule).unwrap_or_else(|e| panic!("{e}"))
}

/// Opens a directory with the retail bank's schema and rule sets.
pub(crate) fn open_with_bundle(folder: &Path) -> Arc<Node> {
    let node = open(folder);
    runtime().block_on(node.define(Bundle::embedded().define())).unwrap_or_else(|e| panic!("{e:?}"));
    node
}

pub(crate) fn digest(node: &Node) -> u64 {
    state::digest::of(&node.live().definitions, node.customers(), &Content::default())
}

pub(crate) struct InProcess {
    folder: PathBuf,
    node: Arc<Node>,
    feature: FeatureId,
    /// Bytes of the journal and writes in it, since it was filled.
    filled: (u64, u64),
}

impl InProcess {
    pub(crate) fn start(folder: &Path) -> InProcess {
        let node = open_with_bundle(folder);
        let feature = node.live().engine.schema.find_feature(FEATURE).unwrap();
        let all = (0..CUSTOMERS).map(|customer| update(feature, customer, 0)).collect();
        runtime().block_on(node.write(all)).unwrap();
        let filled = (node.durability().journal_bytes, node.sequence());
        InProcess { folder: folder.to_owned(), node, feature, filled }
    }

    pub(crate) fn writers(&self, count: usize) -> Vec<Task> {
        (0..count).map(|_| Task { node: self.node.clone(), feature: self.feature }).collect()
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.node.durability().syncs
    }

    /// The bytes of one write in the journal, on average.
    pub(crate) fn bytes_per_write(&self) -> usize {
        let (bytes, writes) = self.filled;
        let bytes = self.node.durability().journal_bytes - bytes;
        (bytes / (self.node.sequence() - writes)) as usize
    }

    pub(crate) fn check_after_restart(self) {
        let InProcess { folder, node, .. } = self;
        let before = (node.sequence(), digest(&node));
        drop(node);
        let node = open(&folder);
        assert_eq!((node.sequence(), digest(&node)), before, "after a restart");
    }
}

fn update(feature: FeatureId, customer: usize, value: u64) -> Update {
    let customer = CustomerId::new(&id(customer)).unwrap();
    Update { customer, change: Change::Merge(vec![(feature, value + 1)]) } // codes begin at 1
}

pub(crate) struct Task {
    node: Arc<Node>,
    feature: FeatureId,
}

impl Writer for Task {
    async fn write(&mut self, customer: usize, value: u64) {
        self.node.write(vec![update(self.feature, customer, value)]).await.unwrap();
    }

    async fn read(&mut self, customer: usize) -> u64 {
        let mut row = Row::new();
        assert!(self.node.customers().read(&id(customer), &mut row));
        match FeatureVector::new(&row).get(&self.node.live().engine.schema, self.feature, Time(0)) {
            Value::Int(value) => value as u64,
            other => panic!("{other:?}"),
        }
    }
}
