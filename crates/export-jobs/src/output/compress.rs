//! Compressing blocks of lines, each a whole gzip member or zstd frame.

use flate2::{Compress, Compression, FlushCompress, Status};
use records::changes::Codec;

use super::error::OutputError;

/// The level that gzip itself takes when it is told none.
const GZIP_LEVEL: u32 = 6;
/// The base two logarithm of deflate's window: the largest there is.
const GZIP_WINDOW_BITS: u8 = 15;
/// The lowest of zstd's regular levels, since the function's time is what is paid for.
const ZSTD_LEVEL: i32 = 1;
/// What a gzip member adds to deflate's bound: header and trailer.
const GZIP_FRAME_BYTES: usize = 32;

/// One compressor for all data sets. Every block is independent of the others, so that a data set needs no state of its own
/// between them; readers of gzip and zstd take such blocks, one behind the other, as one text.
pub(super) enum Compressor {
    Gzip(Compress),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Compressor {
    pub(super) fn new(codec: Codec) -> Result<Self, OutputError> {
        match codec {
            Codec::Gzip => Ok(Self::Gzip(Compress::new_gzip(
                Compression::new(GZIP_LEVEL),
                GZIP_WINDOW_BITS,
            ))),
            Codec::Zstd => zstd::bulk::Compressor::new(ZSTD_LEVEL)
                .map(Self::Zstd)
                .map_err(|_| OutputError::Encoder("making a zstd compressor")),
        }
    }

    /// Replaces what is in `out` by the compressed block.
    pub(super) fn block(&mut self, lines: &[u8], out: &mut Vec<u8>) -> Result<(), OutputError> {
        out.clear();
        match self {
            Self::Gzip(gzip) => {
                gzip.reset();
                // Deflate adds five bytes to each 16 KiB that it cannot make smaller.
                out.reserve(lines.len() + lines.len() / 1024 + GZIP_FRAME_BYTES);
                match gzip.compress_vec(lines, out, FlushCompress::Finish) {
                    Ok(Status::StreamEnd) => Ok(()),
                    _ => Err(OutputError::Encoder("compressing with gzip")),
                }
            }
            Self::Zstd(zstd) => {
                out.reserve(zstd::zstd_safe::compress_bound(lines.len()));
                zstd.compress_to_buffer(lines, out)
                    .map(drop)
                    .map_err(|_| OutputError::Encoder("compressing with zstd"))
            }
        }
    }
}
