use almanac_core::protocol::decompression::Decompression;

/// Decompression with every codec that Kafka has: the core leaves out the one whose decoder is C.
pub fn decompression() -> Decompression {
    Decompression::with_zstd(|compressed| Ok(Box::new(zstd::Decoder::with_buffer(compressed)?)))
}
