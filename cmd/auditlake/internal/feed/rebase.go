package feed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// rebaseShift reads the whole input for its newest event and goes back to where
// it began. The shift is whole milliseconds, so that times of that precision
// keep their distances; the newest event lands less than one before target.
func rebaseShift(input io.Reader, name string, target time.Time) (time.Duration, error) {
	seeker, ok := input.(io.ReadSeeker)
	if !ok {
		return 0, errNoSecondPass(name, nil)
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, errNoSecondPass(name, err)
	}
	var newest time.Time
	lines := newLines(seeker)
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		if t, ok := scan(line).eventTime(line); ok && t.After(newest) {
			newest = t
		}
	}
	if _, err := seeker.Seek(start, io.SeekStart); err != nil {
		return 0, errNoSecondPass(name, err)
	}
	if newest.IsZero() {
		return 0, nil // no event with a time: nothing to shift
	}
	shift := target.Sub(newest)
	if newest.Add(shift).Sub(target).Abs() > time.Millisecond {
		return 0, fmt.Errorf("%s: its newest event, of %s, is too far from %s to be moved there", name, newest.Format(time.RFC3339), target.Format(time.RFC3339))
	}
	floor := shift.Truncate(time.Millisecond)
	if floor > shift {
		floor -= time.Millisecond
	}
	return floor, nil
}

func errNoSecondPass(name string, cause error) error {
	text := name + ": moving events to another time reads the input twice, and stdin or a pipe can be read once: save it to a file and give that"
	if cause == nil {
		return errors.New(text)
	}
	return fmt.Errorf("%s: %w", text, cause)
}

// rebase moves the times of one event and leaves every other byte as it is. A
// value that is no time stays, for a reader to judge.
func rebase(line []byte, m marks, shift time.Duration) []byte {
	spans := []span{m.time, m.approvedAt}
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	out := make([]byte, 0, len(line)+16)
	at := 0
	for _, s := range spans {
		t, ok := timeAt(line, s)
		if !ok {
			continue
		}
		out = append(out, line[at:s.from]...)
		out = appendTime(out, t.Add(shift), fractionDigits(line[s.from:s.to], shift))
		at = s.to
	}
	return append(out, line[at:]...)
}

// fractionDigits is how many digits of a second the moved time needs: those it
// had, and milliseconds where the shift has them.
func fractionDigits(old []byte, shift time.Duration) int {
	n := 0
	if dot := bytes.IndexByte(old, '.'); dot >= 0 {
		for _, c := range old[dot+1:] {
			if c < '0' || c > '9' {
				break
			}
			n++
		}
	}
	if shift%time.Second != 0 {
		n = max(n, 3)
	}
	return min(n, 9)
}

func appendTime(dst []byte, t time.Time, digits int) []byte {
	layout := "2006-01-02T15:04:05"
	if digits > 0 {
		layout += "." + strings.Repeat("0", digits)
	}
	dst = append(dst, '"')
	dst = t.AppendFormat(dst, layout+"Z07:00")
	return append(dst, '"')
}
