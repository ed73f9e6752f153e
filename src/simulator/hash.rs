//! A 64-bit hash that is the same on every machine and in every release.
//!
//! Guards: ids, tokens and all other values that look random repeat from run to run. No secret depends on it.
//! Not here: what is hashed.

/// FNV-1a over `parts`, each followed by a separator, mixed by the last steps of `SplitMix64`.
pub(super) fn stable_hash(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
