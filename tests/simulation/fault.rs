//! What may go wrong, and how it ends. What it does to the members is in [`crate::faults`].

use beachmaster::orders::Ordinal;
use beachmaster::topology::policy::{Mode, WhenNoAcker};

use crate::member::{At, HostId, Volume};

/// Whom a fault hits.
#[derive(Debug, Clone, Copy)]
pub enum Who {
    Primary,
    /// The member that is to be promoted, when known.
    Candidate,
    Any(u8),
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Kill(Who),
    KillAll,
    AgentAway(Who, u64),
    Unreadable(Who, u64),
    /// A session locks what the SQL thread wants to change. An even number of milliseconds is a lock on everything, of which the
    /// agent tells.
    Locked(Who, u64),
    /// mariadbd ends, and the index of its binary logs is not where it was until then.
    IndexLost(Who, u64),
    PodReplaced(Who),
    PodBlank(Who),
    /// The pod is evicted, and its successor comes up on another node with the same volume.
    Drained(Who),
    /// A second pod of the same name, while the first one is cut off and goes on.
    SecondPod {
        who: Who,
        with_primary: bool,
        blank: bool,
        heals: u64,
    },
    PowerCut(Who),
    PowerCutAll,
    Partition {
        mask: u8,
        clients: u8,
        leader: bool,
        heals: u64,
    },
    CrashLeader,
    StallLeader {
        wakes: u64,
        elects: u64,
    },
    SlowMember(Who, u64),
    /// mariadbd stands still: it answers nobody, and goes on where it was.
    Hang(Who, u64),
    /// A replica's flow breaks while nobody commits, and then all of them when the primary is left `alone`. It falls `silent`
    /// when its semi-sync is switched off and on.
    Wedged {
        who: Who,
        alone: bool,
        silent: bool,
    },
    /// A volume has no space left. mariadbd waits for it, and does not start without it.
    DiskFull(Who, u64),
    /// A volume takes and gives nothing, and nobody gets an error.
    DiskHangs(Who, u64),
    /// A copy of the volume is made, to be attached later in its place.
    VolumeCopied(Who),
    OlderCopy(Who),
    /// The pod is gone with its volume, and no other one comes.
    LostForGood(Who),
    /// Nodes learn nothing of what NAME-primary selects.
    EndpointsLate(u64),
    /// A foreign semi-sync replica acknowledges what the primary writes.
    Stranger(u64),
    /// Somebody switches semi-sync off on a primary, and on again.
    SemiSyncOff(Who, u64),
    /// Every operator's stream to an agent carries nothing any more, and nobody is told.
    HalfOpen(Who),
    /// The API server answers nobody.
    ApiAway(u64),
    /// The user changes the object.
    SpecEdited(Edit),
    /// Somebody switches `read_only` off on a replica.
    MadeWritable(Who),
    /// Somebody edits NAME-primary.
    ServiceEdited(Option<u8>),
    /// Somebody deletes NAME-primary, and it comes back without a selector.
    ServiceDeleted,
    /// Somebody writes the object without changing what it says.
    ObjectTouched,
    /// The status is put back to what it was so many writes ago; with the operator ended just before, and perhaps `within` the
    /// term that all volumes know.
    StatusRolledBack {
        writes: u64,
        crash: bool,
        within: bool,
    },
}

/// What a user changes in the object, again and again.
#[derive(Debug, Clone, Copy)]
pub enum Edit {
    Paused(bool),
    FailoverEnabled(bool),
    Mode(Mode),
    WhenNoAcker(WhenNoAcker),
    Priority { member: u8, priority: u32 },
}

/// How a fault ends.
#[derive(Debug, Clone)]
pub enum Heal {
    Agent(HostId),
    Readable(HostId),
    Index(HostId),
    Network,
    Pod { ordinal: Ordinal, volume: Box<Volume>, boot: Option<(String, At)> },
    Pace(HostId),
    Hung(HostId),
    Disk(HostId),
    SemiSync(HostId),
    Reap(HostId),
    Service,
}
