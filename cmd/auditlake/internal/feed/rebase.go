package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/auditlake/auditlake/envelope"
)

// rebaseShift reads the whole input for its newest event and goes back to where
// it began. The shift is whole milliseconds, so that times of that precision
// keep their distances; the newest event lands less than one before target.
func rebaseShift(input io.Reader, name string, decoder *envelope.Decoder, target time.Time) (time.Duration, error) {
	seeker, ok := input.(io.ReadSeeker)
	if !ok {
		return 0, errNoSecondPass(name, nil)
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, errNoSecondPass(name, err)
	}
	newest, found, err := newestEvent(seeker, name, decoder)
	if err != nil {
		return 0, err
	}
	if _, err := seeker.Seek(start, io.SeekStart); err != nil {
		return 0, errNoSecondPass(name, err)
	}
	if !found {
		return 0, nil // no event: nothing to shift
	}
	shift := target.Sub(newest)
	if !newest.Add(shift).Equal(target) {
		return 0, fmt.Errorf("%s: its newest event, of %s, is too far from %s to be moved there", name, newest.Format(time.RFC3339), target.Format(time.RFC3339))
	}
	floor := shift.Truncate(time.Millisecond)
	if floor > shift {
		floor -= time.Millisecond
	}
	return floor, nil
}

func newestEvent(input io.Reader, name string, decoder *envelope.Decoder) (newest time.Time, found bool, err error) {
	for lines := newLines(input); ; {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return newest, found, nil
		}
		if err != nil {
			return newest, false, fmt.Errorf("%s: %w", name, err)
		}
		event, err := decode(decoder, line, noTime)
		if err != nil {
			continue // whether such a line is sent is not decided here
		}
		if t := time.UnixMicro(event.Time()).UTC(); !found || t.After(newest) {
			newest, found = t, true
		}
	}
}

func errNoSecondPass(name string, cause error) error {
	text := name + ": moving events to another time reads the input twice, and stdin or a pipe can be read once: save it to a file and give that"
	if cause == nil {
		return errors.New(text)
	}
	return fmt.Errorf("%s: %w", text, cause)
}

// rebase moves the times of an event, when it happened and when it was approved,
// and leaves every other byte as it is.
func rebase(line []byte, event *envelope.Event, shift time.Duration) []byte {
	start := blank(line, 0)
	spots := make([]spot, 0, 2)
	if from, to, ok := member(line, start, "time"); ok {
		spots = append(spots, spot{from, to, event.Time()})
	}
	if event.Has(envelope.ColApprovedAt) {
		data, _, _ := member(line, start, "data")
		if from, to, ok := member(line, data, "audit.approval.at"); ok {
			spots = append(spots, spot{from, to, event.Value(envelope.ColApprovedAt).Int})
		}
	}
	if len(spots) == 2 && spots[0].from > spots[1].from {
		spots[0], spots[1] = spots[1], spots[0]
	}
	out, at := make([]byte, 0, len(line)+16), 0
	for _, s := range spots {
		out = append(out, line[at:s.from]...)
		out = appendMoved(out, line[s.from:s.to], s.micros, shift)
		at = s.to
	}
	return append(out, line[at:]...)
}

// spot is where a time stands in a line, and the microsecond that it means.
type spot struct {
	from, to int
	micros   int64
}

// appendMoved appends a quoted RFC 3339 time, moved by a shift of whole
// milliseconds. It keeps the time's zone and its digits of a second, and adds
// milliseconds where the shift has them.
func appendMoved(dst, quoted []byte, micros int64, shift time.Duration) []byte {
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return append(dst, quoted...)
	}
	const second = "2006-01-02T15:04:05"
	fraction, zone := text[len(second):], ""
	if i := strings.IndexAny(fraction, "Zz+-"); i >= 0 {
		fraction, zone = fraction[:i], fraction[i:]
	}
	east, err := time.Parse("Z07:00", strings.ToUpper(zone))
	if err != nil {
		return append(dst, quoted...)
	}
	_, offset := east.Zone()
	moved := time.UnixMicro(micros).Add(shift).In(time.FixedZone("", offset))
	if moved.Year() < 0 || moved.Year() > 9999 {
		return append(dst, quoted...) // RFC 3339 cannot write it
	}
	digits := max(0, len(fraction)-1)
	if shift%time.Second != 0 {
		digits = max(digits, 3)
	}
	dst = moved.AppendFormat(append(dst, '"'), second)
	if digits > 0 {
		text := moved.Format(".000000")
		if digits > 6 {
			text += fraction[len(text):] // below what the shift moves
		}
		dst = append(dst, text[:1+digits]...)
	}
	return append(append(dst, zone...), '"')
}
