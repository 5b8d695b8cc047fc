// Package storage is where bytes are kept: local disk, and object stores that
// speak S3. It is the FileIO under iceberg-go, in place of the built-in ones.
//
// What it promises:
//
//   - Durable before visible. A file is there under its name once Close of its
//     writer returned nil, whole and on stable storage (local disk: the file and
//     every folder entry that leads to it are flushed), and not before. So a
//     snapshot commit never refers to bytes that a power loss can take.
//   - Nothing half-written. A writer that failed, was aborted or died with its
//     process leaves nothing under the name.
//   - Bounded memory. Writers hold one part, readers one read-ahead buffer,
//     however large the file.
//   - Requests that end. Each request to an object store has a time limit and is
//     retried with jitter where a retry can help.
//   - Names are taken as they are. Iceberg does not percent-encode locations, so
//     nothing is decoded: "%20" in a name is these three characters.
//   - Errors that say what to do, and satisfy errors.Is(err, fs.ErrNotExist)
//     where a file is not there.
//
// A process that dies while it writes can leave what no reader sees: on local
// disk a file named .auditlake-tmp-* next to where the file would have been
// (WalkDir lists it, so that orphan removal finds it), on S3 an incomplete multipart
// upload (which a lifecycle rule with AbortIncompleteMultipartUpload ends).
//
// The package knows bytes only, and reads no file, flag or environment variable
// of its own; with no keys configured, the AWS SDK looks for credentials where
// it always does.
package storage
