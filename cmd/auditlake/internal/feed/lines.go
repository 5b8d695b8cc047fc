package feed

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLineBytes bounds the memory that one line can take. It is four times the
// largest event that the sink takes, so that an event too large can be sent.
const maxLineBytes = 64 << 20

// lines reads NDJSON line by line: blank lines are skipped but counted, a
// carriage return before the newline is cut, the last line needs no newline.
type lines struct {
	in     *bufio.Reader
	number int64 // of the line that next returned, from 1
	bytes  int64 // read so far, with newlines
}

func newLines(in io.Reader) *lines {
	return &lines{in: bufio.NewReaderSize(in, 256<<10)}
}

// next returns a line, which is the caller's to keep; io.EOF after the last.
func (l *lines) next() ([]byte, error) {
	for {
		line, err := l.read()
		if err != nil {
			return nil, err
		}
		l.number++
		l.bytes += int64(len(line))
		line = bytes.TrimSuffix(line, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(bytes.TrimSpace(line)) > 0 {
			return line, nil
		}
	}
}

func (l *lines) read() ([]byte, error) {
	var line []byte
	for {
		part, err := l.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil, errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("after line %d: %w", l.number, err)
		case len(line) > maxLineBytes:
			return nil, fmt.Errorf("line %d is longer than %d MiB: is it NDJSON, one event a line?", l.number+1, maxLineBytes>>20)
		}
	}
}
