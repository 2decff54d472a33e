//! The ciphers of one file and of one event.

use std::sync::Arc;

use super::block::{BLOCK, Block};
use super::keys::{Algorithm, Key, Keys};
use crate::binlog::body::StartEncryption;

/// How one file is encrypted.
#[derive(Clone)]
pub struct FileCipher {
    key: Arc<Key>,
    nonce: [u8; 12],
    begins: u64,
}

impl FileCipher {
    /// For events from the offset `begins` on. `None` when the key is missing or the scheme is unknown.
    pub(super) fn new(keys: &Keys, start: &StartEncryption, begins: u64) -> Option<Self> {
        let key = keys.key(start.key_version).ok().filter(|_| start.scheme == StartEncryption::SCHEME)?;
        Some(Self { key, nonce: start.nonce, begins })
    }

    /// Where the first encrypted event begins.
    pub(super) fn begins(&self) -> u64 {
        self.begins
    }

    /// The cipher of the event at `offset`.
    pub(super) fn event(&self, offset: u64) -> EventCipher {
        let mut vector = [0; BLOCK];
        let (nonce, position) = vector.split_at_mut(12);
        nonce.copy_from_slice(&self.nonce);
        // The server takes the offset modulo 2^32.
        position.iter_mut().zip(offset.to_le_bytes()).for_each(|(to, from)| *to = from);
        EventCipher { key: Arc::clone(&self.key), vector, chain: vector, pending: Vec::with_capacity(BLOCK) }
    }
}

impl std::fmt::Debug for FileCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileCipher").field("nonce", &self.nonce).finish_non_exhaustive()
    }
}

/// Decrypts one event, whose bytes come in order.
pub(super) struct EventCipher {
    key: Arc<Key>,
    vector: Block,
    /// CBC: the encrypted block before. CTR: the counter.
    chain: Block,
    /// Bytes of a block that is not complete.
    pending: Vec<u8>,
}

impl EventCipher {
    /// Appends what `bytes` decrypt to; the last, incomplete block waits.
    pub(crate) fn update(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let missing = BLOCK - self.pending.len();
            let (now, later) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            self.pending.extend_from_slice(now);
            bytes = later;
            if let Ok(block) = Block::try_from(self.pending.as_slice()) {
                out.extend_from_slice(&self.block(block));
                self.pending.clear();
            }
        }
    }

    fn block(&mut self, block: Block) -> Block {
        match self.key.algorithm {
            Algorithm::AesCbc => xor(self.key.aes.decrypt(block), std::mem::replace(&mut self.chain, block)),
            Algorithm::AesCtr => {
                let mask = self.key.aes.encrypt(self.chain);
                self.chain = u128::from_be_bytes(self.chain).wrapping_add(1).to_be_bytes();
                xor(block, mask)
            }
        }
    }

    /// Appends the incomplete last block. There is no padding: under CBC it is masked by the encrypted vector.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let mask = match self.key.algorithm {
            Algorithm::AesCbc => self.key.aes.encrypt(self.vector),
            Algorithm::AesCtr => self.key.aes.encrypt(self.chain),
        };
        out.extend(self.pending.drain(..).zip(mask).map(|(byte, mask)| byte ^ mask));
    }

    /// The bytes that wait, as they stand in the file.
    pub(crate) fn into_pending(self) -> Vec<u8> {
        self.pending
    }
}

impl std::fmt::Debug for EventCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventCipher").field("vector", &self.vector).finish_non_exhaustive()
    }
}

fn xor(left: Block, right: Block) -> Block {
    std::array::from_fn(|index| left.get(index).unwrap_or(&0) ^ right.get(index).unwrap_or(&0))
}
