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
	long   []byte // a line longer than the reader's buffer
	number int64  // of the line that next returned, from 1
}

func newLines(in io.Reader) *lines {
	return &lines{in: bufio.NewReaderSize(in, 256<<10)}
}

// next returns a line that is valid until the next call; io.EOF after the last.
func (l *lines) next() ([]byte, error) {
	for {
		line, err := l.read()
		if err != nil {
			return nil, err
		}
		l.number++
		line = bytes.TrimSuffix(line, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(bytes.TrimSpace(line)) > 0 {
			return line, nil
		}
	}
}

func (l *lines) read() ([]byte, error) {
	line, err := l.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = l.long[:0]
		for errors.Is(err, bufio.ErrBufferFull) {
			l.long = append(l.long, line...)
			if len(l.long) > maxLineBytes {
				return nil, fmt.Errorf("line %d is longer than %d MiB: is it NDJSON, one event a line?", l.number+1, maxLineBytes>>20)
			}
			line, err = l.in.ReadSlice('\n')
		}
		l.long = append(l.long, line...)
		line = l.long
	}
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("after line %d: %w", l.number, err)
	}
	return line, err
}
