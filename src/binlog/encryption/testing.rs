//! Encrypts log files made in memory, by the server's rules told the other way round.
#![allow(clippy::unwrap_used)]

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};

use super::keys::{Algorithm, Keys};

/// Of the tests' key 1.
pub(crate) const KEY: [u8; 16] = *b"0123456789abcdef";
pub(crate) const NONCE: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

pub(crate) fn keys(algorithm: Algorithm) -> Keys {
    let digits: String = KEY.iter().map(|byte| format!("{byte:02X}")).collect();
    Keys::parse(&format!("# a comment\n2;00112233445566778899aabbccddeeff\n 1 ; {digits} # ours\n"), algorithm).unwrap()
}

/// Encrypts the events from the offset `from` on.
pub(crate) fn encrypt(plain: &[u8], from: usize, algorithm: Algorithm) -> Vec<u8> {
    let mut out = plain[..from].to_vec();
    while out.len() < plain.len() {
        let event = &plain[out.len()..];
        let length = u32::from_le_bytes(event[9..13].try_into().unwrap());
        let event = &event[..length as usize];
        let mut moved = event.to_vec();
        moved.copy_within(0..4, 9);
        let mut encrypted = cipher(&moved[4..], out.len(), algorithm);
        // The ciphertext in the length's place goes to the front, and the length back to its place.
        let displaced = encrypted[5..9].to_vec();
        encrypted[5..9].copy_from_slice(&event[9..13]);
        out.extend(displaced);
        out.extend(encrypted);
    }
    out
}

fn cipher(bytes: &[u8], offset: usize, algorithm: Algorithm) -> Vec<u8> {
    let aes = Aes128::new_from_slice(&KEY).unwrap();
    let block = |mut block: [u8; 16]| {
        aes.encrypt_block((&mut block).into());
        block
    };
    let xor = |left: &[u8], right: &[u8]| left.iter().zip(right).map(|(a, b)| a ^ b).collect::<Vec<u8>>();
    let mut vector = [0; 16];
    vector[..12].copy_from_slice(&NONCE);
    vector[12..].copy_from_slice(&u32::try_from(offset).unwrap().to_le_bytes());
    let mut chain = vector;
    let mut out = Vec::new();
    for part in bytes.chunks(16) {
        match algorithm {
            Algorithm::AesCtr => {
                out.extend(xor(part, &block(chain)));
                chain = (u128::from_be_bytes(chain) + 1).to_be_bytes();
            }
            Algorithm::AesCbc if part.len() == 16 => {
                chain = block(xor(part, &chain).try_into().unwrap());
                out.extend(chain);
            }
            Algorithm::AesCbc => out.extend(xor(part, &block(vector))),
        }
    }
    out
}
