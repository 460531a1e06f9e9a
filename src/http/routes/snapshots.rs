//! `/v1/snapshots`: lists the snapshots that are kept, and takes one.

use std::sync::Arc;

use hyper::StatusCode;

use crate::http::bounds::MAX_SNAPSHOT_REQUESTS;
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::encode::Encode;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::{answer, query};
use crate::schema::value::Time;
use crate::storage::durability::{Durability, SnapshotError, SnapshotInfo};

/// `GET`: the snapshots, newest first, and whether the last tries succeeded.
pub(crate) fn list(call: &Call<'_>) -> Result<Answer, Refusal> {
    query::known(call.head.target.query(), [])?;
    let durability = call.node.durability();
    Ok(answer::document(call.format, |out| write_all(out, &durability)))
}

/// `POST`: takes a snapshot. It runs in a task of its own, so a client that leaves does not stop it half way.
/// The task holds its place to the end, so that such clients cannot pile up work.
pub(crate) async fn post(call: &Call<'_>) -> Result<Answer, Refusal> {
    query::known(call.head.target.query(), [])?;
    let place = Arc::clone(&call.worker.shared.snapshots).try_acquire_owned().map_err(|_| crowded())?;
    let node = Arc::clone(call.node);
    let task = tokio::spawn(async move {
        let taken = node.snapshot().await;
        drop(place);
        taken
    });
    let taken = task.await.map_err(|_| Refusal::new(ProblemKind::Internal, "taking the snapshot failed"))?;
    let info = taken.map_err(refused)?;
    let mut answer = answer::document(call.format, |out| write(out, &info));
    answer.status = StatusCode::CREATED;
    Ok(answer)
}

fn crowded() -> Refusal {
    let detail =
        format!("{MAX_SNAPSHOT_REQUESTS} requests for a snapshot are waiting already; try again in a second");
    Refusal::new(ProblemKind::Overloaded, detail).in_a_second()
}

fn refused(why: SnapshotError) -> Refusal {
    match why {
        SnapshotError::InMemory => Refusal::new(
            ProblemKind::Conflict,
            "this server keeps everything in memory and has no place for a snapshot; start it with --data DIR",
        ),
        SnapshotError::Stopped => Refusal::new(
            ProblemKind::Unavailable,
            "no snapshot is taken: the journal failed or the server is stopping; decisions go on",
        ),
        SnapshotError::DiskFull(why) => Refusal::new(
            ProblemKind::DiskFull,
            format!("no snapshot was taken, {why}: nothing else was changed; try again when there is room"),
        ),
        SnapshotError::NoFile(why) => {
            let detail = format!("no snapshot was taken, {why}; try again in a second");
            Refusal::new(ProblemKind::Unavailable, detail).in_a_second()
        }
        SnapshotError::Failed(why) => {
            Refusal::new(ProblemKind::Internal, format!("no snapshot was taken: {why}"))
        }
    }
}

fn write_all(out: &mut dyn Encode, durability: &Durability) {
    out.map();
    out.key("snapshots");
    out.list();
    durability.snapshots.iter().for_each(|info| write(out, info));
    out.end_list();
    out.key("erasure_pending");
    out.boolean(durability.erasure_pending);
    out.key("failures");
    out.unsigned(durability.snapshot_failures);
    out.key("last_failure");
    match &durability.snapshot_failure {
        Some(why) => out.text(why),
        None => out.null(),
    }
    out.end_map();
}

fn write(out: &mut dyn Encode, info: &SnapshotInfo) {
    let SnapshotInfo { sequence, customers, bytes, digest, taken_at_s } = *info;
    out.map();
    out.key("sequence");
    out.unsigned(sequence);
    out.key("customers");
    out.unsigned(customers);
    out.key("bytes");
    out.unsigned(bytes);
    // A text, because programs that read JSON numbers as doubles would change it.
    out.key("digest");
    out.text(&format!("{digest:016x}"));
    out.key("taken_at");
    out.text(&Time::from_seconds(i64::try_from(taken_at_s).unwrap_or(i64::MAX)).to_string());
    out.end_map();
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::wire::media::Format;

    #[test]
    fn snapshots_are_listed_as_they_are_kept() {
        let newest = SnapshotInfo {
            sequence: 120,
            customers: 7,
            bytes: 900,
            digest: 0xab,
            taken_at_s: 1_795_255_200, // 2026-11-21T10:00:00Z
        };
        let oldest = SnapshotInfo { sequence: 60, ..newest.clone() };
        let durability = Durability {
            snapshots: vec![newest, oldest],
            erasure_pending: true,
            snapshot_failures: 2,
            snapshot_failure: Some("no room".into()),
            ..Durability::default()
        };
        let bytes = answer::render(Format::Json, |out| write_all(out, &durability));
        let found: Value = serde_json::from_slice(&bytes).unwrap();
        let one = |sequence: u64| {
            json!({"sequence": sequence, "customers": 7, "bytes": 900, "digest": "00000000000000ab",
                "taken_at": "2026-11-21T10:00:00Z"})
        };
        assert_eq!(
            found,
            json!({"snapshots": [one(120), one(60)], "erasure_pending": true, "failures": 2, "last_failure": "no room"})
        );
    }

    #[test]
    fn why_there_is_no_snapshot_has_its_own_status_and_says_what_to_try() {
        for (why, kind, part) in [
            (SnapshotError::InMemory, ProblemKind::Conflict, "--data DIR"),
            (SnapshotError::Stopped, ProblemKind::Unavailable, "stopping"),
            (SnapshotError::DiskFull("/data is full".into()), ProblemKind::DiskFull, "/data is full"),
            (SnapshotError::NoFile("no descriptors".into()), ProblemKind::Unavailable, "no descriptors"),
            (SnapshotError::Failed("bad sector".into()), ProblemKind::Internal, "bad sector"),
        ] {
            let refusal = refused(why);
            assert_eq!(refusal.kind(), kind);
            assert!(refusal.detail().contains(part), "{}", refusal.detail());
        }
    }
}
