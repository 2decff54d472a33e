//! Events of MariaDB's event scheduler. A server that applies CREATE EVENT or ALTER EVENT as a replica marks the event
//! SLAVESIDE_DISABLED, whether it is enabled or disabled on the primary. So replicas are told which are disabled there, and a new
//! primary enables the others.
//!
//! Nothing of this is logged: each member has its own marks, and none waits for an acknowledgement.

use std::collections::BTreeSet;

use crate::mariadb::text::{identifier, quote};
use crate::mariadb::{Session, SqlError};
use crate::orders::{EventName, MOST_EVENT_BYTES, MOST_EVENTS};

/// What ALTER EVENT does with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Enabled,
    Disabled,
    DisabledOnReplica,
}

impl Mark {
    fn clause(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLE",
            Self::Disabled => "DISABLE",
            Self::DisabledOnReplica => "DISABLE ON SLAVE",
        }
    }
}

/// One row of mysql.event, as far as ALTER EVENT changes it.
#[derive(Debug)]
struct Row {
    name: EventName,
    definer: String,
    status: String,
    contexts: [Option<String>; 3],
    modified: String,
}

/// Events that are disabled for good on this member, sorted; none when they are more than an agent tells.
///
/// # Errors
/// As the statement fails.
pub(crate) async fn disabled(session: &mut Session) -> Result<Option<Vec<EventName>>, SqlError> {
    let query = format!(
        "SELECT CAST(db AS CHAR), CAST(name AS CHAR) FROM mysql.event WHERE status = 'DISABLED' LIMIT {}",
        MOST_EVENTS + 1
    );
    let rows: Vec<(String, String)> = session.rows(&query).await?;
    let mut names: Vec<EventName> = rows.into_iter().map(|(schema, name)| EventName { schema, name }).collect();
    names.sort();
    let bytes: usize = names.iter().map(|event| event.schema.len() + event.name.len()).sum();
    Ok((names.len() <= MOST_EVENTS && bytes <= MOST_EVENT_BYTES).then_some(names))
}

/// On a new primary: every event that is off only because this member was a replica runs from now on. Returns how many.
///
/// # Errors
/// As a statement fails; what was enabled stays so.
pub(crate) async fn enable(session: &mut Session) -> Result<usize, SqlError> {
    let rows = rows(session, "status = 'SLAVESIDE_DISABLED'").await?;
    for row in &rows {
        alter(session, row, Mark::Enabled).await?;
    }
    Ok(rows.len())
}

/// On a replica: the events that are disabled on the primary, and no others, are disabled here.
///
/// # Errors
/// As a statement fails; what was marked stays so.
pub(crate) async fn mark(session: &mut Session, disabled: &[EventName]) -> Result<(), SqlError> {
    let disabled: BTreeSet<&EventName> = disabled.iter().collect();
    for row in rows(session, "TRUE").await? {
        match (disabled.contains(&row.name), row.status.as_str()) {
            (true, "ENABLED" | "SLAVESIDE_DISABLED") => alter(session, &row, Mark::Disabled).await?,
            (false, "DISABLED") => alter(session, &row, Mark::DisabledOnReplica).await?,
            // An ENABLED one is from the time this member was primary: its scheduler is off.
            _ => {}
        }
    }
    Ok(())
}

async fn rows(session: &mut Session, which: &str) -> Result<Vec<Row>, SqlError> {
    type Columns = (String, String, String, String, Option<String>, Option<String>, Option<String>, String);
    let query = format!(
        "SELECT CAST(db AS CHAR), CAST(name AS CHAR), CAST(definer AS CHAR), CAST(status AS CHAR), \
         CAST(character_set_client AS CHAR), CAST(collation_connection AS CHAR), CAST(db_collation AS CHAR), \
         CAST(modified AS CHAR) FROM mysql.event WHERE {which}"
    );
    let rows: Vec<Columns> = session.rows(&query).await?;
    let row = |(schema, name, definer, status, client, connection, database, modified)| Row {
        name: EventName { schema, name },
        definer,
        status,
        contexts: [client, connection, database],
        modified,
    };
    Ok(rows.into_iter().map(row).collect())
}

/// ALTER EVENT tells the scheduler, which a change of the table alone does not. It also takes definer, character sets and
/// time from the session, so that these are put back. An UPDATE that does not name `created` sets it to the present time.
async fn alter(session: &mut Session, row: &Row, mark: Mark) -> Result<(), SqlError> {
    let Row { name, definer, contexts, modified, .. } = row;
    let (user, host) = definer.rsplit_once('@').unwrap_or((definer, "%"));
    let event = format!("{}.{}", identifier(&name.schema), identifier(&name.name));
    let (user, host) = (quote(user), quote(host));
    session.execute(&format!("ALTER DEFINER={user}@{host} EVENT {event} {}", mark.clause())).await?;
    let value = |context: &Option<String>| context.as_deref().map_or_else(|| "NULL".to_owned(), quote);
    let [client, connection, database] = contexts.each_ref().map(value);
    let update = format!(
        "UPDATE mysql.event SET character_set_client = {client}, collation_connection = {connection}, \
         db_collation = {database}, modified = {}, created = created WHERE db = {} AND name = {}",
        quote(modified),
        quote(&name.schema),
        quote(&name.name)
    );
    session.execute(&update).await
}
