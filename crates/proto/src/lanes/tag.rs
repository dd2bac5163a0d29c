//! How a part of a message is named while it is on its way.

/// Names one part of one message of one lane, in the 64 bits that recovery carries for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// The lane's number, as on the wire.
    pub lane: u8,
    /// Which of the message's splits it belongs to: after the path began to carry less, a message
    /// may be split anew.
    pub split: u8,
    /// Which part.
    pub index: u16,
    /// Which message.
    pub seq: u64,
}

const SEQ_BITS: u32 = 46;
const INDEX_BITS: u32 = 10;
const SPLIT_BITS: u32 = 3;

impl Tag {
    /// The limit of data, which is a frame that is sent until it arrives, but no message.
    pub const DATA_LIMIT: Self = Self { lane: 31, split: 0, index: 0, seq: 0 };

    /// As a number.
    pub const fn to_bits(self) -> u64 {
        let lane = (self.lane as u64) << (SEQ_BITS + INDEX_BITS + SPLIT_BITS);
        let split = (self.split as u64 & mask(SPLIT_BITS)) << (SEQ_BITS + INDEX_BITS);
        let index = (self.index as u64 & mask(INDEX_BITS)) << SEQ_BITS;
        lane | split | index | (self.seq & mask(SEQ_BITS))
    }

    /// From such a number.
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            lane: (bits >> (SEQ_BITS + INDEX_BITS + SPLIT_BITS)) as u8,
            split: ((bits >> (SEQ_BITS + INDEX_BITS)) & mask(SPLIT_BITS)) as u8,
            index: ((bits >> SEQ_BITS) & mask(INDEX_BITS)) as u16,
            seq: bits & mask(SEQ_BITS),
        }
    }

    /// The number of the split after this one.
    pub const fn next_split(split: u8) -> u8 {
        (split + 1) & mask(SPLIT_BITS) as u8
    }
}

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Fragment;

    #[test]
    fn a_tag_comes_back_from_its_number() {
        for lane in [0, 23, 27, 31] {
            for index in [0, 1, Fragment::COUNT_MAX - 1] {
                for seq in [0, 1, (1 << 46) - 1] {
                    let tag = Tag { lane, split: 5, index, seq };
                    assert_eq!(Tag::from_bits(tag.to_bits()), tag);
                }
            }
        }
        assert_eq!(Tag::next_split(7), 0);
    }
}
