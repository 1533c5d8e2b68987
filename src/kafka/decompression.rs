use std::io::{self, Read};

use almanac_core::protocol::decompression::{Decoder, Decompression};
use zstd::stream::raw::{InBuffer, Operation, OutBuffer};

/// Decompression with every codec that Kafka has: the core leaves out the one whose decoder is C.
pub fn decompression() -> Decompression {
    Decompression::with_zstd(|| Ok(Box::new(Zstd::new()?)))
}

struct Zstd {
    decoder: zstd::stream::raw::Decoder<'static>,
    compressed: Vec<u8>,
    passed: usize,
}

impl Zstd {
    fn new() -> io::Result<Zstd> {
        Ok(Zstd { decoder: zstd::stream::raw::Decoder::new()?, compressed: Vec::new(), passed: 0 })
    }
}

impl Decoder for Zstd {
    fn begin(&mut self, compressed: &[u8]) {
        self.compressed.clear();
        self.compressed.extend_from_slice(compressed);
        self.passed = 0;
        if let Err(error) = self.decoder.reinit() {
            tracing::debug!(%error, "can't use a decoder again");
            self.compressed.clear();
        }
    }
}

impl Read for Zstd {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut output = OutBuffer::around(into);
        loop {
            let mut input = InBuffer::around(self.compressed.get(self.passed..).unwrap_or_default());
            let (taken_before, made_before) = (input.pos(), output.pos());
            self.decoder.run(&mut input, &mut output)?;
            self.passed += input.pos();
            // Nothing more can come where it neither takes nor makes anything.
            if output.pos() > made_before || input.pos() == taken_before {
                return Ok(output.pos());
            }
        }
    }
}
