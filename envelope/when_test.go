package envelope

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// oddBytes stand beside the ranges that a byte is held against.
const oddBytes = "/0129:;@AFGTZ`afgtz{-+.,_ \x00\x7f\xd4\xfa"

// spoiled calls f with s, cut off, longer, and with every byte changed.
func spoiled(s string, f func(string)) {
	f(s)
	for i := range s {
		f(s[:i])
		for _, c := range []byte(oddBytes) {
			f(s[:i] + string([]byte{c}) + s[i+1:])
			f(s[:i] + string([]byte{c}) + s[i:])
		}
	}
	for _, c := range []byte(oddBytes) {
		f(s + string([]byte{c}))
	}
}

func TestTimesBothReadings(t *testing.T) {
	same := func(s string) {
		want, wantOK := slowTime(s)
		have, ok := parseTime([]byte(s))
		require.Equal(t, wantOK, ok, "%q", s)
		if ok {
			require.Equal(t, want, have, s)
		}
	}
	for _, s := range []string{"2026-01-31T12:34:56Z", "2026-01-31t12:34:56.1234567z", "2026-01-31T12:34:60.5+01:30", "0000-01-01T00:00:00-23:59", ""} {
		spoiled(s, same)
	}
	for _, year := range []int{0, 1, 3, 4, 99, 100, 101, 399, 400, 401, 1582, 1600, 1899, 1900, 1969, 1970, 2000, 2023, 2024, 2100, 2400, 9999} {
		for month := range 14 {
			for day := range 33 {
				same(fmt.Sprintf("%04d-%02d-%02dT01:02:03Z", year, month, day))
			}
		}
	}
	for n := range 100 {
		same(fmt.Sprintf("2026-12-31T%02d:59:59Z", n))
		same(fmt.Sprintf("2026-12-31T23:%02d:60Z", n))
		same(fmt.Sprintf("2026-12-31T23:59:%02dZ", n))
		same(fmt.Sprintf("2026-12-31T23:59:59+%02d:59", n))
		same(fmt.Sprintf("2026-12-31T23:59:59-23:%02d", n))
		same(fmt.Sprintf("1969-12-31T23:59:59.%dZ", n))
	}
}

func TestTraceparentBothReadings(t *testing.T) {
	same := func(s string) {
		ev := slowEvent{columns: map[string]any{}}
		ev.takeTraceparent(s)
		trace, span, ok := parseTraceparent([]byte(s))
		require.Equal(t, len(ev.misfits) == 0, ok, "%q", s)
		if ok {
			require.Equal(t, ev.columns, map[string]any{"trace_id": string(trace), "span_id": string(span)}, s)
		}
	}
	for _, s := range oddTraces {
		spoiled(s, same)
	}
	spoiled("ff-00000000000000000000000000000001-1000000000000000-00-", same)
}
