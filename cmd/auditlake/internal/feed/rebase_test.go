package feed

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/envelope"
)

// withTime is a valid event of this time, as JSON text with its quotes.
func withTime(quoted string) string {
	return `{"specversion":"1.0","id":"1","source":"/feed","type":"agent.action","time":` + quoted + `}`
}

func TestRebaseForms(t *testing.T) {
	for _, tc := range []struct {
		old   string
		shift time.Duration
		want  string
	}{
		{"2026-01-31T12:00:00Z", time.Hour, "2026-01-31T13:00:00Z"},
		{"2026-01-31T12:00:00Z", 1500 * time.Millisecond, "2026-01-31T12:00:01.500Z"},
		{"2026-01-31T12:00:00.25Z", time.Second, "2026-01-31T12:00:01.25Z"},
		{"2026-01-31T12:00:00.25Z", time.Millisecond, "2026-01-31T12:00:00.251Z"},
		{"2026-01-31T12:00:00.123Z", 877 * time.Millisecond, "2026-01-31T12:00:01.000Z"},
		{"2026-01-31T12:00:00.123456Z", -time.Millisecond, "2026-01-31T12:00:00.122456Z"},
		{"2026-01-31T12:00:00.123456789Z", time.Millisecond, "2026-01-31T12:00:00.124456789Z"},
		{"2026-01-31T12:00:00.12345678901234Z", time.Millisecond, "2026-01-31T12:00:00.12445678901234Z"},
		{"2026-01-31t12:00:00.5z", time.Second, "2026-01-31T12:00:01.5z"},
		{"2026-01-31T23:30:00+05:45", time.Hour, "2026-02-01T00:30:00+05:45"},
		{"2026-01-31T23:30:00-00:00", time.Hour, "2026-02-01T00:30:00-00:00"},
		{"2026-01-31T23:30:00.000-23:59", time.Hour, "2026-02-01T00:30:00.000-23:59"},
		{"2016-12-31T23:59:60Z", time.Second, "2017-01-01T00:00:01Z"},
		{"2016-12-31T23:59:60.75Z", time.Millisecond, "2017-01-01T00:00:00.001Z"},
		{"2024-02-29T00:00:00Z", 366 * 24 * time.Hour, "2025-03-01T00:00:00Z"},
		{"1969-12-31T23:59:59.999Z", time.Millisecond, "1970-01-01T00:00:00.000Z"},
		{`2026\u002d01-31T12:00:00\u005a`, time.Second, "2026-01-31T12:00:01Z"},
		{"9999-12-31T23:59:59Z", time.Second, "9999-12-31T23:59:59Z"}, // RFC 3339 ends here
		{"0000-01-01T00:00:00Z", -time.Second, "0000-01-01T00:00:00Z"},
	} {
		require.Equal(t, withTime(`"`+tc.want+`"`), mustRebase(t, withTime(`"`+tc.old+`"`), tc.shift), tc.old)
	}
}

func mustRebase(t *testing.T, line string, shift time.Duration) string {
	t.Helper()
	event, err := decode(envelope.NewDecoder(envelope.DefaultLimits), []byte(line), noTime)
	require.NoError(t, err, line)
	return string(rebase([]byte(line), event, shift))
}

// The two times move, wherever they stand and however they are written; what
// only looks like them stays.
func TestRebasePlaces(t *testing.T) {
	const head = `"specversion":"1.0","id":"1","source":"/feed","type":"agent.action"`
	for _, tc := range []struct{ name, old, want string }{
		{"both", `{` + head + `,"time":"2026-01-01T00:00:00Z","data":{"audit.approval.at":"2026-01-01T00:00:00.5Z"}}`,
			`{` + head + `,"time":"2026-01-01T01:00:00Z","data":{"audit.approval.at":"2026-01-01T01:00:00.5Z"}}`},
		{"data first, blanks", ` {"data" : { "a":[{"time":"x"}], "audit.approval.at" : "2026-01-01T00:00:00Z" , "n":-1.5e3}` + "\t,\r " + head + `, "time" :"2026-01-01T00:00:00Z" } `,
			` {"data" : { "a":[{"time":"x"}], "audit.approval.at" : "2026-01-01T01:00:00Z" , "n":-1.5e3}` + "\t,\r " + head + `, "time" :"2026-01-01T01:00:00Z" } `},
		{"keys with escapes", `{` + head + `,"\u0074ime":"2026-01-01T00:00:00Z","dat\u0061":{"audit.approval\u002eat":"2026-01-01T00:00:00Z"}}`,
			`{` + head + `,"\u0074ime":"2026-01-01T01:00:00Z","dat\u0061":{"audit.approval\u002eat":"2026-01-01T01:00:00Z"}}`},
		{"others of that name", `{` + head + `,"Time":"2026-01-01T00:00:00Z","x":{"time":"2026-01-01T00:00:00Z"},"s":"\"time\":\"2026-01-01T00:00:00Z\"","time":"2026-01-01T00:00:00Z","data":{"time":"2026-01-01T00:00:00Z","y":{"audit.approval.at":"2026-01-01T00:00:00Z"}},"audit.approval.at":"2026-01-01T00:00:00Z"}`,
			`{` + head + `,"Time":"2026-01-01T00:00:00Z","x":{"time":"2026-01-01T00:00:00Z"},"s":"\"time\":\"2026-01-01T00:00:00Z\"","time":"2026-01-01T01:00:00Z","data":{"time":"2026-01-01T00:00:00Z","y":{"audit.approval.at":"2026-01-01T00:00:00Z"}},"audit.approval.at":"2026-01-01T00:00:00Z"}`},
		{"an approval that is no time", `{` + head + `,"time":"2026-01-01T00:00:00Z","data":{"audit.approval.at":"yesterday"}}`,
			`{` + head + `,"time":"2026-01-01T01:00:00Z","data":{"audit.approval.at":"yesterday"}}`},
		{"data that is no object", `{` + head + `,"data":[{},[],"]",true],"e":{},"l":[ ],"time":"2026-01-01T00:00:00Z"}`,
			`{` + head + `,"data":[{},[],"]",true],"e":{},"l":[ ],"time":"2026-01-01T01:00:00Z"}`},
	} {
		require.Equal(t, tc.want, mustRebase(t, tc.old, time.Hour), tc.name)
	}
}

// FuzzRebase: whatever the decoder takes, a rebase moves its two times and no
// other byte. Where they stand is found again by encoding/json.
func FuzzRebase(f *testing.F) {
	for _, seed := range []string{
		event(1, "s"), withTime(`"2016-12-31T23:59:60.123456789+01:00"`), "{oops",
		`{"data":{"x":[1,{"time":"no"}],"audit.approval.at":"2026-01-01T00:00:00Z"},"specversion":"1.0","id":"\"","source":"s","type":"t","\u0074ime":"2026-01-01t00:00:00z"}`,
	} {
		f.Add([]byte(seed), int64(86_400_001))
	}
	f.Fuzz(func(t *testing.T, line []byte, millis int64) {
		event, err := decode(envelope.NewDecoder(envelope.DefaultLimits), line, noTime)
		if err != nil {
			return
		}
		shift := time.Duration(millis%1e13) * time.Millisecond // up to 317 years
		if shift/time.Millisecond != time.Duration(millis%1e13) {
			return
		}
		before := []byte(string(line))
		when := event.Time()
		approval, approved := event.Value(envelope.ColApprovedAt).Int, event.Has(envelope.ColApprovedAt)
		moved := rebase(line, event, shift)
		require.Equal(t, before, line, "the input changed")

		after, err := decode(envelope.NewDecoder(envelope.DefaultLimits), moved, noTime)
		require.NoError(t, err, "%s", moved)
		requireMoved(t, when, after.Time(), shift)
		require.Equal(t, approved, after.Has(envelope.ColApprovedAt))
		if approved {
			requireMoved(t, approval, after.Value(envelope.ColApprovedAt).Int, shift)
		}
		require.Equal(t, withoutTimes(t, before, approved), withoutTimes(t, moved, approved))
	})
}

func requireMoved(t *testing.T, from, to int64, shift time.Duration) {
	t.Helper()
	if want := time.UnixMicro(from).Add(shift).UTC(); want.Year() > 0 && want.Year() < 9999 { // whatever the zone
		require.Equal(t, want, time.UnixMicro(to).UTC())
	}
}

// withoutTimes cuts the two times out of an event, by encoding/json.
func withoutTimes(t *testing.T, line []byte, approved bool) string {
	var out []byte
	at := 0
	dec := json.NewDecoder(bytes.NewReader(line))
	cut := func() {
		var raw json.RawMessage
		require.NoError(t, dec.Decode(&raw))
		end := int(dec.InputOffset())
		out = append(append(out, line[at:end-len(raw)]...), '_')
		at = end
	}
	var walk func(path string)
	walk = func(path string) {
		open, err := dec.Token()
		require.NoError(t, err)
		require.Equal(t, json.Delim('{'), open)
		for dec.More() {
			key, err := dec.Token()
			require.NoError(t, err)
			switch p := path + "/" + key.(string); {
			case p == "/time", p == "/data/audit.approval.at" && approved:
				cut()
			case p == "/data" && approved:
				walk("/data")
			default:
				var skipped json.RawMessage
				require.NoError(t, dec.Decode(&skipped))
			}
		}
		_, err = dec.Token()
		require.NoError(t, err)
	}
	walk("")
	return string(append(out, line[at:]...))
}

// A whole input moves by one span of time, so that its newest event is now.
func TestRebaseAnInput(t *testing.T) {
	l := newLab(t)
	lines := []string{
		withTime(`"2024-05-15T15:00:04.033Z"`),
		"no JSON",
		withTime(`"2024-05-15T15:00:06.1Z"`), // the newest
		`{"time":"2029-01-01T00:00:00Z"}`,    // no event
		withTime(`"2024-05-15T11:00:05-04:00"`),
	}
	target := time.Date(2026, 11, 25, 12, 0, 0, 123_999_999, time.UTC)
	opts := l.options()
	opts.Raw, opts.RebaseTo = true, target
	sum := l.mustProduce(opts, strings.Join(lines, "\n"))
	newest := time.Date(2026, 11, 25, 12, 0, 0, 123e6, time.UTC)
	require.Equal(t, newest, sum.Newest.UTC())
	require.Equal(t, newest.Sub(time.Date(2024, 5, 15, 15, 0, 6, 1e8, time.UTC)), sum.Shift)
	records := l.records(testTopic)
	require.ElementsMatch(t, []string{
		withTime(`"2026-11-25T11:59:58.056Z"`), lines[1], withTime(`"2026-11-25T12:00:00.123Z"`), lines[3],
		withTime(`"2026-11-25T07:59:59.023-04:00"`),
	}, values(records))
	for _, r := range records {
		if event, err := decode(envelope.NewDecoder(envelope.DefaultLimits), r.Value, noTime); err == nil {
			require.Equal(t, event.Time()/1000, r.Timestamp.UnixMilli())
		}
	}
}

func TestRebaseReadsTwice(t *testing.T) {
	l := newLab(t)
	opts := l.options()
	opts.RebaseTo = time.Now()
	_, err := Produce(t.Context(), opts, "stdin", struct{ io.Reader }{strings.NewReader(event(1, "s"))})
	require.EqualError(t, err, "stdin: moving events to another time reads the input twice, and stdin or a pipe can be read once: save it to a file and give that")

	// From where the file stood, not from its beginning.
	path := filepath.Join(t.TempDir(), "in.ndjson")
	require.NoError(t, os.WriteFile(path, []byte("header\n"+event(1, "s")+"\n"), 0o600))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Seek(int64(len("header\n")), io.SeekStart)
	require.NoError(t, err)
	sum, err := Produce(t.Context(), opts, path, f)
	require.NoError(t, err)
	require.Equal(t, int64(1), sum.Lines)

	// Without an event there is nothing to move, and raw lines go as they are.
	opts.Raw = true
	require.Equal(t, Produced{Lines: 2, Bytes: 3}, unclocked(l.mustProduce(opts, "a\nbc\n")))

	_, err = l.produce(opts, withTime(`"0001-01-01T00:00:00Z"`))
	require.ErrorContains(t, err, "in.ndjson: its newest event, of 0001-01-01T00:00:00Z, is too far from ")
	_, err = Produce(t.Context(), opts, "in", struct{ io.ReadSeeker }{unseekable{}})
	require.ErrorContains(t, err, "reads the input twice")
}

func unclocked(p Produced) Produced {
	p.Elapsed = 0
	return p
}

type unseekable struct{ io.ReadSeeker }

func (unseekable) Seek(int64, int) (int64, error) { return 0, os.ErrInvalid }

func BenchmarkRecord(b *testing.B) {
	line := []byte(`{"specversion":"1.0","id":"7e66b92e244510e195864d3c7febee71","source":"/agents/airline-support","type":"agent.output","time":"2026-01-31T11:58:04.033Z","sessionid":"fac7c6d3b0fb0882","data":{"audit.approval.at":"2026-01-31T11:58:04.033Z","gen_ai.output.messages":"` +
		strings.Repeat(`I have found your reservation.\n`, 30) + `"}}`)
	for name, shift := range map[string]time.Duration{"as it is": 0, "rebased": time.Hour} {
		b.Run(name, func(b *testing.B) {
			p := &producer{decoder: envelope.NewDecoder(envelope.DefaultLimits), sum: Produced{Shift: shift}}
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				p.record(line)
			}
		})
	}
}
