//! How the demo speaks.

/// A chapter.
pub fn title(text: &str) {
    println!("\n\x1b[1m{text}\x1b[0m");
}

/// A sentence.
pub fn line(text: &str) {
    println!("   {text}");
}

/// What a user would type.
pub fn command(text: &str) {
    println!("   \x1b[2m$\x1b[0m {text}");
}

/// A name and what is to be said of it.
pub fn pair(name: &str, text: &str) {
    println!("   {name:<16} {text}");
}

/// Something that happened this long after the kill.
pub fn moment(ms: u64, text: &str) {
    println!("   {ms:>7} ms  {text}");
}
