package feed

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, tc := range []struct {
		name, text string
		want       []string
		numbers    []int64
	}{
		{"nothing", "", nil, nil},
		{"blank lines only", "\n \n\t\r\n", nil, nil},
		{"one line", "a\n", []string{"a"}, []int64{1}},
		{"last newline missing", "a\nb", []string{"a", "b"}, []int64{1, 2}},
		{"carriage returns", "a\r\nb\r\n\r\nc\r", []string{"a", "b", "c"}, []int64{1, 2, 4}},
		{"only the last of two", "a\r\r\n", []string{"a\r"}, []int64{1}},
		{"blanks are kept", " a \n", []string{" a "}, []int64{1}},
		{"blank lines count", "\n\na\n\nb\n\n", []string{"a", "b"}, []int64{3, 5}},
		{"longer than the buffer", "a\n" + long + "\nb\n" + long, []string{"a", long, "b", long}, []int64{1, 2, 3, 4}},
		{"no text", "\x00\xff\n", []string{"\x00\xff"}, []int64{1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, in := range map[string]io.Reader{
				"at once": strings.NewReader(tc.text), "in halves": iotest.HalfReader(strings.NewReader(tc.text)),
				"with its end": iotest.DataErrReader(strings.NewReader(tc.text)),
			} {
				var got []string
				var numbers []int64
				l := newLines(in)
				for {
					line, err := l.next()
					if errors.Is(err, io.EOF) {
						break
					}
					require.NoError(t, err, name)
					got, numbers = append(got, string(line)), append(numbers, l.number)
				}
				require.Equal(t, tc.want, got, name)
				require.Equal(t, tc.numbers, numbers, name)
				require.Equal(t, int64(len(tc.text)), l.bytes, name)
			}
		})
	}
}

// A file that is no NDJSON must not take all memory.
func TestLineWithoutEnd(t *testing.T) {
	l := newLines(io.MultiReader(strings.NewReader("a\n"), endless{}))
	_, err := l.next()
	require.NoError(t, err)
	_, err = l.next()
	require.EqualError(t, err, "line 2 is longer than 64 MiB: is it NDJSON, one event a line?")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
