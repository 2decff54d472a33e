//! AES, one block at a time.

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256};

/// Bytes of AES' blocks.
pub(super) const BLOCK: usize = 16;
/// One of them.
pub(super) type Block = [u8; BLOCK];

/// AES with a key of 16, 24 or 32 bytes.
pub(super) enum Aes {
    Short(Box<Aes128>),
    Middle(Box<Aes192>),
    Long(Box<Aes256>),
}

impl Aes {
    /// `None` for a key of another length.
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        let short = || Aes128::new_from_slice(key).map(|aes| Self::Short(Box::new(aes))).ok();
        let middle = || Aes192::new_from_slice(key).map(|aes| Self::Middle(Box::new(aes))).ok();
        let long = || Aes256::new_from_slice(key).map(|aes| Self::Long(Box::new(aes))).ok();
        short().or_else(middle).or_else(long)
    }

    pub(crate) fn encrypt(&self, mut block: Block) -> Block {
        match self {
            Self::Short(aes) => aes.encrypt_block((&mut block).into()),
            Self::Middle(aes) => aes.encrypt_block((&mut block).into()),
            Self::Long(aes) => aes.encrypt_block((&mut block).into()),
        }
        block
    }

    pub(crate) fn decrypt(&self, mut block: Block) -> Block {
        match self {
            Self::Short(aes) => aes.decrypt_block((&mut block).into()),
            Self::Middle(aes) => aes.decrypt_block((&mut block).into()),
            Self::Long(aes) => aes.decrypt_block((&mut block).into()),
        }
        block
    }
}
