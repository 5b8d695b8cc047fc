// Package storage is where bytes are kept: local disk, and object stores that
// speak S3. It is the FileIO under iceberg-go, in place of the built-in ones.
//
// Both promise:
//
//   - Durable before visible. A file is there under its name once Close of its
//     writer returned nil, whole and on stable storage, and not before. So a
//     snapshot commit never refers to bytes that a power loss can take.
//   - Nothing half-written. Under a name there is a whole file or none, whatever
//     fails, and whenever the process dies. Removals are not flushed.
//   - Names are taken as they are. Iceberg does not percent-encode locations, so
//     nothing is decoded: "%20" in a name is these three characters.
//   - Errors are one line that says what to do, and satisfy
//     errors.Is(err, fs.ErrNotExist) where a file is not there. None holds a
//     secret. (DeleteFiles joins one line for each file that stays.)
//
// Local disk: a writer fills a file named .auditlake-tmp-* beside the final name.
// Create flushes (fsync) the entries of all folders that lead to it, also of those
// it found there, once for each folder and process. Close flushes the file,
// renames it and flushes the folder it is in. Where that last flush fails Close
// fails and removes the file, unless it replaced one: then the new one stays,
// whole. Folders of file systems that know no flush (EINVAL: read-only images,
// some network ones) are as durable as these make them. Locations are absolute.
//
// S3: a file that fits one part is one PUT, a larger one a multipart upload with
// one part under way while the next fills: a writer holds two parts, 16 MiB by
// default. A reader holds one read-ahead of 256 KiB that grows to 8 MiB while
// reads follow one another, and ReadAt of Parquet's footer and columns makes
// ranged requests. A reader stays with the version of the object that it saw
// first; a replaced one is an error, never a mixture. One client, with its
// connections, serves all buckets of an S3Config for the life of the process.
//
// Each attempt of a request has a time limit. What a retry can mend (no answer,
// 5xx, SlowDown, an upload damaged on its way, a body that ends early) is tried
// again with jittered, growing waits; what it cannot (denied, expired, missing) is
// not. Where no attempt was answered, Close fails though the whole file may be
// there: it is then like any file that no snapshot refers to.
//
// What else a dead process or a lost answer can leave, no reader sees: on local
// disk the temporary file (WalkDir lists it, so that orphan removal finds it), on
// S3 an incomplete multipart upload (a lifecycle rule with
// AbortIncompleteMultipartUpload ends it).
//
// The package knows bytes only, and reads no file, flag or environment variable
// of its own; with no keys configured, the AWS SDK looks for credentials where
// it always does.
package storage
