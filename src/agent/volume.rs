//! What a member's volume is, and the changes of its record. An empty, foreign or damaged volume is never taken for data
//! and never overwritten.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::record_file::{Found, RecordFile, Stored};
use crate::orders::{Identity, Incarnation, MemberRole, OrderError, Reason, Token, Volume as View, VolumeRecord};
use crate::sync::locked;

/// Between two tries to lock a volume that another agent has.
const TURN: Duration = Duration::from_millis(500);

/// A mounted volume.
#[derive(Debug)]
pub(crate) struct Volume {
    root: PathBuf,
    boot_id: String,
    /// Locked while a write runs, which lasts as long as the disk wants.
    contents: Mutex<Contents>,
    /// What was true after the last write: readable while a write hangs.
    seen: RwLock<Seen>,
}

#[derive(Debug)]
enum Contents {
    Blank,
    Recorded(Box<Stored>, RecordFile),
    Unusable,
    /// Another agent lives, and may write.
    Locked,
}

#[derive(Debug, Clone)]
struct Seen {
    view: View,
    stored: Option<Stored>,
}

impl Volume {
    /// Looks at the volume mounted at `root`. `boot_id` is that of the running kernel.
    #[must_use]
    pub(crate) fn open(root: &Path, boot_id: &str) -> Self {
        let (contents, seen) = opened(root, boot_id);
        Self {
            root: root.to_owned(),
            boot_id: boot_id.to_owned(),
            contents: Mutex::new(contents),
            seen: RwLock::new(seen),
        }
    }

    /// Waits until no other agent has the volume. Until then nothing of it is written, and what is known of it is nothing.
    pub(crate) async fn ours(&self) {
        while tokio::task::block_in_place(|| self.is_locked()) {
            tokio::time::sleep(TURN).await;
        }
    }

    /// Looks again at a volume that another agent had; false once it is ours.
    fn is_locked(&self) -> bool {
        let mut contents = locked(&self.contents);
        if matches!(*contents, Contents::Locked) {
            let (now, seen) = opened(&self.root, &self.boot_id);
            *contents = now;
            *self.seen.write().unwrap_or_else(PoisonError::into_inner) = seen;
        }
        matches!(*contents, Contents::Locked)
    }

    /// What others are told.
    #[must_use]
    pub(crate) fn view(&self) -> View {
        self.seen().view
    }

    /// The record, when there is one.
    #[must_use]
    pub(crate) fn stored(&self) -> Option<Stored> {
        self.seen().stored
    }

    /// Writes the first record of a blank volume.
    ///
    /// # Errors
    /// [`Reason::Volume`] when the volume is not blank or cannot be written.
    pub(crate) fn create(&self, identity: Identity, token: Token, order_id: String) -> Result<(), OrderError> {
        let mut contents = locked(&self.contents);
        if !matches!(*contents, Contents::Blank) {
            return Err(OrderError::new(
                Reason::Volume,
                "the volume is not blank: nothing is initialised over it".to_owned(),
            ));
        }
        let record = VolumeRecord {
            identity,
            token: Some(token),
            // Starts nothing by itself until its first `follow`.
            role: MemberRole::Primary,
            promoted_as: None,
            hold: false,
            clean_stop: true,
            incarnation: Incarnation(0),
            ended: Vec::new(),
        };
        let stored = Stored {
            record,
            order_id,
            initialised: false,
            relaxed_in_boot: None,
            before_relaxing: BTreeMap::new(),
            examined: None,
            mending: None,
        };
        let folder = self.root.join("beachmaster");
        let path = folder.join("record");
        let made = fs::create_dir_all(&folder).and_then(|()| RecordFile::create(&path, &stored));
        let file = made.map_err(|error| OrderError::new(Reason::Volume, format!("{}: {error}", path.display())))?;
        *contents = Contents::Recorded(Box::new(stored.clone()), file);
        self.show(stored);
        Ok(())
    }

    /// Changes the record and waits until it is on disk. With `token`, only while no higher one is stored.
    ///
    /// # Errors
    /// [`Reason::Superseded`] or [`Reason::Volume`]; the record on disk may then be the old or the new one, the one in
    /// memory is the old one.
    pub(crate) fn update(&self, token: Option<&Token>, change: impl FnOnce(&mut Stored)) -> Result<Stored, OrderError> {
        let mut contents = locked(&self.contents);
        if matches!(*contents, Contents::Locked) {
            return Err(OrderError::new(
                Reason::Volume,
                "another agent uses the volume: this one writes nothing".to_owned(),
            ));
        }
        let Contents::Recorded(stored, file) = &mut *contents else {
            return Err(OrderError::new(Reason::Volume, "the volume has no record: give it `init` first"));
        };
        let highest = stored.record.token.as_ref().map(Token::rank);
        if token.is_some_and(|token| highest.is_some_and(|highest| highest > token.rank())) {
            return Err(superseded());
        }
        let mut changed = (**stored).clone();
        change(&mut changed);
        if changed != **stored {
            file.write(&changed).map_err(|error| {
                OrderError::new(
                    Reason::Volume,
                    format!("the record of {} cannot be written: {error}", self.root.display()),
                )
            })?;
            **stored = changed.clone();
            self.show(changed.clone());
        }
        Ok(changed)
    }

    fn show(&self, stored: Stored) {
        let view = View::Recorded { record: stored.record.clone() };
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = Seen { view, stored: Some(stored) };
    }

    fn seen(&self) -> Seen {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The answer to an order that a newer one has overtaken.
#[must_use]
pub(crate) fn superseded() -> OrderError {
    OrderError::new(Reason::Superseded, "a newer order has taken over")
}

fn opened(root: &Path, boot_id: &str) -> (Contents, Seen) {
    let unusable = |message| Seen { view: View::Unusable { message }, stored: None };
    match look(root, boot_id) {
        Ok(Found::Empty) => (Contents::Blank, Seen { view: View::Blank, stored: None }),
        Ok(Found::Record(stored, file)) => {
            let view = View::Recorded { record: stored.record.clone() };
            (Contents::Recorded(stored.clone(), file), Seen { view, stored: Some(*stored) })
        }
        Ok(Found::Locked(message)) => (Contents::Locked, unusable(message)),
        Ok(Found::Damaged(message)) | Err(message) => (Contents::Unusable, unusable(message)),
    }
}

fn look(root: &Path, boot_id: &str) -> Result<Found, String> {
    let record = root.join("beachmaster/record");
    let found = RecordFile::open(&record).map_err(|error| format!("{}: {error}", record.display()))?;
    let remedy = "it is never overwritten: restore the record from a backup of the volume, or, in a new cluster, attach an empty \
                  volume";
    let has_data = is_filled(&root.join("data"))?;
    match found {
        Found::Empty if has_data => {
            Err(format!("{} has a datadir but no record that says whose it is: {remedy}", root.display()))
        }
        // A first write that a crash has torn: nothing was made yet.
        Found::Damaged(_) if !has_data && !is_filled(&root.join("beachmaster/relay"))? => Ok(Found::Empty),
        Found::Damaged(message) => Ok(Found::Damaged(format!("{}: {message}; {remedy}", record.display()))),
        // The two logs of mariadbd may end at different transactions: its positions prove nothing any more.
        Found::Record(stored, _) if stored.relaxed_in_boot.as_ref().is_some_and(|boot| boot != boot_id) => {
            Err(format!(
                "{}: its node went down while the member caught up without syncs, so data and binary log may differ: \
             the member stays out, this version does not rebuild members",
                root.display()
            ))
        }
        found => Ok(found),
    }
}

fn is_filled(folder: &Path) -> Result<bool, String> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(format!("{}: {error}", folder.display())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::orders::{DataUid, Ordinal, Term};
    use tempfile::TempDir;

    fn identity() -> Identity {
        Identity { cluster: "prod/shop".to_owned(), data_uid: DataUid("d".to_owned()), ordinal: Ordinal(1) }
    }

    fn token(term: u64, seq: u64) -> Token {
        Token { data_uid: DataUid("d".to_owned()), term: Term(term), seq }
    }

    fn recorded() -> (TempDir, Volume) {
        let home = TempDir::new().unwrap();
        let volume = Volume::open(home.path(), "boot");
        assert_eq!(volume.view(), View::Blank);
        volume.create(identity(), token(1, 1), "a".to_owned()).unwrap();
        (home, volume)
    }

    #[test]
    fn what_was_written_is_found_again() {
        let (home, volume) = recorded();
        let mut volume = volume;
        for n in 1..=5 {
            volume.update(None, |stored| stored.record.incarnation = Incarnation(n)).unwrap();
            let written = volume.stored();
            drop(volume);
            volume = Volume::open(home.path(), "boot");
            assert_eq!(volume.stored(), written);
            assert_eq!(volume.stored().unwrap().record.incarnation, Incarnation(n));
        }
        assert_eq!(
            fs::metadata(home.path().join("beachmaster/record")).unwrap().len(),
            super::super::record_slots::FILE as u64
        );
    }

    #[test]
    fn an_overtaken_order_changes_nothing() {
        let (_home, volume) = recorded();
        volume.update(Some(&token(2, 1)), |stored| stored.record.token = Some(token(2, 1))).unwrap();
        let late = volume.update(Some(&token(1, 9)), |stored| stored.record.hold = true).unwrap_err();
        assert_eq!(late.reason, Reason::Superseded);
        assert!(!volume.stored().unwrap().record.hold);
    }

    #[test]
    fn a_volume_that_was_not_synced_is_trusted_only_under_the_same_kernel() {
        let (home, volume) = recorded();
        volume.update(None, |stored| stored.relaxed_in_boot = Some("boot".to_owned())).unwrap();
        drop(volume);
        assert!(Volume::open(home.path(), "boot").stored().is_some());
        let View::Unusable { message } = Volume::open(home.path(), "next").view() else { panic!() };
        assert!(message.contains("the member stays out"), "{message}");
    }

    #[test]
    fn data_without_a_record_and_damaged_records_are_left_alone() {
        let home = TempDir::new().unwrap();
        fs::create_dir(home.path().join("data")).unwrap();
        assert_eq!(Volume::open(home.path(), "boot").view(), View::Blank, "an empty folder is no data");
        fs::write(home.path().join("data/ibdata1"), "x").unwrap();
        let foreign = Volume::open(home.path(), "boot");
        assert!(matches!(foreign.view(), View::Unusable { .. }));
        assert_eq!(foreign.create(identity(), token(1, 1), "a".to_owned()).unwrap_err().reason, Reason::Volume);

        let (home, volume) = recorded();
        volume.update(None, |stored| stored.initialised = true).unwrap();
        drop(volume);
        fs::create_dir(home.path().join("data")).unwrap();
        fs::write(home.path().join("data/ibdata1"), "x").unwrap();
        fs::write(home.path().join("beachmaster/record"), [1; 8192]).unwrap();
        let View::Unusable { message } = Volume::open(home.path(), "boot").view() else { panic!() };
        assert!(message.contains("checksum"), "{message}");
    }

    #[test]
    fn a_first_write_that_was_torn_leaves_a_blank_volume() {
        let (home, volume) = recorded();
        drop(volume);
        let path = home.path().join("beachmaster/record");
        let mut file = fs::read(&path).unwrap();
        file[40] ^= 1;
        fs::write(&path, file).unwrap();
        assert_eq!(Volume::open(home.path(), "boot").view(), View::Blank);
    }

    #[test]
    fn two_agents_never_write_one_record() {
        let (home, first) = recorded();
        let second = Volume::open(home.path(), "boot");
        let View::Unusable { message } = second.view() else { panic!("{:?}", second.view()) };
        assert!(message.contains("another agent still uses the volume"), "{message}");
        assert_eq!(second.update(None, |stored| stored.record.hold = true).unwrap_err().reason, Reason::Volume);
        assert_eq!(second.create(identity(), token(9, 9), "b".to_owned()).unwrap_err().reason, Reason::Volume);
        assert!(second.is_locked(), "as long as the first one lives");
        first.update(None, |stored| stored.record.incarnation = Incarnation(7)).unwrap();

        drop(first);
        assert!(!second.is_locked());
        assert_eq!(second.stored().unwrap().record.incarnation, Incarnation(7), "what the first one wrote last");
        second.update(None, |stored| stored.record.hold = true).unwrap();
    }

    #[test]
    fn of_two_agents_on_a_blank_volume_one_initialises() {
        let home = TempDir::new().unwrap();
        let [first, second] = [0, 1].map(|_| Volume::open(home.path(), "boot"));
        first.create(identity(), token(1, 1), "a".to_owned()).unwrap();
        let late = second.create(identity(), token(1, 2), "b".to_owned()).unwrap_err();
        assert!(late.message.contains("another agent still uses"), "{late}");
        assert_eq!(second.update(None, |_| {}).unwrap_err().reason, Reason::Volume);
        drop(first);
        let late = second.create(identity(), token(1, 2), "b".to_owned()).unwrap_err();
        assert!(late.message.contains("has initialised the volume"), "{late}");
    }
}
