//! How the demo speaks.

use std::io::IsTerminal;

const BOLD: &str = "1";
const FAINT: &str = "2";

/// A chapter.
pub fn title(text: &str) {
    println!("\n{}", styled(BOLD, text));
}

/// A sentence.
pub fn line(text: &str) {
    println!("   {text}");
}

/// What a user would type.
pub fn command(text: &str) {
    println!("   {} {text}", styled(FAINT, "$"));
}

/// A name and what is to be said of it.
pub fn pair(name: &str, text: &str) {
    println!("   {name:<16} {text}");
}

/// Something that happened this long after the kill.
pub fn moment(ms: u64, text: &str) {
    println!("   {ms:>7} ms  {text}");
}

/// Colours are for people: a file or a pipe gets none.
fn styled(style: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
}
