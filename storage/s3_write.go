package storage

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"
)

const (
	maxParts = 10_000 // S3's limit for the parts of an upload
	// writeID is the key of the metadata by which an upload knows its object again.
	writeID = "auditlake-write-id"
)

// s3Writer sends an object part by part, one part under way while the next one
// fills: two parts in memory. An object that fits one part is a single PUT, so
// that small files cost one request.
type s3Writer struct {
	object
	ctx    context.Context
	cancel context.CancelFunc

	filling []byte
	id      string  // under writeID
	upload  *string // upload id; nil until the first part is full
	parts   []types.CompletedPart
	sending chan sentPart // nil when no part is under way

	err  error // the first failed write: what was sent is not the file
	done bool
	last error // what Close returned
}

type sentPart struct {
	part   types.CompletedPart
	buffer []byte // free again
	err    error
}

func newS3Writer(obj object) *s3Writer {
	ctx, cancel := context.WithCancel(context.Background())
	return &s3Writer{object: obj, ctx: ctx, cancel: cancel, id: uuid.NewString()}
}

func (w *s3Writer) Write(p []byte) (n int, err error) {
	if w.done {
		return 0, w.fail("write", fs.ErrClosed)
	}
	if w.err != nil {
		return 0, w.err
	}
	for len(p) > 0 {
		if int64(len(w.filling)) == w.client.partSize {
			if w.err = w.sendPart(); w.err != nil {
				return n, w.err
			}
		}
		m := min(len(p), int(w.client.partSize)-len(w.filling))
		w.filling = append(w.filling, p[:m]...)
		p = p[m:]
		n += m
	}
	return n, nil
}

// Buffered is how many bytes the writer holds: the part that fills, and the one
// that is under way or was and waits to be filled.
func (w *s3Writer) Buffered() int64 {
	held := int64(cap(w.filling))
	if w.sending != nil {
		held += w.client.partSize
	}
	return held
}

// ReadFrom copies r, remembering that a failed read leaves the file incomplete.
func (w *s3Writer) ReadFrom(r io.Reader) (int64, error) {
	if w.err != nil {
		return 0, w.err // io.Copy would read r first
	}
	n, err := io.Copy(struct{ io.Writer }{w}, r)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// sendPart waits for the part under way and sends the full one.
func (w *s3Writer) sendPart() error {
	free, err := w.awaitPart()
	if err != nil {
		return err
	}
	if w.upload == nil {
		out, err := w.client.CreateMultipartUpload(w.ctx, &s3.CreateMultipartUploadInput{
			Bucket: &w.bucket, Key: &w.key, Metadata: map[string]string{writeID: w.id}})
		if err != nil {
			return w.explain("write", err)
		}
		w.upload = out.UploadId
	}
	number := int32(len(w.parts) + 1)
	if number > maxParts {
		return w.fail("write", fmt.Errorf("it is larger than %d parts of %d bytes: write smaller files", maxParts, w.client.partSize))
	}
	full := w.filling
	w.filling = free[:0]
	w.sending = make(chan sentPart, 1)
	go func() { w.sending <- w.putPart(number, full) }()
	return nil
}

func (w *s3Writer) putPart(number int32, data []byte) sentPart {
	out, err := w.client.UploadPart(w.ctx, &s3.UploadPartInput{
		Bucket: &w.bucket, Key: &w.key, UploadId: w.upload, PartNumber: &number, Body: bytes.NewReader(data)})
	if err != nil {
		return sentPart{err: w.explain("write", err)}
	}
	return sentPart{part: types.CompletedPart{ETag: out.ETag, PartNumber: &number}, buffer: data}
}

// awaitPart waits for the part under way, if any, and hands back its buffer.
func (w *s3Writer) awaitPart() (free []byte, err error) {
	if w.sending == nil {
		return nil, nil
	}
	sent := <-w.sending
	w.sending = nil
	if sent.err != nil {
		return nil, sent.err
	}
	w.parts = append(w.parts, sent.part)
	return sent.buffer, nil
}

// Close sends the rest; only then the object is there. After an error the caller
// must not refer to the file. A second Close returns what the first did.
func (w *s3Writer) Close() error {
	if w.done {
		return w.last
	}
	if w.err == nil {
		w.err = w.publish()
	}
	if w.err != nil {
		w.last = andCleanup(w.err, w.Abort())
		return w.last
	}
	w.done = true
	w.cancel()
	w.filling = nil
	return nil
}

func (w *s3Writer) publish() error {
	if w.upload == nil {
		_, err := w.client.PutObject(w.ctx, &s3.PutObjectInput{Bucket: &w.bucket, Key: &w.key, Body: bytes.NewReader(w.filling)})
		return w.explain("write", err)
	}
	if err := w.sendPart(); err != nil {
		return err
	}
	if _, err := w.awaitPart(); err != nil {
		return err
	}
	_, err := w.client.CompleteMultipartUpload(w.ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &w.bucket, Key: &w.key, UploadId: w.upload,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: w.parts}})
	if hasCode(err, "NoSuchUpload") && w.landed() {
		return nil // the answer to an attempt before was lost
	}
	return w.explain("write", err)
}

// landed reports whether the object is what this writer sent.
func (w *s3Writer) landed() bool {
	out, err := w.client.HeadObject(w.ctx, &s3.HeadObjectInput{Bucket: &w.bucket, Key: &w.key})
	return err == nil && out.Metadata[writeID] == w.id
}

// Abort drops what was sent.
func (w *s3Writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.last = w.fail("write", fmt.Errorf("it was aborted: %w", fs.ErrClosed))
	w.cancel()
	// A part that arrives after the abort would stay, and be paid for.
	_, _ = w.awaitPart()
	w.filling = nil
	if w.upload == nil {
		return nil
	}
	_, err := w.client.AbortMultipartUpload(context.Background(), &s3.AbortMultipartUploadInput{
		Bucket: &w.bucket, Key: &w.key, UploadId: aws.String(*w.upload)})
	if hasCode(err, "NoSuchUpload") {
		return nil // it completed, or somebody else ended it
	}
	return w.explain("abort", err)
}
