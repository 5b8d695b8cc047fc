package datafile

import (
	"fmt"
	"io"
	"sync"

	"github.com/DataDog/zstd"
	"github.com/apache/arrow-go/v18/parquet/compress"
)

// DefaultLevel is the zstd level of data files that are written as they come
// in. Compaction can afford a higher one.
const DefaultLevel = 1

func init() { compress.RegisterCodec(compress.Codecs.Zstd, libzstd{}) }

// libzstd is Parquet's ZSTD codec on the C library, which takes about half the
// time of arrow-go's own. It is registered with arrow-go for the whole process,
// so it also reads.
type libzstd struct{}

// compressor is a zstd context with the memory its output goes to. A context
// serves one goroutine at a time: two in one crash the process. So nobody keeps
// one; it is taken from the pool for a page and put back.
type compressor struct {
	ctx zstd.Ctx
	out []byte
}

var compressors = sync.Pool{New: func() any { return &compressor{ctx: zstd.NewCtx()} }}

// compressPage calls use with the compressed form of src, which is valid during
// the call.
func compressPage(src []byte, level int, use func([]byte) error) error {
	c := compressors.Get().(*compressor)
	defer compressors.Put(c)
	if need := zstd.CompressBound(len(src)); cap(c.out) < need {
		c.out = make([]byte, need)
	}
	out, err := c.ctx.CompressLevel(c.out, src, level)
	if err != nil {
		return fmt.Errorf("compress a page of %d bytes: %w", len(src), err)
	}
	return use(out)
}

// Encode compresses src into dst, or into new memory if dst is too small. A
// Codec has no way to report an error; the only one there could be, memory that
// the C library does not get, panics.
func (l libzstd) Encode(dst, src []byte) []byte { return l.EncodeLevel(dst, src, DefaultLevel) }

// EncodeLevel is Encode at a level of zstd's.
func (libzstd) EncodeLevel(dst, src []byte, level int) []byte {
	if level == compress.DefaultCompressionLevel {
		level = DefaultLevel
	}
	c := compressors.Get().(*compressor)
	defer compressors.Put(c)
	out, err := c.ctx.CompressLevel(dst, src, level)
	if err != nil {
		panic(fmt.Errorf("compress a page of %d bytes: %w", len(src), err))
	}
	return out
}

// CompressBound is the most bytes that n bytes can become.
func (libzstd) CompressBound(n int64) int64 { return int64(zstd.CompressBound(int(n))) }

// Decode decompresses src into dst and panics if it is not valid: arrow-go
// calls DecodeWithError where it is there.
func (l libzstd) Decode(dst, src []byte) []byte {
	out, err := l.DecodeWithError(dst, src)
	if err != nil {
		panic(err)
	}
	return out
}

// DecodeWithError decompresses src into dst, or into new memory if dst is too
// small.
func (libzstd) DecodeWithError(dst, src []byte) ([]byte, error) {
	if len(src) == 0 {
		return nil, fmt.Errorf("decompress a page: %w", io.ErrUnexpectedEOF)
	}
	c := compressors.Get().(*compressor)
	defer compressors.Put(c)
	if cap(dst) == 0 {
		dst = nil
	}
	out, err := c.ctx.Decompress(dst, src)
	if err != nil {
		return nil, fmt.Errorf("decompress a page of %d bytes: %w", len(src), err)
	}
	return out, nil
}

// NewReader decompresses a stream.
func (libzstd) NewReader(r io.Reader) io.ReadCloser { return zstd.NewReader(r) }

// NewWriter compresses a stream.
func (libzstd) NewWriter(w io.Writer) io.WriteCloser { return zstd.NewWriterLevel(w, DefaultLevel) }

// NewWriterLevel compresses a stream at a level of zstd's.
func (libzstd) NewWriterLevel(w io.Writer, level int) (io.WriteCloser, error) {
	if level == compress.DefaultCompressionLevel {
		level = DefaultLevel
	}
	return zstd.NewWriterLevel(w, level), nil
}
