package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	// minFetch is what a small read fetches: below it a request costs its round
	// trip and hardly its bytes. The footer of a Parquet file mostly fits.
	minFetch = 256 << 10
	// maxFetch bounds what reading on and on fetches at a time.
	maxFetch = 8 << 20

	wholeObject = -1
)

// s3File reads an object in ranges. It stays with the version that the first
// answer showed: an object replaced meanwhile is an error, never a mixture.
type s3File struct {
	object
	pos    int64
	closed atomic.Bool
	info   atomic.Pointer[fileInfo] // nil until an answer brought it
	ahead  atomic.Pointer[window]   // the last range fetched for small reads
}

// window is a piece of an object in memory; it does not change.
type window struct {
	off  int64
	data []byte
}

func (w *window) end() int64 { return w.off + int64(len(w.data)) }

func (f *s3File) Close() error {
	if f.closed.Swap(true) {
		return f.fail("close", fs.ErrClosed)
	}
	f.ahead.Store(nil)
	return nil
}

// Stat makes a request unless a read has already brought the answer.
func (f *s3File) Stat() (fs.FileInfo, error) {
	info, err := f.stat()
	if err != nil {
		return nil, err
	}
	return *info, nil
}

func (f *s3File) stat() (*fileInfo, error) {
	if f.closed.Load() {
		return nil, f.fail("stat", fs.ErrClosed)
	}
	if info := f.info.Load(); info != nil {
		return info, nil
	}
	info, err := f.head()
	if err != nil {
		return nil, err
	}
	f.info.CompareAndSwap(nil, &info)
	return f.info.Load(), nil
}

// Seek makes a request only where the size is needed and not known.
func (f *s3File) Seek(offset int64, whence int) (int64, error) {
	if f.closed.Load() {
		return 0, f.fail("seek", fs.ErrClosed)
	}
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		info, err := f.stat()
		if err != nil {
			return 0, err
		}
		offset += info.size
	default:
		return 0, f.fail("seek", fs.ErrInvalid)
	}
	if offset < 0 {
		return 0, f.fail("seek", fs.ErrInvalid)
	}
	f.pos = offset
	return offset, nil
}

func (f *s3File) Read(p []byte) (int, error) {
	n, err := f.readSome(p, f.pos)
	f.pos += int64(n)
	return n, err
}

func (f *s3File) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, f.fail("read", fs.ErrInvalid)
	}
	for n < len(p) && err == nil {
		var m int
		m, err = f.readSome(p[n:], off+int64(n))
		n += m
	}
	return n, err
}

// readSome reads at least one byte of what p has room for.
func (f *s3File) readSome(p []byte, off int64) (int, error) {
	if f.closed.Load() {
		return 0, f.fail("read", fs.ErrClosed)
	}
	if len(p) == 0 {
		return 0, nil
	}
	last := f.ahead.Load()
	if last != nil && last.off <= off && off < last.end() {
		return copy(p, last.data[off-last.off:]), nil
	}
	if info := f.info.Load(); info != nil && off >= info.size {
		return 0, io.EOF
	}
	if len(p) >= maxFetch {
		data, err := f.fetch(off, maxFetch, p[:maxFetch])
		return len(data), err
	}
	start, length := f.nextFetch(last, off, int64(len(p)))
	data, err := f.fetch(start, length, nil)
	if err != nil {
		return 0, err
	}
	f.ahead.Store(&window{start, data})
	if off-start >= int64(len(data)) {
		return 0, io.EOF
	}
	return copy(p, data[off-start:]), nil
}

// nextFetch decides which range to fetch for a read of n bytes at off: more and
// more while reads follow one another, and no less than minFetch, which at the
// end of a file reaches back, for footers are read from their end.
func (f *s3File) nextFetch(last *window, off, n int64) (start, length int64) {
	length = max(n, minFetch)
	if last != nil && last.end() == off {
		return off, max(length, min(2*int64(len(last.data)), maxFetch))
	}
	if info := f.info.Load(); info != nil && off+length > info.size {
		start = min(off, max(0, info.size-length))
		return start, info.size - start
	}
	return off, length
}

// fetch reads a range into buf, which grows as needed, going on where a broken
// connection stopped. Less than length comes back only at the end of the object,
// and io.EOF when off is not before it.
func (f *s3File) fetch(off, length int64, buf []byte) (data []byte, err error) {
	data = buf[:0]
	for attempt := 1; ; attempt++ {
		data, err = f.get(off, length, data)
		// The SDK has retried what failed before the body; what breaks within
		// the body is for us.
		var broken *brokenBody
		if !errors.As(err, &broken) {
			return data, err
		}
		if !f.client.pause(attempt, broken) {
			return nil, f.explain("read", broken.err)
		}
	}
}

// brokenBody is a body that ended early. It hides its cause: io.EOF would say that
// the object ends here.
type brokenBody struct{ err error }

func (e *brokenBody) Error() string        { return e.err.Error() }
func (e *brokenBody) RetryableError() bool { return true }

// get makes one GET for what data lacks of the range and appends it. What was
// read before the body broke comes with the error.
func (f *s3File) get(off, length int64, data []byte) ([]byte, error) {
	have := int64(len(data))
	in := &s3.GetObjectInput{Bucket: &f.bucket, Key: &f.key}
	switch {
	case length != wholeObject:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", off+have, off+length-1))
	case off+have > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", off+have))
	}
	if info := f.info.Load(); info != nil && info.etag != "" {
		in.IfMatch = &info.etag
	}
	out, err := f.client.GetObject(context.Background(), in)
	if err != nil {
		if statusOf(err) == http.StatusRequestedRangeNotSatisfiable {
			err = f.beyondEnd(off)
		} else {
			err = f.explain("read", err)
		}
		return nil, err
	}
	defer out.Body.Close()
	size, err := f.version(out, off+have)
	if err != nil {
		return nil, err
	}
	if off >= size {
		return nil, io.EOF
	}
	want := size - off - have
	if length != wholeObject {
		want = min(want, length-have) // a store that ignores Range sends all
	}
	data = slices.Grow(data, int(want))
	n, err := io.ReadFull(out.Body, data[have:have+want])
	data = data[:have+int64(n)]
	if err != nil {
		return data, &brokenBody{err}
	}
	return data, nil
}

// version takes size and version of the object from an answer that starts at
// off, and refuses another version than the one that earlier reads saw.
func (f *s3File) version(out *s3.GetObjectOutput, off int64) (size int64, err error) {
	if size, err = objectSize(out, off); err != nil {
		return 0, f.fail("read", err)
	}
	got := fileInfo{name: path.Base(f.key), size: size, modTime: aws.ToTime(out.LastModified), etag: aws.ToString(out.ETag)}
	f.info.CompareAndSwap(nil, &got)
	if f.info.Load().etag != got.etag {
		return 0, f.fail("read", errReplaced)
	}
	return size, nil
}

var (
	errReplaced = errors.New("the object was replaced while it was read: read it again")
	// Without a length a body that ends early passes for a whole one.
	errNoLength = errors.New("the answer does not say how long the object is: use no proxy that changes answers")
)

// objectSize is the size of the whole object that out is a part of.
func objectSize(out *s3.GetObjectOutput, off int64) (int64, error) {
	if out.ContentRange == nil {
		if off > 0 {
			return 0, errors.New("the object store does not know ranged reads: use another one")
		}
		if out.ContentLength == nil {
			return 0, errNoLength
		}
		return *out.ContentLength, nil
	}
	_, total, _ := strings.Cut(*out.ContentRange, "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if err != nil || !strings.HasPrefix(*out.ContentRange, fmt.Sprintf("bytes %d-", off)) {
		return 0, fmt.Errorf("the answer to a read from byte %d is of %q: use no proxy that changes answers", off, *out.ContentRange)
	}
	return size, nil
}

// beyondEnd is the answer to a range that S3 refused: io.EOF if the object does
// end before it.
func (f *s3File) beyondEnd(off int64) error {
	info, err := f.stat()
	if err != nil {
		return err
	}
	if off < info.size {
		return f.fail("read", fmt.Errorf("the object store refused the range from %d of %d bytes", off, info.size))
	}
	return io.EOF
}
