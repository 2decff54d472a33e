//! Lines of bounded length from a byte stream.

use std::io;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::orders::MAX_LINE;

/// Reads JSON lines. Safe to cancel: what was read of a line is kept for the next call.
pub(crate) struct Lines<R> {
    stream: R,
    unread: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads from `stream`.
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// The next line; none at the end of the stream.
    ///
    /// # Errors
    /// When the stream fails, a line is longer than [`MAX_LINE`], or it is not what was expected.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            if self.unread.len() > MAX_LINE {
                return Err(io::Error::other(format!("a line is longer than {MAX_LINE} bytes")));
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_however_they_are_cut() {
        let bytes: &[u8] = b"1\n\"two\"\n3";
        let mut lines = Lines::new(tokio::io::BufReader::with_capacity(1, bytes));
        assert_eq!(lines.next::<u8>().await.unwrap(), Some(1));
        assert_eq!(lines.next::<String>().await.unwrap(), Some("two".to_owned()));
        assert_eq!(lines.next::<u8>().await.unwrap(), None, "a cut line is no line");
    }

    #[tokio::test]
    async fn garbage_and_endless_lines_are_errors() {
        assert!(Lines::new(&b"{\n"[..]).next::<u8>().await.is_err());
        let endless = vec![b'1'; MAX_LINE + 2];
        assert!(Lines::new(endless.as_slice()).next::<u8>().await.is_err());
    }
}
