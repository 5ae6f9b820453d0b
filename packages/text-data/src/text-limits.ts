const mebibyte = 2 ** 20

/**
 * UTF-8 bytes of a whole text. The tokenizer holds about 165 bytes for each of them while it works (measured on the
 * bundled texts: 2.7 GB for 16 MB), so this many need some 10 GB. WikiText-2 has 13 MB in all, the part of C4 that the
 * literature measures on 2.5 MB.
 */
export const maxTextBytes = 64 * mebibyte

/** One line of JSON is held whole, as bytes, as a string and as a parsed value; no document of C4 has a megabyte. */
export const maxLineBytes = 16 * mebibyte

/**
 * Bytes, uncompressed, of one column in one row group of a Parquet file: the least that can be decoded at once. The
 * hub writes row groups of 1,000 rows or of at most 300 MB.
 */
export const maxColumnChunkBytes = 512 * mebibyte

/** Rows of one row group. Their number comes from the file, and arrays are made for it before anything is read. */
export const maxRowGroupRows = 16 * mebibyte

/** The footer of a Parquet file is parsed whole; those of the hub's largest files have a few megabytes. */
export const maxParquetFooterBytes = 64 * mebibyte

/** Files that a folder or a pattern may stand for. C4 has 1,032. */
export const maxShards = 4096

/** Folders below the named one that are looked through: `CONFIG/SPLIT/SHARD` and one more. */
export const maxFolderDepth = 4
