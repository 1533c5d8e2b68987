//! Numbers, texts and lists of Kafka's protocol, taken from bytes.

/// Anything that an answer can't be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an answer that does not follow the protocol")]
pub struct Malformed;

/// Takes one thing after the other from the front of some bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    pub fn of_response(response: &'a [u8], correlation: i32) -> Result<Self, Malformed> {
        let mut reader = Reader::of_response_without_tags(response, correlation)?;
        reader.tags()?;
        Ok(reader)
    }

    /// The same of a request that has no tags in its header.
    pub fn of_response_without_tags(response: &'a [u8], correlation: i32) -> Result<Self, Malformed> {
        let mut reader = Reader(response);
        match reader.int32()? == correlation {
            true => Ok(reader),
            false => Err(Malformed),
        }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    #[inline(always)]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub fn int16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn int32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn int64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// A number of seven bits a byte, the lowest first.
    #[inline(always)]
    pub fn unsigned(&mut self) -> Result<u64, Malformed> {
        // Most are short, and those of one kind as long as the one before.
        let (number, rest) = match self.0 {
            [a @ 0..0x80, rest @ ..] => (u32::from(*a), rest),
            [a, b @ 0..0x80, rest @ ..] => (u32::from(*a & 0x7f) | u32::from(*b) << 7, rest),
            [a, b, c @ 0..0x80, rest @ ..] => {
                (u32::from(*a & 0x7f) | u32::from(*b & 0x7f) << 7 | u32::from(*c) << 14, rest)
            }
            _ => return self.long_unsigned(),
        };
        self.0 = rest;
        Ok(number.into())
    }

    #[cold]
    fn long_unsigned(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    /// The same, also for numbers below zero: the sign is the lowest bit.
    #[inline(always)]
    pub fn signed(&mut self) -> Result<i64, Malformed> {
        let number = self.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    /// A length that is one less than written; nothing where it is 0.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        let count = self.unsigned()?.saturating_sub(1);
        usize::try_from(count).map_err(|_| Malformed)
    }

    pub fn compact_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.count()?;
        self.take(count)
    }

    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.compact_bytes()?).map_err(|_| Malformed)
    }

    /// A text with a length of old; nothing where there is none.
    pub fn short_text(&mut self) -> Result<Option<&'a str>, Malformed> {
        let Ok(length) = usize::try_from(self.int16()?) else { return Ok(None) };
        std::str::from_utf8(self.take(length)?).map(Some).map_err(|_| Malformed)
    }

    pub fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        // No room is made for a count that may be anything.
        let mut items = Vec::new();
        for _ in 0..self.count()? {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Passes fields that later versions added.
    pub fn tags(&mut self) -> Result<(), Malformed> {
        self.each_tag(|_, _| Ok(()))
    }

    /// Calls `each` with the number and the bytes of each field that later versions added.
    pub fn each_tag(
        &mut self,
        mut each: impl FnMut(u64, Reader<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        for _ in 0..self.unsigned()? {
            let tag = self.unsigned()?;
            let length = usize::try_from(self.unsigned()?).map_err(|_| Malformed)?;
            each(tag, Reader(self.take(length)?))?;
        }
        Ok(())
    }
}
