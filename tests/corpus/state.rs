//! What a server holds, as text: equal texts mean equal tables, definitions, accounts and prepared transactions.

use std::fmt::Write;

use regex::Regex;

use testkit::mariadb::MariaDb;

/// Schemas of the statements.
const SCHEMAS: &str = "('d', 'e ü')";

pub fn of(server: &MariaDb) -> String {
    let objects = server.sql(&format!(
        "SELECT table_type, CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables
         WHERE table_schema IN {SCHEMAS} ORDER BY 1, 2"
    ));
    assert!(!objects.is_empty(), "the server has none of the schemas {SCHEMAS}");
    let mut queries = String::new();
    for (kind, name) in objects.lines().filter_map(|line| line.split_once('\t')) {
        let content = if kind == "VIEW" { "SELECT * FROM" } else { "CHECKSUM TABLE" };
        write!(queries, "SHOW CREATE TABLE {name}; {content} {name};").unwrap();
    }
    for query in [
        format!(
            "SELECT trigger_name, action_statement, definer FROM information_schema.triggers WHERE trigger_schema IN {SCHEMAS}"
        ),
        format!(
            "SELECT routine_name, routine_definition, definer FROM information_schema.routines WHERE routine_schema IN {SCHEMAS}"
        ),
        format!(
            "SELECT event_name, event_definition, definer FROM information_schema.events WHERE event_schema IN {SCHEMAS}"
        ),
        format!("SELECT * FROM information_schema.schemata WHERE schema_name IN {SCHEMAS}"),
        "SELECT user, host, is_role, authentication_string FROM mysql.user ORDER BY 1, 2".to_owned(),
        "SHOW GRANTS FOR u@localhost".to_owned(),
        "SHOW GRANTS FOR r".to_owned(),
        "XA RECOVER FORMAT='SQL'".to_owned(),
    ] {
        write!(queries, "{query};").unwrap();
    }
    // The next number of an AUTO_INCREMENT moves also with what was rolled back.
    let counter = Regex::new("AUTO_INCREMENT=[0-9]+ ").unwrap();
    counter.replace_all(&server.sql(&queries), "").into_owned()
}
